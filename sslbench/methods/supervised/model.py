"""Training with labels: a linear classifier on pooled features and cross-entropy, on one view of each picture."""

import math
from typing import Any

from torch import Tensor, nn

from sslbench.methods.base import Batch, Method
from sslbench.methods.supervised.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import gathered
from sslbench.nn.precision import in_float32

UNKNOWN = -1  # label of an unlabelled picture, which counts for nothing


@in_float32
def classification_loss(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of logits [n, classes] with labels [n], and the share of labelled pictures that are right."""
    known = labels != UNKNOWN
    count = known.sum().clamp(min=1)  # a batch without any label has loss 0
    loss = nn.functional.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum") / count
    return {"loss": loss, "top1": ((logits.argmax(dim=1) == labels) & known).sum() / count}


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        if self.options.classes is None:
            raise ValueError("supervised: options['classes'] is filled in from the data set before the model is built")
        self.classifier = nn.Linear(backbone.num_features, self.options.classes)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        (features,) = self.features(batch.views)  # [n, F]
        return classification_loss(gathered(self.classifier(features)), gathered(batch.labels))

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(self.options.classes)}
