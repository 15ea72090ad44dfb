"""Whole steps of SwAV."""

from collections.abc import Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import Weights, epoch_by_epoch, mlp, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import log_softmax, normalize
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 8, "prototypes": 12}


@torch.no_grad()
def codes(scores: Tensor) -> Tensor:
    """Sinkhorn and Knopp's algorithm on scores [n, K]: a column's shares are equal, then a row's sum is 1."""
    q = torch.exp(scores / 0.05)
    q = q / q.sum()
    for _ in range(3):
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


@torch.no_grad()
def features(network: Network, w: Weights, views: list) -> list[Tensor]:
    """Unit vectors of each view, after the prototypes have been put back to unit length."""
    w["prototypes.weight"].copy_(normalize(w["prototypes.weight"], dim=1))
    with torch.enable_grad():
        return [normalize(mlp(w, "projection.layers", network.of(w, v.images)[0], hidden=1), dim=1) for v in views]


def swapped(z: list[Tensor], prototypes: Tensor, queues: list[Tensor] | None = None) -> Tensor:
    """Each view's codes, found among the queue's where there is one, predicted from the other view."""
    loss = 0.0
    for i in (0, 1):
        among = z[i] if queues is None else torch.cat([queues[i], z[i]])
        q = codes(among.detach() @ prototypes.T)[-len(z[i]) :]
        loss = loss - 0.5 * (q * log_softmax(z[1 - i] @ prototypes.T / 0.1, dim=1)).sum(dim=1).mean()
    return loss


class Larc:
    """apex's LARC without clipping around SGD: every tensor, biases too, has a ratio, but where it or its gradient is
    0: there it takes the gradient as it is, without decay."""

    def __init__(self, params: list[Tensor], decay: float) -> None:
        self.params, self.decay = params, decay
        self.velocity: dict[int, Tensor] = {}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            update, length, slope = p.grad, p.norm(), p.grad.norm()
            if length != 0 and slope != 0:
                update = (update + self.decay * p) * 0.001 * length / (slope + length * self.decay + 1e-8)
            self.velocity[i] = update.clone() if i not in self.velocity else 0.9 * self.velocity[i] + update
            p.sub_(rate * self.velocity[i])
            p.grad = None


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, SwaVModel, but for the prototypes' bias, which they do not have here."""
    network, w = Network(), learning(ours.start, ours.method)
    optimizer = Adam(trained(w), lr=1e-3 * 8 / 256, weight_decay=1e-6)
    scheduler = CosineAnnealingLR(optimizer, ours.plan.epochs)

    def loss_of(views: list) -> Tensor:
        return swapped(features(network, w, views), w["prototypes.weight"])

    return epoch_by_epoch(ours, w, loss_of, optimizer, scheduler)


def authors(ours: Ours) -> Iterator[Step]:
    """main_swav.py by scripts/swav_200ep_bs256_pretrain.sh, but for the batch statistics, which are of one view
    here.
    """
    network, w, plan = Network(), learning(ours.start, ours.method), ours.plan
    optimizer = Larc(trained(w), decay=1e-6)
    queues = [torch.zeros(16, 8, dtype=torch.float64) for _ in range(2)]
    for step, views in enumerate(ours.views):
        epoch = step // plan.steps
        z = features(network, w, views)
        full = bool((queues[0][-1] != 0).any())
        loss = swapped(z, w["prototypes.weight"], queues if full else None)
        if epoch >= plan.queue_start:
            queues = [torch.cat([x.detach(), queue[:-8]]) for x, queue in zip(z, queues, strict=True)]
        loss.backward()
        if epoch < plan.frozen:
            w["prototypes.weight"].grad = None
        optimizer.step(0.6 * 8 / 256 * warm_cosine(plan, step, end=0.0006 / 0.6, warmup=0))
        yield loss, w
    assert full


@in_both_lengths
def test_swav_by_lightlys_script(plan):
    same(Ours("swav", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_swav_by_its_authors_script(plan):
    queue = {"queue_length": 16, "queue_start_epoch": plan.queue_start}
    same(Ours("swav", "authors", plan, NARROW | queue), authors)
