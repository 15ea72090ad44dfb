"""Gaussian blur."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters, uniform

REACH = 4  # the kernel is cut off at this many of the largest standard deviations: 6e-5 of its mass lies beyond
BLOCK = 32  # rows of the band matrix that are multiplied together where an image is larger than WHOLE
WHOLE = 96  # px


class GaussianBlur(BatchedOperation):
    """A true Gaussian (not PIL's chain of boxes) whose standard deviation is uniform in ``sigmas``, in pixels.

    The kernel has 2 ceil(REACH x highest sigma) + 1 taps, fewer where the image is too small to be reflected at its
    borders by that much. It is applied along rows and along columns as a product with a band matrix per image, which
    has the reflection in it.
    """

    def __init__(self, p: float, sigmas: tuple[float, float]) -> None:
        super().__init__(p)
        self.sigmas = tuple(sigmas)
        self.radius = math.ceil(REACH * self.sigmas[1])

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``, and ``sigma`` float32 [n] in px."""
        drawn = super().draw(n, height, width, generator)
        drawn["sigma"] = uniform(n, *self.sigmas, generator)
        return drawn

    def native(self, parameters: Parameters) -> NativeForm:
        return "gaussian_blur", (parameters["sigma"], self.radius)

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        n, channels, height, width = images.shape
        radius = min(self.radius, height - 1, width - 1)
        kernel = _kernel(parameters["sigma"], radius, images)
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            down, across = _bands(kernel, height), _bands(kernel, width)
            rows, blurred = torch.empty_like(images), torch.empty_like(images)
            for here, there in _blocks(width, radius):
                part = across[:, here, there].transpose(1, 2)  # [n, there, here]
                wide = images[..., there].reshape(n, channels * height, -1)
                rows[..., here] = torch.bmm(wide, part).reshape(n, channels, height, -1)
            for here, there in _blocks(height, radius):
                for channel in range(channels):  # [n, here, there] x [n, there, width]
                    blurred[:, channel, here] = torch.bmm(down[:, here, there], rows[:, channel, there])
        finally:
            torch.set_float32_matmul_precision(precision)
        return blurred

    def traced(self, images: Tensor, parameters: Parameters) -> Tensor:
        """A sum of shifted images: no matrices, so nothing but loads that a kernel keeps close."""
        height, width = images.shape[-2:]
        radius = min(self.radius, height - 1, width - 1)
        taps = _kernel(parameters["sigma"], radius, images)[:, :, None, None, None].unbind(1)  # each [n, 1, 1, 1]
        wide = pad(images, (radius, radius, 0, 0), mode="reflect")
        across = sum(tap * wide[..., i : i + width] for i, tap in enumerate(taps))
        tall = pad(across, (0, 0, radius, radius), mode="reflect")
        return sum(tap * tall[..., i : i + height, :] for i, tap in enumerate(taps))


def _kernel(sigma: Tensor, radius: int, images: Tensor) -> Tensor:
    """[n, 2 radius + 1], each row a Gaussian of sum 1."""
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.to(images.dtype)[:, None]) ** 2)
    return kernel / kernel.sum(dim=1, keepdim=True)


def _blocks(length: int, radius: int) -> list[tuple[slice, slice]]:
    """(rows of the band matrix, columns where those rows are not zero)."""
    if length <= WHOLE:
        return [(slice(0, length), slice(0, length))]
    starts = range(0, length, BLOCK)
    return [
        (slice(start, min(start + BLOCK, length)), slice(max(0, start - radius), min(length, start + BLOCK + radius)))
        for start in starts
    ]


def _bands(kernel: Tensor, length: int) -> Tensor:
    """[n, length, length]: row i holds what each pixel gives to pixel i."""
    places = _places(length, kernel.shape[1] // 2, kernel.device, kernel.dtype)
    return (kernel @ places).view(len(kernel), length, length)


@lru_cache(maxsize=32)
def _places(length: int, radius: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[2 radius + 1, length ** 2]: tap t of output pixel i reads input pixel j where row t holds a 1 at (i, j)."""
    reads = torch.arange(length)[:, None] + torch.arange(-radius, radius + 1)  # [length, taps]
    reads = reads.abs()
    reads = (length - 1) - (length - 1 - reads).abs()  # reflected at both borders, the border itself not repeated
    places = torch.zeros(2 * radius + 1, length, length, dtype=dtype)
    taps = torch.arange(2 * radius + 1).expand_as(reads)
    places[taps, torch.arange(length)[:, None], reads] = 1
    return places.reshape(2 * radius + 1, -1).to(device)
