"""Whole steps of VICReg, and of VICRegL, which is its criterion on whole images and on matched positions."""

from collections.abc import Callable, Iterator

import pytest
import torch
from harness import Network, Ours, Step, in_both_lengths, learning, same
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler
from plain import AuthorsLars, Weights, dense, epoch_by_epoch, mlp, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import layer_norm, mse_loss, relu

pytestmark = pytest.mark.parity

NARROW = {"hidden_dim": 16, "out_dim": 12}
# Fewer pairs than the 16 positions of the map, so that they are chosen.
NARROW_L = NARROW | {"form": "paper", "local_hidden_dim": 12, "local_out_dim": 8, "matches": (6, 4)}


def variance(z: Tensor) -> Tensor:
    return relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """The squares beside the diagonal, over d; of z [n, slots, d] the mean over slots."""
    z = z.reshape(len(z), -1, z.shape[-1])
    z = z - z.mean(dim=0)
    c = torch.einsum("nsc,nsd->scd", z, z) / (len(z) - 1)
    beside = ~torch.eye(z.shape[2], dtype=torch.bool)
    return (c * beside).square().sum(dim=(1, 2)).mean() / z.shape[2]


def vicreg(network: Network, w: Weights, views: list) -> Tensor:
    a, b = (mlp(w, "projection.layers", network.of(w, view.images)[0], hidden=2) for view in views)
    return 25 * mse_loss(a, b) + 25 * (variance(a) + variance(b)) / 2 + covariance(a) + covariance(b)


def vicregl(
    network: Network, w: Weights, views: list, local_head: Callable, pairs_by_feature: Callable, pairs: Callable
) -> Tensor:
    """Three quarters of VICReg with the mean of the covariances, and a quarter of that on two kinds of pairs."""
    features, maps = zip(*(network.of(w, view.images) for view in views), strict=True)
    a, b = (mlp(w, "projection.layers", f, hidden=2) for f in features)
    whole = 25 * mse_loss(a, b) + 25 * (variance(a) + variance(b)) / 2 + (covariance(a) + covariance(b)) / 2

    local = [local_head(m.flatten(2).transpose(1, 2)) for m in maps]  # [n, 16, d]
    cells = [view.locations.reshape(-1, 2, 4, 8, 4, 8).mean(dim=(3, 5)).flatten(2).transpose(1, 2) for view in views]
    parts = 0.0
    for first, second in ((0, 1), (1, 0)):
        for at, matched in ((local, pairs_by_feature), (cells, pairs)):
            for here, there, count in ((first, second, 6), (second, first, 4)):
                apart = (at[here].detach()[:, :, None] - at[there].detach()[:, None]).square().sum(dim=3).sqrt()
                x, y = matched(local[here], local[there], apart, count)
                spread, mixed = variance(x) + variance(y), covariance(x) + covariance(y)
                parts = parts + (25 * mse_loss(x, y) + 25 * spread / 2 + mixed / 2) / 2
    return 0.75 * whole + 0.25 * parts / 2


def nearest_first(x: Tensor, others: Tensor, apart: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """lightly's pairs: the ``count`` positions whose neighbour is nearest, the nearest first."""
    shortest, neighbour = apart.min(dim=2)
    rows = [(image, int(p)) for image in range(len(x)) for p in shortest[image].argsort()[:count]]
    return _gathered(x, others, neighbour, rows)


def in_place(x: Tensor, others: Tensor, apart: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The authors' pairs: the same positions, in the order in which they lie in the map."""
    shortest, neighbour = apart.min(dim=2)
    rows = [(image, p) for image in range(len(x)) for p in sorted(shortest[image].argsort()[:count].tolist())]
    return _gathered(x, others, neighbour, rows)


def all_in_place(x: Tensor, others: Tensor, apart: Tensor, _count: int) -> tuple[Tensor, Tensor]:
    """The authors' l2_all_matches."""
    return in_place(x, others, apart, x.shape[1])


def _gathered(x: Tensor, others: Tensor, neighbour: Tensor, rows: list) -> tuple[Tensor, Tensor]:
    chosen = torch.stack([x[i, p] for i, p in rows]), torch.stack([others[i, neighbour[i, p]] for i, p in rows])
    return tuple(rows.reshape(len(x), -1, x.shape[2]) for rows in chosen)


def with_layer_norms(w: Weights, rows: Tensor) -> Tensor:
    for i in (0, 3):
        x = dense(w, f"local_projection.layers.{i}", rows)
        gain, bias = (w[f"local_projection.layers.{i + 1}.{kind}"] for kind in ("weight", "bias"))
        rows = relu(layer_norm(x, x.shape[-1:], gain, bias))
    return dense(w, "local_projection.layers.6", rows)


def with_batch_norms(w: Weights, rows: Tensor) -> Tensor:
    n, positions, _ = rows.shape
    return mlp(w, "local_projection.layers", rows.flatten(0, 1), hidden=2).reshape(n, positions, -1)


def loss_of(name: str, preset: str, w: Weights) -> Callable[[list], Tensor]:
    network = Network()
    if name == "vicreg":
        return lambda views: vicreg(network, w, views)
    head, matching = {
        "lightly": (with_layer_norms, (nearest_first, nearest_first)),
        "authors": (with_batch_norms, (all_in_place, in_place)),
    }[preset]
    return lambda views: vicregl(network, w, views, lambda rows: head(w, rows), *matching)


def lightly(ours: Ours) -> Iterator[Step]:
    """imagenette_benchmark.py, VICRegModel and VICRegLModel, with lightly's own LARS over everything."""
    w = learning(ours.start, ours.method)
    optimizer = LARS(trained(w), lr=0.3 * 8 / 256, weight_decay=1e-4, momentum=0.9)
    scheduler = CosineWarmupScheduler(optimizer, ours.plan.warmup, ours.plan.epochs)
    name = ours.settings["method"]["name"]
    return epoch_by_epoch(ours, w, loss_of(name, "lightly", w), optimizer, scheduler)


def authors(ours: Ours) -> Iterator[Step]:
    """main_vicreg.py; main_vicregl.py, optimizers.py and utils.py by the README's command for a ResNet."""
    w = learning(ours.start, ours.method)
    optimizer = AuthorsLars(trained(w), decay=1e-6)
    criterion = loss_of(ours.settings["method"]["name"], "authors", w)
    for step, views in enumerate(ours.views):
        loss = criterion(views)
        loss.backward()
        optimizer.step(0.3 * 8 / 256 * warm_cosine(ours.plan, step, end=0.001))
        yield loss, w


@pytest.mark.parametrize(("name", "options"), [("vicreg", NARROW), ("vicregl", NARROW_L)])
@in_both_lengths
def test_vicreg_and_vicregl_by_lightlys_script(plan, name, options):
    same(Ours(name, "lightly", plan, options), lightly)


@pytest.mark.parametrize(("name", "options"), [("vicreg", NARROW), ("vicregl", NARROW_L)])
@in_both_lengths
def test_vicreg_and_vicregl_by_their_authors_scripts(plan, name, options):
    same(Ours(name, "authors", plan, options), authors)
