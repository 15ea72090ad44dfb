"""A square painted over."""

import torch
from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, Parameters


class Cutout(BatchedOperation):
    """One square of each image painted with ``fill``.

    DeVries and Taylor 2017 (arXiv 1708.04552), section 3: a side of fixed length and a centre uniform over all pixels,
    so that part of a square may lie outside. Chen et al. 2020 (figure 4g) name it and say no more. The fill, like the
    authors' zero after normalisation, is the mean colour.
    """

    def __init__(self, p: float, share: float, fill: tuple[float, float, float]) -> None:
        super().__init__(p)
        self.share, self.fill = share, tuple(fill)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``; ``top`` and ``left`` (negative where the square begins outside) and ``side`` in px, int64 [n]."""
        drawn = super().draw(n, height, width, generator)
        side = max(1, round(self.share * width))
        drawn["top"] = torch.randint(height, (n,), generator=generator) - side // 2
        drawn["left"] = torch.randint(width, (n,), generator=generator) - side // 2
        drawn["side"] = torch.full((n,), side)
        return drawn

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        height, width = images.shape[-2:]
        side = parameters["side"][:, None]
        down = torch.arange(height, device=images.device) - parameters["top"][:, None]  # [n, h]
        across = torch.arange(width, device=images.device) - parameters["left"][:, None]  # [n, w]
        rows, columns = (down >= 0) & (down < side), (across >= 0) & (across < side)
        inside = rows[:, None, :, None] & columns[:, None, None, :]  # [n, 1, h, w]
        # Channel by channel: a table of three colours would be sent to the device anew by a compiled graph.
        painted = [torch.where(inside, f, image) for f, image in zip(self.fill, images.split(1, dim=1), strict=True)]
        return torch.cat(painted, dim=1)
