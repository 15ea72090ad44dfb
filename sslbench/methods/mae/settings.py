"""MAE's options and recipe, and their sources.

Authors: facebookresearch/mae at efb2a80, its command in PRETRAIN.md, and the paper. Lightly: docs/source/
getting_started/benchmarks/imagenette_benchmark.py at e8d317f, whose recipe is of a ViT-B/32: no preset.
"""

from typing import Annotated

from pydantic import Field, model_validator

from sslbench.methods.pretext_tasks.spec import OneView
from sslbench.methods.spec import MethodFacts, Recipe, Source, Width

FACTS = MethodFacts(
    title="MAE",
    family="generative",
    paper="He, Chen, Xie, Li, Dollár, Girshick, CVPR 2022, arXiv 2111.06377",
    several_devices=True,
    backbones="vit",
    changes_views=True,
)


class Settings(OneView):
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    normalize_targets: bool = True  # of pixels, patch by patch
    decoder_dim: Width = 512
    decoder_depth: Annotated[int, Field(ge=1)] = 8
    decoder_head_dim: Width = 32
    recipe: Recipe = Recipe(
        optimizer="adamw", base_lr=1.5e-4, weight_decay=0.05, decay_skips_1d=True, beta2=0.95, warmup_epochs=40
    )

    sources = {
        "recipe.residual_gain": Source(note="a ViT has none"),
        "mask_ratio": Source(authors="0.75; main_pretrain.py:53; paper, section 4.1", lightly="0.75; 785"),
        "normalize_targets": Source(authors="true; PRETRAIN.md; paper, table 1d", lightly="false; 846"),
        "decoder_dim": Source(authors="512; models_mae.py:226; paper, table 1b", lightly="512; 783"),
        "decoder_depth": Source(authors="8; models_mae.py:226; paper, table 1a", lightly="1; 793"),
        "decoder_head_dim": Source(authors="32: 16 heads; models_mae.py:226", lightly="32; 794"),
        "recipe.optimizer": Source(authors="adamw; main_pretrain.py:180", lightly="adamw; 851"),
        "recipe.base_lr": Source(authors="1.5e-4; PRETRAIN.md; paper, table 8", lightly="1.5e-4; 853"),
        "recipe.scale_lr": Source(authors="linear; main_pretrain.py:165-166", lightly="linear; 149, 853"),
        "recipe.weight_decay": Source(authors="0.05; main_pretrain.py:61; paper, table 8", lightly="0.05; 854"),
        "recipe.decay_skips_1d": Source(
            authors="true, and tokens decay; main_pretrain.py:178-179, timm 0.3.2", lightly="false; 852"
        ),
        "recipe.beta2": Source(authors="0.95; main_pretrain.py:180; paper, table 8", lightly="0.95; 855"),
        "recipe.schedule": Source(authors="step; engine_pretrain.py:41-43", lightly="epoch; 857"),
        "recipe.warmup_epochs": Source(
            authors="40 of 800, from a rate of 0; PRETRAIN.md; util/lr_sched.py:11-12",
            lightly="20, or 40 of 800 epochs and more; 784",
            note="the first step has a rate above 0 here",
        ),
        "recipe.end_lr_factor": Source(
            authors="0; main_pretrain.py:68", lightly="0.001; lightly/utils/scheduler.py:174"
        ),
    }

    @model_validator(mode="after")
    def _whole_heads(self) -> "Settings":
        if self.decoder_dim % self.decoder_head_dim or self.decoder_dim % 4:
            raise ValueError("decoder_dim must be a multiple of decoder_head_dim, and of 4")
        return self
