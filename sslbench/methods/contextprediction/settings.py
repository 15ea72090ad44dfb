"""Context prediction's options and recipe; the authors' code means cdoersch/deepcontext, train.py."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Share, ViewSpec, Width

FACTS = MethodFacts(
    title="Context Prediction",
    family="pretext",
    paper="Doersch, Gupta, Efros, ICCV 2015, arXiv 1505.05192",
    several_devices=True,
    changes_views=True,
)

Part = Annotated[float, Field(ge=0, lt=1)]  # of the view's width


class Settings(MethodSettings):
    # The authors cut 96 px patches, 48 px apart and moved by up to 7 px, from pictures of 150 000 to 450 000 px, about
    # 390 to 670 px wide. The same geometry at half the scale, so that a 3 x 3 grid fits a view of 224 px: 48, 24, 4.
    patch_share: Part = 48 / 224
    gap_share: Part = 24 / 224
    jitter_share: Part = 4 / 224
    pairs: Annotated[int, Field(ge=1)] = 4  # per picture; authors' code lays 4 grids over each
    # Against chromatic aberration, which tells where in a picture a patch lies (paper, section 3.1). project: the
    # green-magenta axis is taken out; drop: one channel is kept and the others become noise; keep: nothing is done.
    # The paper finds both alike; projected patches are nearer to the whole pictures that the probe sees.
    colour: Literal["drop", "project", "keep"] = "project"
    downsampled: Share = 1 / 3  # share of patches made small and large again; authors' code
    smallest_share: Annotated[float, Field(gt=0, le=1)] = 10 / 96  # of a patch's width, when made small; authors' code
    hidden_dim: Width = 1024  # the authors' fc7 and fc8 have 4096, over two fc6 of 4096, where ResNet-18 has 512
    # The authors cut from whole pictures; the transform's smaller crops would leave patches little to show.
    crop_scale: CropScale = (0.5, 1.0)
    # SGD at 0.1 for 256 pictures, 1e-4, 5 epochs of warm-up: mmselfsup's relative-loc on ResNet-50 (0.2 for 512). The
    # authors' rate of 1e-5, without decay, goes with an unnormalised sum over pairs.
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.1, weight_decay=1e-4, momentum=0.9, warmup_epochs=5)

    @model_validator(mode="after")
    def _grid_fits(self) -> "Settings":
        if 3 * self.patch_share + 2 * self.gap_share + 2 * self.jitter_share > 1 + 1e-9:
            raise ValueError("3 patch_share + 2 gap_share + 2 jitter_share is above 1: the 3 x 3 grid does not fit")
        if self.gap_share < 2 * self.jitter_share:
            raise ValueError("gap_share is below 2 jitter_share: patches could overlap")
        return self

    def views(self, input_size: int) -> list[ViewSpec]:
        return [ViewSpec(size=input_size, crop_scale=self.crop_scale)]

    def sizes(self, input_size: int) -> tuple[int, int, int]:
        """Width of a patch, gap and largest jitter in px; they fit ``input_size`` and keep patches apart."""
        jitter = round(self.jitter_share * input_size)
        gap = max(round(self.gap_share * input_size), 2 * jitter)
        room = (input_size - 2 * gap - 2 * jitter) // 3
        return min(round(self.patch_share * input_size), room), gap, jitter
