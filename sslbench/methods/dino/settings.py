"""DINO's options and recipe for ResNet-18; lightly means its docs/.../imagenette_benchmark.py, batch 256.

"Code" is the authors' main_dino.py, with the arguments of their ResNet-50 where those differ from its defaults.
"""

from typing import Annotated, Literal

from pydantic import Field

from sslbench.methods.spec import (
    CropScale,
    MethodFacts,
    MethodSettings,
    MomentumRecipe,
    Share,
    Temperature,
    ViewSpec,
    Width,
)

FACTS = MethodFacts(
    title="DINO",
    family="distillation",
    paper="Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, ICCV 2021, arXiv 2104.14294",
    several_devices=True,
)


class Settings(MethodSettings):
    parts = ("last_layer",)

    hidden_dim: Width = 2048  # paper, section 3.1; lightly
    bottleneck_dim: Width = 256  # paper, appendix C; lightly
    out_dim: Annotated[int, Field(ge=2)] = 2048  # lightly; the paper's ImageNet has 65536
    head_batch_norm: bool = False  # paper, section 3.2, and code; lightly has it
    norm_last_layer: bool = True  # code: the last layer's rows keep unit length; False: they learn their lengths
    student_temperature: Temperature = 0.1  # paper, section 3.2; lightly
    teacher_temperature: Temperature = 0.04  # code, ResNet-50; lightly; the paper's ViTs rise to 0.07
    warmup_teacher_temperature: Temperature = 0.04  # code; lightly
    warmup_temperature_epochs: Annotated[int, Field(ge=0)] = 0  # code, ResNet-50; 30 for the paper's ViTs
    center_momentum: Share = 0.9  # code; lightly; the paper's appendix D finds 0 to 0.99 alike
    publish: Literal["teacher", "student"] = "teacher"  # code: eval_linear.py, eval_knn.py; lightly's kNN: the student
    # The paper adds eight small views (two-view runs: its table 8), lightly six. As with SwAV, here they are asked for.
    local_views: Annotated[int, Field(ge=0)] = 0
    local_size_share: Annotated[float, Field(gt=0, le=1)] = 96 / 224  # of input_size; paper, section 3.2
    local_crop_scale: CropScale = (0.05, 0.14)  # code, ResNet-50; lightly (0.05, 0.4), as the paper's ViTs
    global_crop_scale: CropScale | None = None  # None: the transform's; (0.14, 1) is the code's for ResNet-50
    recipe: MomentumRecipe = MomentumRecipe(
        optimizer="sgd",  # lightly; code, ResNet-50
        base_lr=0.06,  # lightly; code, ResNet-50: 0.03
        weight_decay=5e-4,  # lightly; code, ResNet-50: 1e-4
        momentum=0.9,
        warmup_epochs=10,  # paper, section 3.2; code
        frozen_epochs={"last_layer": 1},  # code
        ema_start=0.996,  # paper, section 3.1; lightly: 0.99 throughout
        ema_end=1.0,  # paper, section 3.1
        clip_gradient_norm=3.0,  # code, of each tensor by itself; here, as in lightly's ResNet-50, of all together
    )

    def views(self, input_size: int) -> list[ViewSpec]:
        size = max(8, round(input_size * self.local_size_share))
        local = ViewSpec(role="local", size=size, crop_scale=self.local_crop_scale)
        pair = [ViewSpec(size=input_size, crop_scale=self.global_crop_scale, branch=branch) for branch in (0, 1)]
        return pair + [local] * self.local_views
