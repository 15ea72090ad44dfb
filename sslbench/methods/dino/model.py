"""DINO: predict, from any view, how a slow copy of the network distributes a global view over prototypes.

Caron et al. 2021, equations 1 to 4 and algorithm 1. The teacher's outputs are centred, against one prototype taking
all, and sharpened, against all prototypes being equal. The loss is ours: lightly's moves the center as it is computed,
so once per part of an accumulated step, and gives neither of the terms that tell how it collapsed. Batch statistics
are those of one view, as in lightly; the authors' are of both global views.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from sslbench.methods.base import Batch, Method
from sslbench.methods.dino.head import Head
from sslbench.methods.dino.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged
from sslbench.nn.precision import in_float32, widened


@in_float32
def dino_loss(
    student: list[Tensor], teacher: list[Tensor], center: Tensor, student_temperature: float, teacher_temperature: float
) -> dict[str, Tensor]:
    """Cross-entropy of each student view with each teacher view but its own, averaged over these pairs.

    student: [n, K] of every view; teacher: [n, K] of the global views, which come first among the student's.
    Divergence 0 is collapse of either kind (paper, figure 7); teacher_entropy, 0 or ln K, says of which.
    """
    q = [softmax((t.detach() - center) / teacher_temperature, dim=1) for t in teacher]  # [n, K] each
    log_p = [log_softmax(s / student_temperature, dim=1) for s in student]  # [n, K] each
    pairs = [(t, s) for t in range(len(q)) for s in range(len(log_p)) if t != s]
    loss = -sum((q[t] * log_p[s]).sum(dim=1).mean() for t, s in pairs) / len(pairs)
    entropy = sum(torch.special.entr(q_t).sum(dim=1).mean() for q_t in q) / len(q)
    return {"loss": loss, "teacher_entropy": entropy, "divergence": loss.detach() - entropy}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        self.head = Head(backbone.num_features, self.options)
        # The teacher starts as the student's copy, as the authors' does; lightly's head starts from weights of its own.
        # Its batch norm keeps statistics of its own.
        self.teacher_backbone = deepcopy(self.backbone).requires_grad_(False)
        self.teacher_head = deepcopy(self.head).requires_grad_(False)
        self.register_buffer("center", torch.zeros(self.options.out_dim))
        self.fresh: list[Tensor] = []  # mean teacher outputs [K] of the step's parts

    def before_step(self, step: int, epoch: int) -> None:
        self.fresh.clear()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        o = self.options
        student = [self.head(f) for f in self.features(batch.views)]  # [n, K] each
        with torch.no_grad():
            features = self.teacher_backbone.each([view.images for view in batch.views[:2]])
            teacher = [self.teacher_head(f) for f in features]
            self.fresh.append(averaged(torch.stack([widened(t).mean(dim=0) for t in teacher]).mean(dim=0)))
        self.last_watched = {"teacher": features[0]}
        temperatures = o.student_temperature, teacher_temperature(o, batch.epoch)
        return averaged(dino_loss(student, teacher, self.center, *temperatures))

    @torch.no_grad()
    def after_backward(self, step: int, epoch: int) -> None:
        # Equation 4, once a step. The loss that was just taken saw the center of the step before.
        self.center.lerp_(torch.stack(self.fresh).mean(dim=0), 1 - self.options.center_momentum)
        self.fresh.clear()

    @property
    def evaluated(self) -> Backbone:
        return self.teacher_backbone if self.options.publish == "teacher" else self.backbone

    def watched(self) -> dict[str, Backbone]:
        return {"teacher": self.teacher_backbone}

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.backbone, self.teacher_backbone), (self.head, self.teacher_head)]

    def parts(self) -> dict[str, nn.Module]:
        return {"last_layer": self.head.last}

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "divergence", "value": 0.0}


def teacher_temperature(o: Settings, epoch: int) -> float:
    """Linear from the warm-up's first epoch to its last, then constant, as in the authors' code."""
    if epoch >= o.warmup_temperature_epochs - 1:
        return o.teacher_temperature
    start, share = o.warmup_teacher_temperature, epoch / (o.warmup_temperature_epochs - 1)
    return start + share * (o.teacher_temperature - start)
