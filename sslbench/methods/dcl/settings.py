"""DCL's options and recipe, where it is all there is to learn from, and their sources.

Authors: JDAI-CV/DCL at 8950816, which fine-tunes a pretrained network with labels beside. No source trains it alone
from random weights.
"""

from sslbench.methods.pretext_tasks.dcl.settings import Options
from sslbench.methods.pretext_tasks.spec import OneView
from sslbench.methods.spec import MethodFacts, Recipe, Source

FACTS = MethodFacts(
    title="DCL",
    family="pretext",
    paper="Chen, Bai, Zhang, Mei, CVPR 2019; without labels, after Maaz et al. 2021, arXiv 2105.08788",
    several_devices=True,
    needs_map=True,
    changes_views=True,
)


class Settings(Options, OneView):
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, schedule="epoch")

    sources = {
        "recipe.residual_gain": Source(note="that of lightly's recipe, whose rate it has"),
        "tiles": Source(authors="7; train.py:72; paper, section 4", note="fewer where the map has fewer cells"),
        "reach": Source(authors="2; paper, section 4"),
        "variant": Source(
            authors="code, another shuffle than the paper's; transforms/functional.py, swap", note="the paper's"
        ),
        "target": Source(authors="index; utils/dataset_DCL.py", note="the paper's, equation 5"),
        "destruction_weight": Source(authors="1; utils/train_model.py:106"),
        "location_weight": Source(authors="1 on CUB, 0.01 on cars and aircraft; utils/train_model.py:107"),
        "recipe.optimizer": Source(authors="sgd; train.py:208"),
        "recipe.base_lr": Source(
            authors="0.0008 at 16, heads ten times it, to fine-tune; train.py:51,208-212",
            note="that of lightly's SGD methods (imagenette_benchmark.py:416), as decay and schedule",
        ),
        "recipe.weight_decay": Source(authors="0; train.py:208-212", note="as the rate"),
        "recipe.momentum": Source(authors="0.9; train.py:212"),
        "recipe.schedule": Source(authors="epoch, a tenth every 60 of 360; train.py:53,215", note="as the rate"),
    }
