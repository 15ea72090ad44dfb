"""Whole steps of MoCo."""

import math
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import Weights, dense, epoch_by_epoch, lightlys_sgd, trained
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, relu
from torch.optim import SGD

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 8, "queue": 24, "statistics_group": 4}


def encode(network: Network, w: Weights, images: Tensor, prefix: str = "") -> Tensor:
    """Unit vectors by an encoder with version 2's head: [n, 8]."""
    x = network.of(w, images, f"{prefix}backbone")[0]
    name = f"{prefix}projection.layers"
    return normalize(dense(w, f"{name}.2", relu(dense(w, f"{name}.0", x))), dim=1)


def contrast(q: Tensor, k: Tensor, queue: list[Tensor], temperature: float) -> Tensor:
    """The cross-entropy of picking each query's own key among itself and the queue's."""
    logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ torch.cat(queue).T], dim=1)
    return cross_entropy(logits / temperature, torch.zeros(len(q), dtype=torch.long))


@torch.no_grad()
def move(w: Weights, m: float) -> None:
    """A step begins by moving the keys' encoder, which is here the end of the one before: at first both are equal."""
    for name, slow in w.items():
        if name.startswith("momentum_"):
            slow.copy_(m * slow + (1 - m) * w[name.removeprefix("momentum_")])


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, MocoModel, but for its bank, which the second half of a step finds with the first's keys
    in it: here both halves find that of the step before."""
    fast, slow, w = Network(), Network(), learning(ours.start, ours.method)
    queue = [ours.start["queue"]]  # the oldest key last

    def loss_of(views: list) -> Tensor:
        q = [encode(fast, w, view.images) for view in views]
        with torch.no_grad():
            k = [encode(slow, w, view.images, "momentum_") for view in views]
        loss = 0.5 * (contrast(q[0], k[1], queue, 0.1) + contrast(q[1], k[0], queue, 0.1))
        queue[:] = [torch.cat([k[0], k[1], *queue])[:24]]
        return loss

    for loss, weights in epoch_by_epoch(ours, w, loss_of, *lightlys_sgd(ours, w)):
        move(w, 0.99)
        yield loss, weights


def authors(ours: Ours, orders: list[Tensor]) -> Iterator[Step]:
    """main_moco.py and moco/builder.py, version 2, on two devices, each with batch statistics of its own.

    orders: that in which the step's keys are shuffled comes last.
    """
    fast, slow, w = Network(), Network(), learning(ours.start, ours.method)
    queue = list(ours.start["queue"].flip(0).split(8))  # batches, the newest last
    optimizer = SGD(trained(w), lr=0.03 * 8 / 256, momentum=0.9, weight_decay=1e-4)
    for step, (first, second) in enumerate(ours.views):
        q = torch.cat([encode(fast, w, share) for share in first.images.chunk(2)])
        with torch.no_grad():
            shuffled = second.images[orders[-1]]
            k = torch.cat([encode(slow, w, share, "momentum_") for share in shuffled.chunk(2)])
            k = k[orders[-1].argsort()]
        loss = contrast(q, k, queue, 0.2)
        queue = [*queue[1:], k]
        epoch = step // ours.plan.steps
        optimizer.param_groups[0]["lr"] = 0.03 * 8 / 256 * 0.5 * (1 + math.cos(math.pi * epoch / ours.plan.epochs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        move(w, 0.999)
        yield loss, w


@in_both_lengths
def test_moco_by_lightlys_script(plan):
    same(Ours("moco", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_moco_by_its_authors_script(plan):
    orders, draw = [], torch.randperm

    def noted(n: int) -> Tensor:
        orders.append(draw(n))
        return orders[-1]

    ours = Ours("moco", "authors", plan, NARROW)
    with mock.patch.object(torch, "randperm", noted):
        same(ours, lambda ours: authors(ours, orders))
    assert len(orders) == plan.total and len({tuple(order.tolist()) for order in orders}) > 1
