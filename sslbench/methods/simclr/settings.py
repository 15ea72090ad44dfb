"""SimCLR's options and recipe for ResNet-18, and their sources.

Authors: google-research/simclr at 383d414 and the paper. Lightly: docs/source/getting_started/benchmarks/
imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
"""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Source, Temperature, Width

FACTS = MethodFacts(
    title="SimCLR",
    family="contrastive",
    paper="Chen, Kornblith, Norouzi, Hinton, ICML 2020, arXiv 2002.05709",
    several_devices=True,
)


class Settings(MethodSettings):
    head: Literal["none", "linear", "mlp"] = "mlp"  # between features and loss
    hidden_dim: Width = 512
    out_dim: Width = 128
    temperature: Temperature = 0.5
    # Times the mean over all views. Under LARS it counts for 1-D tensors alone.
    loss_scale: Annotated[float, Field(gt=0)] = 1.0
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch")

    presets = {
        "lightly": {},
        "authors": {
            "temperature": 0.1,
            "loss_scale": 2.0,
            "recipe": {
                "optimizer": "lars",
                "base_lr": 1.2,
                "scale_lr": "sqrt",
                "weight_decay": 1e-4,
                "schedule": "step",
                "warmup_epochs": 10,
                "residual_gain": 0,
            },
        },
    }
    sources = {
        "head": Source(
            authors="paper, section 2.1: one hidden layer (run.py:206 has SimCLRv2's two)",
            lightly="398",
            note="norms after both layers, as in both codes; the authors' last one has no bias (model_util.py:155-165)",
        ),
        "hidden_dim": Source(
            authors="the features' width, so 512; model_util.py:144", lightly="the features' width, so 512; 398"
        ),
        "out_dim": Source(authors="128; run.py:203", lightly="128; 398"),
        "temperature": Source(
            authors="0.1; README.md:102; 0.5 on CIFAR-10, README.md:81", lightly="0.5; lightly/loss/ntx_ent_loss.py"
        ),
        "loss_scale": Source(
            authors="2: both directions' means are added; objective.py:82-86", lightly="1; lightly/loss/ntx_ent_loss.py"
        ),
        "recipe.optimizer": Source(authors="lars, trust 0.001; run.py:171", lightly="sgd; 415"),
        "recipe.base_lr": Source(
            authors="1.2 at 256: 0.075 times the batch's root; README.md:98-109; paper, section B.1",
            lightly="0.06; 416",
        ),
        "recipe.scale_lr": Source(authors="sqrt; README.md:103,109", lightly="linear; 149, 416"),
        "recipe.weight_decay": Source(
            authors="1e-4; run.py:55; README.md:103; the paper's section 2.2 says 1e-6", lightly="5e-4; 416"
        ),
        "recipe.lars_skips_1d": Source(authors="true; model_util.py:99-100", lightly="no LARS"),
        "recipe.lars_norm": Source(authors="sum; lars_optimizer.py:98-109", lightly="no LARS"),
        "recipe.momentum": Source(
            authors="0.9; run.py:175",
            lightly="0.9; 416",
            note="the authors' LARS multiplies by the rate before the momentum, which differs while the rate changes",
        ),
        "recipe.schedule": Source(authors="step; model_util.py:59-83", lightly="epoch; 418"),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; run.py:51", lightly="0; 418", note="the first step has a rate above 0 here"
        ),
        "recipe.end_lr_factor": Source(authors="0; model_util.py:76-81", lightly="0; 418"),
        "recipe.residual_gain": Source(authors="0; resnet.py:395", lightly="1; torchvision's resnet18, 395"),
    }
