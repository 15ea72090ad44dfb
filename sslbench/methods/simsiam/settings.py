"""SimSiam's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/simsiam at a7bc177 and the paper. Lightly: docs/source/getting_started/benchmarks/
imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
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
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, scale_lr=False, weight_decay=5e-4, schedule="epoch")

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
        "hidden_dim": Source(
            authors="the features' width, 2048 in ResNet-50; simsiam/builder.py:27-33; paper, section 3",
            lightly="2048; 429",
            note="512 in ResNet-18, by the authors' rule",
        ),
        "out_dim": Source(authors="2048; main_simsiam.py:86; paper, section 3", lightly="2048; 429-430"),
        "prediction_hidden_dim": Source(
            authors="512, a quarter of out_dim; main_simsiam.py:88; paper, section 3", lightly="512; 430"
        ),
        "recipe.optimizer": Source(authors="sgd; main_simsiam.py:199", lightly="sgd; 449"),
        "recipe.base_lr": Source(authors="0.05; main_simsiam.py:56; paper, section 3", lightly="0.06; 451"),
        "recipe.scale_lr": Source(
            authors="linear; main_simsiam.py:157", lightly="not scaled, for the sake of stability; 451"
        ),
        "recipe.weight_decay": Source(authors="1e-4, of all tensors; main_simsiam.py:60", lightly="5e-4, of all; 453"),
        "recipe.momentum": Source(authors="0.9; main_simsiam.py:58", lightly="0.9; 452"),
        "recipe.schedule": Source(authors="epoch; main_simsiam.py:257,361", lightly="epoch; 455"),
        "recipe.warmup_epochs": Source(authors="0; main_simsiam.py:361", lightly="0; 455"),
        "recipe.end_lr_factor": Source(authors="0; main_simsiam.py:361", lightly="0; 455"),
        "recipe.constant_lr": Source(
            authors="predictor, by the README's command; main_simsiam.py:193-195,363-364; paper, table 1",
            lightly="none; 449-455",
        ),
        "recipe.residual_gain": Source(authors="0; simsiam/builder.py:24", lightly="1; torchvision's resnet18, 426"),
    }
