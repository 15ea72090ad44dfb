"""LoRot's options and recipe, where it is all there is to learn from."""

from sslbench.methods.spec import MethodFacts, Recipe
from sslbench.pretext.lorot.settings import Options
from sslbench.pretext.spec import OneView

FACTS = MethodFacts(
    title="LoRot",
    family="pretext",
    paper="Moon, Kim, Heo, ECCV 2022, arXiv 2207.10023",
    several_devices=True,
    changes_views=True,
)


class Settings(Options, OneView):
    # No source trains it alone: the rate and decay of lightly's docs/.../imagenette_benchmark.py for its SGD methods.
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9)
