"""A backbone that can be had. It is never trained, so it has no loss; evaluation/frozen.py loads and embeds."""

from torch import Tensor

from sslbench.methods.base import Batch, Method
from sslbench.methods.pretrained.settings import FACTS, Settings


class Model(Method):
    settings = Settings
    facts = FACTS

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        raise RuntimeError("pretrained weights are not trained on: give them 0 epochs")
