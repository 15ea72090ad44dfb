"""Residual gains: which networks have them, where they begin, and what refuses a start that cannot learn."""

import copy
from pathlib import Path

import pytest
import timm
import torch
import yaml
from timm.models import _registry

from sslbench.errors import UserError
from sslbench.grid import random_init
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.methods.spec import Recipe
from sslbench.nn.backbone import Backbone
from sslbench.training import optimizers
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())
FAMILIES = {"resnet", "resnetv2", "regnet", "cspnet", "byobnet", "resnest", "res2net", "sknet"}


def planned(models: dict, training: dict | None = None) -> Plan:
    """Models on the drawn dataset's simclr transform, at 32 px on test_resnet."""
    grid = [{"datasets": ["drawn"], "transforms": ["simclr"], "models": list(models)}]
    training = {"backbone": "test_resnet", "input_size": 32, "batch_size": 8} | (training or {})
    changes = {"models": models, "datasets": {"drawn": {"kind": "shapes"}}, "grid": grid, "training": training}
    return Plan(load(merge(copy.deepcopy(ARTICLE), changes)))


def gains(backbone: Backbone) -> torch.Tensor:
    return torch.stack([p.detach().mean() for name, p in backbone.named_parameters() if name.endswith("bn2.weight")])


def test_names_tell_exactly_the_networks_that_take_timms_zero_init_last() -> None:
    folder = Path(timm.models.__file__).parent
    takes = {path.stem for path in folder.glob("*.py") if "zero_init_last" in path.read_text()}
    assert takes == FAMILIES
    for name in timm.list_models():
        assert random_init.has_residual_gains(name) == (_registry._model_to_module[name] in FAMILIES), name


@pytest.mark.parametrize(("gain", "value"), [(0, 0.0), (1, 1.0), (None, 0.0)])
def test_the_gains_begin_where_the_recipe_says_and_all_other_weights_alike(gain: int | None, value: float) -> None:
    torch.manual_seed(3)
    made = Backbone("resnet18", {}, 32, gain)
    torch.manual_seed(3)
    plain = timm.create_model("resnet18", num_classes=0)
    assert gains(made).unique().tolist() == [value]
    for name, values in plain.state_dict().items():
        assert name.endswith("bn2.weight") or torch.equal(values, made.model.state_dict()[name])
    assert "zero_init_last" not in made.timm_options


def test_a_vit_has_no_gain_to_set_and_one_random_init_row_whatever_the_recipe() -> None:
    vit = {"backbone": "test_vit", "backbone_options": {"patch_size": 4}}
    plan = planned({"one": {"method": "simclr"}, "zero": {"method": "simclr", "recipe": {"residual_gain": 0}}}, vit)
    assert {cell.settings["backbone"]["residual_gain"] for cell in plan.cells} == {None}
    assert [cell.model.name for cell in plan.cells if cell.model.method == "random"] == ["random"]


def test_every_start_has_one_random_init_row_with_the_same_weights() -> None:
    plan = planned({"one": {"method": "simclr"}, "zero": {"method": "simclr", "recipe": {"residual_gain": 0}}})
    rows = {cell.model.name: cell.settings["backbone"] for cell in plan.cells if cell.model.method == "random"}
    assert {name: row["residual_gain"] for name, row in rows.items()} == {"random": 1, "random-test_resnet-gain0": 0}
    grid = {cell.model.name: cell.settings["backbone"] for cell in plan.cells if cell.model.name in ("one", "zero")}
    assert (grid["one"], grid["zero"]) == (rows["random"], rows["random-test_resnet-gain0"])


def test_a_start_said_twice_must_agree() -> None:
    options = {"backbone_options": {"zero_init_last": True}}
    with pytest.raises(
        UserError, match=r"models.mine: backbone_options.zero_init_last: true contradicts .*residual_gain"
    ):
        planned({"mine": {"method": "simclr"}}, options)
    plan = planned({"mine": {"method": "simclr", "recipe": {"residual_gain": 0}}}, options)
    cell = next(cell for cell in plan.cells if cell.model.name == "mine")
    assert cell.settings["backbone"] == {"name": "test_resnet", "options": {}, "residual_gain": 0}


def test_lars_over_gains_that_begin_at_zero_is_refused_in_one_line_that_names_both_keys() -> None:
    stuck = {"optimizer": "lars", "lars_skips_1d": False, "residual_gain": 0}
    with pytest.raises(UserError, match=r"models.mine: recipe.lars_skips_1d: false .*residual_gain: 1$"):
        planned({"mine": {"method": "simclr", "recipe": stuck}})


def test_lars_over_any_small_1d_tensor_but_a_bias_is_refused_by_what_was_built() -> None:
    recipe = Recipe(optimizer="lars", base_lr=1, weight_decay=0, lars_skips_1d=False).model_dump()
    scaled = timm.create_model("test_convnext", num_classes=0)  # layer scales begin at 1e-6
    with pytest.raises(UserError, match=r"lars_skips_1d is false, and \d+ tensor.*gamma: 1e-06.*residual_gain: 1$"):
        optimizers.require_gains(recipe, scaled.named_parameters())
    ones = timm.create_model("test_resnet", num_classes=0, zero_init_last=False)
    optimizers.require_gains(recipe, ones.named_parameters())
    optimizers.require_gains(recipe | {"lars_skips_1d": True}, scaled.named_parameters())
