"""SwAV: predict one view's assignment to prototypes from the other view.

Caron et al. 2020, equations 1 to 5 and algorithm 1. The projection head is lightly's. The loss and the prototypes are
ours where lightly's deviate: its prototypes have a bias, which leaves the similarities unbounded (and the exponential
of Sinkhorn's first step overflows float32 from 4.4 on); the authors' have none, and so have these.
"""

import math
from typing import Any

import torch
from lightly.models.modules.heads import SwaVProjectionHead
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from sslbench.backbones import Backbone
from sslbench.methods.base import Batch, Method, in_float32
from sslbench.methods.swav.settings import FACTS, Settings


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes q [n, K] of scores [n, K]: each row sums to 1, and prototypes are used about equally.

    In logarithms, where nothing overflows and no prototype's share vanishes.
    """
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(dim=0, keepdim=True)  # each prototype has the same share of the batch
        log_q = log_q - log_q.logsumexp(dim=1, keepdim=True)  # each view is one unit of assignment
    return log_q.exp()


@in_float32
def swav_loss(
    z: list[Tensor], prototypes: Tensor, temperature: float, epsilon: float, iterations: int
) -> dict[str, Tensor]:
    """Cross-entropy between the code of views 0 and 1 and what each other view predicts for it.

    z: [n, d] of each view, normalised here; prototypes: [K, d], of unit length.
    """
    scores = [normalize(z_v, dim=1) @ prototypes.T for z_v in z]  # [n, K] each
    loss, code_entropy = 0.0, 0.0
    for i in (0, 1):
        q = sinkhorn(scores[i], epsilon, iterations)  # [n, K]
        others = [log_softmax(scores[v] / temperature, dim=1) for v in range(len(z)) if v != i]
        loss = loss - sum((q * log_p).sum(dim=1).mean() for log_p in others) / len(others) / 2
        code_entropy = code_entropy + torch.special.entr(q).sum(dim=1).mean() / 2
    # ln K at collapse: codes and predictions are uniform
    return {"loss": loss, "code_entropy": code_entropy, "divergence": loss.detach() - code_entropy}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = SwaVProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)
        self.prototypes = nn.Linear(o.out_dim, o.prototypes, bias=False)
        self.before_step(0, 0)

    @torch.no_grad()
    def before_step(self, step: int, epoch: int) -> None:
        self.prototypes.weight.copy_(normalize(self.prototypes.weight, dim=1))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        o = self.options
        z = [self.projection(f) for f in self.features(batch.views)]  # [n, d] each
        return swav_loss(z, self.prototypes.weight, o.temperature, o.sinkhorn_epsilon, o.sinkhorn_iterations)

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(self.options.prototypes)}
