"""Barlow Twins' options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Width

FACTS = MethodFacts(
    title="Barlow Twins",
    family="non-contrastive",
    paper="Zbontar, Jing, Misra, LeCun, Deny, ICML 2021, arXiv 2103.03230",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    out_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    redundancy_weight: Annotated[float, Field(gt=0)] = 5e-3  # lambda; paper, section 2.2; lightly
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9)  # lightly
