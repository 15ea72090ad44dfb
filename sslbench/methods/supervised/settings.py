"""Training with labels on the same transform: what the labels are worth.

Authors: Goyal et al. 2017, arXiv 1706.02677, by its sections.
"""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Source, ViewSpec

FACTS = MethodFacts(
    title="Supervised",
    family="reference",
    paper="He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385; recipe of Goyal et al. 2017, arXiv 1706.02677",
    several_devices=True,
)


class Settings(MethodSettings):
    classes: Annotated[int, Field(ge=2)] | None = None  # None: as many as the data set has, filled in at run time
    recipe: Recipe = Recipe(
        optimizer="sgd",
        base_lr=0.1,
        weight_decay=1e-4,
        decay_skips_1d=True,
        nesterov=True,
        warmup_epochs=5,
        residual_gain=0,
    )

    sources = {
        "classes": Source(note="as many as the training set has"),
        "recipe.optimizer": Source(authors="sgd; 5.1"),
        "recipe.base_lr": Source(authors="0.1; 5.1"),
        "recipe.scale_lr": Source(authors="linear; 2.1"),
        "recipe.weight_decay": Source(authors="1e-4; 5.1"),
        "recipe.decay_skips_1d": Source(authors="norms' gains and biases; 5.1", note="the classifier's bias, too"),
        "recipe.momentum": Source(authors="0.9; 5.1"),
        "recipe.nesterov": Source(authors="true; 5.1"),
        "recipe.schedule": Source(authors="a tenth after epochs 30, 60 and 80 of 90; 5.1", note="a cosine per step"),
        "recipe.warmup_epochs": Source(authors="5, to a rate of large batches; 2.2"),
        "recipe.residual_gain": Source(authors="0; 5.1"),
    }

    def views(self, input_size: int) -> list[ViewSpec]:
        return [ViewSpec(size=input_size)]
