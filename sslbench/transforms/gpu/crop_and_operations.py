"""Views on a GPU as compiled graphs: what each crop reads, the crop, and all that follows it.

Eager, each of some hundred small steps reads and writes every pixel; compiled, a crop is one kernel that reads bytes
and writes levels, and a chain is a few kernels around the means and the blur. Shapes are those of a cell and never
change, so a cell has one graph for each size and recipe of its views. The arithmetic is that of the operations, to
float rounding (tested); where there is no compiler they run as they are, and one warning says so.
"""

import importlib
import importlib.util
import math
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from sslbench.data.pack.read import Pictures
from sslbench.transforms.ops.base import BatchedOperation, Parameters, constant
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.ops.resize import Boxes, by_matrix_products, table_of

MOST_GRAPHS = 64  # of one kind in one process
MOST_TAPS = 64  # of a crop's output pixel, both ways together; beyond, matrix products cost less
# One kernel for the whole crop: by default the compiler writes intermediate sums to memory from 8 reads on.
ONE_KERNEL = {
    "realize_reads_threshold": 10**6,
    "realize_acc_reads_threshold": 10**6,
    "realize_opcount_threshold": 10**6,
}


Steps = list[tuple[BatchedOperation, Parameters]]


def images_of(
    pictures: Pictures, boxes: Boxes, size: int, steps: Steps, dtype: torch.dtype, memory_format: torch.memory_format
) -> Tensor:
    """[n, 3, size, size]: the boxes of ``pictures`` after the steps, whose parameters lie on the pictures' device."""
    taps = taps_of(pictures.max_height, size), taps_of(pictures.max_width, size)
    if taps[0] * taps[1] > MOST_TAPS:
        levels = by_matrix_products(pictures, boxes, size)
    else:
        table = table_of(pictures, boxes)
        band_graph, crop_graph = crop_graphs(taps, size)
        if crop_graph.failed:  # its steps one by one would fill the memory with indices
            levels = by_matrix_products(pictures, boxes, size)
        else:
            levels = crop_graph(_whole(pictures.buffer), table, *band_graph(table))
    operations = [operation for operation, _ in steps]
    return chain_graph(operations, dtype, memory_format)(levels, ready(steps, levels.device))


def _whole(buffer: Tensor) -> Tensor:
    """All of the memory that ``buffer`` begins: a batch sent ahead fills more or less of one that is always as large,
    and a graph is compiled for one length."""
    if buffer.storage_offset():
        return buffer
    return buffer.as_strided((buffer.untyped_storage().nbytes(),), (1,))


def chain(
    operations: list[BatchedOperation],
    levels: Tensor,
    parameters: list[Parameters],
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """``operations`` applied, one after the other, to uint8 ``levels`` [n, 3, h, w] of 0 to 255, in steps that trace
    into one graph. ``parameters`` are those of ``ready``."""
    images = levels.float() / 255
    for operation, mine in zip(operations, parameters, strict=True):
        if isinstance(operation, Normalize):
            images = (images - mine["mean"]) / mine["std"]
            continue
        changed = operation.traced(images, mine)
        images = torch.where(operation.touched(mine)[:, None, None, None], changed, images)
    return images.to(dtype, memory_format=memory_format)


def ready(steps: Steps, device: torch.device) -> list[Parameters]:
    """The parameters of ``steps``, which lie on ``device``, and their constants: a graph would send those anew."""
    return [
        {name: constant(getattr(o, name), torch.float32, device)[:, None, None] for name in ("mean", "std")}
        if isinstance(o, Normalize)
        else parameters
        for o, parameters in steps
    ]


def taps_of(longest: int, size: int) -> int:
    """How many input pixels an output pixel can read along one side of boxes of at most ``longest`` px."""
    return math.ceil(2 * max(1.0, longest / size)) + 1


def bands(table: Tensor, taps: tuple[int, int], size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which pixels of its box each output row reads and their shares, both [n, size, taps]; the same for columns.

    ``table``: resize.table_of. ``taps``: taps_of the highest and of the widest box.
    """
    return *_band(table[4], taps[0], size), *_band(table[5], taps[1], size)


def crop(buffer: Tensor, table: Tensor, rows: Tensor, down: Tensor, columns: Tensor, beside: Tensor) -> Tensor:
    """resize.by_matrix_products without matrices: uint8 [n, 3, size, size], of ``bands``.

    Each output pixel reads taps x taps input pixels, and rounds to whole levels along rows first, as there.
    """
    offset, across, top, left = table[:4]
    channel = torch.arange(3, device=table.device)[:, None, None]
    total = 0.0
    for i in range(rows.shape[2]):
        line = offset[:, None] + 3 * ((top[:, None] + rows[..., i]) * across[:, None] + left[:, None])  # [n, size]
        level = 0.0
        for j in range(columns.shape[2]):
            place = line[:, None, :, None] + 3 * columns[:, None, None, :, j] + channel  # [n, 3, size, size]
            level = level + buffer[place].float() * beside[:, None, None, :, j]
        total = total + (level + 0.5).floor() * down[:, None, :, None, i]
    return (total + 0.5).floor().clamp(0, 255).to(torch.uint8)


def _band(length: Tensor, taps: int, size: int) -> tuple[Tensor, Tensor]:
    """The entries of resize.weights that are not zero: int64 and float32 [n, size, taps]."""
    scale = length.double()[:, None, None] / size
    centre = scale * (torch.arange(size, device=length.device, dtype=torch.float64)[:, None] + 0.5)
    reach = scale.clamp_min(1)
    first = (centre - reach - 0.5).ceil().clamp_min(0)
    source = first + torch.arange(taps, device=length.device)  # [n, size, taps]
    share = (1 - (source + 0.5 - centre).abs() / reach).clamp_min(0) * (source < length[:, None, None])
    share = share / share.sum(-1, keepdim=True)
    finest = torch.exp2(torch.log2((2**15 - 0.5) / share.amax((1, 2), keepdim=True)).floor().clamp_max(22))
    inside = torch.minimum(source.long(), length[:, None, None] - 1)
    return inside, ((share * finest + 0.5).floor() / finest).float()


@lru_cache(maxsize=1)
def usable() -> bool:
    """Whether graphs for a GPU can be compiled here."""
    return importlib.util.find_spec("triton") is not None


class Graph:
    """A function compiled at its first call; as it is, from then on, where that fails.

    Attributes:
        failed: it was not compiled, or no longer.
        seconds: of the first call, which compiles.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any] | None = None) -> None:
        self.function, self.run = function, torch.compile(function, fullgraph=True, dynamic=False, options=options)
        self.seconds: float | None = None
        GRAPHS.append(self)

    @property
    def failed(self) -> bool:
        return self.run is self.function

    def __call__(self, *arguments: Any) -> Any:
        if self.failed:
            return self.function(*arguments)
        begin = time.perf_counter()
        try:
            # All graphs of one line of code share this limit, 8 by default: too few for a process of many cells.
            with torch._dynamo.config.patch(recompile_limit=MOST_GRAPHS):
                return self.run(*arguments)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler, a driver or a full disk says
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(f"views: going on uncompiled: {type(error).__name__}: {reason}", stacklevel=2)
            self.run = self.function
            return self.function(*arguments)
        finally:
            if self.seconds is None:
                self.seconds = time.perf_counter() - begin


GRAPHS: list[Graph] = []  # of this process


def version() -> str:
    """What the last bits of a view on a GPU depend on: ``compiled, triton 3.5.0`` or ``eager``."""
    if not usable() or any(graph.failed for graph in GRAPHS):
        return "eager"
    return f"compiled, triton {importlib.import_module('triton').__version__}"


def report() -> str:
    """One line for the log: how the views of this process were made on a GPU."""
    made = [graph.seconds for graph in GRAPHS if not graph.failed and graph.seconds is not None]
    failed = sum(graph.failed for graph in GRAPHS)
    said = f"views: {len(made)} graphs, compiled or found in the cache in {sum(made):.1f} s"
    if not usable():
        return "views: made by torch's operations, which are slower, since there is no triton here"
    return f"{said}; {failed} could not be compiled and run as torch's operations, more slowly" if failed else said


@lru_cache(maxsize=64)
def crop_graphs(taps: tuple[int, int], size: int) -> tuple[Graph, Graph]:
    """Two, so that what each row and column reads is worked out once and not in every pixel."""
    return Graph(lambda table: bands(table, taps, size)), Graph(crop, ONE_KERNEL)


def chain_graph(operations: list[BatchedOperation], dtype: torch.dtype, memory_format: torch.memory_format) -> Graph:
    """One graph for all views that are made by equal operations."""
    key = repr([dtype, memory_format, [(type(o).__name__, sorted(vars(o).items())) for o in operations]])
    if key not in _CHAINS:
        _CHAINS[key] = Graph(lambda levels, parameters: chain(operations, levels, parameters, dtype, memory_format))
    return _CHAINS[key]


_CHAINS: dict[str, Graph] = {}
