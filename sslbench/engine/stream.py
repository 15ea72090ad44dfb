"""The stream of views: which pictures make which step, and the views drawn for them.

Everything is a function of (seed, epoch, step): order, drop-out of the rest that fills no batch, and every parameter
of every view. Draws are made for the whole step and then cut into parts, so neither accumulation nor the number of
processes changes them.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sslbench.data.packed import PackedSet
from sslbench.engine.devices import Device
from sslbench.errors import UserError
from sslbench.randomness import generator
from sslbench.transforms.pipeline import Drawn, View, ViewMaker, rows_of


class Stream:
    """Views of the training pictures ``train`` (indices into the pack) for a cell's settings.

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
        self.order = lru_cache(maxsize=1)(self._order)

    def _order(self, epoch: int) -> Tensor:
        return self.train[torch.randperm(len(self.train), generator=generator(self.seed, "order", epoch))]

    def indices(self, epoch: int, step: int) -> Tensor:
        """Pack indices [batch_size] of step ``step`` (from 0, within the epoch)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def draw(self, epoch: int, step: int, indices: Tensor) -> list[Drawn]:
        """The parameters of every view for the whole step."""
        heights, widths = self.pack.heights[indices], self.pack.widths[indices]
        return [
            maker.draw(heights, widths, generator(self.seed, "view", epoch, step, number))
            for number, maker in enumerate(self.makers)
        ]

    @torch.no_grad()
    def views(self, indices: Tensor, parameters: list[Drawn], start: int, stop: int) -> list[View]:
        """The views of the step's pictures [start, stop)."""
        # Where the pictures lie decides how they are cropped, and so must never depend on what fits on the card.
        pictures = self.pack.batch(indices[start:stop]).to(self.device.torch)
        dtype = torch.bfloat16 if self.device.bf16 else torch.float32
        views = []
        for maker, drawn in zip(self.makers, parameters, strict=True):
            view = maker.apply(
                pictures,
                rows_of(drawn, slice(start, stop)),
                device=self.device.torch,
                dtype=dtype,
                want_locations=self.want_locations,
            )
            view.images = view.images.contiguous(memory_format=self.device.memory_format)
            views.append(view)
        return views
