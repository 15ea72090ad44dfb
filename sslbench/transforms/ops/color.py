"""Colour: jitter, greyscale and solarisation, with torchvision's meaning of every number, in float throughout."""

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

from sslbench.transforms.ops.base import BatchedOperation, NativeForm, Parameters, constant, uniform

LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue
STEPS = ("brightness", "contrast", "saturation", "hue")
ORDERS = tuple(permutations(range(4)))  # 24 orders of STEPS; `order` is a position in this list


def steps_of(order: Tensor) -> Tensor:
    """ORDERS[order], int64 [n, 4], by arithmetic: a compiled graph would send a table to the device in every call."""
    first, second, swapped = order // 6, order % 6 // 2, order % 2
    second = second + (second >= first)
    lowest = torch.where((first == 0) | (second == 0), torch.where((first == 1) | (second == 1), 2, 1), 0)
    highest = 6 - first - second - lowest
    third = torch.where(swapped == 0, lowest, highest)
    return torch.stack([first, second, third, lowest + highest - third], dim=1)


def luma(images: Tensor) -> Tensor:
    """Brightness [n, 1, h, w] of images [n, 3, h, w]."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Images [n, 3, h, w] with their hue moved by ``turns`` [n] of the colour circle; value and saturation stay.

    A channel falls from the pixel's highest to its lowest value between 1/6 and 2/6 of a turn away from its own
    colour, so the way back from hue to red, green and blue needs no table of six cases.
    """
    red, green, blue = images.unbind(dim=1)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    chroma = high - low
    is_red, is_green = red == high, green == high
    slope = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    third = torch.where(is_red, 0.0, torch.where(is_green, 1 / 3, 2 / 3))
    hue = slope.div_(chroma.mul(6).clamp_min_(1e-12)).add_(third).add_(turns[:, None, None])  # in turns; 0 for grey
    own = (torch.arange(3, dtype=images.dtype, device=images.device) / 3)[:, None, None]
    away = hue[:, None] - own  # [n, 3, h, w]
    away = away.sub_(away.round()).abs_()
    return away.mul_(-6).add_(2).clamp_(0, 1).mul_(chroma[:, None]).add_(low[:, None])


class ColorJitter(BatchedOperation):
    """Brightness, contrast, saturation and hue in an order drawn per image. A strength of 0 leaves its step out.

    Draws per image, in this order: whether it fires, four factors (in the order of STEPS), the order.
    """

    def __init__(
        self, p: float, brightness: float, contrast: float, saturation: float, hue: float, strength: float = 1.0
    ) -> None:
        super().__init__(p)
        self.strengths = {
            name: value * strength for name, value in zip(STEPS, (brightness, contrast, saturation, hue), strict=True)
        }
        self.used = [position for position, name in enumerate(STEPS) if self.strengths[name] > 0]

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Parameters:
        """``fired``; float32 factors ``brightness``, ``contrast``, ``saturation``; shift ``hue``; int64 ``order``."""
        drawn = super().draw(n, height, width, generator)
        for name, strength in self.strengths.items():
            low, high = (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)
            drawn[name] = uniform(n, low, high, generator)
        drawn["order"] = torch.randint(len(ORDERS), (n,), generator=generator)
        return drawn

    def native(self, parameters: Parameters) -> NativeForm:
        orders = tuple(tuple(step if step in self.used else -1 for step in order) for order in ORDERS)
        turns = constant(orders, torch.int64, parameters["order"].device)[parameters["order"]]  # [n, 4]
        return "color_jitter", (*(parameters[name] for name in STEPS), turns)

    def groups(self, parameters: Parameters) -> Iterator[Tensor]:
        order = torch.where(parameters["fired"], parameters["order"], len(ORDERS))
        by_order = order.argsort(stable=True).split(order.bincount(minlength=len(ORDERS) + 1).tolist())
        return (rows for rows in by_order[:-1] if len(rows))

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        if images.device.type == "cpu":  # all of one order, see groups
            return self._in_order(images, parameters, ORDERS[int(parameters["order"][0])])
        return self.traced(images, parameters)

    def _in_order(self, images: Tensor, parameters: Parameters, order: tuple[int, ...]) -> Tensor:
        """Overwrites ``images``."""
        for step in order:
            if step not in self.used:
                continue
            factor = parameters[STEPS[step]][:, None, None, None]
            if STEPS[step] == "hue":
                images = shift_hue(images, parameters["hue"])
            elif STEPS[step] == "brightness":
                images = images.mul_(factor).clamp_(0, 1)
            elif STEPS[step] == "contrast":
                mean = luma(images.mean(dim=(2, 3), keepdim=True))  # [n, 1, 1, 1]
                images = images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)
            else:
                grey = luma(images).mul_(1 - factor)  # [n, 1, h, w]
                images = images.mul_(factor).add_(grey).clamp_(0, 1)
        return images

    def traced(self, images: Tensor, parameters: Parameters) -> Tensor:
        """The same for images of mixed orders, with one fixed series of steps: nothing is read from the device.

        Brightness, contrast and saturation are one blend, f x + (1 - f) base, with base nought, the mean brightness
        and the pixel's brightness; images whose turn is hue's are blended with f = 1, which changes no bit.
        """
        order = steps_of(parameters["order"])  # [n, 4]
        one = torch.ones_like(parameters["hue"])
        blends = [parameters[name] if position in self.used else one for position, name in enumerate(STEPS[:3])]
        factors = torch.stack([*blends, one], dim=1)  # [n, 4]
        for turn in range(4):
            step = order[:, turn][:, None, None, None]
            factor = factors.gather(1, order[:, turn, None])[:, :, None, None]
            grey = luma(images)
            base = torch.where(step == 2, grey, torch.where(step == 1, grey.mean(dim=(2, 3), keepdim=True), 0.0))
            images = (images * factor + base * (1 - factor)).clamp(0, 1)
            if 3 in self.used:
                images = torch.where(step == 3, shift_hue(images, parameters["hue"]), images)
        return images


class Grayscale(BatchedOperation):
    """All three channels become the pixel's brightness."""

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return luma(images).expand_as(images)

    def native(self, parameters: Parameters) -> NativeForm:
        return "grayscale", ()


class Solarize(BatchedOperation):
    """Values at or above ``threshold`` are inverted."""

    def __init__(self, p: float, threshold: float) -> None:
        super().__init__(p)
        self.threshold = threshold

    def change(self, images: Tensor, parameters: Parameters) -> Tensor:
        return torch.where(images >= self.threshold, 1 - images, images)

    def native(self, parameters: Parameters) -> NativeForm:
        return "solarize", (self.threshold,)
