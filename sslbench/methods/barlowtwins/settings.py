"""Barlow Twins' options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/barlowtwins at 8e8d284 and the paper. Lightly: docs/source/getting_started/benchmarks/
imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
"""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Source, Width

FACTS = MethodFacts(
    title="Barlow Twins",
    family="non-contrastive",
    paper="Zbontar, Jing, Misra, LeCun, Deny, ICML 2021, arXiv 2103.03230",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 2048
    out_dim: Width = 2048
    redundancy_weight: Annotated[float, Field(gt=0)] = 5e-3  # lambda
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch")

    presets = {
        "lightly": {},
        "authors": {
            "hidden_dim": 8192,
            "out_dim": 8192,
            "redundancy_weight": 0.0051,
            "recipe": {
                "optimizer": "lars",
                "base_lr": 0.2,
                "base_lr_1d": 0.0048,
                "weight_decay": 1e-6,
                "schedule": "step",
                "warmup_epochs": 10,
                "end_lr_factor": 1e-3,
                "residual_gain": 0,
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="8192; main.py:41", lightly="2048; 486"),
        "out_dim": Source(
            authors="8192; main.py:41",
            lightly="2048; 486",
            note="the last layer has a bias, as lightly's head, which the loss normalises away",
        ),
        "redundancy_weight": Source(
            authors="0.0051; main.py:39", lightly="5e-3; lightly/loss/barlow_twins_loss.py; paper, section 2.2"
        ),
        "recipe.optimizer": Source(authors="lars, trust 0.001; main.py:99-101,225", lightly="sgd; 504"),
        "recipe.base_lr": Source(authors="0.2; main.py:33", lightly="0.06; 505"),
        "recipe.base_lr_1d": Source(authors="0.0048; main.py:35,90-97,168", lightly="as all; 505"),
        "recipe.scale_lr": Source(authors="linear; main.py:158", lightly="linear; 149, 505"),
        "recipe.weight_decay": Source(
            authors="1e-6; main.py:37; the paper's section 2.2 says 1.5e-6", lightly="5e-4; 505"
        ),
        "recipe.lars_skips_1d": Source(authors="true; main.py:233-248", lightly="no LARS"),
        "recipe.lars_norm": Source(authors="sum; main.py:246-255", lightly="no LARS"),
        "recipe.momentum": Source(authors="0.9; main.py:225", lightly="0.9; 505"),
        "recipe.schedule": Source(authors="step; main.py:155-168", lightly="epoch; 507"),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; main.py:157", lightly="0; 507", note="the first step has a rate above 0 here"
        ),
        "recipe.end_lr_factor": Source(authors="0.001; main.py:165", lightly="0; 507"),
        "recipe.residual_gain": Source(authors="0; main.py:191", lightly="1; torchvision's resnet18, 482"),
    }
