"""The backbone as it is initialised. It is never trained, so it has no loss."""

from torch import Tensor

from sslbench.methods.base import Batch, Method
from sslbench.methods.random.settings import FACTS, Settings


class Model(Method):
    settings = Settings
    facts = FACTS

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        raise RuntimeError("the random reference is not trained: give it 0 epochs")
