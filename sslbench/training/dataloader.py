"""The stream of views: which pictures make which step, and the views drawn for them.

Everything is a function of (seed, epoch, step): order, drop-out of the rest that fills no batch, and every parameter
of every view. Draws are made for the whole step and then cut into parts, so neither accumulation nor the number of
processes changes them. On a GPU the next step is made ready ahead (prefetch.py), which changes nothing of this.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.errors import UserError
from sslbench.nn.random import generator
from sslbench.training.device import Device
from sslbench.training.prefetch import Ahead, Prepared, Staging, Step
from sslbench.transforms.pipeline import Drawn, View, ViewMaker, rows_of


class Stream:
    """Views of the training pictures ``train`` (indices into the pack) for a cell's settings.

    On a GPU it has a thread: ``close`` ends it.

    Raises:
        UserError: the batch is larger than the training set.
    """

    def __init__(
        self, pack: PackedSet, train: np.ndarray, settings: dict, device: Device, want_locations: bool
    ) -> None:
        self.pack, self.device, self.want_locations = pack, device, want_locations
        self.train = torch.from_numpy(train.astype(np.int64))
        self.seed = settings["seed"]
        self.batch_size = settings["train"]["batch_size"]
        if self.batch_size > len(train):
            dataset = settings["dataset"]
            raise UserError(
                f"training.batch_size is {self.batch_size}, but the dataset (source {dataset['source']!r}, split "
                f"{dataset['split']!r}) has {len(train)} training pictures; choose a batch of at most {len(train)}"
            )
        self.steps_per_epoch = len(train) // self.batch_size
        self.makers = [
            ViewMaker(settings["transform"][view["branch"]], view["size"], view["crop_scale"], spec=view)
            for view in settings["views"]
        ]
        self.epochs = settings["train"]["epochs"]
        self.part_size = self.batch_size // settings["train"].get("accumulate", 1)
        self.order = lru_cache(maxsize=2)(self._order)
        self._ready: Prepared | None = None
        self._ahead = self._staging = None
        if device.torch.type == "cuda":
            self._ahead = Ahead(self._prepare)
            if pack.device.type != "cuda":
                self._staging = Staging(device.torch, self.largest_batch())

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def largest_batch(self) -> int:
        """Bytes of the pixels that this process's pictures of one step have at most."""
        sizes = self.pack.heights[self.train] * self.pack.widths[self.train] * 3
        return int(sizes.topk(self.batch_size // self.device.world).values.sum())

    def mine(self, indices: Tensor) -> Tensor:
        """This process's share of each part of a step's ``indices``, one after the other."""
        starts = range(0, self.batch_size, self.part_size)
        shares = [self.device.shard(start, start + self.part_size) for start in starts]
        return torch.cat([indices[start:stop] for start, stop in shares])

    def _order(self, epoch: int) -> Tensor:
        return self.train[torch.randperm(len(self.train), generator=generator(self.seed, "order", epoch))]

    def indices(self, epoch: int, step: int) -> Tensor:
        """Pack indices [batch_size] of step ``step`` (from 0, within the epoch)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def draw(self, epoch: int, step: int, indices: Tensor) -> list[Drawn]:
        """The parameters of every view for the whole step."""
        following = self._following(epoch, step)
        if self._ahead is not None:
            self._ready = self._ahead.take((epoch, step), following)
            if torch.equal(self._ready.indices, indices):
                return self._ready.drawn
        elif following is not None:
            self.pack.expect(self.mine(self.indices(*following)))
        return self._draw(epoch, step, indices)

    def _draw(self, epoch: int, step: int, indices: Tensor) -> list[Drawn]:
        heights, widths = self.pack.heights[indices], self.pack.widths[indices]
        return [
            maker.draw(heights, widths, generator(self.seed, "view", epoch, step, number))
            for number, maker in enumerate(self.makers)
        ]

    def _following(self, epoch: int, step: int) -> Step | None:
        if step + 1 < self.steps_per_epoch:
            return epoch, step + 1
        return (epoch + 1, 0) if epoch + 1 < self.epochs else None

    def _prepare(self, epoch: int, step: int) -> Prepared:
        """Runs in the thread."""
        indices = self.indices(epoch, step)
        drawn = self._draw(epoch, step, indices)
        if self._staging is None:
            return Prepared(indices, drawn)
        mine = self.mine(indices)
        self.pack.expect(mine)
        if self.pack.decode_on.type == "cuda":
            return Prepared(indices, drawn, *self._staging.decode(self.pack, mine))
        return Prepared(indices, drawn, *self._staging.send(self.pack.batch(mine)))

    def _pictures(self, indices: Tensor, start: int, stop: int) -> Pictures:
        """The step's pictures [start, stop) on the device: where they lie decides how they are cropped, and so must
        never depend on what fits on the card."""
        ready = self._ready
        if ready is None or ready.pictures is None or not torch.equal(ready.indices, indices):
            return self.pack.batch(indices[start:stop]).to(self.device.torch)
        self._staging.receive(ready.pictures, ready.sent)
        part, within = divmod(start, self.part_size)
        share = self.part_size // self.device.world
        first = part * share + within - self.device.rank * share  # among this process's own
        return ready.pictures.part(first, first + stop - start)

    @torch.no_grad()
    def views(self, indices: Tensor, parameters: list[Drawn], start: int, stop: int) -> list[View]:
        """The views of the step's pictures [start, stop)."""
        pictures = self._pictures(indices, start, stop)
        dtype = torch.bfloat16 if self.device.bf16 else torch.float32
        views = []
        for maker, drawn in zip(self.makers, parameters, strict=True):
            view = maker.apply(
                pictures,
                rows_of(drawn, slice(start, stop)),
                device=self.device.torch,
                dtype=dtype,
                memory_format=self.device.memory_format,
                want_locations=self.want_locations,
            )
            views.append(view)
        return views
