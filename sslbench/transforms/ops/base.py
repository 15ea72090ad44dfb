"""What every batched operation shares: parameters drawn per image, and images that did not fire left bit-identical."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

Parameters = dict[str, Tensor]  # every tensor has one row per image
NativeForm = tuple[str, Sequence[Tensor | float]]  # a function of transforms/cpu/views.c, and the numbers that it reads

CACHED_BYTES = 1 << 20  # images worked on at a time on a CPU: what stays in a core's own cache


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """n values, uniform in [low, high), float32."""
    return (low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)).float()


def integers(low: int, high: Tensor, generator: torch.Generator) -> Tensor:
    """One int64 for each element of ``high``, uniform in [low, high) (``low`` itself where that is empty)."""
    span = (high - low).clamp_min(1)
    share = torch.rand(span.shape, generator=generator, dtype=torch.float64)
    return low + (share * span).long().clamp_max(span - 1)


@lru_cache(maxsize=64)
def constant(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A small fixed tensor on a device, sent there once."""
    return torch.tensor(values, dtype=dtype, device=device)


class BatchedOperation:
    """Base of all operations but the crop.

    ``draw`` makes the parameters on the CPU; ``apply`` is a pure function of images and parameters, which lie on the
    same device. A subclass writes ``change``, which treats every image it is given. On a CPU only the images that
    fired are visited, a cache's worth at a time; elsewhere all are computed and selected, so that nothing waits for
    the device.

    An operation may have a second form for CPUs, a C function in transforms/cpu/views.c: then it writes ``native`` too.
    Without one it works all the same, more slowly.
    """

    geometric = False  # whether it moves pixels, and so applies to maps of locations too

    def __init__(self, p: float = 1.0) -> None:
        self.p = p

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """Parameters of n images of height x width px, among them ``fired``, bool [n]. The count of draws is fixed."""
        return {"fired": torch.rand(n, generator=generator) < self.p}

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        """All of ``images`` [n, c, h, w] changed. ``images`` may be overwritten on a CPU only: there it is a copy."""
        raise NotImplementedError

    def touched(self, parameters: Parameters) -> Tensor:
        """bool [n]: the images that ``change`` would alter."""
        return parameters["fired"]

    def native(self, parameters: Parameters) -> NativeForm:
        """The C function's name, and its numbers in order: tensors [n] or [n, k] on the CPU, or what is the same for
        all images. It is called for images that are ``touched``. Only asked where a subclass has written it."""
        raise NotImplementedError

    def traced(self, images: Tensor, parameters: Parameters) -> Tensor:
        """``change`` for a compiled graph (gpu/crop_and_operations.py), in the steps that suit it; ``images`` stay as
        they are.
        """
        return self.change(images, parameters)

    def groups(self, parameters: Parameters) -> Iterator[Tensor]:
        """Rows of touched images that can be changed together, on a CPU."""
        yield self.touched(parameters).nonzero().squeeze(1)

    def apply(self, images: Tensor, parameters: Parameters) -> Tensor:
        """``images`` [n, c, h, w] in [0, 1], changed where they fired; the argument is left as it is."""
        return self.apply_(images.clone() if images.device.type == "cpu" else images, parameters)

    def apply_locations(self, locations: Tensor, parameters: Parameters) -> Tensor:
        """The same movement for a map of locations [n, 2, h, w]; only for geometric operations."""
        return self.apply(locations, parameters)

    def apply_(self, images: Tensor, parameters: Parameters) -> Tensor:
        """``apply`` that may overwrite ``images``, for a caller who owns them."""
        if images.device.type != "cpu":
            touched = self.touched(parameters)[:, None, None, None]
            return torch.where(touched, self.change(images, parameters), images)
        together = max(1, CACHED_BYTES // max(1, images[:1].numel() * images.element_size()))
        for group in self.groups(parameters):
            for rows in group.split(together) if len(group) else ():
                mine = {name: values.index_select(0, rows) for name, values in parameters.items()}
                images.index_copy_(0, rows, self.change(images.index_select(0, rows), mine))
        return images
