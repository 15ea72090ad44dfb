"""VICRegL's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Share, ViewSpec, Weight, Width

FACTS = MethodFacts(
    title="VICRegL",
    family="non-contrastive",
    paper="Bardes, Ponce, LeCun, NeurIPS 2022, arXiv 2210.01571",
    several_devices=True,
    needs_map=True,
)


class Settings(MethodSettings):
    # article: one global and one local view, and local terms of invariance alone, as in lightly 1.2.42 to 1.3.3, which
    # the article's memory figures point to. paper: two global views, full local terms, as in lightly 1.6.
    form: Literal["article", "paper"] = "article"
    alpha: Share = 0.75  # of the global terms; 1 - alpha of the local ones; paper, section 3; lightly
    matches: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (20, 4)  # to and fro; authors' code
    hidden_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    out_dim: Width = 2048  # lightly; the paper's ResNet-50 has 8192
    local_hidden_dim: Width = 128  # lightly; the paper's ResNet-50 has 512
    local_out_dim: Width = 128  # lightly; the paper's ResNet-50 has 512
    invariance_weight: Weight = 25.0  # lambda; authors' code; lightly
    variance_weight: Weight = 25.0  # mu; authors' code; lightly
    covariance_weight: Weight = 1.0  # nu; authors' code; lightly
    eps: Weight = 1e-4  # under the root of the variance; authors' code; lightly
    local_views: Annotated[int, Field(ge=0)] | None = None  # None: 1 (article) or 0 (paper; section 3.2 on ResNets)
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size; authors' code; lightly
    local_crop_scale: CropScale = (0.05, 0.2)  # lightly 1.2.42 to 1.6
    global_crop_scale: CropScale | None = None  # None: the transform's; (0.2, 1) is lightly's
    recipe: Recipe = Recipe(  # lightly, which notes that it diverges without LARS; its 1.6 warms up for 10 epochs
        optimizer="lars", base_lr=0.3, weight_decay=1e-4, momentum=0.9, warmup_epochs=20, end_lr_factor=1e-3
    )

    @model_validator(mode="after")
    def _one_local_view(self) -> "Settings":
        if self.form == "article" and self.local_views not in (None, 1):
            raise ValueError("form 'article' has one local view; leave local_views out, or set form to 'paper'")
        return self

    def views(self, input_size: int) -> list[ViewSpec]:
        size, scale = max(8, round(input_size * self.local_size_share)), self.local_crop_scale
        first, second = (ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=b) for b in (0, 1))
        if self.form == "article":
            return [first, ViewSpec(role="local", size=size, crop_scale=scale, branch=1)]
        local = [
            ViewSpec(role="local", size=size, crop_scale=scale, branch=i % 2) for i in range(self.local_views or 0)
        ]
        return [first, second, *local]
