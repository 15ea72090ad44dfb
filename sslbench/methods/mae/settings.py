"""MAE's options and recipe; the paper means its section 3, table 1 and table 8."""

from typing import Annotated

from pydantic import Field, model_validator

from sslbench.methods.spec import MethodFacts, Recipe, Width
from sslbench.pretext.spec import OneView

FACTS = MethodFacts(
    title="MAE",
    family="generative",
    paper="He, Chen, Xie, Li, Dollár, Girshick, CVPR 2022, arXiv 2111.06377",
    several_devices=True,
    backbones="vit",
    changes_views=True,
)


class Settings(OneView):
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75  # paper, section 4.1
    normalize_targets: bool = True  # per-patch normalised pixels; paper, table 1d
    decoder_dim: Width = 512  # paper, table 1b
    decoder_depth: Annotated[int, Field(ge=1)] = 8  # paper, table 1a
    decoder_head_dim: Width = 32  # 16 heads at width 512; authors' code
    # Paper, table 8, less its second beta of 0.95: AdamW has torch's 0.999 here.
    recipe: Recipe = Recipe(optimizer="adamw", base_lr=1.5e-4, weight_decay=0.05, decay_skips_1d=True, warmup_epochs=40)

    @model_validator(mode="after")
    def _whole_heads(self) -> "Settings":
        if self.decoder_dim % self.decoder_head_dim or self.decoder_dim % 4:
            raise ValueError("decoder_dim must be a multiple of decoder_head_dim, and of 4")
        return self
