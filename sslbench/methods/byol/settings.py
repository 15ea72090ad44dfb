"""BYOL's options and recipe for ResNet-18, and their sources.

Authors: google-deepmind/deepmind-research at f5de0ed, byol/, and the paper. Lightly: docs/source/getting_started/
benchmarks/imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
"""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, MomentumRecipe, Source, Width

FACTS = MethodFacts(
    title="BYOL",
    family="distillation",
    paper="Grill, Strub, Altche, Tallec, Richemond et al., NeurIPS 2020, arXiv 2006.07733",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 4096  # both heads
    out_dim: Width = 256
    # Times the mean negative cosine. Under LARS it counts for 1-D tensors alone.
    loss_scale: Annotated[float, Field(gt=0)] = 1.0
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch", ema_start=0.99
    )

    presets = {
        "lightly": {},
        "authors": {
            "loss_scale": 4.0,
            "recipe": {
                "optimizer": "lars",
                "base_lr": 0.3,
                "weight_decay": 1e-6,
                "schedule": "step",
                "warmup_epochs": 10,
                "ema_end": 1.0,
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="4096; configs/byol.py:40,42", lightly="4096; 520-521"),
        "out_dim": Source(
            authors="256; configs/byol.py:41",
            lightly="256; 520-521",
            note="the last layers have a bias, as lightly's heads; the authors' have none (utils/networks.py:44)",
        ),
        "loss_scale": Source(
            authors="4: 2 - 2 cos of both directions are added; byol_experiment.py:243-250", lightly="1; 553"
        ),
        "recipe.optimizer": Source(authors="lars, trust 0.001; configs/byol.py:59", lightly="sgd; 563"),
        "recipe.base_lr": Source(
            authors="0.3 for 300 epochs, 0.45 for 100; configs/byol.py:21",
            lightly="0.06; 565",
            note="between the two lengths the longer one's",
        ),
        "recipe.scale_lr": Source(authors="linear; utils/schedules.py:34", lightly="linear; 149, 565"),
        "recipe.weight_decay": Source(
            authors="1e-6 for up to 300 epochs; configs/byol.py:22; the paper's 1.5e-6 is for 1,000",
            lightly="5e-4; 567",
        ),
        "recipe.lars_skips_1d": Source(
            authors="true; byol_experiment.py:193-194, utils/optimizers.py:30-35", lightly="no LARS"
        ),
        "recipe.lars_norm": Source(authors="sum; utils/optimizers.py:87-96,182-188", lightly="no LARS"),
        "recipe.momentum": Source(authors="0.9; configs/byol.py:60", lightly="0.9; 566"),
        "recipe.schedule": Source(authors="step; utils/schedules.py:27-43", lightly="epoch; 569"),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; configs/byol.py:64",
            lightly="0; 569",
            note="the first step has a rate above 0 here",
        ),
        "recipe.end_lr_factor": Source(authors="0; utils/schedules.py:46-53", lightly="0; 569"),
        "recipe.ema_start": Source(
            authors="0.99 for 100 and 300 epochs, 0.996 for 1,000; configs/byol.py:23",
            lightly="0.99; 544",
            note="after each step, as the authors'; lightly's before each, which shows each batch the same networks",
        ),
        "recipe.ema_end": Source(
            authors="1; utils/schedules.py:20-24, byol_experiment.py:338-343", lightly="constant; 544"
        ),
        "recipe.residual_gain": Source(
            authors="1: dm-haiku's ResNet zeroes those of bottlenecks alone; utils/networks.py:117,184-211",
            lightly="1; torchvision's resnet18, 515",
        ),
    }
