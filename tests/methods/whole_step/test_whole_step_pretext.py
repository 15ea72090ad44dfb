"""Whole steps of the methods that are one task on one view: SGD by their authors' recipes, with a cosine for steps.

What a task draws (squares, shuffles, patches) is taken from sslbench's, as the views are; its loss is plain.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from plain import Weights, dense, epoch_by_epoch, lightlys_sgd, norm, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, l1_loss, relu
from torch.optim import SGD

pytestmark = pytest.mark.parity


def drawn_by(owner: object, name: str) -> list:
    """What ``owner.name`` returned at each call, as the run goes on."""
    seen, real = [], getattr(owner, name)

    def noted(images: Tensor) -> object:
        seen.append(real(images))
        return seen[-1]

    setattr(owner, name, noted)
    return seen


def rotation(ours: Ours, network: Network, w: Weights) -> Callable[[list], Tensor]:
    """Each image in its four turns within one batch, and which it is."""

    def loss_of(views: list) -> Tensor:
        turned = torch.cat([views[0].images.rot90(k, (2, 3)) for k in range(4)])
        logits = dense(w, "task.classifier", network.of(w, turned)[0])
        return cross_entropy(logits, torch.arange(4).repeat_interleave(8))

    return loss_of


def lorot(ours: Ours, network: Network, w: Weights) -> Callable[[list], Tensor]:
    turned = drawn_by(ours.method.task, "turned")

    def loss_of(_views: list) -> Tensor:
        images, turns = turned[-1]
        return cross_entropy(dense(w, "task.classifier", network.of(w, images)[0]), turns)

    return loss_of


def dcl(ours: Ours, network: Network, w: Weights) -> Callable[[list], Tensor]:
    """Which of both is shuffled, and where each of 4 x 4 tiles was, by rows and columns around 0."""
    shuffled = drawn_by(ours.method.task, "shuffled")

    def loss_of(views: list) -> Tensor:
        images, tiles = shuffled[-1]
        whole = torch.arange(16).reshape(1, 4, 4).expand_as(tiles)
        features, maps = network.of(w, torch.cat([views[0].images, images]))
        is_shuffled = torch.cat([torch.zeros(8, dtype=torch.long), (tiles != whole).flatten(1).any(1).long()])
        destruction = cross_entropy(dense(w, "task.classifier", features), is_shuffled)
        tiles = torch.cat([whole, tiles])
        target = torch.stack([tiles.div(4, rounding_mode="floor"), tiles % 4], dim=1)
        found = conv2d(maps, w["task.locator.weight"], w["task.locator.bias"]).tanh()
        return destruction + l1_loss(found, (target - 1.5).double() / 4)

    return loss_of


def contextprediction(ours: Ours, network: Network, w: Weights) -> Callable[[list], Tensor]:
    """fc7 with batch norm that has no gain, fc8, fc9."""
    cut = drawn_by(ours.method, "patches")

    def loss_of(_views: list) -> Tensor:
        patches, positions = cut[-1]
        features = network.of(w, patches)[0]
        pairs = torch.cat([features[0::2], features[1::2]], dim=1)
        fc7 = relu(norm(w, "head.1", dense(w, "head.0", pairs)))
        return cross_entropy(dense(w, "head.5", relu(dense(w, "head.3", fc7))), positions)

    return loss_of


def supervised(ours: Ours, network: Network, w: Weights) -> Callable[[list], Tensor]:
    labels = iter(ours.labels)
    return lambda views: cross_entropy(dense(w, "classifier", network.of(w, views[0].images)[0]), next(labels))


# Rate at a batch of 8, decay of tensors and of 1-D ones, Nesterov, warm-up, and whether rates are set by epochs.
RECIPES = {
    rotation: (0.1 * 8 / 128, 5e-4, 5e-4, True, False, True),  # config/CIFAR10_RotNet_NIN4blocks.py
    lorot: (0.1 * 8 / 128, 2e-4, 2e-4, False, True, True),  # Imbalanced/cifar_train_lorot-I.py
    contextprediction: (0.2 * 8 / 512, 1e-4, 1e-4, False, True, False),  # mmselfsup's relative-loc
    supervised: (0.1 * 8 / 256, 1e-4, 0.0, True, True, False),  # Goyal et al.
}


def authors(ours: Ours, task: Callable) -> Iterator[Step]:
    network, w = Network(), learning(ours.start, ours.method)
    loss_of = task(ours, network, w)  # here, before the first step of ours, what it draws is hooked
    if task is dcl:  # lightly's recipe for SGD
        return epoch_by_epoch(ours, w, loss_of, *lightlys_sgd(ours, w))
    return by_recipe(ours, w, loss_of, *RECIPES[task])


def by_recipe(
    ours: Ours,
    w: Weights,
    loss_of: Callable[[list], Tensor],
    peak: float,
    decay: float,
    decay_1d: float,
    nesterov: bool,
    warm: bool,
    per_epoch: bool,
) -> Iterator[Step]:
    wide, flat = ([p for p in trained(w) if (p.ndim == 1) == one] for one in (False, True))
    groups = [{"params": wide, "weight_decay": decay}, {"params": flat, "weight_decay": decay_1d}]
    optimizer = SGD(groups, lr=1.0, momentum=0.9, nesterov=nesterov)
    plan = ours.plan if warm else replace(ours.plan, warmup=0)
    for step, views in enumerate(ours.views):
        loss = loss_of(views)
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = peak * warm_cosine(plan, step, per_epoch=per_epoch)
        optimizer.step()
        yield loss, w


@pytest.mark.parametrize("task", [rotation, lorot, dcl, contextprediction, supervised])
@in_both_lengths
def test_a_task_on_one_view_by_its_authors_recipe(plan, task):
    options = {contextprediction: {"hidden_dim": 16, "pairs": 2}, supervised: {"classes": 4}}
    same(Ours(task.__name__, "authors", plan, options.get(task, {})), lambda ours: authors(ours, task))
