"""Context prediction: where does one patch of a picture lie beside another?

Doersch, Gupta, Efros 2015, section 3. Both patches pass one network; their pooled features meet late, in the head,
which is the authors' fc7 to fc9 with batch norm without scale and shift after the first. Patches are brought to the
contrast and scale that normalised pictures have.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.methods.base import Batch, Method
from sslbench.methods.contextprediction.patches import blurring, cut, draw_blurring, draw_places, prepared
from sslbench.methods.contextprediction.settings import FACTS, Settings
from sslbench.methods.pretext_tasks.base import classification
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import mine, whole
from sslbench.transforms.spec import Normalize

POSITIONS = 8


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.patch, self.gap, self.jitter = o.sizes(input_size)
        try:
            backbone.map_size(self.patch)
        except UserError as error:
            raise UserError(
                f"{error}. {FACTS.title} cuts such patches at input_size {input_size}; raise input_size or patch_share"
            ) from error
        self.smallest = min(max(2, round(o.smallest_share * self.patch)), self.patch - 1)
        self.register_buffer("blurring", blurring(self.patch, self.smallest), persistent=False)
        deviation = torch.tensor(Normalize().std).view(3, 1, 1)
        self.register_buffer("deviation", deviation, persistent=False)
        self.head = nn.Sequential(
            nn.Linear(2 * backbone.num_features, o.hidden_dim, bias=False),
            nn.BatchNorm1d(o.hidden_dim, affine=False),
            nn.ReLU(),
            nn.Linear(o.hidden_dim, o.hidden_dim),
            nn.ReLU(),
            nn.Linear(o.hidden_dim, POSITIONS),
        )

    def patches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Patches [n * pairs * 2, 3, p, p], ready for the backbone, first and second in turn; labels [n * pairs]."""
        o, n, device = self.options, len(images), images.device
        top, left, label = draw_places(whole(n) * o.pairs, images.shape[-1], self.patch, self.gap, self.jitter)
        count = 2 * len(label)
        row = draw_blurring(count, o.downsampled, self.patch, self.smallest)
        kept, noise = torch.randint(3, (count,)), torch.randn(3, self.patch, self.patch)
        top, left, row, kept, label = (mine(x).to(device, non_blocking=True) for x in (top, left, row, kept, label))
        noise = noise.to(device, non_blocking=True)
        patches = cut(images, top.view(n, -1), left.view(n, -1), self.patch).flatten(0, 1)
        return prepared(patches, self.blurring[row], kept, noise, self.deviation, o.colour), label

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        images = batch.views[0].images
        patches, labels = self.patches(images)
        features = self.backbone(patches)  # [n * pairs * 2, F]
        self.last_features = features.detach().reshape(len(images), -1, features.shape[1]).mean(dim=1)
        return classification(self.head(features.reshape(len(labels), -1)), labels)

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(POSITIONS)}
