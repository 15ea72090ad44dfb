"""DCL's options and recipe, where it is all there is to learn from."""

from sslbench.methods.spec import MethodFacts, Recipe
from sslbench.pretext.dcl.settings import Options
from sslbench.pretext.spec import OneView

FACTS = MethodFacts(
    title="DCL",
    family="pretext",
    paper="Chen, Bai, Zhang, Mei, CVPR 2019; without labels, after Maaz et al. 2021, arXiv 2105.08788",
    several_devices=True,
    needs_map=True,
    changes_views=True,
)


class Settings(Options, OneView):
    # No source trains it alone: the rate and decay of lightly's docs/.../imagenette_benchmark.py for its SGD methods.
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9)
