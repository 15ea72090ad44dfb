"""DINO's options and recipe, and their sources.

Authors: facebookresearch/dino at 7c446df, its command for ResNet-50 at README.md:207, and the paper.
"""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.spec import (
    CropScale,
    MethodFacts,
    MethodSettings,
    MomentumRecipe,
    Share,
    Source,
    Temperature,
    ViewSpec,
    Width,
)

FACTS = MethodFacts(
    title="DINO",
    family="distillation",
    paper="Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, ICCV 2021, arXiv 2104.14294",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("last_layer",)

    hidden_dim: Width = 2048
    bottleneck_dim: Width = 256
    out_dim: Annotated[int, Field(ge=2)] = 2048
    head_batch_norm: bool = True
    norm_last_layer: bool = True  # the last layer's rows keep unit length; False: they learn their lengths
    student_temperature: Temperature = 0.1
    teacher_temperature: Temperature = 0.04
    warmup_teacher_temperature: Temperature = 0.04
    warmup_temperature_epochs: Annotated[int, Field(ge=0)] = 0
    center_momentum: Share = 0.9
    publish: Literal["teacher", "student"] = "teacher"
    # The paper adds eight small views (two-view runs: its table 8), lightly six. As with SwAV, here they are asked for.
    local_views: Annotated[int, Field(ge=0)] = 0
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size
    local_crop_scale: CropScale = (0.05, 0.14)
    global_crop_scale: CropScale | None = None  # None: the transform's
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9, schedule="epoch", ema_start=0.99
    )

    presets = {
        "lightly": {},
        "authors": {
            "out_dim": 65536,
            "head_batch_norm": False,
            "recipe": {
                "base_lr": 0.03,
                "weight_decay": 1e-4,
                "decay_skips_1d": True,
                "schedule": "step",
                "warmup_epochs": 10,
                "end_lr_factor": 1e-6 / 0.03,
                "frozen_epochs": {"last_layer": 1},
                "ema_start": 0.9995,
                "ema_end": 1.0,
                "clip_gradient_norm": 3.0,
                "clip_each": True,
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="vision_transformer.py, DINOHead", lightly="670"),
        "bottleneck_dim": Source(authors="vision_transformer.py, DINOHead", lightly="670"),
        "out_dim": Source(authors="main_dino.py:55", lightly="670"),
        "head_batch_norm": Source(authors="main_dino.py:64", lightly="670"),
        "norm_last_layer": Source(authors="main_dino.py:57", lightly="DINOProjectionHead's default"),
        "student_temperature": Source(authors="main_dino.py, DINOLoss", lightly="DINOLoss's default"),
        "teacher_temperature": Source(authors="main_dino.py:71", lightly="DINOLoss's default"),
        "warmup_teacher_temperature": Source(authors="main_dino.py:68", lightly="DINOLoss's default"),
        "warmup_temperature_epochs": Source(
            authors="main_dino.py:74", lightly="30", note="without effect where both temperatures are 0.04"
        ),
        "center_momentum": Source(authors="main_dino.py, DINOLoss", lightly="DINOLoss's default"),
        "publish": Source(
            authors="teacher: eval_knn.py, eval_linear.py",
            lightly="student: BenchmarkModule's kNN",
            note="which network is evaluated is the method's: the teacher",
        ),
        "local_views": Source(
            authors="8, main_dino.py:112", lightly="6", note="the number of views is the grid's; the article's are two"
        ),
        "local_size_share": Source(authors="96 of 224", lightly="64 of 128"),
        "local_crop_scale": Source(authors="README.md:207", lightly="(0.05, 0.4)"),
        "global_crop_scale": Source(
            authors="(0.14, 1), README.md:207", lightly="(0.4, 1)", note="the grid's transform crops"
        ),
        "recipe.optimizer": Source(authors="README.md:207", lightly="706"),
        "recipe.base_lr": Source(authors="README.md:207", lightly="708"),
        "recipe.weight_decay": Source(authors="README.md:207", lightly="710"),
        "recipe.decay_skips_1d": Source(authors="utils.py:632-643", lightly="706"),
        "recipe.momentum": Source(authors="main_dino.py:229", lightly="709"),
        "recipe.schedule": Source(authors="main_dino.py:238-243", lightly="712"),
        "recipe.warmup_epochs": Source(authors="main_dino.py:99", lightly="none"),
        "recipe.end_lr_factor": Source(authors="1e-6 of 0.03: main_dino.py:101", lightly="0"),
        "recipe.frozen_epochs": Source(authors="main_dino.py:93; utils.py:144-149", lightly="none"),
        "recipe.ema_start": Source(
            authors="0.9995 at batches of 256: help text, main_dino.py:61-63; else 0.996",
            lightly="693",
        ),
        "recipe.ema_end": Source(authors="main_dino.py:250", lightly="none: constant"),
        "recipe.clip_gradient_norm": Source(authors="main_dino.py:87", lightly="none"),
        "recipe.clip_each": Source(authors="utils.py:132-141"),
        "recipe.residual_gain": Source(authors="torchvision's start", lightly="666"),
    }

    def views(self, input_size: int) -> list[ViewSpec]:
        size = max(8, round(input_size * self.local_size_share))
        local = ViewSpec(role="local", size=size, crop_scale=self.local_crop_scale)
        pair = [ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=branch) for branch in (0, 1)]
        return pair + [local] * self.local_views
