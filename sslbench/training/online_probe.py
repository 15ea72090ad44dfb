"""The online probe: a linear head that learns beside the method, to show while it runs whether it learns at all.

It is a curve, never a result. It takes detached features, has its own optimiser and draws nothing, so the method's
weights are the same bits with it and without it. Labels of the held-out training pictures never reach the head; its
accuracy is measured on them.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import skip_init

from sslbench.nn.distributed import gathered
from sslbench.nn.random import generator
from sslbench.training.checkpoint import load_module_state, module_state
from sslbench.training.device import Device

MEASURED = 1000  # at most so many held-out pictures are looked at
BLOCK = 250  # pictures a forward pass
LR = 1e-3  # Adam on standardised features: the head learns at the same pace whatever the features' scale


def holdout(labels: np.ndarray, train: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Indices out of ``train`` to hold out: of each class's n pictures round(share * n), at least 1 where n > 1.

    In a seeded random order, so that any first part is a fair sample.
    """
    held = []
    for label in np.unique(labels[train]):
        members = train[labels[train] == label]
        if label < 0 or share == 0 or len(members) < 2:
            continue
        order = torch.randperm(len(members), generator=generator(seed, "holdout", int(label))).numpy()
        held.append(members[order[: max(1, round(share * len(members)))]])
    if not held:
        return np.empty(0, np.int64)
    held = np.concatenate(held)
    return held[torch.randperm(len(held), generator=generator(seed, "holdout")).numpy()]


class OnlineProbe:
    """A linear head on batch-normalised features (no affine part, He et al. 2022, appendix A.1), zero at the start.

    Args:
        features: width of the features.
        classes: number of classes.
        labels: [N] of the whole packed set, -1 where unlabelled.
        held: indices of the held-out pictures.
    """

    def __init__(self, features: int, classes: int, labels: np.ndarray, held: np.ndarray, device: Device) -> None:
        self.device = device
        self.held = torch.from_numpy(held[:MEASURED])
        self.truth = torch.from_numpy(labels)[self.held].to(device.torch)
        seen = torch.from_numpy(labels.copy())
        seen[torch.from_numpy(held)] = -1
        self.labels = seen
        # skip_init: torch's own start would draw from the global generator.
        self.head = nn.Sequential(nn.BatchNorm1d(features, affine=False), skip_init(nn.Linear, features, classes))
        self.head.to(device.torch)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.optimizer = torch.optim.Adam(self.head.parameters(), lr=LR)

    def learn(self, features: Tensor, indices: Tensor) -> None:
        """One step of the head on detached features [n, F] of the pictures ``indices``."""
        labels = self.labels[indices]
        if len(labels) < 2 or not (labels >= 0).any():
            return
        labels = self.device.send(labels)
        loss = cross_entropy(self.head(features.detach().float()), labels, ignore_index=-1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def measure(self, backbone: nn.Module, images_of: Callable[[Tensor], Tensor]) -> float:
        """Top-1 accuracy on the held-out pictures, both networks in eval mode; every module's mode is put back.

        ``images_of`` makes the evaluation view [n, 3, s, s] of picture indices [n].
        """
        modes = [(module, module.training) for module in backbone.modules()]
        backbone.eval()
        self.head.eval()
        try:
            correct = torch.zeros((), dtype=torch.int64, device=self.device.torch)
            for start in range(self.device.rank * BLOCK, len(self.held), self.device.world * BLOCK):
                images = images_of(self.held[start : start + BLOCK])
                with self.device.autocast():
                    features = backbone(images)
                guess = self.head(features.float()).argmax(dim=1)
                correct += (guess == self.truth[start : start + BLOCK]).sum()
            return gathered(correct[None]).sum().item() / len(self.held)
        finally:
            self.head.train()
            for module, training in modes:
                module.training = training

    def state(self) -> dict:
        return {"head": module_state(self.head), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict) -> None:
        load_module_state(self.head, state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
