"""SimSiam's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from sslbench.methods.spec import MethodFacts, MethodSettings, Recipe, Width

FACTS = MethodFacts(
    title="SimSiam",
    family="non-contrastive",
    paper="Chen, He, CVPR 2021, arXiv 2011.10566",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("predictor",)

    hidden_dim: Width = 2048  # projection; paper, section 3; lightly
    out_dim: Width = 2048  # paper, section 3; lightly
    prediction_hidden_dim: Width = 512  # a bottleneck of a quarter; paper, section 3; lightly
    # lightly, which does not scale this method's rate with the batch
    recipe: Recipe = Recipe(optimizer="sgd", base_lr=0.06, scale_lr=False, weight_decay=5e-4, momentum=0.9)
