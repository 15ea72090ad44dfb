"""VICReg's loss, which VICRegL takes too.

Bardes, Ponce, LeCun 2022, equations 1 to 6. Two of the terms are lightly's. The variance term is the mean over the two
views, as in the authors' code, where equation 6 has the sum; the covariance term is the sum in both.
"""

from lightly.loss.vicreg_loss import invariance_loss, variance_loss
from torch import Tensor

from sslbench.nn.covariance import covariance_loss
from sslbench.nn.precision import in_float32


@in_float32
def vicreg_loss(z_a: Tensor, z_b: Tensor, lam: float, mu: float, nu: float, eps: float) -> dict[str, Tensor]:
    """lam s(z_a, z_b) + mu (v(z_a) + v(z_b)) / 2 + nu (c(z_a) + c(z_b)), of projections z_a and z_b, both [n, D]."""
    invariance = invariance_loss(z_a, z_b)
    variance = (variance_loss(z_a, eps) + variance_loss(z_b, eps)) / 2
    covariance = covariance_loss(z_a) + covariance_loss(z_b)
    loss = lam * invariance + mu * variance + nu * covariance
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}
