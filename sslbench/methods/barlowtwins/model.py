"""Barlow Twins: make the views' cross-correlation matrix the identity.

Zbontar, Jing, Misra, LeCun, Deny 2021, equation 1 and algorithm 1. The head and the loss are lightly's.
"""

from typing import Any

import torch
from lightly.loss.barlow_twins_loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor
from torch.nn.functional import batch_norm

from sslbench.methods.barlowtwins.settings import FACTS, Settings
from sslbench.methods.base import Batch, Method
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import gathered
from sslbench.nn.precision import in_float32


@in_float32
def barlow_twins_loss(z_a: Tensor, z_b: Tensor, redundancy_weight: float) -> dict[str, Tensor]:
    """Sum of (1 - c_ii)^2 plus lambda times the sum of c_ij^2, where c [D, D] correlates z_a with z_b, both [n, D]."""
    loss = BarlowTwinsLoss(lambda_param=redundancy_weight)(z_a, z_b)
    with torch.no_grad():  # the two terms, for the curves
        a, b = (batch_norm(z, None, None, training=True) for z in (z_a, z_b))
        invariance = (1 - (a * b).mean(dim=0)).square().sum()
    return {"loss": loss, "invariance": invariance, "redundancy": (loss.detach() - invariance) / redundancy_weight}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = BarlowTwinsProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        z_a, z_b = (gathered(self.projection(f)) for f in self.features(batch.views))  # [n, D] each
        return barlow_twins_loss(z_a, z_b, self.options.redundancy_weight)

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        # Constant projections correlate with nothing: every c_ii is 0.
        return {"part": "invariance", "value": float(self.options.out_dim)}
