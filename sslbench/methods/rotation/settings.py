"""RotNet's options and recipe, and their sources.

Authors: gidariss/FeatureLearningRotNet at edafaba, config/CIFAR10_RotNet_NIN4blocks.py, and the paper. Their networks
have no residual branches.
"""

from typing import Literal

from sslbench.methods.pretext_tasks.rotation.settings import Options
from sslbench.methods.pretext_tasks.spec import OneView
from sslbench.methods.spec import MethodFacts, Recipe, Source

FACTS = MethodFacts(
    title="RotNet",
    family="pretext",
    paper="Gidaris, Singh, Komodakis, ICLR 2018, arXiv 1803.07728",
    several_devices=True,
    changes_views=True,
)


class Settings(Options, OneView):
    turns: Literal["all", "one"] = "all"
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.2, weight_decay=5e-4, nesterov=True, schedule="epoch")

    sources = {
        "recipe.residual_gain": Source(note="no residual branches in theirs: torchvision's start"),
        "turns": Source(authors="all; paper, section 3.1"),
        "recipe.optimizer": Source(authors="sgd; line 31"),
        "recipe.base_lr": Source(
            authors="0.1 at 128, line 31; 0.01 at 192 with AlexNet, config/ImageNet_RotNet_AlexNet.py:30"
        ),
        "recipe.scale_lr": Source(authors="not said", note="linear, so that 128 images have the authors' rate"),
        "recipe.weight_decay": Source(authors="5e-4; line 31"),
        "recipe.momentum": Source(authors="0.9; line 31"),
        "recipe.nesterov": Source(authors="true; line 31"),
        "recipe.schedule": Source(
            authors="epoch, a fifth of the rate from epochs 60, 120 and 160 of 200; line 31",
            note="a cosine, as all methods",
        ),
    }
