"""What several of the plain loops need, written from papers and scripts: layers, LARS, rates, and lightly's loop."""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from harness import Ours, Plan, Step
from torch import Tensor
from torch.nn.functional import batch_norm, linear, relu
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

Weights = dict[str, Tensor]


def norm(w: Weights, name: str, x: Tensor) -> Tensor:
    """Batch norm of rows [n, d] by their own statistics, in training."""
    return batch_norm(x, None, None, w.get(f"{name}.weight"), w.get(f"{name}.bias"), training=True)


def dense(w: Weights, name: str, x: Tensor) -> Tensor:
    return linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def mlp(w: Weights, name: str, x: Tensor, hidden: int, last_norm: bool = False) -> Tensor:
    """``hidden`` times a linear layer, batch norm and ReLU, then a linear layer, and batch norm where asked for."""
    for i in range(0, 3 * hidden, 3):
        x = relu(norm(w, f"{name}.{i + 1}", dense(w, f"{name}.{i}", x)))
    x = dense(w, f"{name}.{3 * hidden}", x)
    return norm(w, f"{name}.{3 * hidden + 1}", x) if last_norm else x


def trained(w: Weights) -> list[Tensor]:
    return [p for p in w.values() if p.requires_grad]


def warm_cosine(plan: Plan, step: int, end: float = 0.0, per_epoch: bool = False, warmup: int | None = None) -> float:
    """The share of the peak rate: up to 1 over the warm-up, then half a cosine to ``end`` where the run is over.

    The warm-up's first step has a rate above 0, where the authors' codes begin at 0.
    """
    warmup = plan.warmup if warmup is None else warmup  # in epochs
    at, total, warm = step, plan.total, warmup * plan.steps
    if per_epoch:
        at, total, warm = step // plan.steps, plan.epochs, warmup
    if at < warm:
        return (at + 1) / warm
    q = 0.5 * (1 + math.cos(math.pi * (at - warm) / (total - warm)))
    return q + end * (1 - q)


class AuthorsLars:
    """LARS as Barlow Twins, VICReg, VICRegL and BYOL have it: vectors have neither its ratio nor decay."""

    def __init__(self, params: Iterable[Tensor], decay: float) -> None:
        self.params, self.decay = list(params), decay
        self.mu = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate: float, vector_rate: float | None = None) -> None:
        for p, mu in zip(self.params, self.mu, strict=True):
            update, lr = p.grad, rate
            if p.ndim == 1:
                lr = rate if vector_rate is None else vector_rate
            else:
                update = update + self.decay * p
                length, of_update = p.norm(), update.norm()
                if length > 0 and of_update > 0:
                    update = update * 0.001 * length / of_update
            mu.mul_(0.9).add_(update)
            p.sub_(lr * mu)
            p.grad = None


def lightlys_sgd(ours: Ours, w: Weights, rate: float = 6e-2 * 8 / 256) -> tuple[Optimizer, LRScheduler]:
    """Of most of the script's models at a batch of 8: one group, and a cosine without warm-up, epoch by epoch."""
    optimizer = SGD(trained(w), lr=rate, momentum=0.9, weight_decay=5e-4)
    return optimizer, CosineAnnealingLR(optimizer, ours.plan.epochs)


def epoch_by_epoch(
    ours: Ours, w: Weights, loss_of: Callable[[list], Tensor], optimizer: Optimizer, scheduler: LRScheduler
) -> Iterator[Step]:
    """Lightning's loop: the scheduler steps when an epoch is over."""
    for step, views in enumerate(ours.views):
        loss = loss_of(views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % ours.plan.steps == 0:
            scheduler.step()
        yield loss, w
