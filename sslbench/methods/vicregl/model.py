"""VICRegL: VICReg on pooled features, and on pairs of positions that match in feature space or in the picture.

Bardes, Ponce, LeCun 2022, equations 2 to 6. Heads and terms are lightly's. Two forms:
"paper" follows the authors' code and lightly 1.6; "lightly-1.2" follows lightly 1.2.42 to 1.3.3, where a global view is
held against a local one and matched positions have the invariance term alone. A position's place is the mean place of
its pixels, so the centre of its cell, whatever the view's geometry (lightly spaces cells w/(G-1) apart, not w/G).
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from lightly.loss.vicreg_loss import invariance_loss, variance_loss
from lightly.models.modules.heads import BarlowTwinsProjectionHead, VicRegLLocalProjectionHead
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from sslbench.methods.base import Batch, Method
from sslbench.methods.vicreg.loss import vicreg_loss
from sslbench.methods.vicregl.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.covariance import covariance_loss
from sslbench.nn.distributed import gathered
from sslbench.nn.precision import in_float32


def closest(z: Tensor, others: Tensor, distance: Tensor, count: int | None, order: str) -> tuple[Tensor, Tensor]:
    """Pairs [n, count, d] of a position and the one nearest to it: those of ``z`` [n, m, d] whose neighbour in
    ``others`` is nearest by ``distance`` [n, m, m_others]; all m where count is None or above m."""
    nearest, neighbour = distance.topk(1, largest=False)  # [n, m, 1] each
    m = z.shape[1]
    kept = nearest.topk(min(count or m, m), dim=1, largest=False).indices  # [n, count, 1], by distance
    if order == "position":
        kept = kept.sort(dim=1).values
    d = z.shape[2]
    return z.gather(1, kept.expand(-1, -1, d)), others.gather(1, neighbour.gather(1, kept).expand(-1, -1, d))


def matched_loss(
    pair_loss: Callable,
    z_a: Tensor,
    z_b: Tensor,
    at_a: Tensor,
    at_b: Tensor,
    matches: tuple[int | None, int | None],
    order: str = "distance",
) -> Tensor:
    """Mean of both directions: the positions of one view that lie closest to one of the other, with their neighbours.

    z_a: [n, m_a, d], z_b: [n, m_b, d]. at_a: [n, m_a, c], at_b: [n, m_b, c], between which distances are measured.
    matches: how many pairs from a to b and from b to a; clipped to what there is. order: of the pairs.
    """
    with torch.no_grad():
        distance = torch.cdist(at_a, at_b, compute_mode="donot_use_mm_for_euclid_dist")  # [n, m_a, m_b]
    to = pair_loss(*closest(z_a, z_b, distance, matches[0], order))
    fro = pair_loss(*closest(z_b, z_a, distance.mT, matches[1], order))
    return (to + fro) / 2


@in_float32
def vicregl_loss(
    z: list[Tensor], local: list[Tensor], places: list[Tensor], anchors: int, o: Settings
) -> dict[str, Tensor]:
    """alpha x global + (1 - alpha) x local, averaged over pairs of an anchor and another view.

    z: [n, D] of each view; local: [n, h*w, d]; places: [n, h*w, 2] in px of the source picture, the anchors first.
    """
    pairs = [(a, b) for a, b in product(range(anchors), range(len(z))) if a != b]
    lam, mu, nu = o.invariance_weight, o.variance_weight, o.covariance_weight
    # VICReg adds the views' covariance terms, VICRegL takes their mean: the authors' two codes differ by this 2.
    views_covariance, pair_loss = 1, lambda x, y: vicreg_loss(x, y, lam, mu, nu / 2, o.eps)["loss"]
    if o.form == "lightly-1.2":
        views_covariance, pair_loss = 2, lambda x, y: lam * invariance_loss(x, y)

    invariance = sum(invariance_loss(z[a], z[b]) for a, b in pairs) / len(pairs)
    variance = sum(variance_loss(z_v, o.eps) for z_v in z) / len(z)
    covariance = views_covariance * sum(covariance_loss(z_v) for z_v in z) / len(z)
    total = lam * invariance + mu * variance + nu * covariance

    feature, location = (
        sum(matched_loss(pair_loss, local[a], local[b], at[a], at[b], m, o.pair_order) for a, b in pairs) / len(pairs)
        for at, m in ((local, (None, None) if o.all_feature_matches else o.matches), (places, o.matches))
    )
    return {
        "loss": o.alpha * total + (1 - o.alpha) * (feature + location),
        "global": total,
        "feature_matches": feature,
        "location_matches": location,
        "invariance": invariance,
        "variance": variance,
        "covariance": covariance,
    }


class Model(Method):
    settings = Settings
    facts = FACTS
    want_locations = True

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.projection = BarlowTwinsProjectionHead(backbone.num_features, o.hidden_dim, o.out_dim)
        local_head = VicRegLLocalProjectionHead if o.local_norm == "layer" else BarlowTwinsProjectionHead
        self.local_projection = local_head(backbone.map_features, o.local_hidden_dim, o.local_out_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        features, maps = zip(*self.backbone.each_maps([view.images for view in batch.views]), strict=True)
        self.last_features = features[0].detach()
        z = [gathered(self.projection(f)) for f in features]  # [n, D]
        local = [gathered(self._at_each_position(m)) for m in maps]  # [n, h*w, d]
        places = [gathered(cell_centres(v.locations, m.shape[2:])) for v, m in zip(batch.views, maps, strict=True)]
        return vicregl_loss(z, local, places, 1 if self.options.form == "lightly-1.2" else 2, self.options)

    def _at_each_position(self, spatial: Tensor) -> Tensor:
        """The local head at every position of a map: [n, F, h, w] -> [n, h*w, d]."""
        rows = spatial.flatten(2).mT  # [n, h*w, F]
        return self.local_projection(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "variance", "value": 1 - self.options.eps**0.5}


def cell_centres(locations: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean place [n, h*w, 2] of the pixels under each cell of an h x w map, of their places [n, 2, s, s]."""
    return adaptive_avg_pool2d(locations, tuple(size)).flatten(2).mT
