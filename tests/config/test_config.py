"""The configuration: the article's grid, overrides, and one line for every mistake."""

import copy
import os
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml

from sslbench.config import json_schema
from sslbench.config.models import Compute
from sslbench.errors import UserError
from sslbench.grid import cost
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.report_plan import report_plan
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]
ARTICLE = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(**changes):
    return merge(copy.deepcopy(ARTICLE), changes)


def test_the_grid_is_the_articles_170_cells():
    plan = Plan(load(ARTICLE))
    grid = [cell for cell in plan.cells if not cell.reference]
    assert len(grid) == 170
    assert Counter(cell.dataset.name for cell in grid) == {
        "imagenette": 50,
        "imagenette2-160": 50,
        "imagewoof": 50,
        "nabirds": 20,
    }
    for cell in grid:
        train = cell.settings["train"]
        assert (cell.settings["backbone"]["name"], cell.settings["input_size"]) == ("resnet18", 224)
        assert (train["batch_size"], train["epochs"]) == (256, 200)


def test_nabirds_is_set_aside_without_its_archive_and_the_rest_is_not():
    plan = Plan(load(ARTICLE))
    aside = [cell for cell in report_plan(plan)["cells"] if cell["set_aside"]]
    assert len([cell for cell in aside if cell["kind"] == "grid"]) == 20
    assert {cell["dataset"] for cell in aside} == {"nabirds"}
    assert len([cell for cell in plan.runnable if not cell.reference]) == 150
    assert all("dl.allaboutbirds.org/nabirds" in cell["set_aside"] for cell in aside)


def test_every_overlay_loads():
    for overlay in sorted((ROOT / "configs").glob("*.yaml")):
        report_plan(Plan(load(changed(**yaml.safe_load(overlay.read_text())))))


def test_the_sweep_gives_the_report_its_parameter_by_transform():
    overlay = yaml.safe_load((ROOT / "configs" / "sweep.yaml").read_text())
    sweep = report_plan(Plan(load(changed(**overlay))))["sweep"]
    assert sweep["parameter"] == "jitter.strength"
    assert list(sweep["values"].values()) == [0.0, 0.25, 0.5, 1.0, 1.25]


def test_an_eleventh_model_is_a_line_of_yaml():
    config = load(
        changed(models={"gentle": {"method": "simclr", "recipe": {"base_lr": 0.01}, "training": {"epochs": 7}}})
    )
    cell = config.cell("imagenette", "gentle", "simclr", 0)
    assert (cell.settings["recipe"]["base_lr"], cell.settings["train"]["epochs"]) == (0.01, 7)
    plain = config.cell("imagenette", "simclr", "simclr", 0)
    assert cell.settings["recipe"] | {"base_lr": 0} == plain.settings["recipe"] | {"base_lr": 0}


def test_names_devices_and_workers_are_no_part_of_a_cells_settings():
    renamed = copy.deepcopy(ARTICLE)
    renamed["models"]["contrastive"] = renamed["models"]["simclr"]
    renamed["compute"] |= {"device": "cpu", "threads": 7, "pack_jobs": 9}
    renamed["paths"] = {"data": "elsewhere"}
    text = load(renamed).cell("imagenette", "contrastive", "simclr", 0).text
    assert text == load(ARTICLE).cell("imagenette", "simclr", "simclr", 0).text


def test_splits_of_one_archive_share_one_pack(tmp_path):
    archive = tmp_path / "nabirds.tar.gz"
    archive.touch()
    entries = {
        "nabirds": {"kind": "nabirds", "archive": str(archive)},
        "official": {"kind": "nabirds", "archive": str(archive), "split": "official", "pack_size": 256},
    }
    datasets = load(changed(datasets=entries)).all_datasets
    assert datasets["nabirds"].pack == datasets["official"].pack
    assert datasets["nabirds"].settings.split_name() != datasets["official"].settings.split_name()


MISTAKES = {
    "unknown model": ({"grid": [{"datasets": ["imagenette"], "models": ["simcrl"], "transforms": ["dcl"]}]},
                      r"grid\[0\]\.models: no model is called 'simcrl'\. Did you mean 'simclr'\?"),
    "unknown transform": ({"grid": [{"datasets": ["imagenette"], "models": ["byol"], "transforms": ["lorott"]}]},
                          r"no transform is called 'lorott'\. Did you mean 'lorot'\?"),
    "unknown dataset": ({"grid": [{"datasets": ["imagenet"], "models": ["byol"], "transforms": ["dcl"]}]},
                        r"no dataset is called 'imagenet'\. Did you mean 'imagenette'"),
    "unknown method": ({"models": {"x": {"method": "byoll"}}}, r"models\.x\.method: no method is called 'byoll'.*'byol'"),
    "unknown kind": ({"transforms": {"x": {"kind": "base"}}}, r"transforms\.x\.kind: no kind is called 'base'"),
    "no method": ({"models": {"x": {"alpha": 1}}}, r"models\.x says no `method`"),
    "negative epochs": ({"training": {"epochs": -1}}, r"training\.epochs: -1 is not allowed: give a number of at least 1"),
    "wrong type": ({"training": {"epochs": "many"}}, r"training\.epochs: 'many' is not allowed"),
    "unknown key": ({"training": {"epoch": 3}}, r"training\.epoch: there is no such key\. Did you mean 'epochs'\?"),
    "unknown top-level key": ({"trainig": {}}, r"trainig: there is no such key\. Did you mean 'training'\?"),
    "unknown option": ({"models": {"x": {"method": "vicregl", "alfa": 0.5}}}, r"models\.x\.alfa.*Did you mean 'alpha'\?"),
    "option out of range": ({"models": {"x": {"method": "vicregl", "alpha": 1.5}}}, r"models\.x\.alpha: 1\.5 is not allowed"),
    "form by its old name": ({"models": {"x": {"method": "vicregl", "form": "article"}}},
                             r"models\.x\.form: 'article' is not allowed: this form is called 'lightly-1\.2'"),
    "recipe out of range": ({"models": {"x": {"method": "byol", "recipe": {"base_lr": 0}}}}, r"models\.x\.recipe\.base_lr: 0"),
    "probability above one": ({"transforms": {"x": {"kind": "baseline", "rotate": {"p": 1.2}}}},
                              r"transforms\.x\.rotate\.p: 1\.2 is not allowed"),
    "unknown operation parameter": ({"transforms": {"x": {"kind": "simclr", "jitter": {"strenght": 1}}}},
                                    r"transforms\.x\.jitter\.strenght: there is no such key\. Did you mean 'strength'\?"),
    "batch not divisible": ({"training": {"accumulate": 3}}, r"training\.accumulate: 3 does not divide the batch of 256"),
    "sweep of nothing": ({"sweep": {"parameter": "jitter.strenght", "transforms": ["simclr", "baseline"]}},
                         r"sweep\.parameter: transform 'simclr' has no 'jitter\.strenght'\. Did you mean 'strength'"),
    "name that is no folder": ({"models": {"a/b": {"method": "byol"}}}, r"models\.a/b"),
    "name of a reference": ({"models": {"random": {"method": "byol"}}}, r"models\.random is the name of a reference row"),
    "name of an untrained row": ({"models": {"random-test_vit": {"method": "byol"}}},
                                 r"models\.random-test_vit is the name of a reference row; choose another name"),
    "seed twice": ({"seeds": [1, 1]}, r"seeds: .* names a seed twice"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_line(mistake):
    changes, pattern = MISTAKES[mistake]
    with pytest.raises(UserError, match=pattern) as caught:
        load(changed(**changes))
    assert "\n" not in str(caught.value)


def test_the_schema_for_editors_is_that_of_the_settings():
    assert json_schema.FILE.read_text() == json_schema.text(), "run python -m sslbench.config.json_schema"


def test_the_schema_accepts_every_config_file():
    for file in [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]:
        jsonschema.validate(yaml.safe_load(file.read_text()), json_schema.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"models": {"x": {"method": "byoll"}}}, json_schema.schema())


def test_the_articles_imagenette_table_is_said_to_cost_what_it_cost():
    """90.65 GPU-hours, the sum of its times."""
    plan = Plan(load(ARTICLE))
    cells = [cell for cell in plan.cells if cell.dataset.name == "imagenette" and not cell.reference]
    assert "50 cells to pretrain; about 90.7 h" in cost.describe(plan.config, cells)


def test_pictures_are_packed_by_as_many_processes_as_cores_may_be_used_unless_the_config_says() -> None:
    assert Compute(pack_jobs=3).packing_jobs() == 3
    assert Compute().packing_jobs() == len(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(before)])
    try:
        assert Compute().packing_jobs() == 1
    finally:
        os.sched_setaffinity(0, before)
