"""sslbench's own training of one method by one preset, beside a plain loop that shares nothing of its engine.

Both begin with the same weights and see the same views, drawn here, at 32 px in batches of 8 and in float64. What a
preset spreads over 200 epochs is squeezed so that all of it happens within the few steps: the warm-up takes the first
2 epochs, a frozen part is released after 1, a queue begins in the 4th, cosines run over the whole.

A plain loop is a generator of (loss, weights): the loss of a step, and all weights after it by the names that they
have in sslbench's method. It reads the constants of its method in the authors' or lightly's script, not in sslbench.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sslbench import registry
from sslbench.config.validation import filled
from sslbench.methods.spec import MethodSettings
from sslbench.training import trainer
from sslbench.training.device import Device
from sslbench.training.monitor.ledger import Ledger
from sslbench.transforms.spec import merge

SIZE, BATCH, CLASSES = 32, 8, 4
# Both kinds of residual block, and a map of 4 x 4 at 32 px.
RESNET = ("test_resnet", {"channels": (8, 8, 8, 16), "stem_width": 8, "output_stride": 8})
VIT = ("test_vit", {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2})
CLOSE = 1e-9  # absolute up to 1, relative above

Step = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class Plan:
    """How long a run is, and when in it things happen, in epochs."""

    epochs: int
    steps: int  # of an epoch
    warmup: int = 2
    frozen: int = 1
    queue_start: int = 3  # counted from 0

    @property
    def total(self) -> int:
        return self.epochs * self.steps


SHORT, LONG = Plan(epochs=6, steps=2), Plan(epochs=10, steps=5)
in_both_lengths = pytest.mark.parametrize(
    "plan", [pytest.param(SHORT, id="12-steps"), pytest.param(LONG, id="50-steps", marks=pytest.mark.long)]
)


def resolved(name: str, preset: str, options: dict, recipe: dict | None = None) -> MethodSettings:
    """A method's settings as the configuration resolves them: a preset, and what is laid over it."""
    found = registry.load(f"{(registry.METHODS | registry.REFERENCES)[name]}.settings").Settings
    return filled(found, merge(found.presets[preset], options | {"recipe": recipe or {}}), name)


def cell(name: str, chosen: MethodSettings, epochs: int) -> dict:
    """The settings of a cell at 32 px, without a transform's operations."""
    vit = name == "mae"
    backbone, options = VIT if vit else RESNET
    gain = None if vit else chosen.recipe.residual_gain
    return {
        "dataset": {"source": "folder", "split": "official", "identity": {}},
        "backbone": {"name": backbone, "options": options, "residual_gain": gain},
        "input_size": SIZE,
        "method": {"name": name, "options": chosen.model_dump(exclude={"recipe"})},
        "recipe": chosen.recipe.model_dump(exclude={"residual_gain"}),
        "views": [view.model_dump() for view in chosen.views(SIZE)],
        "transform": [[], []],
        "train": {
            **{"epochs": epochs, "batch_size": BATCH, "accumulate": 1, "precision": "fp32", "holdout": 0},
            **{"channels_last": False, "compile": False, "deterministic": True, "measure_every": 1},
        },
        "seed": 0,
    }


class Ours:
    """sslbench's Training on given views.

    Args:
        options: of the method, over the preset's: narrow heads, small queues.
        recipe: fields over the preset's, beyond what is squeezed for all.

    Attributes:
        start: a copy of the method's state at the start, in float64.
        views: the views of every step, each with ``images`` and ``locations``.
        labels: int64 [8] of every step.
        method: sslbench's, to hook what it draws.
    """

    def __init__(self, name: str, preset: str, plan: Plan, options: dict, recipe: dict | None = None) -> None:
        chosen = resolved(name, preset, options)
        spread = chosen.recipe
        squeezed = {
            "warmup_epochs": plan.warmup if spread.warmup_epochs else 0,
            "frozen_epochs": dict.fromkeys(spread.frozen_epochs, plan.frozen),
        }
        chosen = resolved(name, preset, options, squeezed | (recipe or {}))
        self.settings = cell(name, chosen, plan.epochs)
        self.plan = plan
        self.views = [self._views(chosen.views(SIZE), step) for step in range(plan.total)]
        pictures = 64  # more than a queue holds
        labels = torch.arange(pictures) * 7 % CLASSES
        self.labels = [labels[step % plan.steps * BATCH :][:BATCH] for step in range(plan.total)]
        pack = SimpleNamespace(
            classes=list(range(CLASSES)), labels=labels.numpy(), split=lambda _: {"train": np.arange(pictures)}
        )
        device = _Double("cpu", self.settings["train"])
        with mock.patch.object(trainer, "Stream", lambda *_: _Given(self.views, plan.steps)):
            self.training = trainer.Training(self.settings, pack, device, Ledger(device, threads=1))
        self.method = self.training.method
        self.start = {name: value.clone() for name, value in self.method.state_dict().items()}

    def __iter__(self) -> Iterator[Step]:
        losses, real = [], self.method.loss

        def noted(batch: object) -> dict[str, Tensor]:
            parts = real(batch)
            losses.append(parts["loss"].detach().sum())
            return parts

        self.method.loss = noted
        for _ in range(self.plan.total):
            self.training.advance()
            yield losses[-1], {name: p.detach().clone() for name, p in self.method.named_parameters()}

    @staticmethod
    def _views(specs: list, step: int) -> list[SimpleNamespace]:
        """Views of 8 images that share something, each with the places of a crop of its own."""
        draw = torch.Generator().manual_seed(step)
        shared = torch.randn(BATCH, 3, 4, 4, generator=draw, dtype=torch.float64)
        views = []
        for spec in specs:
            images = torch.nn.functional.interpolate(shared, (spec.size, spec.size), mode="bilinear")
            images = images + 0.5 * torch.randn(images.shape, generator=draw, dtype=torch.float64)
            corner = 100 * torch.rand(BATCH, 2, 1, 1, generator=draw, dtype=torch.float64)
            scale = 0.5 + torch.rand(BATCH, 1, 1, 1, generator=draw, dtype=torch.float64)
            centres = torch.arange(spec.size) + 0.5
            pixels = torch.stack(torch.meshgrid(centres, centres, indexing="ij"))  # [2, s, s]
            views.append(SimpleNamespace(images=images, locations=corner + scale * pixels))
        return views


class _Double(Device):
    def place(self, module: nn.Module) -> nn.Module:
        return super().place(module).double()


class _Given:
    """Stands where the engine's stream of views stands."""

    def __init__(self, views: list, steps_per_epoch: int) -> None:
        self.given, self.steps_per_epoch = views, steps_per_epoch

    def indices(self, _epoch: int, step: int) -> Tensor:
        return torch.arange(step * BATCH, (step + 1) * BATCH)

    def draw(self, epoch: int, step: int, _indices: Tensor) -> int:
        return epoch * self.steps_per_epoch + step

    def views(self, _indices: Tensor, step: int, _start: int, _stop: int) -> list:
        return self.given[step]


class Network(nn.Module):
    """The timm network of the runs, for a plain loop: its weights are given with each call."""

    def __init__(self, name: str = RESNET[0], options: dict = RESNET[1]) -> None:
        super().__init__()
        self.model = timm.create_model(name, num_classes=0, **options).double().train()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        spatial = self.model.forward_features(images)
        return self.model.forward_head(spatial, pre_logits=True), spatial

    def of(self, weights: dict[str, Tensor], images: Tensor, prefix: str = "backbone") -> tuple[Tensor, Tensor]:
        """Pooled features [n, F] and the map [n, F, h, w] by the weights below ``prefix``."""
        own = {name.removeprefix(f"{prefix}."): w for name, w in weights.items() if name.startswith(f"{prefix}.")}
        return functional_call(self, own, (images,))


def learning(start: dict[str, Tensor], method: nn.Module) -> dict[str, Tensor]:
    """Fresh leaves of all the parameters in ``start``; those that learn by gradients require them."""
    learns = {name: p.requires_grad for name, p in method.named_parameters()}
    return {name: start[name].clone().requires_grad_(wanted) for name, wanted in learns.items()}


def same(ours: Ours, plain: Callable[[Ours], Iterator[Step]]) -> None:
    """Fails at the first step whose loss or weights differ; both runs have to end with the plan."""
    done = 0
    for number, ((loss, weights), (expected_loss, expected)) in enumerate(zip(ours, plain(ours), strict=True)):
        _close(loss, expected_loss, f"step {number}: loss")
        assert weights.keys() == expected.keys()
        for name in weights:
            _close(weights[name], expected[name].detach(), f"step {number}: {name}")
        done += 1
    assert done == ours.plan.total


def _close(found: Tensor, expected: Tensor, what: str) -> None:
    apart = ((found - expected).abs() / expected.abs().clamp(min=1)).max().item()
    assert apart <= CLOSE, f"{what} is {apart:.3g} apart"
