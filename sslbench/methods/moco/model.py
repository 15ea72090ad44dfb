"""MoCo: find a picture's key, made by a slow copy of the network, among a queue of earlier batches' keys.

He et al. 2020, equation 1 and algorithm 1; the MLP head (version 2) is lightly's. The loss and the queue are ours:
lightly's memory bank is in no checkpoint and waits for the device at each step, and in its symmetric form the second
half finds the first half's keys, of the same pictures, among its negatives. As in algorithm 1, keys see the momentum
network after it moved towards the very weights that made the queries: the engine moves it after each step, not before.
"""

import math
from copy import deepcopy
from typing import Any

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor, nn
from torch.nn.functional import normalize

from sslbench.errors import UserError
from sslbench.methods.base import Batch, Method, spread
from sslbench.methods.moco.settings import FACTS, Settings
from sslbench.methods.moco.shuffle_bn import in_groups
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged, gathered, whole
from sslbench.nn.precision import in_float32, widened


@in_float32
def moco_loss(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> dict[str, Tensor]:
    """-log softmax of each query's own key among itself and the queue.

    q, k: [n, d], normalised here; queue: [K, d] of unit length. "found": share of queries nearest to their own key.
    """
    q, k = normalize(q, dim=1), normalize(k.detach(), dim=1)
    positive, negative = (q * k).sum(dim=1, keepdim=True), q @ queue.T  # [n, 1], [n, K]
    logits = torch.cat([positive, negative], dim=1) / temperature
    loss = (logits.logsumexp(dim=1) - logits[:, 0]).mean()
    return {"loss": loss, "found": (positive.detach() > negative.detach()).all(dim=1).to(loss.dtype).mean()}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        mlp = o.head == "mlp"
        width = backbone.num_features
        self.projection = MoCoProjectionHead(width, o.hidden_dim, o.out_dim) if mlp else nn.Linear(width, o.out_dim)
        self.momentum_backbone = deepcopy(self.backbone).requires_grad_(False)
        self.momentum_projection = deepcopy(self.projection).requires_grad_(False)
        # The newest key first: shifted as a whole, a queue has neither a pointer nor an end to wrap around.
        self.register_buffer("queue", normalize(torch.randn(o.queue, o.out_dim), dim=1))
        self.fresh: list[Tensor] = []  # the step's keys, which enter the queue when all its losses have been taken

    def check_pictures(self, n: int, together: int, devices: int = 1) -> None:
        super().check_pictures(n, together, devices)
        o = self.options
        if not self.backbone.batch_statistics or o.key_batch_norm == "plain":
            return
        if together < 2 * o.statistics_group:
            raise UserError(
                f"key_batch_norm is {o.key_batch_norm!r} in groups of {o.statistics_group} pictures, and {together} at "
                "a time make no two groups; lower statistics_group, or set key_batch_norm: plain"
            )
        groups = together // o.statistics_group
        if devices > 1 and (together % groups or groups % devices):
            raise UserError(
                f"key_batch_norm is {o.key_batch_norm!r} in groups of {o.statistics_group} pictures, and {together} at "
                f"a time make no equal groups for {devices} devices; choose another statistics_group, or devices: 1"
            )

    def before_step(self, step: int, epoch: int) -> None:
        self.fresh.clear()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        first, second = (view.images for view in batch.views)
        features, q = self._queries(first)
        self.last_features = features.detach()
        k = self._keys(second)
        parts = moco_loss(q, k, self.queue, self.options.temperature)
        self.fresh.append(gathered(k))
        if self.options.symmetric:
            (_, q_b), k_b = self._queries(second), self._keys(first)
            mirrored = moco_loss(q_b, k_b, self.queue, self.options.temperature)
            parts = {name: (parts[name] + mirrored[name]) / 2 for name in parts}
            self.fresh.append(gathered(k_b))
        return averaged(parts) | {"spread": spread(gathered(q))}

    @torch.no_grad()
    def after_backward(self, step: int, epoch: int) -> None:
        newest = torch.cat([*self.fresh[::-1], self.queue])
        self.queue.copy_(newest[: len(self.queue)])
        self.fresh.clear()

    def _queries(self, images: Tensor) -> tuple[Tensor, Tensor]:
        size = self._group(whole(len(images)), "shuffle")
        features = in_groups(self.backbone, images, size)  # [n, F]
        return features, self.projection(features)

    @torch.no_grad()
    def _keys(self, images: Tensor) -> Tensor:
        size = self._group(whole(len(images)), "shuffle", "split")
        features = in_groups(self.momentum_backbone, images, size, shuffled=self.options.key_batch_norm == "shuffle")
        return normalize(widened(self.momentum_projection(features)), dim=1)

    def _group(self, n: int, *kinds: str) -> int:
        grouped = self.backbone.batch_statistics and self.training and self.options.key_batch_norm in kinds
        return self.options.statistics_group if grouped else n

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.backbone, self.momentum_backbone), (self.projection, self.momentum_projection)]

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(1 + self.options.queue)}  # every key equally like the query
