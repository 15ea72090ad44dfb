"""What every method declares, without torch: its options, recipe, views and sources."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sslbench.strict import Strict

Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1)]  # of a layer
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
Temperature = Annotated[float, Field(gt=0)]


def _ordered(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[0] > scale[1] or scale[1] == 0:
        raise ValueError("a crop's scale is (lowest, highest), and the highest is above 0")
    return scale


CropScale = Annotated[tuple[Share, Share], AfterValidator(_ordered)]  # shares of the picture's area


class ViewSpec(Strict):
    """One view that a method wants. The transform owns everything that is not said here."""

    role: Literal["global", "local"] = "global"
    size: Annotated[int, Field(ge=8)]  # pixels, square
    crop_scale: CropScale | None = None  # None: the transform's own
    branch: Literal[0, 1] = 0  # which of the transform's two recipes (they are equal unless it says otherwise)


class Recipe(Strict):
    """How a method is optimised. Schedules are stepped per optimiser step."""

    optimizer: Literal["sgd", "lars", "adam", "adamw"]
    base_lr: Annotated[float, Field(gt=0)]  # at 256 pictures a step
    scale_lr: bool = True  # lr = base_lr * batch / 256; False: base_lr as it is
    weight_decay: Annotated[float, Field(ge=0)]
    weight_decay_end: Annotated[float, Field(ge=0)] | None = None  # cosine from weight_decay to it; None: constant
    momentum: Share = 0.9  # SGD and LARS
    warmup_epochs: Annotated[float, Field(ge=0)] = 0  # linear; clipped to half of the run
    end_lr_factor: Share = 0  # cosine ends at this share of the peak
    ema_start: Share | None = None  # momentum encoder: theta' <- m theta' + (1 - m) theta; None: there is none
    ema_end: Share | None = None  # cosine from ema_start to ema_end over the run; None: constant
    clip_gradient_norm: Annotated[float, Field(gt=0)] | None = None


class MomentumRecipe(Recipe):
    """The recipe of a method with a momentum encoder, which cannot do without its momentum."""

    ema_start: Share = 0.99


class MethodSettings(Strict):
    """Base of every method's Settings: fields are its options, all with defaults; one of them is its recipe."""

    recipe: Recipe

    def views(self, input_size: int) -> list[ViewSpec]:
        """The views wanted at an input of ``input_size`` px. Two global views unless a method says otherwise."""
        return [ViewSpec(size=input_size, branch=0), ViewSpec(size=input_size, branch=1)]

    def fault(self, pictures: int) -> str | None:
        """What makes a training on so many pictures senseless, and what to do; None where nothing does."""
        return None

    def without_effect(self, epochs: int, steps: int | None, together: int) -> dict[str, str]:
        """Options that do nothing in a run of so many epochs, by name: why, and what to do.

        An option that the configuration names is refused so before the first job; a default is noted in the job's log.

        Args:
            steps: of the whole run; None where they are not known yet.
            together: pictures in one call of the loss.
        """
        return {}


class MethodFacts(Strict):
    """What tables and the report say of a method."""

    title: str  # as printed: "Barlow Twins"
    family: Literal[
        "contrastive",
        "non-contrastive",
        "clustering",
        "distillation",
        "predictive",
        "generative",
        "pretext",
        "reference",
    ]
    paper: str  # authors, year, venue, arXiv id
    min_batch: int = 2  # smallest batch whose loss is defined
    needs_map: bool = False  # refuses backbones whose spatial map is 1x1
    backbones: Literal["any", "vit"] = "any"  # vit: timm's VisionTransformer alone
    # The loss turns, shuffles, cuts or masks the views by draws of its own, and the online head sees them so.
    changes_views: bool = False
    # The loss is that of the whole batch on any number of devices, by way of methods/together.py; else they stay at 1.
    several_devices: bool = False

    def refused(self, devices: int) -> str | None:
        """Why so many devices cannot share its batches, and what to do; None where they can."""
        if devices == 1 or self.several_devices:
            return None
        return f"{self.title} is not made for several (its FACTS do not say several_devices), so devices stay at 1"
