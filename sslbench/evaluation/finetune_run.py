"""One run of fine-tuning: what it trains, on which pictures, and what is counted of it at the end.

Runs are kept in the store under a digest of this module and of what it imports. So nothing stands here, or is imported,
that only draws conclusions from finished runs: a change there must not train anything anew.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sslbench.data.pack.read import PackedSet
from sslbench.data.splits import Split
from sslbench.evaluation.embed import forward, load_weights
from sslbench.store.entries import digest
from sslbench.training.device import Device
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training


class Chosen(PackedSet):
    """A pack whose training pictures are the ``chosen`` ones of a split."""

    chosen: np.ndarray | None = None

    def split(self, name: str) -> Split:
        parts = super().split(name)
        return parts if self.chosen is None else parts | {"train": self.chosen}


class Tuning(Training):
    """Training of the supervised reference that starts from the backbone in ``weights``."""

    def __init__(self, settings: dict, pack: PackedSet, device: Device, ledger: Ledger, weights: Path) -> None:
        self.weights = weights
        super().__init__(settings, pack, device, ledger)

    def _prepare(self) -> None:
        load_weights(self.method.backbone.model, self.weights)
        super()._prepare()


def run_settings(settings: dict[str, Any], pictures: int, number: int) -> dict[str, Any]:
    """The settings of one run on so many ``pictures``: its batch, its epochs, and draw ``number`` as its seed."""
    batch = min(settings["batch_size"], pictures)
    epochs = max(settings["epochs"], -(-settings["least_steps"] // (pictures // batch)))
    train = settings["cell"]["train"] | {"epochs": epochs, "batch_size": batch, "measure_every": epochs}
    return settings["cell"] | {"train": train, "seed": number}


def right_answers(training: Training, test: np.ndarray, size: int, ratio: float) -> int:
    """How many test pictures (indices into the pack) the trained network classifies rightly, in float32."""
    method, where = training.method.eval(), training.device
    features = forward(method.backbone, training.pack, test, size, ratio, where.torch, where.memory_format)
    with torch.no_grad():
        scores = method.classifier.cpu()(features)
    best = scores.sort(dim=1, descending=True, stable=True).indices[:, 0]  # equal scores go to the lower class
    return int((best.numpy() == training.pack.labels[test]).sum())


def run_key(settings: dict[str, Any], chosen: np.ndarray, start: str, ratio: float, code: str, data: dict) -> str:
    """A run's place in the store.

    Args:
        settings: of ``run_settings``.
        chosen: positions of its training pictures in the pack, int64 [n]. They stand for the code that drew them.
        start: SHA-256 of the weights that it starts from.
        ratio: how test pictures are resized.
        code, data: as for store.entries.digest.
    """
    pictures = hashlib.sha256(np.ascontiguousarray(chosen, dtype="<i8").tobytes()).hexdigest()
    return digest(settings | {"start": start, "pictures": pictures, "resize_ratio": ratio}, code, data)
