"""Whole steps of DINO."""

import math
from collections.abc import Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import Weights, dense, epoch_by_epoch, lightlys_sgd, norm, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import gelu, log_softmax, normalize
from torch.optim import SGD

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "bottleneck_dim": 8, "out_dim": 12}
CLIP = 3.0


def head(w: Weights, name: str, x: Tensor, with_norms: bool) -> Tensor:
    """Three layers, unit length, and a last one whose rows have unit length: [n, 12]."""
    place = 0
    for _ in range(2):
        x = dense(w, f"{name}.layers.layers.{place}", x)
        if with_norms:
            place += 1
            x = norm(w, f"{name}.layers.layers.{place}", x)
        x = gelu(x)
        place += 2
    x = normalize(dense(w, f"{name}.layers.layers.{place}", x), dim=1)
    rows = w[f"{name}.last.weight"]
    return x @ (rows / rows.norm(dim=1, keepdim=True)).T


class Distillation:
    """Equations 1 to 4 on two views. ``center`` moves once the loss is taken."""

    def __init__(self, w: Weights, with_norms: bool) -> None:
        self.w, self.with_norms = w, with_norms
        self.student, self.teacher = Network(), Network()
        self.center = torch.zeros(12, dtype=torch.float64)

    def loss(self, views: list) -> Tensor:
        w = self.w
        with torch.no_grad():
            targets = [self.teacher.of(w, view.images, "teacher_backbone")[0] for view in views]
            targets = [head(w, "teacher_head", x, self.with_norms) for x in targets]
            sharp = [torch.softmax((t - self.center) / 0.04, dim=1) for t in targets]
        outputs = [head(w, "head", self.student.of(w, view.images)[0], self.with_norms) for view in views]
        terms = [-(sharp[a] * log_softmax(outputs[b] / 0.1, dim=1)).sum(dim=1).mean() for a, b in ((0, 1), (1, 0))]
        self.center = 0.9 * self.center + 0.1 * torch.cat(targets).mean(dim=0)
        return sum(terms) / 2

    @torch.no_grad()
    def move_teacher(self, m: float) -> None:
        for name, slow in self.w.items():
            if name.startswith("teacher_"):
                online = "backbone" if name.startswith("teacher_backbone") else "head"
                slow.mul_(m).add_((1 - m) * self.w[online + name.removeprefix(f"teacher_{online}")])


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, DINOModel. A step begins by moving the teacher, which is here the end of the one before:
    at the very first the networks are equal (lightly's heads are not, which it does not mean)."""
    w = learning(ours.start, ours.method)
    distillation = Distillation(w, with_norms=True)
    for loss, weights in epoch_by_epoch(ours, w, distillation.loss, *lightlys_sgd(ours, w)):
        distillation.move_teacher(0.99)
        yield loss, weights


def authors(ours: Ours, lengths: list[float]) -> Iterator[Step]:
    """main_dino.py by the README's command for ResNet-50, but for the batch statistics, which are of one view here, and
    the last rate, which is here the same share of the peak at every batch.

    lengths: collects those of the gradients before they are clipped.
    """
    w, plan = learning(ours.start, ours.method), ours.plan
    distillation = Distillation(w, with_norms=False)
    plain = [p for name, p in w.items() if p.requires_grad and (name.endswith(".bias") or p.ndim == 1)]
    regularized = [p for p in trained(w) if all(p is not q for q in plain)]
    groups = [{"params": regularized, "weight_decay": 1e-4}, {"params": plain}]
    optimizer = SGD(groups, lr=0, momentum=0.9)
    for step, views in enumerate(ours.views):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * 8 / 256 * warm_cosine(plan, step, end=1e-6 / 0.03)
        loss = distillation.loss(views)
        optimizer.zero_grad()
        loss.backward()
        for p in trained(w):
            lengths.append(p.grad.norm().item())
            if (share := CLIP / (lengths[-1] + 1e-6)) < 1:
                p.grad.mul_(share)
        if step // plan.steps < plan.frozen:
            w["head.last.weight"].grad = None
        optimizer.step()
        distillation.move_teacher(1 + 0.5 * (0.9995 - 1) * (1 + math.cos(math.pi * step / plan.total)))
        yield loss, w


@in_both_lengths
def test_dino_by_lightlys_script(plan):
    same(Ours("dino", "lightly", plan, NARROW), lightly)


@in_both_lengths
def test_dino_by_its_authors_script(plan):
    lengths: list[float] = []
    same(Ours("dino", "authors", plan, NARROW), lambda ours: authors(ours, lengths))
    assert min(lengths) < CLIP < max(lengths)
