"""VICReg's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/vicreg at 4e12602 and the paper. Lightly: docs/source/getting_started/benchmarks/
imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
"""

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Source, Weight, Width

FACTS = MethodFacts(
    title="VICReg",
    family="non-contrastive",
    paper="Bardes, Ponce, LeCun, ICLR 2022, arXiv 2105.04906",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 2048
    out_dim: Width = 2048
    invariance_weight: Weight = 25.0  # lambda
    variance_weight: Weight = 25.0  # mu
    covariance_weight: Weight = 1.0  # nu
    eps: Weight = 1e-4  # under the root of the variance
    recipe: Recipe = Recipe(
        optimizer="lars",
        base_lr=0.3,
        weight_decay=1e-4,
        lars_skips_1d=False,
        lars_norm="parts",
        schedule="epoch",
        cosine_ends="last",
        warmup_epochs=20,
        end_lr_factor=1e-3,
    )

    presets = {
        "lightly": {},
        "authors": {
            "hidden_dim": 8192,
            "out_dim": 8192,
            "recipe": {
                "weight_decay": 1e-6,
                "lars_skips_1d": True,
                "lars_norm": "sum",
                "schedule": "step",
                "cosine_ends": "after",
                "warmup_epochs": 10,
                "residual_gain": 0,
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="8192; main_vicreg.py:44", lightly="2048; 1193"),
        "out_dim": Source(
            authors="8192; main_vicreg.py:44",
            lightly="2048; 1193",
            note="which layers have biases is lightly's; none of those that differ reaches the loss",
        ),
        "invariance_weight": Source(
            authors="25; main_vicreg.py:58; paper, section 4.2", lightly="25; lightly/loss/vicreg_loss.py:47"
        ),
        "variance_weight": Source(
            authors="25; main_vicreg.py:60; paper, section 4.2", lightly="25; lightly/loss/vicreg_loss.py:48"
        ),
        "covariance_weight": Source(
            authors="1; main_vicreg.py:62; paper, section 4.2", lightly="1; lightly/loss/vicreg_loss.py:49"
        ),
        "eps": Source(authors="1e-4; main_vicreg.py:205", lightly="1e-4; lightly/loss/vicreg_loss.py:51"),
        "recipe.optimizer": Source(
            authors="lars, trust 0.001; main_vicreg.py:109,252", lightly="lars, without which it diverges; 1210-1211"
        ),
        "recipe.base_lr": Source(
            authors="0.3 for 100 epochs at 512, README.md; 0.2 for 1,000 at 2,048, main_vicreg.py:52",
            lightly="0.3; 1213",
            note="that of the nearer length and batch",
        ),
        "recipe.scale_lr": Source(authors="linear; main_vicreg.py:170", lightly="linear; 149, 1213"),
        "recipe.weight_decay": Source(authors="1e-6; main_vicreg.py:54", lightly="1e-4; 1214"),
        "recipe.lars_skips_1d": Source(
            authors="true; main_vicreg.py:113-114,235-236", lightly="false; 1211, lightly/utils/lars.py:125-148"
        ),
        "recipe.lars_norm": Source(
            authors="sum; main_vicreg.py:276-291", lightly="parts; lightly/utils/lars.py:140-148"
        ),
        "recipe.momentum": Source(authors="0.9; main_vicreg.py:251", lightly="0.9; 1215"),
        "recipe.schedule": Source(authors="step; main_vicreg.py:167-181", lightly="epoch; 1217"),
        "recipe.cosine_ends": Source(
            authors="after; main_vicreg.py:174-178", lightly="last; lightly/utils/scheduler.py:56-66"
        ),
        "recipe.warmup_epochs": Source(
            authors="10, from a rate of 0; main_vicreg.py:169",
            lightly="20, or 40 of 800 epochs and more; 1195",
            note="the first step has a rate above 0 here, as lightly's",
        ),
        "recipe.end_lr_factor": Source(
            authors="0.001; main_vicreg.py:177", lightly="0.001; lightly/utils/scheduler.py:174"
        ),
        "recipe.residual_gain": Source(authors="0; main_vicreg.py:190", lightly="1; torchvision's resnet18, 1191"),
    }
