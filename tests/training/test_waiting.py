"""A step asks the device nothing: no shape, branch or index in views, losses and optimisers depends on its data.

Proven without a GPU by the ``meta`` device, whose tensors have no values: reading one, or counting what a mask
selects, raises. Where there is a GPU, tests/training/test_gpu.py runs the same under torch's own check.
"""

import contextlib
import importlib
import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sslbench import registry
from sslbench.errors import UserError
from sslbench.methods.base import Batch
from sslbench.nn.backbone import Backbone
from sslbench.nn.random import generator
from sslbench.training import optimizers
from sslbench.transforms.ops import base as batched
from sslbench.transforms.ops import blur, color, normalize
from sslbench.transforms.pipeline import ViewMaker, to_device

TRAINED = [*registry.METHODS, "supervised"]
N, SIZE = 6, 64


@pytest.fixture
def meta(monkeypatch) -> torch.device:
    """The device, which torch.autocast refuses: there is no arithmetic to be made in another precision."""
    real = torch.autocast

    def autocast(device, *rest, **named):
        return contextlib.nullcontext() if device == "meta" else real(device, *rest, **named)

    monkeypatch.setattr(torch, "autocast", autocast)
    return torch.device("meta")


def method_of(name: str, size: int = SIZE):
    package = (registry.METHODS | registry.REFERENCES)[name]
    settings = registry.load(f"{package}.settings").Settings
    options = {field: 16 for field in settings.model_fields if field.endswith("dim")}
    if name == "supervised":
        options["classes"] = 4
    chosen = settings(**options)
    model = registry.load(f"{package}.model").Model
    given = chosen.model_dump(exclude={"recipe"}), size
    try:
        return model(Backbone("test_resnet", {}, size), *given), chosen
    except UserError:  # it asks for a vision transformer
        return model(Backbone("test_vit", {}, size), *given), chosen


def operations(name: str) -> list[dict]:
    return [o.model_dump() for o in registry.load(registry.TRANSFORMS[name]).Settings().branch(0)]


def views_of(makers: list[ViewMaker], device: torch.device, want_locations: bool) -> list:
    """Views on ``device`` of pictures that are drawn there; their boxes' resizing, which reads bytes, is left out."""
    heights, widths = torch.full((N,), 70), torch.full((N,), 80)
    made = []
    for number, maker in enumerate(makers):
        drawn = to_device(maker.draw(heights, widths, generator(0, "view", number)), device)
        images = torch.rand(N, 3, maker.size, maker.size, device=device)
        locations = maker.crop.locations(drawn["crop"], maker.size) if want_locations else None
        for step, operation in maker.steps.items():
            images = operation.apply_(images, drawn[step])
            if want_locations and operation.geometric:
                locations = operation.apply_locations(locations, drawn[step])
        made.append(type("View", (), {"images": images, "locations": locations}))
    return made


@pytest.mark.parametrize("name", TRAINED)
def test_views_loss_gradients_optimiser_and_momentum_encoder_read_nothing(name, meta):
    model, settings = method_of(name)
    recipe = settings.recipe.model_dump()
    model = model.to(meta).train()
    online, momentum = optimizers.momentum_parameters(model.momentum_pairs())
    optimizer = optimizers.build(recipe, optimizers.groups(recipe, model.parameters(), []))
    makers = [ViewMaker(operations("simclr"), view.size, view.crop_scale) for view in settings.views(SIZE)]
    labels = torch.zeros(N, dtype=torch.int64, device=meta) if name == "supervised" else None
    for step in range(2):  # the second finds the optimiser's state
        model.before_step(step, 0)
        losses = model.loss(Batch(views_of(makers, meta, model.want_locations), labels))
        losses["loss"].sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.set_rates(optimizer, 0.1, 0.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if momentum:
            optimizers.update_momentum(online, momentum, 0.99)
        torch.stack([value.detach().sum().double() for value in losses.values()])
    with pytest.raises((RuntimeError, NotImplementedError)):
        losses["loss"].item()  # the device does refuse to be read


@pytest.mark.parametrize("kind", ["sgd", "lars", "adam", "adamw"])
def test_no_optimiser_reads_its_parameters(kind, meta):
    recipe = method_of("simclr")[1].recipe.model_dump() | {"optimizer": kind, "weight_decay": 0.01}
    network = torch.nn.Linear(3, 2, device=meta)
    optimizer = optimizers.build(recipe, [{"params": network.parameters()}])
    for _ in range(2):
        network(torch.ones(4, 3, device=meta)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("transform", list(registry.TRANSFORMS))
def test_views_on_a_gpu_ask_nothing_of_it(transform, monkeypatch):
    """FakeTensorMode runs the branches for CUDA and raises where a value or a data-dependent shape is asked for."""
    caches = batched.constant, blur._places
    for cache in caches:  # they must neither hand real tensors in nor keep fake ones
        monkeypatch.setattr(importlib.import_module(cache.__module__), cache.__name__, cache.__wrapped__)
    for module in (color, normalize):
        monkeypatch.setattr(module, "constant", batched.constant)
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker = ViewMaker(operations(transform), SIZE)
        device, drawn = torch.device("cuda"), {}
        for step, operation in maker.steps.items():
            with torch._subclasses.fake_tensor.unset_fake_temporarily():
                drawn[step] = operation.draw(N, SIZE, SIZE, generator(0, step))
        moved = {
            step: {name: torch.empty(value.shape, dtype=value.dtype, device=device) for name, value in mine.items()}
            for step, mine in drawn.items()
        }
        images = torch.rand(N, 3, SIZE, SIZE, device=device)
        for step, operation in maker.steps.items():
            images = operation.apply_(images, moved[step])
        assert images.device.type == "cuda"


def test_views_sharing_a_pass_are_those_of_passes_of_their_own():
    torch.manual_seed(0)
    network = Backbone("test_vit", {}, 64)
    views = [torch.randn(3, 3, size, size) for size in (64, 32, 64, 64)]
    real, passes = network.model.forward_features, []
    network.model.forward_features = lambda x: passes.append(len(x)) or real(x)
    together, maps = network.each(views), network.each_maps(views)
    assert passes == [9, 3, 9, 3]
    network.model.forward_features = real
    for view, features, (pooled, spatial) in zip(views, together, maps, strict=True):
        expected = network.maps(view)
        torch.testing.assert_close(features, expected[0])
        torch.testing.assert_close(pooled, expected[0])
        torch.testing.assert_close(spatial, expected[1])


@pytest.mark.parametrize(("name", "statistics"), [("test_resnet", True), ("test_vit", False), ("test_convnext", False)])
def test_batch_norm_keeps_views_apart_and_nothing_else_does(name, statistics):
    network = Backbone(name, {}, 64).train()
    assert network.batch_statistics == statistics
    real, passes = network.model.forward_features, []
    network.model.forward_features = lambda x: passes.append(len(x)) or real(x)
    network.each([torch.randn(2, 3, 64, 64)] * 2)
    assert passes == ([2, 2] if statistics else [4])
