"""BYOL: predict the projection that a slow copy of the network gives the other view.

Grill et al. 2020, equation 2, which is 2 + 2 x the mean negative cosine that is minimised here, times ``loss_scale``.
The heads are lightly's.
"""

from copy import deepcopy
from typing import Any

import torch
from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from sslbench.methods.base import Batch, Method, spread
from sslbench.methods.byol.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged, gathered
from sslbench.nn.precision import in_float32


@in_float32
def byol_loss(p_a: Tensor, p_b: Tensor, z_a: Tensor, z_b: Tensor) -> Tensor:
    """Negative cosine of predictions p with the momentum projections z of the other view, all [n, d]."""
    negative_cosine = NegativeCosineSimilarity()
    return (negative_cosine(p_a, z_b.detach()) + negative_cosine(p_b, z_a.detach())) / 2


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = BYOLProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)
        self.prediction = BYOLPredictionHead(o.out_dim, o.hidden_dim, o.out_dim)
        # The momentum networks start as copies; their batch norm keeps statistics of its own.
        self.momentum_backbone = deepcopy(self.backbone).requires_grad_(False)
        self.momentum_projection = deepcopy(self.projection).requires_grad_(False)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p_a, p_b = (self.prediction(self.projection(f)) for f in self.features(batch.views))  # [n, d] each
        with torch.no_grad():
            slow = self.momentum_backbone.each([view.images for view in batch.views])
            z_a, z_b = (self.momentum_projection(f) for f in slow)  # [n, d] each
        loss = self.options.loss_scale * averaged(byol_loss(p_a, p_b, z_a, z_b))
        return {"loss": loss, "spread": spread(gathered(p_a))}

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.backbone, self.momentum_backbone), (self.projection, self.momentum_projection)]

    # No trivial loss: a constant output reaches the optimum, so the loss cannot tell; `spread` can.
