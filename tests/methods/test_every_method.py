"""What every registered method must do. A new method is tested by being registered.

Heads are shrunk through options named ``*_dim`` and ``prototypes``: name the widths of yours so.
"""

import json
import re

import pytest
import torch
from pydantic import ValidationError

from sslbench import registry
from sslbench.errors import UserError
from sslbench.methods.base import Batch, Method
from sslbench.methods.spec import MethodFacts
from sslbench.nn.backbone import Backbone
from sslbench.training.device import computing
from tests.methods.method_batches import build, make_batch

LEARNED = [*registry.METHODS, "supervised"]
ALL = registry.METHODS | registry.REFERENCES
SIZE = 64


def small_options(name: str) -> dict:
    fields = registry.load(f"{ALL[name]}.settings").Settings.model_fields
    options = {field: 24 for field in fields if field.endswith("_dim") or field == "prototypes"}
    return options | ({"classes": 4} if name == "supervised" else {})


def variants(name: str) -> list[dict]:
    """Small options of a method, once for each of its forms and with local views where it knows them."""
    small = small_options(name)
    if name == "vicregl":
        return [small, small | {"form": "lightly-1.2"}, small | {"local_views": 2}]
    if name == "simclr":
        return [small, small | {"head": "linear"}, small | {"head": "none"}]
    if name == "moco":
        return [small, small | {"head": "linear", "symmetric": False}]
    if name == "dino":
        grown = {"norm_last_layer": False, "head_batch_norm": False, "publish": "student"}
        return [small, small | {"local_views": 2}, small | grown]
    if name == "lorot":
        return [small, small | {"variant": "explicit"}]
    if name == "contextprediction":
        return [small, small | {"colour": "drop"}]
    if name == "swav":
        queue = {"queue_length": 8, "queue_start_epoch": 0}
        return [small, small | {"local_views": 2}, small | queue]
    return [small]


CASES = [pytest.param(n, o, id=f"{n}{i or ''}") for n in LEARNED for i, o in enumerate(variants(n))]


def facts(name: str) -> MethodFacts:
    return registry.load(f"{ALL[name]}.settings").FACTS


def small(name: str, options: dict, seed: int = 0) -> Method:
    return build(name, "test_vit" if facts(name).backbones == "vit" else "test_resnet", SIZE, options, seed).train()


def total_and_gradients(model: Method, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(0)
    loss = model.loss(batch)["loss"]
    trained = [p for p in model.parameters() if p.requires_grad]
    return loss.detach(), list(torch.autograd.grad(loss, trained))


class Untouchable:
    """Labels that must not be read."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"a self-supervised method read the labels (.{name})")


@pytest.mark.parametrize("name", ALL)
def test_settings_have_defaults_and_survive_json(name):
    module = registry.load(f"{ALL[name]}.settings")
    settings = module.Settings()
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    assert module.Settings.model_validate(json.loads(text)) == settings
    assert isinstance(module.FACTS, MethodFacts)
    assert (module.FACTS.family == "reference") == (name in registry.REFERENCES)
    if name in registry.METHODS:
        assert re.search(r"arXiv \d{4}\.\d{5}", module.FACTS.paper)


@pytest.mark.parametrize("name", LEARNED)
def test_only_with_a_momentum_encoder_must_the_recipe_have_its_momentum(name):
    settings = registry.load(f"{ALL[name]}.settings").Settings
    changed = {"recipe": settings().recipe.model_dump() | {"ema_start": None}}
    if small(name, small_options(name)).momentum_pairs():
        with pytest.raises(ValidationError, match=r"recipe\.ema_start\n"):
            settings.model_validate(changed)
    else:
        settings.model_validate(changed)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_views_start_with_a_global_one_of_the_input_size(name, options):
    views = registry.load(f"{ALL[name]}.settings").Settings.model_validate(options).views(SIZE)
    assert (views[0].role, views[0].size) == ("global", SIZE)
    assert all(view.size == SIZE for view in views if view.role == "global")
    assert all(view.size < SIZE and view.crop_scale for view in views if view.role == "local")


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_loss_is_a_finite_scalar_with_named_parts(name, options):
    model = small(name, options)
    parts = model.loss(make_batch(model, n=6))
    assert "loss" in parts
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", part) for part in parts)
    assert not set(parts) & {"epoch", "step", "lr", "ema", "online_top1"}  # other columns of curve.csv
    assert all(value.shape == () and torch.isfinite(value) and value.dtype == torch.float32 for value in parts.values())
    trivial = model.trivial_loss(6)
    assert trivial is None or (trivial["part"] in parts and isinstance(trivial["value"], float))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradients_reach_every_trained_parameter_and_no_momentum_network(name, options):
    model = small(name, options)
    with torch.no_grad():  # timm starts residual branches at 0, where their weights have no gradient yet
        for parameter in model.backbone.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.loss(make_batch(model, n=6))["loss"].backward()
    frozen = {id(p) for _, momentum in model.momentum_pairs() for p in momentum.parameters()}
    for parameter_name, parameter in model.named_parameters():
        if id(parameter) in frozen:
            assert parameter.grad is None, parameter_name
            assert not parameter.requires_grad, parameter_name
        elif not parameter.requires_grad:
            assert parameter_name.endswith("pos_embed"), parameter_name  # fixed positions alone are not trained
        else:
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
    weights = [p for p in model.backbone.parameters() if p.ndim > 1 and p.requires_grad]
    assert all(p.grad.abs().sum() > 0 for p in weights)


@pytest.mark.parametrize("name", registry.METHODS)
def test_labels_are_never_read(name):
    model = small(name, small_options(name))
    batch = make_batch(model, n=4)
    torch.manual_seed(0)
    without = model.loss(batch)["loss"]
    batch.labels = Untouchable()
    torch.manual_seed(0)
    assert torch.equal(model.loss(batch)["loss"], without)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_equal_seeds_give_equal_losses_and_gradients(name, options):
    runs = []
    for _ in range(2):
        model = small(name, options, seed=5)
        runs.append(total_and_gradients(model, make_batch(model, n=4)))
    assert torch.equal(runs[0][0], runs[1][0])
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))
    other = small(name, options, seed=6)
    assert not torch.equal(total_and_gradients(other, make_batch(other, n=4))[0], runs[0][0])


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_order_of_the_pictures_in_a_batch_does_not_matter(name, options):
    if facts(name).changes_views:
        pytest.skip("what this loss draws for a picture goes by its place in the batch")
    model = small(name, options)
    batch = make_batch(model, n=6)
    before = model.loss(batch)["loss"]
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for view in batch.views:
        view.images = view.images[order]
        view.locations = None if view.locations is None else view.locations[order]
    batch.labels = None if batch.labels is None else batch.labels[order]
    torch.testing.assert_close(model.loss(batch)["loss"], before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_half_precision_gives_a_finite_float32_loss_and_gradients(name, options):
    with computing("cpu", 1, {"precision": "bf16", "channels_last": True, "deterministic": True}) as device:
        model = device.place(small(name, options))
        torch.manual_seed(0)  # what the loss draws
        with device.autocast():
            parts = model.loss(make_batch(model, n=6))
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in parts.values())
    parts["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_saved_state_restores_the_very_loss(name, options):
    first, second = small(name, options, seed=1), small(name, options, seed=2)
    batch = make_batch(first, n=4)
    for _ in range(2):
        first.loss(batch)  # statistics have moved
    first.before_step(1, 0)
    second.load_state_dict(first.state_dict())
    for mode in (True, False):
        torch.manual_seed(0)
        saved = first.train(mode).loss(batch)["loss"]
        torch.manual_seed(0)
        assert torch.equal(second.train(mode).loss(batch)["loss"], saved)


@pytest.mark.parametrize("name", LEARNED)
def test_last_features_are_the_pooled_features_of_view_0(name):
    model = small(name, small_options(name))
    batch = make_batch(model, n=4)
    model.loss(batch)
    features = model.last_features
    assert features.shape == (4, model.backbone.num_features)
    assert not features.requires_grad
    if not model.facts.changes_views:
        torch.testing.assert_close(features, model.backbone(batch.views[0].images).detach())
    assert isinstance(model.evaluated, Backbone)


ONE_BLOCK_A_STAGE = {"resnet50": {"layers": (1, 1, 1, 1)}}  # its 2048 features at a third of the cost


# test_convnext takes no view below 32 px: at 160 px the patches of context prediction have 34
@pytest.mark.parametrize(("backbone", "size"), [("resnet50", 64), ("test_convnext", 160), ("test_vit", 64)])
@pytest.mark.parametrize("name", LEARNED)
def test_every_method_trains_over_resnet50_a_convnext_and_a_vit(name, backbone, size):
    if facts(name).backbones == "vit" and backbone != "test_vit":
        with pytest.raises(UserError, match=f"{backbone} is none"):
            build(name, backbone, size, small_options(name))
        return
    narrow = {} if name == "byol" else ONE_BLOCK_A_STAGE.get(backbone, {})  # and one method at full depth
    model = build(name, backbone, size, small_options(name), backbone_options=narrow).train()
    parts = model.loss(make_batch(model, n=4))
    assert torch.isfinite(parts["loss"])
    parts["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.backbone.parameters() if p.requires_grad)
    assert sum(p.grad.abs().sum() for p in model.backbone.parameters() if p.requires_grad) > 0


@pytest.mark.parametrize("name", LEARNED)
def test_one_step_downhill_lowers_the_loss(name):
    model = small(name, small_options(name))
    batch = make_batch(model, n=6)
    trained = [p for p in model.parameters() if p.requires_grad]
    before, gradients = total_and_gradients(model, batch)
    length = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    with torch.no_grad():
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter -= 1e-2 * gradient / length
    torch.manual_seed(0)
    assert model.loss(batch)["loss"] < before
