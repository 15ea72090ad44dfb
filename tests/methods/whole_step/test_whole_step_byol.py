"""Whole steps of BYOL."""

import math
from collections.abc import Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import AuthorsLars, Weights, epoch_by_epoch, lightlys_sgd, mlp, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import normalize

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 8}


def cosines(online: Network, target: Network, w: Weights, views: list) -> list[Tensor]:
    """Of each view's prediction with the target's projection of the other view: [n] each."""
    z = [mlp(w, "projection.layers", online.of(w, view.images)[0], hidden=1) for view in views]
    p = [mlp(w, "prediction.layers", x, hidden=1) for x in z]
    with torch.no_grad():
        slow = [target.of(w, view.images, "momentum_backbone")[0] for view in views]
        slow = [mlp(w, "momentum_projection.layers", x, hidden=1) for x in slow]
    return [(normalize(p[a], dim=1) * normalize(slow[b], dim=1)).sum(dim=1) for a, b in ((0, 1), (1, 0))]


@torch.no_grad()
def move(w: Weights, tau: float) -> None:
    for name, slow in w.items():
        if name.startswith("momentum_"):
            slow.copy_(tau * slow + (1 - tau) * w[name.removeprefix("momentum_")])


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, BYOLModel. A step begins by moving the target, which is here the end of the one before:
    at the very first the networks are equal."""
    online, target, w = Network(), Network(), learning(ours.start, ours.method)

    def loss_of(views: list) -> Tensor:
        first, second = cosines(online, target, w, views)
        return -0.5 * (first.mean() + second.mean())

    for loss, weights in epoch_by_epoch(ours, w, loss_of, *lightlys_sgd(ours, w)):
        move(w, 0.99)
        yield loss, weights


def authors(ours: Ours) -> Iterator[Step]:
    """byol_experiment.py, configs/byol.py for 300 epochs, utils/optimizers.py and utils/schedules.py."""
    online, target, w = Network(), Network(), learning(ours.start, ours.method)
    optimizer = AuthorsLars(trained(w), decay=1e-6)
    for step, views in enumerate(ours.views):
        regression = sum(2 - 2 * cosine for cosine in cosines(online, target, w, views)).mean()
        regression.backward()
        optimizer.step(0.3 * 8 / 256 * warm_cosine(ours.plan, step))
        decay = 0.5 * (1 + math.cos(math.pi * step / ours.plan.total))
        move(w, 1 - (1 - 0.99) * decay)
        yield regression - 4, w  # sslbench's loss leaves out the constant


@in_both_lengths
def test_byol_by_lightlys_script(plan):
    same(Ours("byol", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_byol_by_its_authors_script(plan):
    same(Ours("byol", "authors", plan, NARROW), authors)
