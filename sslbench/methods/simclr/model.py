"""SimCLR: find the other view of a picture among all views in the batch.

Chen, Kornblith, Norouzi, Hinton 2020, equation 1. The head (batch norm after both layers) is lightly's; without it, or
with a linear one, are the other two rows of the paper's section 4.2 (figure 8).
"""

import math
from typing import Any

import torch
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from sslbench.methods.base import Batch, Method
from sslbench.methods.simclr.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.covariance import off_diagonal
from sslbench.nn.distributed import gathered
from sslbench.nn.precision import in_float32


@in_float32
def nt_xent_loss(z_a: Tensor, z_b: Tensor, temperature: float) -> dict[str, Tensor]:
    """Mean over the 2n views of -s_ij / tau + log sum_k exp(s_ik / tau), with cosines s of z_a and z_b, both [n, d].

    The same steps as lightly's NTXentLoss without its memory bank, which asks the device where a mask is true.
    """
    n = len(z_a)
    a, b = normalize(z_a, dim=1), normalize(z_b, dim=1)
    (aa, ab), (ba, bb) = ([torch.einsum("nc,mc->nm", x, y) / temperature for y in (a, b)] for x in (a, b))
    of_a = torch.cat([ab, off_diagonal(aa).view(n, -1)], dim=1)  # [n, 2n - 1], the positive in column i of row i
    of_b = torch.cat([ba, off_diagonal(bb).view(n, -1)], dim=1)
    loss = cross_entropy(torch.cat([of_a, of_b]), torch.arange(n, device=z_a.device).repeat(2))
    with torch.no_grad():  # the two terms, for the curves
        attraction = -cosine_similarity(z_a, z_b).mean() / temperature
    return {"loss": loss, "attraction": attraction, "repulsion": loss.detach() - attraction}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        match o.head:
            case "mlp":
                self.projection = SimCLRProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)
            case "linear":
                self.projection = nn.Linear(backbone.num_features, o.out_dim)
            case "none":
                self.projection = nn.Identity()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        z_a, z_b = (gathered(self.projection(f)) for f in self.features(batch.views))  # [n, d] each
        parts = nt_xent_loss(z_a, z_b, self.options.temperature)
        return parts | {"loss": self.options.loss_scale * parts["loss"]}

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any] | None:
        # Equal similarities to the 2n - 1 other views of the batch.
        return {"part": "loss", "value": self.options.loss_scale * math.log(2 * batch_size - 1)} if batch_size else None
