"""RotNet's options and recipe; the authors' code means gidariss/FeatureLearningRotNet."""

from typing import Literal

from sslbench.methods.spec import MethodFacts, Recipe
from sslbench.pretext.rotation.settings import Options
from sslbench.pretext.spec import OneView

FACTS = MethodFacts(
    title="RotNet",
    family="pretext",
    paper="Gidaris, Singh, Komodakis, ICLR 2018, arXiv 1803.07728",
    several_devices=True,
    changes_views=True,
)


class Settings(Options, OneView):
    turns: Literal["all", "one"] = "all"  # paper, section 3.1
    # Authors' code on CIFAR-10: 0.1 for 128 pictures, with Nesterov's momentum, which this project's SGD has not.
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.2, weight_decay=5e-4, momentum=0.9)
