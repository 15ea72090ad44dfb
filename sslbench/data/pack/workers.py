"""Pictures decoded by several processes, in order. Pixels come back through shared memory, not through pipes."""

import contextlib
import ctypes
import mmap
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sslbench.data.pack.decode import Decoded, decode_file
from sslbench.errors import UserError

CHUNK = 16  # pictures per task
SLOT = 1 << 23  # bytes of shared memory per task, at most; what does not fit goes through the pipe
ROOM = 1 << 29  # bytes of it for all tasks
PR_SET_PDEATHSIG = 1
AHEAD = 3  # tasks per process that may be under way or done before they are asked for

_shared: mmap.mmap | None = None  # in a decoding process: the slots of all tasks


def decoded(
    root: Path, names: list[str], pack_size: int, jobs: int, encoding: str = "pixels", scale: str = "full"
) -> Iterator[list[Decoded | str]]:
    """The pictures ``names`` below ``root`` in order, a chunk at a time: each one, or why it cannot be read.

    A chunk's pixels are good until the next one is asked for: their memory is then used again.
    """
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    if jobs == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield [decode_file(root / name, pack_size, encoding, scale) for name in chunk]
        return
    # Forking is safe on Linux as long as this process has no threads of its own, spares an import per worker, and lets
    # the workers inherit anonymous memory; /dev/shm is small in many containers.
    fork = sys.platform == "linux"
    slots = min(AHEAD * jobs, len(chunks)) + 1
    size = min(SLOT, ROOM // slots)
    shared = mmap.mmap(-1, slots * size) if fork else None
    context = multiprocessing.get_context("fork" if fork else "spawn")
    with ExitStack() as stack:
        shares = (shared, os.getpid())
        pool = stack.enter_context(ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=shares))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        waiting: deque[tuple[list[str], Future, int]] = deque()
        for number, chunk in enumerate([*chunks, *[None] * slots]):
            if chunk is not None:
                start = number % slots * size
                job = pool.submit(_decode, root, chunk, start, size, pack_size, encoding, scale)
                waiting.append((chunk, job, start))
            if waiting and (len(waiting) == slots or chunk is None):
                yield _result(root, *waiting.popleft(), shared)


def _result(root: Path, asked: list[str], future: Future, start: int, shared: mmap.mmap | None) -> list[Decoded | str]:
    try:
        found = future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"{root}: a decoding process died at or after {asked[0]!r}: out of memory, or a picture that crashes its "
            "decoder; try compute.pack_jobs: 1"
        ) from error
    for i, one in enumerate(found):
        if not isinstance(one, str) and isinstance(one.pixels, tuple):
            size = int(np.prod(one.pixels))
            pixels = np.frombuffer(shared, np.uint8, size, start).reshape(one.pixels)
            found[i] = one._replace(pixels=pixels)
            start += size
    return found


def _begin(shared: mmap.mmap | None, parent: int) -> None:
    global _shared
    _shared = shared
    with contextlib.suppress(AttributeError, OSError):  # Linux: a killed packing leaves no processes behind
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process ends the others


def _decode(root: Path, names: list[str], start: int, size: int, *how: Any) -> list[Decoded | str]:
    """``pixels`` of what stands in the slot of ``size`` bytes at ``start`` is the shape alone; such pictures follow one
    another."""
    found, end = [], start + size
    for name in names:
        one = decode_file(root / name, *how)
        if _shared is not None and not isinstance(one, str) and start + one.pixels.size <= end:
            slot = np.frombuffer(_shared, np.uint8, one.pixels.size, start)
            np.copyto(slot.reshape(one.pixels.shape), one.pixels)
            start += one.pixels.size
            one = one._replace(pixels=one.pixels.shape)
        found.append(one)
    return found
