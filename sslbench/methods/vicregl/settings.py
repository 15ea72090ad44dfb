"""VICRegL's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/VICRegL at 803ae4c, its command for ResNet-50 in README.md, and the paper. Lightly:
docs/source/getting_started/benchmarks/imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Share, Source, ViewSpec, Weight, Width

FACTS = MethodFacts(
    title="VICRegL",
    family="non-contrastive",
    paper="Bardes, Ponce, LeCun, NeurIPS 2022, arXiv 2210.01571",
    several_devices=True,
    needs_map=True,
)


class Settings(MethodSettings):
    # paper: two global views, full local terms, as in lightly 1.6. lightly-1.2: one global and one local view, and
    # local terms of invariance alone, as in lightly 1.2.42 to 1.3.3, which the article's memory figures point to.
    form: Literal["paper", "lightly-1.2"] = "paper"
    alpha: Share = 0.75  # of the global terms; 1 - alpha of the local ones
    matches: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (20, 4)  # pairs to and fro
    all_feature_matches: bool = False  # features are paired at all positions, and `matches` is of places alone
    # How pairs are ordered, of which the variance and covariance terms see the n-th of every image together.
    pair_order: Literal["distance", "position"] = "distance"
    hidden_dim: Width = 2048
    out_dim: Width = 2048
    local_hidden_dim: Width = 128
    local_out_dim: Width = 128
    local_norm: Literal["layer", "batch"] = "layer"  # in the local head
    invariance_weight: Weight = 25.0  # lambda
    variance_weight: Weight = 25.0  # mu
    covariance_weight: Weight = 1.0  # nu
    eps: Weight = 1e-4  # under the root of the variance
    local_views: Annotated[int, Field(ge=0)] | None = None  # None: 1 (lightly-1.2) or 0 (paper)
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size
    local_crop_scale: CropScale = (0.05, 0.2)
    global_crop_scale: CropScale | None = None  # None: the transform's
    recipe: Recipe = Recipe(
        optimizer="lars",
        base_lr=0.3,
        weight_decay=1e-4,
        lars_skips_1d=False,
        lars_norm="parts",
        schedule="epoch",
        cosine_ends="last",
        warmup_epochs=10,
        end_lr_factor=1e-3,
    )

    presets = {
        "lightly": {},
        "authors": {
            "all_feature_matches": True,
            "pair_order": "position",
            "hidden_dim": 8192,
            "out_dim": 8192,
            "local_hidden_dim": 512,
            "local_out_dim": 512,
            "local_norm": "batch",
            "recipe": {
                "weight_decay": 1e-6,
                "lars_skips_1d": True,
                "lars_norm": "sum",
                "schedule": "step",
                "cosine_ends": "after",
                "residual_gain": 0,
            },
        },
    }
    sources = {
        "form": Source(
            authors="paper; README.md",
            lightly="paper; 230-235, 1251-1260",
            note="lightly-1.2: lightly 1.2.42 to 1.3.3, which the article's memory figures point to",
        ),
        "alpha": Source(authors="0.75; main_vicregl.py:54", lightly="0.75; lightly/loss/vicregl_loss.py"),
        "matches": Source(
            authors="(20, 4); main_vicregl.py:59",
            lightly="(16, 4) on maps of 4 x 4; 1237; (20, 4) by default, lightly/loss/vicregl_loss.py",
        ),
        "all_feature_matches": Source(
            authors="true; main_vicregl.py:62,324-325", lightly="false; lightly/loss/vicregl_loss.py"
        ),
        "pair_order": Source(
            authors="position; main_vicregl.py:579-603", lightly="distance; lightly/models/utils.py, nearest_neighbors"
        ),
        "hidden_dim": Source(authors="8192; main_vicregl.py:50", lightly="2048; 1234"),
        "out_dim": Source(authors="8192; main_vicregl.py:50", lightly="2048; 1234"),
        "local_hidden_dim": Source(authors="512; main_vicregl.py:51", lightly="128; 1235"),
        "local_out_dim": Source(authors="512; main_vicregl.py:51", lightly="128; 1235"),
        "local_norm": Source(
            authors="batch; main_vicregl.py:272,277; utils.py:119-131", lightly="layer; lightly/models/modules/heads.py"
        ),
        "invariance_weight": Source(authors="25; main_vicregl.py:63", lightly="25; lightly/loss/vicregl_loss.py"),
        "variance_weight": Source(authors="25; main_vicregl.py:64", lightly="25; lightly/loss/vicregl_loss.py"),
        "covariance_weight": Source(
            authors="1; main_vicregl.py:65", lightly="1, half of it on pairs; lightly/loss/vicregl_loss.py"
        ),
        "eps": Source(authors="1e-4; main_vicregl.py:290", lightly="1e-4; lightly/loss/vicregl_loss.py"),
        "local_views": Source(
            authors="0 with a ResNet; README.md; paper, section 3.2", lightly="0; 232; 1 in 1.2.42 to 1.3.3"
        ),
        "local_size_share": Source(authors="96 of 224, ConvNeXt; main_vicregl.py:40", lightly="96 of 224 in 1.2.42"),
        "local_crop_scale": Source(
            authors="(0.08, 0.4), ConvNeXt; main_vicregl.py:42-43", lightly="(0.05, 0.2); 1.2.42 to 1.6"
        ),
        "global_crop_scale": Source(
            authors="(0.08, 1); README.md",
            lightly="(0.2, 1); lightly/transforms/vicregl_transform.py",
            note="the transform's. Places are those of a view's pixels: the authors do not turn a flipped view's "
            "(transforms.py:322-330)",
        ),
        "recipe.optimizer": Source(
            authors="lars, trust 0.001; README.md; optimizers.py:104-113",
            lightly="lars, without which it diverges; 1263-1264",
        ),
        "recipe.base_lr": Source(authors="0.3 for 100 epochs at 512; README.md", lightly="0.3; 1266"),
        "recipe.scale_lr": Source(authors="linear; utils.py:47", lightly="linear; 149, 1266"),
        "recipe.weight_decay": Source(authors="1e-6; optimizers.py:108", lightly="1e-4; 1267"),
        "recipe.lars_skips_1d": Source(
            authors="true; optimizers.py:13-14,111-112", lightly="false; 1264, lightly/utils/lars.py:125-148"
        ),
        "recipe.lars_norm": Source(authors="sum; optimizers.py:47-63", lightly="parts; lightly/utils/lars.py:140-148"),
        "recipe.momentum": Source(authors="0.9; optimizers.py:109", lightly="0.9; 1268"),
        "recipe.schedule": Source(authors="step; utils.py:44-63", lightly="epoch; 1270"),
        "recipe.cosine_ends": Source(authors="after; utils.py:60-63", lightly="last; lightly/utils/scheduler.py:56-66"),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; main_vicregl.py:70",
            lightly="10, or 20 of 800 epochs and more; 1239; 20 in 1.2.42",
            note="the first step has a rate above 0 here, as lightly's",
        ),
        "recipe.end_lr_factor": Source(
            authors="0.001; main_vicregl.py:74", lightly="0.001; lightly/utils/scheduler.py:174"
        ),
        "recipe.residual_gain": Source(authors="0; main_vicregl.py:270", lightly="1; torchvision's resnet18, 1227"),
    }

    @field_validator("form", mode="before")
    @classmethod
    def _renamed(cls, form: object) -> object:
        if form == "article":
            raise ValueError("this form is called 'lightly-1.2', after the versions that had it; set that, or 'paper'")
        return form

    @model_validator(mode="after")
    def _one_local_view(self) -> "Settings":
        if self.form == "lightly-1.2" and self.local_views not in (None, 1):
            raise ValueError("form 'lightly-1.2' has one local view; leave local_views out, or set form to 'paper'")
        return self

    @property
    def form_title(self) -> str:
        return "lightly 1.2 form" if self.form == "lightly-1.2" else ""

    def views(self, input_size: int) -> list[ViewSpec]:
        size, scale = max(8, round(input_size * self.local_size_share)), self.local_crop_scale
        first, second = (ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=b) for b in (0, 1))
        if self.form == "lightly-1.2":
            return [first, ViewSpec(role="local", size=size, crop_scale=scale, branch=1)]
        local = [
            ViewSpec(role="local", size=size, crop_scale=scale, branch=i % 2) for i in range(self.local_views or 0)
        ]
        return [first, second, *local]
