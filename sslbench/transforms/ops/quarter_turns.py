"""Rotation of the whole view by a drawn number of quarter turns."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, Parameters


class QuarterTurns(BatchedOperation):
    """Counter-clockwise by 90, 180 or 270 degrees, each as likely: the rotation of Chen et al. 2020, figure 4f.

    Draws per image, in this order: whether it fires, the number of quarter turns.
    """

    geometric = True

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``, and ``turns`` int64 [n], 1 to 3."""
        drawn = super().draw(n, height, width, generator)
        drawn["turns"] = torch.randint(1, 4, (n,), generator=generator)
        return drawn

    def groups(self, parameters: Parameters) -> Iterator[Tensor]:
        for turns in (1, 2, 3):
            yield (parameters["fired"] & (parameters["turns"] == turns)).nonzero().squeeze(1)

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        if images.device.type == "cpu":  # all of one number of turns, see groups
            return torch.rot90(images, int(parameters["turns"][0]), (-2, -1))
        return self.traced(images, parameters)

    def traced(self, images: Tensor, parameters: Parameters) -> Tensor:
        turns = parameters["turns"][:, None, None, None]
        once, twice, thrice = (torch.rot90(images, k, (-2, -1)) for k in (1, 2, 3))
        return torch.where(turns == 1, once, torch.where(turns == 2, twice, thrice))
