"""SwAV's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256."""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Temperature, ViewSpec, Width

FACTS = MethodFacts(
    title="SwAV",
    family="clustering",
    paper="Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, NeurIPS 2020, arXiv 2006.09882",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("prototypes",)

    hidden_dim: Width = 2048  # paper, appendix A.1; lightly
    out_dim: Width = 128  # paper, appendix A.1; lightly
    prototypes: Annotated[int, Field(ge=2)] = 3000  # paper, section 4.1; lightly
    temperature: Temperature = 0.1  # paper, appendix A.1; lightly
    sinkhorn_epsilon: Temperature = 0.05  # paper, appendix A.1; lightly
    sinkhorn_iterations: Annotated[int, Field(ge=1)] = 3  # paper, section 3.1; lightly
    # Features of earlier pictures, of each of the two views, that a small batch's codes are found among (paper, section
    # 3.1). The authors' code for small batches has 3840, from epoch 15 on; here, as in their large batches, none.
    queue_length: Annotated[int, Field(ge=0)] = 0
    queue_start_epoch: Annotated[int, Field(ge=0)] = 15
    # The paper and lightly add six small views. The article did not: its SwAV takes the memory of two views.
    local_views: Annotated[int, Field(ge=0)] = 0
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size; paper, appendix A.1
    local_crop_scale: CropScale = (0.05, 0.14)  # paper, appendix A.1; lightly
    global_crop_scale: CropScale | None = None  # None: the transform's; (0.14, 1) is the paper's
    recipe: Recipe = Recipe(optimizer="adam", base_lr=1e-3, weight_decay=1e-6)  # lightly

    def views(self, input_size: int) -> list[ViewSpec]:
        local = ViewSpec(
            role="local", size=max(8, round(input_size * self.local_size_share)), crop_scale=self.local_crop_scale
        )
        pair = [ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=branch) for branch in (0, 1)]
        return pair + [local] * self.local_views

    def without_effect(self, epochs: int, steps: int | None, together: int) -> dict[str, str]:
        idle = self.never_learns(epochs)
        if not self.queue_length:
            return idle
        if self.queue_start_epoch >= epochs:
            why = f"the queue is never used: queue_start_epoch is {self.queue_start_epoch}, of {epochs} epoch(s) in all"
            return idle | dict.fromkeys(
                ("queue_length", "queue_start_epoch"), f"{why}; lower it, or leave the queue out"
            )
        if steps is not None and (steps - 1) * together < self.queue_length:
            why = f"the queue is never full: {steps} steps bring {together} of its {self.queue_length} pictures each"
            return idle | {"queue_length": f"{why}; train for longer, or give a shorter one"}
        return idle
