"""Training with labels on the same transform: what the labels are worth."""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, ViewSpec

FACTS = MethodFacts(
    title="Supervised",
    family="reference",
    paper="He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385; recipe of Goyal et al. 2017, arXiv 1706.02677",
    several_devices=True,
)


class Settings(MethodSettings):
    classes: Annotated[int, Field(ge=2)] | None = None  # None: as many as the data set has, filled in at run time
    recipe: Recipe = Recipe(  # Goyal et al., section 2.1 (rate), 2.2 (warm-up) and 5.1 (the rest)
        optimizer="sgd", base_lr=0.1, weight_decay=1e-4, momentum=0.9, warmup_epochs=5
    )

    def views(self, input_size: int) -> list[ViewSpec]:
        return [ViewSpec(size=input_size)]
