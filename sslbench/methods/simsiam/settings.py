"""SimSiam's options and recipe, and their sources.

Authors: facebookresearch/simsiam at a7bc177, its command for the paper's table 2, and the paper.
"""

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Source, Width

FACTS = MethodFacts(
    title="SimSiam",
    family="non-contrastive",
    paper="Chen, He, CVPR 2021, arXiv 2011.10566",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("predictor",)

    hidden_dim: Width = 2048  # of the projection
    out_dim: Width = 2048
    prediction_hidden_dim: Width = 512
    recipe: Recipe = Recipe(
        optimizer="sgd", base_lr=0.06, scale_lr=False, weight_decay=5e-4, momentum=0.9, schedule="epoch"
    )

    presets = {
        "lightly": {},
        "authors": {
            "hidden_dim": 512,
            "recipe": {
                "base_lr": 0.05,
                "scale_lr": True,
                "weight_decay": 1e-4,
                "constant_lr": ("predictor",),
                "residual_gain": 0,
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="the features' width: simsiam/builder.py:28-33", lightly="429"),
        "out_dim": Source(authors="main_simsiam.py:86", lightly="429"),
        "prediction_hidden_dim": Source(authors="main_simsiam.py:88", lightly="430"),
        "recipe.optimizer": Source(authors="main_simsiam.py:199", lightly="449"),
        "recipe.base_lr": Source(authors="main_simsiam.py:56", lightly="451"),
        "recipe.scale_lr": Source(authors="main_simsiam.py:157", lightly="451"),
        "recipe.weight_decay": Source(authors="of every tensor: main_simsiam.py:60", lightly="of every tensor: 453"),
        "recipe.momentum": Source(authors="main_simsiam.py:58", lightly="452"),
        "recipe.schedule": Source(authors="main_simsiam.py:257, 361", lightly="455"),
        "recipe.constant_lr": Source(
            authors="--fix-pred-lr, main_simsiam.py:193-195, 364; the README's command", lightly="none"
        ),
        "recipe.residual_gain": Source(authors="simsiam/builder.py:24", lightly="426"),
    }
