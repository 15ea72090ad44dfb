"""Whole steps of SimSiam."""

import math
from collections.abc import Iterator

import pytest
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import Weights, epoch_by_epoch, lightlys_sgd, mlp, trained
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim import SGD

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 16, "prediction_hidden_dim": 8}


def loss_of(network: Network, w: Weights, views: list) -> Tensor:
    """Equation 2."""
    z = [mlp(w, "projection.layers", network.of(w, view.images)[0], hidden=2, last_norm=True) for view in views]
    p = [mlp(w, "prediction.layers", x, hidden=1) for x in z]
    return -(cosine_similarity(p[0], z[1].detach()).mean() + cosine_similarity(p[1], z[0].detach()).mean()) / 2


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, SimSiamModel, whose rate does not follow the batch."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer, scheduler = lightlys_sgd(ours, w, rate=6e-2)
    return epoch_by_epoch(ours, w, lambda views: loss_of(network, w, views), optimizer, scheduler)


def authors(ours: Ours) -> Iterator[Step]:
    """main_simsiam.py with --fix-pred-lr."""
    network, w = Network(), learning(ours.start, ours.method)
    predictor = [p for name, p in w.items() if name.startswith("prediction.")]
    encoder = [p for p in trained(w) if all(p is not q for q in predictor)]
    peak = 0.05 * 8 / 256
    optimizer = SGD([{"params": encoder}, {"params": predictor}], lr=peak, momentum=0.9, weight_decay=1e-4)
    for step, views in enumerate(ours.views):
        epoch = step // ours.plan.steps
        optimizer.param_groups[0]["lr"] = peak * 0.5 * (1 + math.cos(math.pi * epoch / ours.plan.epochs))
        loss = loss_of(network, w, views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss, w


@in_both_lengths
def test_simsiam_by_lightlys_script(plan):
    same(Ours("simsiam", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_simsiam_by_its_authors_script(plan):
    same(Ours("simsiam", "authors", plan, NARROW), authors)
