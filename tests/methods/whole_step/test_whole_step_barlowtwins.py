"""Whole steps of Barlow Twins."""

from collections.abc import Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import AuthorsLars, Weights, epoch_by_epoch, lightlys_sgd, mlp, trained, warm_cosine
from torch import Tensor

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 12}


def loss_of(network: Network, w: Weights, views: list, weight: float) -> Tensor:
    """Equation 1."""
    z = [mlp(w, "projection.layers", network.of(w, view.images)[0], hidden=2) for view in views]
    a, b = ((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() for x in z)
    c = a.T @ b / len(a)
    on_diagonal = torch.eye(len(c), dtype=torch.bool)
    return (1 - c[on_diagonal]).square().sum() + weight * c[~on_diagonal].square().sum()


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, BarlowTwinsModel."""
    network, w = Network(), learning(ours.start, ours.method)
    return epoch_by_epoch(ours, w, lambda views: loss_of(network, w, views, 5e-3), *lightlys_sgd(ours, w))


def authors(ours: Ours) -> Iterator[Step]:
    """main.py."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer = AuthorsLars(trained(w), decay=1e-6)
    for step, views in enumerate(ours.views):
        loss = loss_of(network, w, views, 0.0051)
        loss.backward()
        rate = 8 / 256 * warm_cosine(ours.plan, step, end=0.001)
        optimizer.step(0.2 * rate, 0.0048 * rate)
        yield loss, w


@in_both_lengths
def test_barlow_twins_by_lightlys_script(plan):
    same(Ours("barlowtwins", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_barlow_twins_by_its_authors_script(plan):
    same(Ours("barlowtwins", "authors", plan, NARROW), authors)
