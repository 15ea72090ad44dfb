"""Gaussian noise, equal on every device."""

from functools import lru_cache

import torch
from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, Parameters, uniform

LOW = 0xFFFFFFFF  # the low 32 bits, of whole numbers kept in int64


class GaussianNoise(BatchedOperation):
    """Normal noise added to every pixel and channel, cut off at 0 and 1; its standard deviation uniform in ``sigmas``.

    Chen et al. 2020 (figure 4h) name it and say no more; the range of deviations is chosen here. Only a seed per image
    is drawn on the CPU. The noise of element i is a hash of i and the seed in whole numbers, put through the inverse
    of the normal distribution: so it is the same on every device, to the rounding of that one function, and does not
    depend on the images beside it. Draws per image, in this order: whether it fires, sigma, the seed.
    """

    def __init__(self, p: float, sigmas: tuple[float, float]) -> None:
        super().__init__(p)
        self.sigmas = tuple(sigmas)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``; ``sigma`` float32 [n], of the range [0, 1]; ``seed`` int64 [n], 32 bits."""
        drawn = super().draw(n, height, width, generator)
        drawn["sigma"] = uniform(n, *self.sigmas, generator)
        drawn["seed"] = torch.randint(1 << 32, (n,), generator=generator)
        return drawn

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return _noisy(images, parameters, _scrambled_places(images[0].numel(), images.device))

    def traced(self, images: Tensor, parameters: Parameters) -> Tensor:
        places = torch.arange(images.shape[1:].numel(), device=images.device)  # a graph keeps no tables
        return _noisy(images, parameters, scrambled(places))


def _noisy(images: Tensor, parameters: Parameters, places: Tensor) -> Tensor:
    noise = normal(parameters["seed"][:, None] ^ places).view(images.shape)
    return (images + parameters["sigma"][:, None, None, None] * noise).clamp(0, 1)


def normal(counters: Tensor) -> Tensor:
    """Standard normal values, float32, of int64 ``counters`` below 2 ** 32. The largest is 5.4."""
    middle = (scrambled(counters) >> 8) - (1 << 23)  # 24 bits; halves between them are exact in float32
    return 2**0.5 * torch.erfinv((middle.float() + 0.5) / (1 << 23))


def scrambled(values: Tensor) -> Tensor:
    """A permutation of the whole numbers below 2 ** 32 whose bits look random, int64.

    Wellons' hash of 32 bits with the multipliers of least bias known (hash-prospector, "lowbias32" improved). They are
    below 2 ** 31, so no product leaves an int64.
    """
    values = (values ^ (values >> 16)) * 0x21F0AAAD & LOW
    values = (values ^ (values >> 15)) * 0x735A2D97 & LOW
    return values ^ (values >> 15)


@lru_cache(maxsize=8)
def _scrambled_places(count: int, device: torch.device) -> Tensor:
    return scrambled(torch.arange(count, device=device))
