"""Untrained rows: one for every network that a dataset's models begin from, under a name that says which."""

import copy
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from sslbench.config.models import Training
from sslbench.errors import UserError
from sslbench.grid import random_init
from sslbench.grid.cell import Cell
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.preflight import check_targets
from sslbench.grid.report_plan import report_plan
from sslbench.report.wording import Labels
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())
OWN = Training(backbone="test_resnet", backbone_options={"output_stride": 16}, input_size=32)
VIT = {"backbone": "test_vit", "backbone_options": {"patch_size": 4}}


def planned(*blocks: dict, **changes: object) -> Plan:
    """Drawn pictures, SimCLR on test_resnet, and the same on test_vit."""
    models = {"simclr": {"method": "simclr"}, "on-vit": {"method": "simclr", "training": VIT}}
    sets = {name: {"kind": "shapes"} for name in ("drawn", "other")}
    grid = [
        {"datasets": ["drawn"], "transforms": ["simclr"], "models": list(models)} | block for block in blocks or ({},)
    ]
    changes = {"models": models, "datasets": sets, "grid": grid, "training": OWN.model_dump()} | changes
    return Plan(load(merge(copy.deepcopy(ARTICLE), changes)))


def untrained(plan: Plan) -> dict[tuple[str, str], dict]:
    """(dataset, model) of the untrained rows in the plan's order, with their settings."""
    return {cell.names[:2]: cell.settings for cell in plan.cells if cell.settings["train"]["epochs"] == 0}


@pytest.mark.parametrize(
    "overlay", [{}, *sorted((ROOT / "configs").glob("*.yaml"))], ids=lambda one: getattr(one, "stem", "article")
)
def test_every_cell_of_every_grid_has_one_untrained_row_of_its_own_network(overlay: dict | Path) -> None:
    changes = yaml.safe_load(overlay.read_text()) if overlay else {}
    plan = Plan(load(merge(copy.deepcopy(ARTICLE), changes)))

    def network(cell: Cell) -> tuple:
        return cell.dataset.name, str(cell.settings["backbone"]), cell.settings["input_size"], cell.seed

    rows = [network(cell) for cell in plan.cells if cell.model.method == "random"]
    assert len(rows) == len(set(rows))
    assert set(rows) == {network(cell) for cell in plan.cells if not cell.reference}


def test_a_dataset_has_the_rows_of_its_own_models_alone_with_trainings_first() -> None:
    vit = "random-test_vit-patch_size-4"
    rows = untrained(planned({"models": ["on-vit", "simclr"]}, {"datasets": ["other"], "models": ["on-vit"]}))
    assert list(rows) == [("drawn", "random"), ("drawn", vit), ("other", vit)]
    assert rows["drawn", vit]["backbone"] == {
        "name": "test_vit", "options": {"patch_size": 4}, "residual_gain": None}  # fmt: skip
    assert rows["drawn", vit]["method"] == {"name": "random", "options": {}}
    assert (rows["drawn", vit]["transform"], rows["drawn", vit]["views"]) == ([[], []], [])
    assert untrained(planned({}, references={"random": False})) == {}


def test_a_vit_beside_it_leaves_the_row_of_trainings_own_network_as_it_was() -> None:
    alone, both = planned({"models": ["simclr"]}), planned()
    before = {cell.folder: (cell.text, cell.code_roots) for cell in alone.cells}
    after = {cell.folder: (cell.text, cell.code_roots) for cell in both.cells}
    assert before.items() <= after.items()
    assert {str(folder) for folder in after.keys() - before.keys()} == {
        "results/drawn/on-vit/simclr/seed0", "results/drawn/random-test_vit-patch_size-4/none/seed0"}  # fmt: skip
    random = next(cell.settings for cell in both.cells if cell.names[1] == "random")
    simclr = next(cell.settings for cell in both.cells if cell.names[1] == "simclr")
    same = ("backbone", "input_size", "dataset", "seed")
    assert {key: random[key] for key in same} == {key: simclr[key] for key in same}
    assert random["train"] == simclr["train"] | {"epochs": 0}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "random"),
        ({"epochs": 7, "batch_size": 8, "precision": "fp32", "channels_last": False}, "random"),
        ({"backbone": "vit_tiny_patch16_224", "backbone_options": {}}, "random-vit_tiny_patch16_224"),
        (VIT | {"backbone_options": {"patch_size": 4, "global_pool": "avg"}}, "random-test_vit-global_pool-avg-patch_size-4"),
        ({"backbone_options": {}}, "random-test_resnet"),
        ({"input_size": 64}, "random-test_resnet-output_stride-16-64px"),
        ({"backbone": "test_vit", "backbone_options": {}, "input_size": 64}, "random-test_vit-64px"),
    ],
)  # fmt: skip
def test_a_row_is_called_after_what_its_network_is_where_that_is_not_trainings(changes: dict, name: str) -> None:
    assert random_init.row(OWN.model_copy(update=changes), OWN) == name


def test_different_networks_have_different_names_that_are_folders() -> None:
    options = [{}, {"a": 1}, {"a": "1"}, {"a": 1.0}, {"a": True}, {"a": "true"}, {"a": None}, {"a": -1}, {"a": [1, 2]}, {"b": 1},
               {"a": {"b": 1}}, {"a": "x/y"}, {"a": "x_y"}, {"a": 1, "b": 1}, {"a": "64px"}, {"a": "x" * 99}, {"a": "x" * 98}]  # fmt: skip
    backbones = ["test_vit", "test_vit2", "resnet-18", "resnet 18", "resnet_18", "resnet-" + "x" * 300]
    each = [
        OWN.model_copy(update={"backbone": backbone, "backbone_options": own, "input_size": size})
        for backbone in backbones
        for own in options
        for size in (32, 64)
    ]
    names = [random_init.row(one, OWN) for one in each]
    assert all(a != b for a, b in combinations(names, 2))
    assert all(re.fullmatch(r"random-[A-Za-z0-9._+-]{1,180}", name) for name in names)


def test_a_cell_of_an_untrained_row_is_known_by_its_path_and_only_without_a_transform() -> None:
    plan, vit = planned(), "random-test_vit-patch_size-4"
    check_targets(plan, [f"results/drawn/{vit}/none/seed0/linear.json"])
    with pytest.raises(
        UserError, match=r"no model is called 'random-test_vit-patch_size-5'\. Did you mean 'random-test_vit"
    ):
        check_targets(plan, ["results/drawn/random-test_vit-patch_size-5/none/seed0/linear.json"])
    assert plan.cell("drawn", vit, "none", 3).reference  # a seed that the grid has not
    for model, transform in ((vit, "simclr"), ("random", "simclr"), ("on-vit", "none")):
        with pytest.raises(UserError, match="only untrained rows, random and random-"):
            plan.cell("drawn", model, transform, 0)


def test_the_report_is_told_which_network_is_untrained_where_there_are_several() -> None:
    def titles(plan: Plan) -> dict[str, str]:
        return {name: one["title"] for name, one in report_plan(plan)["models"].items() if one["method"] == "random"}

    assert titles(planned()) == {
        "random": "Random initialisation of test_resnet", "random-test_vit-patch_size-4": "Random initialisation of test_vit"}  # fmt: skip
    assert titles(planned({"models": ["simclr"]})) == {"random": "Random initialisation"}


def test_two_rows_of_one_backbone_are_told_apart_on_the_page() -> None:
    finer = {"backbone": "test_vit", "backbone_options": {"patch_size": 2}}
    plan = planned(
        {"models": ["simclr", "on-vit", "finer"]},
        models={"simclr": {"method": "simclr"}, "on-vit": {"method": "simclr", "training": VIT},
                "finer": {"method": "simclr", "training": finer}},
    )  # fmt: skip
    named = Labels(report_plan(plan)).model
    rows = [cell.model.name for cell in plan.cells if cell.model.method == "random"]
    assert [named(row) for row in rows] == [
        "Random initialisation of test_resnet",
        "Random initialisation of test_vit, patch_size 4",
        "Random initialisation of test_vit, patch_size 2",
    ]
    assert named("finer") == "SimCLR (lightly), backbone test_vit, patch_size 2"
