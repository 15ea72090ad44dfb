"""SwAV's options and recipe for ResNet-18, and their sources.

Authors: facebookresearch/swav at 06b1b7c, with scripts/swav_200ep_bs256_pretrain.sh ("script"), and the paper. Lightly:
docs/source/getting_started/benchmarks/imagenette_benchmark.py at e8d317f, batch 256; other files of lightly by name.
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
        "hidden_dim": Source(authors="2048; main_swav.py:107", lightly="2048; 621"),
        "out_dim": Source(authors="128; script:36", lightly="128; 621"),
        "prototypes": Source(
            authors="3000; script:37; paper, section 4.1",
            lightly="3000; 622",
            note="without bias, as the authors'; lightly's have one (lightly/models/modules/heads.py:590)",
        ),
        "temperature": Source(authors="0.1; script:33", lightly="0.1; lightly/loss/swav_loss.py:82"),
        "sinkhorn_epsilon": Source(authors="0.05; script:34", lightly="0.05; lightly/loss/swav_loss.py:84"),
        "sinkhorn_iterations": Source(authors="3; script:35", lightly="3; lightly/loss/swav_loss.py:83"),
        "queue_length": Source(
            authors="3840; script:38; in batches of 4,096 none",
            lightly="0; 613-659; SwaVQueueModel: 384, for a small data set; 1342",
        ),
        "queue_start_epoch": Source(
            authors="15; script:39, main_swav.py:226-231,295-304",
            lightly="no queue; SwaVQueueModel: 15, filled before; 1340,1395-1399",
        ),
        "local_views": Source(
            authors="6; script:28",
            lightly="6; 194",
            note="0 in both: two views are the protocol's, and the article's SwAV takes the memory of two",
        ),
        "local_size_share": Source(
            authors="96 of 224; script:29", lightly="64 of 128; 193", note="the authors' in both"
        ),
        "local_crop_scale": Source(
            authors="0.05 to 0.14; script:30-31", lightly="0.05 to 0.14; lightly/transforms/swav_transform.py:83-84"
        ),
        "global_crop_scale": Source(
            authors="0.14 to 1; script:30-31",
            lightly="0.14 to 1; lightly/transforms/swav_transform.py:83-84",
            note="the column's transform",
        ),
        "recipe.optimizer": Source(
            authors="sgd within apex's LARC, trust 0.001, without clipping; main_swav.py:171-177", lightly="adam; 653"
        ),
        "recipe.base_lr": Source(authors="0.6 for 256; script:42", lightly="1e-3; 655"),
        "recipe.scale_lr": Source(
            authors="no rule: 0.6 for 256, 4.8 for 4,096; script:42, main_swav.py:81", lightly="linear; 149, 655"
        ),
        "recipe.weight_decay": Source(authors="1e-6; script:45", lightly="1e-6; 656"),
        "recipe.lars_skips_1d": Source(authors="false; main_swav.py:171-177", lightly="no LARS"),
        "recipe.lars_norm": Source(authors="parts; apex at e13873d, apex/parallel/LARC.py:89-102", lightly="no LARS"),
        "recipe.momentum": Source(authors="0.9; main_swav.py:174", lightly="no SGD"),
        "recipe.beta2": Source(authors="no Adam", lightly="0.999, torch's default; 653"),
        "recipe.schedule": Source(authors="step; main_swav.py:178-182,273-275", lightly="epoch; 658"),
        "recipe.warmup_epochs": Source(authors="0; script:46", lightly="0; 658"),
        "recipe.end_lr_factor": Source(authors="0.0006 of 0.6; script:42-43", lightly="0; 658"),
        "recipe.frozen_epochs": Source(
            authors="prototypes for 5,005 steps, ImageNet's epoch at 256; script:44, main_swav.py:324-328",
            lightly="none; 622",
            note="an epoch of the data set at hand",
        ),
        "recipe.residual_gain": Source(authors="1; src/resnet50.py:139,229", lightly="1; torchvision's resnet18, 617"),
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
