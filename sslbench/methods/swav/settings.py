"""SwAV's options and recipe, and their sources.

Authors: facebookresearch/swav at 06b1b7c; script means its scripts/swav_200ep_bs256_pretrain.sh.
"""

from typing import Annotated

from pydantic import Field

from sslbench.methods.spec import CropScale, MethodFacts, MethodSettings, Recipe, Source, Temperature, ViewSpec, Width

FACTS = MethodFacts(
    title="SwAV",
    family="clustering",
    paper="Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, NeurIPS 2020, arXiv 2006.09882",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("prototypes",)

    hidden_dim: Width = 2048
    out_dim: Width = 128
    prototypes: Annotated[int, Field(ge=2)] = 3000
    temperature: Temperature = 0.1
    sinkhorn_epsilon: Temperature = 0.05
    sinkhorn_iterations: Annotated[int, Field(ge=1)] = 3
    # Features of earlier images, of each of the two views, that a small batch's codes are found among (section 3.1).
    queue_length: Annotated[int, Field(ge=0)] = 0
    queue_start_epoch: Annotated[int, Field(ge=0)] = 15  # from which the queue is filled; it is used once it is full
    # The paper and lightly add six small views. The article did not: its SwAV takes the memory of two views.
    local_views: Annotated[int, Field(ge=0)] = 0
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size
    local_crop_scale: CropScale = (0.05, 0.14)
    global_crop_scale: CropScale | None = None  # None: the transform's
    recipe: Recipe = Recipe(optimizer="adam", base_lr=1e-3, weight_decay=1e-6, schedule="epoch")

    presets = {
        "lightly": {},
        "authors": {
            "queue_length": 3840,
            "recipe": {
                "optimizer": "lars",
                "base_lr": 0.6,
                "lars_skips_1d": False,
                "lars_norm": "parts",
                "schedule": "step",
                "end_lr_factor": 1e-3,
                "frozen_epochs": {"prototypes": 1},
            },
        },
    }
    sources = {
        "hidden_dim": Source(authors="main_swav.py:107", lightly="621"),
        "out_dim": Source(authors="script:36", lightly="621"),
        "prototypes": Source(authors="script:37", lightly="622"),
        "temperature": Source(authors="script:33", lightly="lightly/loss/swav_loss.py"),
        "sinkhorn_epsilon": Source(authors="script:34", lightly="lightly/loss/swav_loss.py"),
        "sinkhorn_iterations": Source(authors="script:35", lightly="lightly/loss/swav_loss.py"),
        "queue_length": Source(authors="script:38", lightly="none in SwaVModel; 384 in SwaVQueueModel"),
        "queue_start_epoch": Source(authors="script:39", lightly="as the authors, in SwaVQueueModel"),
        "local_views": Source(
            authors="6, script:28",
            lightly="6",
            note="the number of views is the grid's; the article's memory shows two",
        ),
        "local_size_share": Source(authors="96 of 224, script:29", lightly="64 of 128"),
        "local_crop_scale": Source(authors="script:30-31", lightly="the same"),
        "global_crop_scale": Source(
            authors="(0.14, 1), script:30-31", lightly="the same", note="the grid's transform crops"
        ),
        "recipe.optimizer": Source(authors="SGD under apex's LARC, which is LARS: main_swav.py:177", lightly="653"),
        "recipe.base_lr": Source(authors="script:42", lightly="655"),
        "recipe.weight_decay": Source(authors="of every tensor, script:45", lightly="656"),
        "recipe.lars_skips_1d": Source(authors="false: one group, main_swav.py:170-177"),
        "recipe.lars_norm": Source(authors="apex's LARC: |g| + wd |p|"),
        "recipe.momentum": Source(authors="main_swav.py:174"),
        "recipe.beta2": Source(lightly="torch's default"),
        "recipe.schedule": Source(authors="main_swav.py:275", lightly="658"),
        "recipe.end_lr_factor": Source(authors="0.0006 of 0.6, script:43", lightly="0, 658"),
        "recipe.frozen_epochs": Source(
            authors="5,005 steps, one epoch of ImageNet: script:44", lightly="none in SwaVModel"
        ),
        "recipe.residual_gain": Source(authors="src/resnet50.py:139", lightly="617"),
    }

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
        filling = None if steps is None else steps - steps // epochs * self.queue_start_epoch
        if filling is not None and (filling - 1) * together < self.queue_length:
            why = f"the queue is never full: {filling} steps bring {together} of its {self.queue_length} images each"
            return idle | {"queue_length": f"{why}; train for longer, or give a shorter one"}
        return idle
