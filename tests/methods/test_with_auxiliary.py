"""Pretext tasks beside a method: what is added, what is left to the method, and what a configuration makes of them."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from sslbench import registry
from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.methods.base import Method
from sslbench.methods.with_auxiliary import WithAuxiliary
from sslbench.store.code_fingerprint import closure
from sslbench.training import optimizers
from sslbench.transforms.spec import merge
from tests.methods.method_batches import build, make_batch

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())
SMALL = {"hidden_dim": 16, "out_dim": 8}
TASKS = {"lorot": {"weight": 0.25}, "rotation": {"weight": 2.0}, "dcl": {"weight": 0.5, "tiles": 2, "reach": 1}}


def wrapped(name: str, tasks: dict = TASKS) -> WithAuxiliary:
    model = WithAuxiliary(build(name, "test_resnet", 64, SMALL), tasks, 64)
    model.input_size = 64
    return model


def test_the_total_is_the_methods_loss_and_the_tasks_by_their_weights():
    model = wrapped("simclr").eval()
    batch = make_batch(model, n=4)
    parts = model.loss(batch)
    alone = model.method.loss(batch)
    torch.testing.assert_close(parts["method"], alone["loss"])
    expected = parts["method"] + sum(task["weight"] * parts[f"{name}_loss"] for name, task in TASKS.items())
    torch.testing.assert_close(parts["loss"], expected)
    assert set(parts) - set(alone) == {
        "method",
        "lorot_loss",
        "lorot_accuracy",
        "rotation_loss",
        "rotation_accuracy",
    } | {f"dcl_{part}" for part in ("loss", "destruction", "location", "accuracy")}


def test_every_gradient_is_the_sum_of_the_methods_and_the_tasks():
    model = wrapped("vicreg", {"rotation": {"turns": "all", "weight": 0.5}}).eval()  # draws nothing
    batch = make_batch(model, n=4)
    weight = next(p for p in model.backbone.parameters() if p.ndim > 1)
    (whole,) = torch.autograd.grad(model.loss(batch)["loss"], weight)
    (of_method,) = torch.autograd.grad(model.method.loss(batch)["loss"], weight)
    task_loss = model.tasks["rotation"].loss(batch.views[0].images, model.backbone)["loss"]
    (of_task,) = torch.autograd.grad(task_loss, weight)
    torch.testing.assert_close(whole, of_method + 0.5 * of_task, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["byol", "vicregl", "swav"])
def test_every_parameter_is_trained_and_kept_once(name):
    method = build(name, "test_resnet", 64, SMALL)
    model = wrapped(name)
    recipe = method.options.recipe.model_dump()
    trained = [id(p) for g in optimizers.groups(recipe, model.parameters(), []) for p in g["params"]]
    assert len(trained) == len(set(trained))
    assert set(trained) == {id(p) for p in model.parameters() if p.requires_grad}
    kept = {key.removeprefix("method.") for key in model.state_dict() if not key.startswith("tasks.")}
    assert kept == set(method.state_dict())


def test_byol_with_tasks_answers_the_engine_as_byol_does():
    model = wrapped("byol")
    model.loss(make_batch(model, n=4))
    method = model.method
    assert model.momentum_pairs() == method.momentum_pairs()
    assert model.backbone is model.evaluated is method.backbone
    assert torch.equal(model.last_features, method.last_features)
    assert (model.facts, model.want_locations) == (method.facts, method.want_locations)
    assert wrapped("vicregl").want_locations
    assert wrapped("simclr").trivial_loss(4) == {"part": "method", "value": math.log(7)}
    assert wrapped("vicreg").trivial_loss(4) == build("vicreg", "test_resnet", 64, SMALL).trivial_loss(4)


def test_each_question_of_the_engine_reaches_the_method():
    model = wrapped("simclr")
    asked = []
    ours = {"loss", "backbone", "last_features", "trivial_loss", "features"}  # answered here
    hooks = [
        name
        for name, value in vars(Method).items()
        if not name.startswith("_") and callable(value) and name not in ours | {"momentum_pairs"}
    ]
    for name in hooks:
        setattr(model.method, name, lambda *a, _name=name: asked.append((_name, a)))
        arguments = {"check_pictures": (7, 7, 2), "watched": (), "parts": ()}.get(name, (3, 1))
        getattr(model, name)(*arguments)
        assert asked[-1] == (name, arguments)
    assert "before_step" in hooks


def cell(**entry: object):
    config = load(merge(copy.deepcopy(ARTICLE), {"models": {"simclr": entry}} if entry else {}))
    return config.cell("imagenette2-160", "simclr", "simclr", 0)


def test_cells_without_tasks_have_the_settings_and_code_that_they_had():
    plain = cell()
    assert "auxiliary" not in plain.settings
    assert cell(auxiliary={"lorot": {"weight": 0}}).text == plain.text == cell(auxiliary=None).text
    assert not any("pretext" in module or "auxiliary" in module for module in closure(*plain.code_roots))


def test_a_cells_settings_and_code_hold_its_tasks():
    with_tasks = cell(auxiliary={"lorot": {"variant": "explicit", "weight": 0.5}, "rotation": None})
    tasks = json.loads(with_tasks.text)["auxiliary"]
    assert tasks["lorot"] == {
        "weight": 0.5, "variant": "explicit", "smallest": 2, "largest_share": 0.5, "box": "image",
    }  # fmt: skip
    assert tasks["rotation"] == {"weight": 0.1, "turns": "one"}
    assert {k: v for k, v in with_tasks.settings.items() if k != "auxiliary"} == cell().settings
    modules = closure(*with_tasks.code_roots)
    assert {
        "sslbench.methods.with_auxiliary",
        "sslbench.methods.pretext_tasks.lorot.task",
        "sslbench.methods.pretext_tasks.rotation.task",
    } <= modules
    assert "sslbench.methods.pretext_tasks.dcl.task" not in modules


@pytest.mark.parametrize(
    ("auxiliary", "line"),
    [
        ({"lorott": {}}, r"models\.simclr\.auxiliary: no pretext task is called 'lorott'\. Did you mean 'lorot'\?"),
        ({"lorot": {"wieght": 1}}, r"models\.simclr\.auxiliary\.lorot\.wieght: there is no such key\. Did you mean"),
        ({"lorot": {"weight": -1}}, r"models\.simclr\.auxiliary\.lorot\.weight: -1 is not allowed"),
        (["lorot"], r"models\.simclr\.auxiliary: \['lorot'\] is not allowed"),
        ({"lorot": 0.1}, r"models\.simclr\.auxiliary\.lorot: 0\.1 is not allowed"),
    ],
)
def test_a_mistake_in_the_tasks_is_one_line(auxiliary, line):
    with pytest.raises(UserError, match=line) as error:
        cell(auxiliary=auxiliary)
    assert "\n" not in str(error.value)


def test_another_backbone_does_not_inherit_the_options_of_the_first():
    training = {"backbone": "resnet18", "backbone_options": {"output_stride": 16}}
    models = {"simclr": {"training": {"backbone": "vit_tiny_patch16_224"}}}
    config = load(merge(copy.deepcopy(ARTICLE), {"training": training, "models": models}))
    settings = {
        name: config.cell("imagenette2-160", name, "simclr", 0).settings["backbone"] for name in ("simclr", "byol")
    }
    assert settings["simclr"] == {"name": "vit_tiny_patch16_224", "options": {}, "residual_gain": None}
    assert settings["byol"] == {"name": "resnet18", "options": {"output_stride": 16}, "residual_gain": 1}


def test_settings_of_every_task_load_without_torch_and_have_a_weight():
    for package in registry.PRETEXT.values():
        module = registry.load(f"{package}.settings")
        assert module.Settings().weight > 0
        source = Path(module.__file__).read_text()
        assert "import torch" not in source
        assert "from torch" not in source
