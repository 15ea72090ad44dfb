"""VICReg's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Weight, Width

FACTS = MethodFacts(
    title="VICReg",
    family="non-contrastive",
    paper="Bardes, Ponce, LeCun, ICLR 2022, arXiv 2105.04906",
    several_devices=True,
)


class Settings(MethodSettings):
    hidden_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    out_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    invariance_weight: Weight = 25.0  # lambda; paper, section 4.2; lightly
    variance_weight: Weight = 25.0  # mu; paper, section 4.2; lightly
    covariance_weight: Weight = 1.0  # nu; paper, section 4.2; lightly
    eps: Weight = 1e-4  # under the root of the variance; paper, section 4.1; lightly
    recipe: Recipe = Recipe(  # lightly, which notes that it diverges without LARS
        optimizer="lars", base_lr=0.3, weight_decay=1e-4, momentum=0.9, warmup_epochs=20, end_lr_factor=1e-3
    )
