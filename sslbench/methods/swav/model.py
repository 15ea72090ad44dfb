"""SwAV: predict one view's assignment to prototypes from the other view.

Caron et al. 2020, equations 1 to 5 and algorithm 1. The projection head is lightly's. The loss and the prototypes are
ours where lightly's deviate: its prototypes have a bias, which leaves the similarities unbounded (and the exponential
of Sinkhorn's first step overflows float32 from 4.4 on); the authors' have none, and so have these. The queue (section
3.1) is filled from its start epoch on and used once it is full, as in the authors' code. Batch statistics are those of
one view, as in lightly; the authors' are of both global views.
"""

import math
from typing import Any

import torch
from lightly.models.modules.heads import SwaVProjectionHead
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from sslbench.methods.base import Batch, Method
from sslbench.methods.swav.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import gathered
from sslbench.nn.precision import in_float32, widened


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
    z: list[Tensor],
    prototypes: Tensor,
    temperature: float,
    epsilon: float,
    iterations: int,
    queue: Tensor | None = None,
) -> dict[str, Tensor]:
    """Cross-entropy between the code of views 0 and 1 and what each other view predicts for it.

    z: [n, d] of each view, normalised here; prototypes: [K, d], of unit length; queue: [2, Q, d] of unit length,
    earlier features of views 0 and 1, which the codes share the prototypes with and nothing is predicted for.
    """
    scores = [normalize(z_v, dim=1) @ prototypes.T for z_v in z]  # [n, K] each
    loss, code_entropy = 0.0, 0.0
    for i in (0, 1):
        among = scores[i] if queue is None else torch.cat([scores[i], queue[i] @ prototypes.T])
        q = sinkhorn(among, epsilon, iterations)[: len(z[i])]  # [n, K]
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
        if o.queue_length:
            self.register_buffer("queue", torch.zeros(2, o.queue_length, o.out_dim))  # of each view, the newest first
        self.fresh: list[Tensor] = []  # the step's features, which enter the queue when all its losses have been taken
        self.before_step(0, 0)

    @torch.no_grad()
    def before_step(self, step: int, epoch: int) -> None:
        self.fresh.clear()
        self.prototypes.weight.copy_(normalize(self.prototypes.weight, dim=1))

    @torch.no_grad()
    def after_backward(self, step: int, epoch: int) -> None:
        if self.fresh and epoch >= self.options.queue_start_epoch:
            newest = torch.cat([*self.fresh[::-1], self.queue], dim=1)
            self.queue.copy_(newest[:, : self.options.queue_length])
        self.fresh.clear()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        o = self.options
        z = [gathered(self.projection(f)) for f in self.features(batch.views)]  # [n, d] each
        constants = (o.temperature, o.sinkhorn_epsilon, o.sinkhorn_iterations)
        if not o.queue_length:
            return swav_loss(z, self.prototypes.weight, *constants)
        self.fresh.append(torch.stack([normalize(widened(z_v.detach()), dim=1) for z_v in z[:2]]))
        # Each step that filled it brought at least as many features as this part of this one has.
        filled = (batch.step - o.queue_start_epoch * batch.steps_per_epoch) * len(z[0])
        queue = self.queue if filled >= o.queue_length else None
        return swav_loss(z, self.prototypes.weight, *constants, queue)

    def parts(self) -> dict[str, nn.Module]:
        return {"prototypes": self.prototypes}

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(self.options.prototypes)}
