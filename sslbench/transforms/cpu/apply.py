"""Views made by the compiled library, for slices of a batch at a time, on as many threads as torch uses."""

import ctypes
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import torch
from torch import Tensor

from sslbench.data.pack.read import Pictures
from sslbench.transforms.cpu.build import Native
from sslbench.transforms.ops.base import BatchedOperation, Parameters
from sslbench.transforms.ops.resize import Boxes

PIXELS_AT_A_TIME = 1 << 16  # of a slice: about a millisecond's work, which is much more than a call costs
LARGE = 1 << 23  # bytes of a batch from which large pages are asked for
DTYPES = (torch.float32, torch.bfloat16)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


class _Step(ctypes.Structure):
    _fields_ = (
        ("operation", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("fired", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
    )


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("buffer", "boxes", "images", "out", "locations", "steps")),
        *((name, ctypes.c_int32) for name in ("count", "size", "short_floats", "channels_last")),
    )


def has_native_form(operation: BatchedOperation) -> bool:
    """Whether the class says what its C function reads. A subclass that changes what is done must say so anew."""
    for kind in type(operation).__mro__:
        if kind is BatchedOperation:
            return False
        if "native" in vars(kind):
            return True
        if {"change", "apply", "apply_", "touched"} & vars(kind).keys():
            return False
    return False


def make(
    native: Native,
    source: tuple[Pictures, Boxes] | Tensor,
    size: int,
    steps: Sequence[tuple[BatchedOperation, Parameters]],
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    want_locations: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Images [n, 3, size, size] after ``steps``, and locations float32 [n, 2, size, size] where wanted.

    ``source``: pictures and their boxes, or float32 images [n, 3, size, size], which are left as they are; from
    images there are no locations. Every operation must have a native form. ``dtype`` is one of DTYPES.
    """
    kept: list[object] = []  # what the job points to, until it is done

    def address(values: Tensor) -> int:
        kept.append(values)
        return values.data_ptr()

    job = _Job(size=size, count=len(steps), short_floats=dtype == torch.bfloat16)
    if isinstance(source, Tensor):
        n = len(source)
        job.images = address(source.contiguous())
    else:
        pictures, boxes = source
        n = len(pictures)
        columns = (pictures.offsets, pictures.widths, boxes["top"], boxes["left"], boxes["height"], boxes["width"])
        job.buffer, job.boxes = address(pictures.buffer), address(torch.stack(columns, dim=1))
    table = (_Step * len(steps))(*(_step(native, *step, n, address) for step in steps))
    out = torch.empty(n, 3, size, size, dtype=dtype, memory_format=memory_format)
    locations = torch.empty(n, 2, size, size) if want_locations else None
    if out.nbytes >= LARGE:
        native.functions.views_large_pages(out.data_ptr(), out.nbytes)
    job.steps, job.out = ctypes.addressof(table), out.data_ptr()
    job.channels_last = memory_format == torch.channels_last
    job.locations = None if locations is None else locations.data_ptr()
    _in_slices(native, job, n, max(4, PIXELS_AT_A_TIME // size**2))
    return out, locations


def _step(native: Native, operation: BatchedOperation, parameters: Parameters, n: int, address) -> _Step:
    name, columns = operation.native(parameters)
    number = native.functions.views_operation(name.encode())
    assert number >= 0, f"views.c has no operation {name!r}"
    fired = address(operation.touched(parameters).contiguous()) if "fired" in parameters else None
    rows = torch.empty(n, sum(c.shape[1] if isinstance(c, Tensor) and c.ndim > 1 else 1 for c in columns)).double()
    start = 0
    for column in columns:
        width = column.shape[1] if isinstance(column, Tensor) and column.ndim > 1 else 1
        values = column.reshape(n, width) if isinstance(column, Tensor) else column
        rows[:, start : start + width] = values
        start += width
    return _Step(number, start, fired, address(rows) if start else None)


def _in_slices(native: Native, job: _Job, n: int, together: int) -> None:
    """All n pictures, by this thread and as many others as have a slice; the cut does not depend on their number."""
    starts, where = itertools.count(0, together), ctypes.addressof(job)
    failures: list[int] = []
    interrupted: list[bool] = []

    def work() -> None:
        while not interrupted and (start := next(starts)) < n:  # a step of the counter is one action, whoever takes it
            if native.functions.views_make(where, start, min(start + together, n)):
                failures.append(start)

    helpers = min(torch.get_num_threads(), -(-n // together)) - 1
    waiting = [_pool(torch.get_num_threads() - 1).submit(work) for _ in range(helpers)]
    try:
        work()
    except BaseException:  # Ctrl-C, say
        interrupted.append(True)
        raise
    finally:
        wait(waiting)  # they write into memory that the caller lets go
    for task in waiting:
        task.result()
    if failures:
        raise MemoryError(f"no memory for views of {job.size} px")


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="views")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not outlive a fork
