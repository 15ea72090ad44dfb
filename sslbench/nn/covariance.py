"""What lies beside a matrix's diagonal, by strides alone: a mask would ask the device how many entries it has."""

import torch
from torch import Tensor


def off_diagonal(square: Tensor) -> Tensor:
    """[..., n, n] -> [..., n * (n - 1)]: all entries but the diagonal's, row by row."""
    n = square.shape[-1]
    # Without its last entry, the flat matrix is n - 1 rows of n + 1, and each begins with an entry of the diagonal.
    return square.flatten(-2)[..., :-1].unflatten(-1, (n - 1, n + 1))[..., 1:].flatten(-2)


def covariance_loss(z: Tensor) -> Tensor:
    """Mean over positions of the sum of squared covariances of distinct channels, over d, for z [n, ..., d].

    Bardes, Ponce, LeCun 2022, equations 3 and 4; lightly.loss.vicreg_loss.covariance_loss, bit for bit.
    """
    z = z - z.mean(dim=0)
    n, d = z.shape[0], z.shape[-1]
    covariance = torch.einsum("b...c,b...d->...cd", z, z) / (n - 1)
    return (off_diagonal(covariance).pow(2).sum(-1) / d).mean()
