"""The next step, made ready in a thread while the present one runs on the GPU.

Only for GPUs: on a CPU the thread would take its time from the training. Its randomness is a function of (seed, epoch,
step) like everybody's, so nothing depends on whether, and when, it ran.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.transforms.pipeline import Drawn

Step = tuple[int, int]  # epoch, step within it


@dataclass
class Prepared:
    """What a step needs of the host: its pack indices, the parameters of its views and, where the pack does not lie
    on the device, its pictures there."""

    indices: Tensor
    drawn: list[Drawn]
    pictures: Pictures | None = None
    sent: "torch.cuda.Event | None" = None  # when the pictures are there


class Ahead:
    """Calls ``prepare(epoch, step)`` in a thread of its own, one step before it is asked for."""

    def __init__(self, prepare: Callable[[int, int], Prepared]) -> None:
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="next-step")
        self._next: tuple[Step, Future[Prepared]] | None = None

    def take(self, step: Step, following: Step | None) -> Prepared:
        """What ``step`` needs, most likely ready; then begins ``following``. What the thread raised is raised here."""
        waiting, self._next = self._next, None
        if waiting is None or waiting[0] != step:  # the first step, or a jump
            waiting = step, self._thread.submit(self._prepare, *step)
        prepared = waiting[1].result()
        if following is not None:
            self._next = following, self._thread.submit(self._prepare, *following)
        return prepared

    def close(self) -> None:
        """End the thread, after the step that it is at."""
        self._next = None
        self._thread.shutdown(wait=True, cancel_futures=True)


class Staging:
    """Sends pictures of the host's memory to the GPU: copied back to back into one of two page-locked buffers, and
    from there on a stream of its own, beside the arithmetic.

    Whole pictures travel, not the boxes of their crops: 256 of 160 px are 20 MB, under a millisecond of the bus, and
    every view then crops from the same bytes, as it does where the whole set lies on the GPU.
    """

    def __init__(self, device: torch.device, largest: int) -> None:
        """``largest``: bytes of the largest batch that can come."""
        self.device, self.largest = device, largest
        self.stream = torch.cuda.Stream(device)
        self.buffers = [torch.empty(largest, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        self.emptied: list[torch.cuda.Event | None] = [None, None]
        self.turn = 0

    def send(self, pictures: Pictures) -> tuple[Pictures, "torch.cuda.Event"]:
        """These pictures on the GPU, and the event after which they are there. Waits where both buffers are full."""
        turn, self.turn = self.turn, 1 - self.turn
        if self.emptied[turn] is not None:
            self.emptied[turn].synchronize()
        mine = pictures.gathered(self.buffers[turn])
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            # Always of one size, so that the allocator hands out the same few blocks.
            there = torch.empty(self.largest, dtype=torch.uint8, device=self.device)[: len(mine.buffer)]
            there.copy_(mine.buffer, non_blocking=True)
            sent = torch.cuda.Event()
            sent.record(self.stream)
        self.emptied[turn] = sent
        return replace(mine, buffer=there), sent

    def decode(self, pack: PackedSet, indices: Tensor) -> tuple[Pictures, "torch.cuda.Event"]:
        """The same for a pack that decodes on the GPU itself."""
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            # Of one size here too: the graphs of the crop are compiled for it.
            room = torch.empty(self.largest, dtype=torch.uint8, device=self.device)
            pictures = pack.batch(indices).gathered(room)
            sent = torch.cuda.Event()
            sent.record(self.stream)
        return pictures, sent

    def receive(self, pictures: Pictures, sent: "torch.cuda.Event") -> None:
        """Let the present stream wait for ``pictures``; the host does not. Their memory is kept until it is done."""
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(sent)
        pictures.buffer.record_stream(stream)
