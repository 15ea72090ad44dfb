"""LoRot's options and recipe, where it is all there is to learn from, and their sources.

Authors: wjun0830/Localizable-Rotation at 47521c5, Imbalanced/cifar_train_lorot-I.py, which trains it beside labels
alone; theirs is the recipe here.
"""

from sslbench.methods.pretext_tasks.lorot.settings import Options
from sslbench.methods.pretext_tasks.spec import OneView
from sslbench.methods.spec import MethodFacts, Recipe, Source

FACTS = MethodFacts(
    title="LoRot",
    family="pretext",
    paper="Moon, Kim, Heo, ECCV 2022, arXiv 2207.10023",
    several_devices=True,
    changes_views=True,
)


class Settings(Options, OneView):
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.2, weight_decay=2e-4, schedule="epoch", warmup_epochs=5)

    sources = {
        "variant": Source(authors="implicit and explicit; paper, section 3.2"),
        "smallest": Source(authors="2; OOD/ood_lorot-I_min_max.py:43"),
        "largest_share": Source(authors="0.5: 16 of 32 px; OOD/ood_lorot-I_min_max.py:45"),
        "box": Source(authors="batch; Imbalanced/cifar_train_lorot-I.py, train", note="image, as the transform has it"),
        "recipe.optimizer": Source(authors="sgd; 118"),
        "recipe.base_lr": Source(authors="0.1 at 128; 47, 50"),
        "recipe.scale_lr": Source(authors="not said", note="linear, so that 128 images have the authors' rate"),
        "recipe.weight_decay": Source(authors="2e-4; 54"),
        "recipe.momentum": Source(authors="0.9; 52"),
        "recipe.schedule": Source(
            authors="epoch, 0.01 of the rate after 160 of 200, 0.0001 after 180; 399-411",
            note="a cosine, as all methods",
        ),
        "recipe.warmup_epochs": Source(authors="5; 402-403"),
        "recipe.residual_gain": Source(authors="1; Imbalanced/models/resnet_cifar.py"),
    }
