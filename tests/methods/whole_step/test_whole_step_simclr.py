"""Whole steps of SimCLR."""

from collections.abc import Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import AuthorsLars, Weights, epoch_by_epoch, lightlys_sgd, mlp, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 8}


def loss_of(network: Network, w: Weights, views: list, temperature: float) -> Tensor:
    """Equation 1, summed over both views of each image and divided by their number."""
    z = [mlp(w, "projection.layers", network.of(w, view.images)[0], hidden=1, last_norm=True) for view in views]
    z = normalize(torch.cat(z), dim=1)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return cross_entropy(logits, torch.arange(len(z)).roll(len(z) // 2))


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, SimCLRModel."""
    network, w = Network(), learning(ours.start, ours.method)
    return epoch_by_epoch(ours, w, lambda views: loss_of(network, w, views, 0.5), *lightlys_sgd(ours, w))


def authors(ours: Ours) -> Iterator[Step]:
    """run.py, model_util.py, objective.py and the README's command; the rate is applied after the momentum."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer = AuthorsLars(trained(w), decay=1e-4)
    for step, views in enumerate(ours.views):
        loss = 2 * loss_of(network, w, views, 0.1)  # loss_a + loss_b, each a mean
        loss.backward()
        optimizer.step(0.075 * 8**0.5 * warm_cosine(ours.plan, step))
        yield loss, w


@in_both_lengths
def test_simclr_by_lightlys_script(plan):
    same(Ours("simclr", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_simclr_by_its_authors_script(plan):
    same(Ours("simclr", "authors", plan, NARROW), authors)
