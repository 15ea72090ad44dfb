"""Whole steps of SimCLR."""

from collections.abc import Iterator

import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import AuthorsLars, mlp, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

NARROW = {"hidden_dim": 16, "out_dim": 8}


def outputs(network: Network, w: dict[str, Tensor], views: list) -> list[Tensor]:
    return [mlp(w, "projection.layers", network.of(w, view.images)[0], hidden=1, last_norm=True) for view in views]


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Equation 1, summed over both views of each image and divided by their number."""
    z = normalize(torch.cat([a, b]), dim=1)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, SimCLRModel."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer = torch.optim.SGD(trained(w), lr=6e-2 * 8 / 256, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ours.plan.epochs)
    for step, views in enumerate(ours.views):
        loss = nt_xent(*outputs(network, w, views), 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % ours.plan.steps == 0:
            scheduler.step()
        yield loss, w


def authors(ours: Ours) -> Iterator[Step]:
    """run.py, model_util.py, objective.py and the README's command; the rate is applied after the momentum."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer = AuthorsLars(trained(w), decay=1e-4)
    for step, views in enumerate(ours.views):
        loss = 2 * nt_xent(*outputs(network, w, views), 0.1)  # loss_a + loss_b, each a mean
        loss.backward()
        optimizer.step(0.075 * 8**0.5 * warm_cosine(ours.plan, step))
        yield loss, w


@in_both_lengths
def test_simclr_by_lightlys_script(plan):
    same(Ours("simclr", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_simclr_by_its_authors_script(plan):
    same(Ours("simclr", "authors", plan, NARROW), authors)
