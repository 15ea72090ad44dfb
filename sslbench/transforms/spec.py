"""The operations that transforms are made of, as typed settings without torch.

Each class here has its batched implementation in sslbench/transforms/ops (see registry.OPERATIONS). Strengths and
probabilities mean what they mean in torchvision unless a comment says otherwise.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from sslbench.settings import Strict

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Deviation = Annotated[float, Field(gt=0)]


class Operation(Strict):
    """Base: ``op`` names the implementation, the other fields are its parameters."""

    op: str


class RandomResizedCrop(Operation):
    """Random area and aspect ratio, resized to the view's size with antialiased bilinear interpolation."""

    op: Literal["random_resized_crop"] = "random_resized_crop"
    scale: tuple[Probability, Probability] = (0.08, 1.0)  # share of the picture's area
    ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)  # width / height

    @model_validator(mode="after")
    def _ordered(self) -> "RandomResizedCrop":
        if self.scale[0] > self.scale[1] or self.ratio[0] > self.ratio[1] or self.scale[1] == 0:
            raise ValueError("scale and ratio are (lowest, highest), and the highest scale is above 0")
        return self


class HorizontalFlip(Operation):
    op: Literal["horizontal_flip"] = "horizontal_flip"
    p: Probability = 0.5


class VerticalFlip(Operation):
    op: Literal["vertical_flip"] = "vertical_flip"
    p: Probability = 0.5


class Rotate(Operation):
    """Rotate the whole view, counter-clockwise."""

    op: Literal["rotate"] = "rotate"
    p: Probability = 0.5
    degrees: Annotated[float, Field(gt=0, le=180)] | None = (
        None  # None: exactly 90; d: uniform in [-d, d], zeros outside
    )


class ColorJitter(Operation):
    """Brightness, contrast, saturation and hue, in random order per image; each is multiplied by `strength`."""

    op: Literal["color_jitter"] = "color_jitter"
    p: Probability = 0.8
    brightness: Strength = 0.8  # factor uniform in [max(0, 1 - b), 1 + b]
    contrast: Strength = 0.8
    saturation: Strength = 0.8
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.2  # shift uniform in [-h, h] of the colour circle
    strength: Strength = 1.0

    @model_validator(mode="after")
    def _hue_in_range(self) -> "ColorJitter":
        if self.hue * self.strength > 0.5:
            raise ValueError(f"hue x strength is {self.hue * self.strength:g}, above 0.5")
        return self


class Grayscale(Operation):
    op: Literal["grayscale"] = "grayscale"
    p: Probability = 0.2


class Solarize(Operation):
    op: Literal["solarize"] = "solarize"
    p: Probability = 0.2
    threshold: Probability = 128 / 255  # values at or above it are inverted


class GaussianBlur(Operation):
    """Gaussian blur with a standard deviation drawn per image."""

    op: Literal["gaussian_blur"] = "gaussian_blur"
    p: Probability = 0.5
    sigmas: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.1, 2.0)  # px, uniform

    @model_validator(mode="after")
    def _ordered(self) -> "GaussianBlur":
        if self.sigmas[0] > self.sigmas[1]:
            raise ValueError("sigmas are (lowest, highest)")
        return self


class QuarterTurns(Operation):
    """Rotate the whole view by 90, 180 or 270 degrees, each as likely (Chen et al. 2020, figure 4)."""

    op: Literal["quarter_turns"] = "quarter_turns"
    p: Probability = 0.5


class Sobel(Operation):
    """Edges instead of the picture (Chen et al. 2020, figure 4)."""

    op: Literal["sobel"] = "sobel"
    p: Probability = 0.5


class Cutout(Operation):
    """One square painted over (DeVries and Taylor 2017; Chen et al. 2020, figure 4)."""

    op: Literal["cutout"] = "cutout"
    p: Probability = 0.5
    share: Annotated[float, Field(gt=0, le=1)] = 0.5  # side / the view's width; 16 of 32 px in DeVries and Taylor
    fill: tuple[Probability, Probability, Probability] = (0.485, 0.456, 0.406)  # RGB; 0 once ImageNet's normalised


class GaussianNoise(Operation):
    """Normal noise of its own in every pixel and channel (Chen et al. 2020, figure 4)."""

    op: Literal["gaussian_noise"] = "gaussian_noise"
    p: Probability = 0.5
    sigmas: tuple[Deviation, Deviation] = (0.05, 0.2)  # of the range [0, 1]; uniform, one per image

    @model_validator(mode="after")
    def _ordered(self) -> "GaussianNoise":
        if self.sigmas[0] > self.sigmas[1]:
            raise ValueError("sigmas are (lowest, highest)")
        return self


class RotateSquare(Operation):
    """LoRot-I: rotate one random square in place by 0, 90, 180 or 270 degrees (Moon et al. 2022, section 3.2)."""

    op: Literal["rotate_square"] = "rotate_square"
    p: Probability = 1.0
    smallest: Annotated[int, Field(ge=2)] = 2  # px, side of the square
    largest_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the view's width; the side is uniform in between
    box: Literal["image", "batch"] = "image"  # one square per image, or one per batch as in the authors' code


class RegionConfusion(Operation):
    """DCL's region confusion: shuffle the tiles of a grid within a neighbourhood (Chen et al. 2019, section 3.1)."""

    op: Literal["region_confusion"] = "region_confusion"
    p: Probability = 1.0
    tiles: Annotated[int, Field(ge=2)] = (
        7  # N: the grid is N x N; tile edges are uneven integers where N does not divide
    )
    reach: Annotated[int, Field(ge=1)] = 2  # k: a tile moves less than 2k rows and columns
    variant: Literal["paper", "code"] = "paper"  # the paper's jittered argsort, or the authors' sequential shuffle

    @model_validator(mode="after")
    def _reach_below_tiles(self) -> "RegionConfusion":
        if self.reach >= self.tiles:
            raise ValueError(f"reach {self.reach} must be below tiles {self.tiles}")
        return self


class Normalize(Operation):
    op: Literal["normalize"] = "normalize"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet, RGB in [0, 1]
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)


def merge(base: dict, changes: Any) -> Any:
    """``base`` with ``changes`` laid over it, dict by dict; lists and values are replaced.

    ``changes`` that are no dict come back as they are, for whoever validates to refuse.
    """
    if not isinstance(changes, dict):
        return changes
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


class TransformSettings(Strict):
    """Base of every transform: its fields, in order, are its operations. ``second`` overrides them for view 2."""

    second: dict[str, Any] = {}  # e.g. {blur: {p: 0.1}, solarize: {p: 0.2}}

    @model_validator(mode="after")
    def _second_is_valid(self) -> "TransformSettings":
        if self.second:
            try:
                self.branch(1)
            except ValidationError as error:  # of keys as they stand in ``second``
                faults = [one | {"loc": ("second", *one["loc"])} for one in error.errors(include_url=False)]
                below = [{key: one[key] for key in ("type", "loc", "input", "ctx") if key in one} for one in faults]
                raise ValidationError.from_exception_data(error.title, below) from None
        return self

    def branch(self, index: int) -> list[Operation]:
        """The operations of view recipe 0 or 1, in order."""
        settings = self
        if index == 1 and self.second:
            plain = self.model_dump(exclude={"second"})
            settings = type(self).model_validate(merge(plain, self.second))
        values = (getattr(settings, name) for name in type(settings).model_fields if name != "second")
        return [value for value in values if isinstance(value, Operation)]
