"""Context prediction's options and recipe, and their sources.

Authors: cdoersch/deepcontext at 5307282, train.py, and the paper. mmselfsup: its relative-loc on ResNet-50,
configs/selfsup/relative_loc/relative-loc_resnet50_8xb64-steplr-70e_in1k.py. Running batch statistics are those of
small patches, and the probes use them on whole images.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Share, Source, ViewSpec, Width

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
    pairs: Annotated[int, Field(ge=1)] = 4  # per image
    # Against chromatic aberration, which tells where in a picture a patch lies (paper, section 3.1). project: the
    # green-magenta axis is taken out; drop: one channel is kept and the others become noise; keep: nothing is done.
    # The paper finds both alike; projected patches are nearer to the whole pictures that the probe sees.
    colour: Literal["drop", "project", "keep"] = "project"
    downsampled: Share = 1 / 3  # share of patches made small and large again
    smallest_share: Annotated[float, Field(gt=0, le=1)] = 10 / 96  # of a patch's width, when made small
    hidden_dim: Width = 1024
    # The authors cut from whole pictures; the transform's smaller crops would leave patches little to show.
    crop_scale: CropScale = (0.5, 1.0)
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.1, weight_decay=1e-4, warmup_epochs=5)

    sources = {
        "patch_share": Source(authors="96 px; 14", note="half the authors' scale, so that the grid fits 224 px"),
        "gap_share": Source(authors="48 px; 16", note="as patch_share"),
        "jitter_share": Source(authors="7 px; 17", note="as patch_share"),
        "pairs": Source(authors="all of 4 grids an image; 160"),
        "colour": Source(authors="drop; 98-105; the paper's section 3.1 finds both alike"),
        "downsampled": Source(authors="0.33; 92"),
        "smallest_share": Source(authors="10 of 96 px; 94"),
        "hidden_dim": Source(authors="4096, over two of 4096; 65, 78-79", note="1024, over two of ResNet-18's 512"),
        "crop_scale": Source(authors="whole images", note="the transforms' smaller crops leave patches little to show"),
        "recipe.optimizer": Source(authors="sgd; 332, solver_mko.prototxt", note="mmselfsup's recipe"),
        "recipe.base_lr": Source(authors="1e-5, constant, on a sum over pairs; 82, 332", note="mmselfsup's 0.2 at 512"),
        "recipe.scale_lr": Source(authors="not said", note="linear"),
        "recipe.weight_decay": Source(authors="0; 332", note="mmselfsup's on the backbone; its heads have 5e-4"),
        "recipe.momentum": Source(authors="0; 332", note="mmselfsup's 0.9"),
        "recipe.schedule": Source(
            authors="constant; solver_mko.prototxt", note="a cosine; mmselfsup's falls to a tenth twice"
        ),
        "recipe.warmup_epochs": Source(authors="0", note="mmselfsup's 5, from a tenth of the rate"),
        "recipe.residual_gain": Source(authors="no residual branches", note="mmselfsup's 1"),
    }

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
