"""What every method declares, without torch: its options, recipe, views and sources."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from sslbench.settings import Strict, either

Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1)]  # of a layer
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
Temperature = Annotated[float, Field(gt=0)]
Scaling = Annotated[bool | Literal["sqrt"], either("it is true, false or sqrt")]


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
    """How a method is optimised, and the start that its rates were tuned on.

    A 1-D tensor is a norm's gain or bias, a layer's bias, or a layer's scale.
    """

    optimizer: Literal["sgd", "lars", "adam", "adamw"]
    base_lr: Annotated[float, Field(gt=0)]  # at 256 images a step
    base_lr_1d: Annotated[float, Field(gt=0)] | None = None  # of 1-D tensors; None: base_lr
    scale_lr: Scaling = True  # lr = base_lr * batch / 256, or times its root; False: base_lr as it is
    weight_decay: Annotated[float, Field(ge=0)]
    weight_decay_end: Annotated[float, Field(ge=0)] | None = None  # cosine from weight_decay to it; None: constant
    decay_skips_1d: bool = False  # 1-D tensors have no weight decay
    lars_skips_1d: bool = True  # LARS leaves 1-D tensors out of its adaptation and of weight decay
    # The denominator of LARS's trust ratio. sum: |g + wd p|; parts: |g| + wd |p|, and no adaptation where wd is 0.
    lars_norm: Literal["sum", "parts"] = "sum"
    momentum: Share = 0.9  # SGD and LARS
    nesterov: bool = False  # SGD
    beta2: Share = 0.999  # Adam and AdamW
    schedule: Literal["step", "epoch"] = "step"  # how often the learning rate is set
    # Where the cosine reaches its end: a unit of the schedule after the run, or at the run's last one.
    cosine_ends: Literal["after", "last"] = "after"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0  # linear; clipped to half of the run
    end_lr_factor: Share = 0  # cosine ends at this share of the peak
    constant_lr: tuple[str, ...] = ()  # parts of the method that keep the peak rate
    frozen_epochs: dict[str, Annotated[float, Field(ge=0)]] = {}  # parts of the method, and how long they do not learn
    ema_start: Share | None = None  # momentum encoder: theta' <- m theta' + (1 - m) theta; None: there is none
    ema_end: Share | None = None  # cosine from ema_start to ema_end over the run; None: constant
    clip_gradient_norm: Annotated[float, Field(gt=0)] | None = None
    clip_each: bool = False  # clip the norm of each tensor by itself; False: that of all together
    # The last gain of every residual branch at the start. timm's ResNets begin at 0, torchvision's at 1.
    residual_gain: Literal[0, 1] = 1

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "Recipe":
        if self.nesterov and self.optimizer == "sgd" and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; leave it out, or raise momentum")
        return self


class MomentumRecipe(Recipe):
    """The recipe of a method with a momentum encoder, which cannot do without its momentum."""

    ema_start: Share = 0.99


Preset = Literal["lightly", "authors"]  # whose constants a method can begin with


class Source(Strict):
    """Where a constant comes from: its value there, and file and line, or the paper's section."""

    authors: str = ""
    lightly: str = ""
    note: str = ""  # why ours differs from both


class MethodSettings(Strict):
    """Base of every method's Settings: fields are its options, all with defaults; one of them is its recipe.

    The defaults are the first preset of ``presets``. Each preset is what it lays over them, dict by dict.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"authors": {}}
    sources: ClassVar[dict[str, Source]] = {}  # by option; a field of the recipe as recipe.<field>
    parts: ClassVar[tuple[str, ...]] = ()  # names that recipe.constant_lr and recipe.frozen_epochs may hold

    recipe: Recipe

    @model_validator(mode="after")
    def _known_parts(self) -> "MethodSettings":
        for key, names in (("constant_lr", self.recipe.constant_lr), ("frozen_epochs", self.recipe.frozen_epochs)):
            if unknown := sorted(set(names) - set(self.parts)):
                known = ", ".join(self.parts) or "none"
                raise ValueError(f"recipe.{key}: the method has no part {unknown[0]!r}; its parts: {known}")
        return self

    @property
    def form_title(self) -> str:
        """Which of a method's several forms this is, as printed behind its title; "" where there is but one."""
        return ""

    def views(self, input_size: int) -> list[ViewSpec]:
        """The views wanted at an input of ``input_size`` px. Two global views unless a method says otherwise."""
        return [ViewSpec(size=input_size, branch=0), ViewSpec(size=input_size, branch=1)]

    def fault(self, pictures: int) -> str | None:
        """What makes a training on so many pictures senseless, and what to do; None where nothing does."""
        return None

    def never_learns(self, epochs: int) -> dict[str, str]:
        """Parts that stay frozen throughout a run of so many epochs, as ``without_effect`` says it."""
        frozen = {part: n for part, n in self.recipe.frozen_epochs.items() if n >= epochs}
        return {
            f"recipe.frozen_epochs.{part}": f"is {n:g}, of {epochs} epoch(s) in all, so it never learns; train for "
            "longer, or give a smaller number"
            for part, n in frozen.items()
        }

    def without_effect(self, epochs: int, steps: int | None, together: int) -> dict[str, str]:
        """Options that do nothing in a run of so many epochs, by (dotted) name: why, and what to do.

        An option that the configuration names is refused so before the first job; a default is noted in the job's log.

        Args:
            steps: of the whole run; None where they are not known yet.
            together: pictures in one call of the loss.
        """
        return self.never_learns(epochs)


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
    # The loss is that of the whole batch on any number of devices, by way of nn/distributed.py; else they stay at 1.
    several_devices: bool = False

    def refused(self, devices: int) -> str | None:
        """Why so many devices cannot share its batches, and what to do; None where they can."""
        if devices == 1 or self.several_devices:
            return None
        return f"{self.title} is not made for several (its FACTS do not say several_devices), so devices stay at 1"
