"""VICReg: variance, invariance, covariance (Bardes, Ponce, LeCun 2022). The head is lightly's."""

from typing import Any

from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor

from sslbench.methods.base import Batch, Method
from sslbench.methods.vicreg.loss import vicreg_loss
from sslbench.methods.vicreg.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import gathered


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = BarlowTwinsProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        o = self.options
        z_a, z_b = (gathered(self.projection(f)) for f in self.features(batch.views))  # [n, D] each
        return vicreg_loss(z_a, z_b, o.invariance_weight, o.variance_weight, o.covariance_weight, o.eps)

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        # Constant projections have no variance; the total is then this times mu.
        return {"part": "variance", "value": 1 - self.options.eps**0.5}
