"""VICReg: variance, invariance, covariance.

Bardes, Ponce, LeCun 2022, equations 1 to 6. The head and the three terms are lightly's. The variance term is the
mean over the two views, as in the authors' code, where equation 6 has the sum; the covariance term is the sum in both.
"""

from typing import Any

from lightly.loss.vicreg_loss import covariance_loss, invariance_loss, variance_loss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor

from sslbench.backbones import Backbone
from sslbench.methods.base import Batch, Method, in_float32
from sslbench.methods.vicreg.settings import FACTS, Settings


@in_float32
def vicreg_loss(z_a: Tensor, z_b: Tensor, lam: float, mu: float, nu: float, eps: float) -> dict[str, Tensor]:
    """lam s(z_a, z_b) + mu (v(z_a) + v(z_b)) / 2 + nu (c(z_a) + c(z_b)), of projections z_a and z_b, both [n, D]."""
    invariance = invariance_loss(z_a, z_b)
    variance = (variance_loss(z_a, eps) + variance_loss(z_b, eps)) / 2
    covariance = covariance_loss(z_a) + covariance_loss(z_b)
    loss = lam * invariance + mu * variance + nu * covariance
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = BarlowTwinsProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        o = self.options
        z_a, z_b = (self.projection(f) for f in self.features(batch.views))  # [n, D] each
        return vicreg_loss(z_a, z_b, o.invariance_weight, o.variance_weight, o.covariance_weight, o.eps)

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        # Constant projections have no variance; the total is then this times mu.
        return {"part": "variance", "value": 1 - self.options.eps**0.5}
