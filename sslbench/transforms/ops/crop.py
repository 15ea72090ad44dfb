"""Crops: random area and aspect ratio for training, the centred square for evaluation. Always a view's first step."""

import math

import torch
from torch import Tensor

from sslbench.data.pack.read import Pictures
from sslbench.transforms.ops.base import integers
from sslbench.transforms.ops.resize import Boxes, box_locations, resize_boxes

ATTEMPTS = 10  # as many as torchvision makes before it takes the centre


class Crop:
    """A box of each picture, resized to a square. Parameters are its boxes (see resize.Boxes) and stay on the CPU."""

    geometric = True

    def apply(
        self,
        pictures: Pictures,
        parameters: Boxes,
        size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """[n, 3, size, size] in [0, 1], whole levels of 1/255, on ``device`` (default: the pictures' own)."""
        levels = resize_boxes(pictures, parameters, size).to(device or pictures.device, non_blocking=True)
        return levels.to(dtype, memory_format=torch.contiguous_format).div_(255)

    def locations(self, parameters: Boxes, size: int) -> Tensor:
        """(y, x) in its picture of every output pixel, float32 [n, 2, size, size], where the boxes lie (resize.py)."""
        return box_locations(parameters, size)


class RandomResizedCrop(Crop):
    """torchvision's RandomResizedCrop, drawn for all pictures at once.

    Ten boxes are tried, the first that fits is taken; where none does, the largest centred box whose aspect ratio is
    allowed. Draws per picture, in this order: ten areas, ten log-ratios, top, left.
    """

    def __init__(self, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
        self.scale, self.ratio = tuple(scale), tuple(ratio)

    def draw(self, heights: Tensor, widths: Tensor, generator: torch.Generator) -> Boxes:
        """Boxes in pictures of ``heights`` x ``widths`` px, int64 [n] each."""
        n = len(heights)
        tall, wide = heights.double()[:, None], widths.double()[:, None]
        shares, powers = torch.rand(2, n, ATTEMPTS, generator=generator, dtype=torch.float64)
        lowest, highest = self.scale
        area = tall * wide * (lowest + (highest - lowest) * shares)
        lowest, highest = (math.log(bound) for bound in self.ratio)
        ratio = torch.exp(lowest + (highest - lowest) * powers)
        width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()  # [n, ATTEMPTS]
        fits = (width > 0) & (width <= wide) & (height > 0) & (height <= tall)

        first = fits.int().argmax(dim=1, keepdim=True)
        central = self._central(tall.squeeze(1), wide.squeeze(1))
        failed = ~fits.any(dim=1)
        height = torch.where(failed, central[0], height.gather(1, first).squeeze(1)).long()
        width = torch.where(failed, central[1], width.gather(1, first).squeeze(1)).long()
        top = integers(0, heights - height + 1, generator)
        left = integers(0, widths - width + 1, generator)
        return {
            "top": torch.where(failed, (heights - height) // 2, top),
            "left": torch.where(failed, (widths - width) // 2, left),
            "height": height,
            "width": width,
        }

    def _central(self, tall: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
        narrowest, widest = self.ratio
        ratio = wide / tall
        height = torch.where(ratio < narrowest, (wide / narrowest).round(), tall)
        width = torch.where(ratio > widest, (tall * widest).round(), wide)
        return height.clamp_min(1), width.clamp_min(1)


class CenterCrop(Crop):
    """The centred square whose side is the picture's shortest side / ``resize_ratio``, straight from the picture."""

    def __init__(self, resize_ratio: float = 1.0) -> None:
        self.resize_ratio = resize_ratio

    def draw(self, heights: Tensor, widths: Tensor, generator: torch.Generator | None = None) -> Boxes:
        """Boxes in pictures of ``heights`` x ``widths`` px, int64 [n] each; nothing is random."""
        side = (torch.minimum(heights, widths).double() / self.resize_ratio).round().long().clamp_min(1)
        return {"top": (heights - side) // 2, "left": (widths - side) // 2, "height": side, "width": side.clone()}
