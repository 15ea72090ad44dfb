"""SimCLR's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from typing import Literal

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Temperature, Width

FACTS = MethodFacts(
    title="SimCLR",
    family="contrastive",
    paper="Chen, Kornblith, Norouzi, Hinton, ICML 2020, arXiv 2002.05709",
    several_devices=True,
)


class Settings(MethodSettings):
    head: Literal["none", "linear", "mlp"] = "mlp"  # between features and loss; paper, section 4.2
    hidden_dim: Width = 512  # lightly; the paper's ResNet-50 has 2048
    out_dim: Width = 128  # paper, section 2.1; lightly
    temperature: Temperature = 0.5  # lightly; paper, table 5: best for batches of 256 trained long
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9)  # lightly
