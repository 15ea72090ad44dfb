"""Rotation of the whole view."""

import torch
from torch import Tensor
from torch.nn import functional

from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters, uniform


class Rotate(BatchedOperation):
    """Counter-clockwise by exactly 90 degrees (``degrees`` None), or by an angle uniform in [-degrees, degrees].

    A drawn angle is interpolated bilinearly about the centre, since the nearest pixel leaves jagged edges that a
    network could read; what lies outside the view is zero. Locations outside it are those of the nearest edge.
    """

    geometric = True

    def __init__(self, p: float, degrees: float | None = None) -> None:
        super().__init__(p)
        self.degrees = degrees

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``, and ``angle`` float32 [n] in degrees where it is drawn."""
        drawn = super().draw(n, height, width, generator)
        if self.degrees is not None:
            drawn["angle"] = uniform(n, -self.degrees, self.degrees, generator)
        return drawn

    def native(self, parameters: Parameters) -> NativeForm:
        return ("rotate_90", ()) if self.degrees is None else ("rotate", (parameters["angle"],))

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        if self.degrees is None:
            return torch.rot90(images, 1, (-2, -1))
        return _turned(images, parameters["angle"], outside="zeros")

    def apply_locations(self, locations: Tensor, parameters: Parameters) -> Tensor:
        if self.degrees is None:
            return self.apply(locations, parameters)
        turned = _turned(locations, parameters["angle"], outside="border")
        return torch.where(parameters["fired"][:, None, None, None], turned, locations)


def _turned(images: Tensor, angle: Tensor, outside: str) -> Tensor:
    n, _, height, width = images.shape
    radians = torch.deg2rad(angle.double())
    cosine, sine = radians.cos(), radians.sin()
    # Where each output pixel comes from, in units of half the view's width and height.
    across = torch.stack([cosine, -sine * height / width, torch.zeros_like(sine)], dim=1)
    down = torch.stack([sine * width / height, cosine, torch.zeros_like(sine)], dim=1)
    matrix = torch.stack([across, down], dim=1).to(images.dtype)  # [n, 2, 3]
    grid = functional.affine_grid(matrix, [n, 1, height, width], align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)
