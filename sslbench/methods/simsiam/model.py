"""SimSiam: predict one view's projection from the other's, through a stop-gradient.

Chen, He 2021, equation 2 and algorithm 1. Heads (no affine in the projection's last batch norm) and loss are lightly's.
"""

from typing import Any

from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from sslbench.methods.base import Batch, Method, spread
from sslbench.methods.simsiam.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged, gathered
from sslbench.nn.precision import in_float32


@in_float32
def simsiam_loss(p_a: Tensor, p_b: Tensor, z_a: Tensor, z_b: Tensor) -> Tensor:
    """Negative cosine of predictions p with the other view's projections z, all [n, D]; no gradient reaches z."""
    negative_cosine = NegativeCosineSimilarity()
    return (negative_cosine(p_a, z_b.detach()) + negative_cosine(p_b, z_a.detach())) / 2


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = SimSiamProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)
        self.prediction = SimSiamPredictionHead(o.out_dim, o.prediction_hidden_dim, o.out_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        z_a, z_b = (self.projection(f) for f in self.features(batch.views))  # [n, D] each
        p_a, p_b = self.prediction(z_a), self.prediction(z_b)  # [n, D] each
        return {"loss": averaged(simsiam_loss(p_a, p_b, z_a, z_b)), "spread": spread(gathered(z_a))}

    def parts(self) -> dict[str, nn.Module]:
        return {"predictor": self.prediction}

    # No trivial loss: a constant output reaches the optimum, -1, so the loss cannot tell; `spread` can.
