"""BYOL's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from sslbench.methods.spec import MethodFacts, MethodSettings, MomentumRecipe, Width

FACTS = MethodFacts(
    title="BYOL",
    family="distillation",
    paper="Grill, Strub, Altche, Tallec, Richemond et al., NeurIPS 2020, arXiv 2006.07733",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 4096  # both heads; paper, section 3.3; lightly
    out_dim: Width = 256  # paper, section 3.3; lightly
    # lightly; the momentum is constant there (the paper's rises from 0.996 to 1, for far longer runs)
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd", base_lr=0.06, weight_decay=5e-4, momentum=0.9, ema_start=0.99
    )
