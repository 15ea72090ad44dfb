"""DINO's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/dino at 7c446df, main_dino.py ("main") with the arguments of their ResNet-50 (README.md:207)
where those differ from its defaults, and the paper. Lightly: docs/source/getting_started/benchmarks/
imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
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
    local_views: Annotated[int, Field(ge=0)] = 0
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size
    local_crop_scale: CropScale = (0.05, 0.14)
    global_crop_scale: CropScale | None = None  # None: the transform's
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch", ema_start=0.99
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
        "hidden_dim": Source(authors="2048; vision_transformer.py:258; paper, section 3.1", lightly="2048; 670"),
        "bottleneck_dim": Source(authors="256; vision_transformer.py:258", lightly="256; 670"),
        "out_dim": Source(authors="65536; main:55", lightly="2048; 670"),
        "head_batch_norm": Source(authors="false; main:64; paper, section 3.2", lightly="true; 670"),
        "norm_last_layer": Source(authors="true; main:57", lightly="true; lightly/models/modules/heads.py:672"),
        "student_temperature": Source(authors="0.1; main:365", lightly="0.1; lightly/loss/dino_loss.py:64"),
        "teacher_temperature": Source(
            authors="0.04; main:71; ViTs of the paper: 0.07", lightly="0.04; lightly/loss/dino_loss.py:62"
        ),
        "warmup_teacher_temperature": Source(authors="0.04; main:68", lightly="0.04; lightly/loss/dino_loss.py:61"),
        "warmup_temperature_epochs": Source(
            authors="0; main:74",
            lightly="30, from 0.04 to 0.04; lightly/loss/dino_loss.py:63",
            note="0 in both: nothing rises",
        ),
        "center_momentum": Source(authors="0.9; main:366", lightly="0.9; lightly/loss/dino_loss.py:65"),
        "publish": Source(
            authors="teacher; eval_knn.py:203, eval_linear.py:264",
            lightly="student; lightly/utils/benchmarking/benchmark_module.py:114,127",
            note="which network is evaluated is the method's: the teacher",
        ),
        "local_views": Source(
            authors="8; main:112",
            lightly="6; lightly/transforms/dino_transform.py:102",
            note="0 in both: two views are the protocol's",
        ),
        "local_size_share": Source(
            authors="96 of 224; main:452", lightly="64 of 128; 200-201", note="the authors' in both"
        ),
        "local_crop_scale": Source(
            authors="0.05 to 0.14; README.md:207",
            lightly="0.05 to 0.4; lightly/transforms/dino_transform.py:101",
            note="the authors' in both",
        ),
        "global_crop_scale": Source(
            authors="0.14 to 1; README.md:207",
            lightly="0.4 to 1; lightly/transforms/dino_transform.py:99",
            note="the column's transform",
        ),
        "recipe.optimizer": Source(authors="sgd; README.md:207", lightly="sgd; 706"),
        "recipe.base_lr": Source(authors="0.03; README.md:207", lightly="0.06; 708"),
        "recipe.scale_lr": Source(authors="linear; main:239", lightly="linear; 149, 708"),
        "recipe.weight_decay": Source(authors="1e-4; README.md:207", lightly="5e-4; 710"),
        "recipe.weight_decay_end": Source(authors="1e-4, so constant; README.md:207", lightly="constant; 710"),
        "recipe.decay_skips_1d": Source(authors="true; utils.py:632-643", lightly="false; 705"),
        "recipe.momentum": Source(authors="0.9; main:229", lightly="0.9; 709"),
        "recipe.schedule": Source(authors="step; main:307-310", lightly="epoch; 712"),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; main:99, utils.py:191",
            lightly="0; 712",
            note="the first step has a rate above 0 here",
        ),
        "recipe.end_lr_factor": Source(authors="1e-6 of 0.03; main:101", lightly="0; 712"),
        "recipe.frozen_epochs": Source(
            authors="last layer for 1 epoch; main:93, utils.py:144-149",
            lightly="none; lightly/models/modules/heads.py:671",
        ),
        "recipe.ema_start": Source(
            authors="0.9995 recommended for a batch of 256; main:61-63; paper, section 3.1: 0.996",
            lightly="0.99; 693-694",
            note="after each step, as the authors'; lightly's before each, which shows each batch the same networks",
        ),
        "recipe.ema_end": Source(authors="1; main:250", lightly="constant; 693-694"),
        "recipe.clip_gradient_norm": Source(authors="3; main:87", lightly="none; 704-713"),
        "recipe.clip_each": Source(authors="true; utils.py:132-141", lightly="no clipping"),
        "recipe.residual_gain": Source(authors="1; torchvision's, main:176", lightly="1; torchvision's resnet18, 666"),
    }

    def views(self, input_size: int) -> list[ViewSpec]:
        size = max(8, round(input_size * self.local_size_share))
        local = ViewSpec(role="local", size=size, crop_scale=self.local_crop_scale)
        pair = [ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=branch) for branch in (0, 1)]
        return pair + [local] * self.local_views
