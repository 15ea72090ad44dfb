"""The overlays of the second article's methods: what they cross, at which setting, and that nothing is left out."""

import copy
from pathlib import Path

import pytest
import yaml

from sslbench import registry
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.transforms.spec import merge

ROOT = Path(__file__).parents[2]


def planned(name: str) -> Plan:
    article = yaml.safe_load((ROOT / "config.yaml").read_text())
    return Plan(load(merge(article, copy.deepcopy(yaml.safe_load((ROOT / "configs" / name).read_text())))))


def test_the_second_article_is_crossed_with_two_transforms_at_the_first_ones_setting() -> None:
    plan = planned("second-article.yaml")
    grid = [cell for cell in plan.runnable if not cell.reference]
    assert {(cell.model.method, cell.transform.name) for cell in grid} == {
        (method, transform)
        for method in ("moco", "simclr", "dino", "contextprediction")
        for transform in ("baseline", "simclr")
    }
    assert len(grid) == 8 and len(plan.runnable) == 11
    for cell in grid:
        train = cell.settings["train"]
        assert (cell.settings["backbone"]["name"], cell.settings["input_size"]) == ("resnet18", 224)
        assert (train["batch_size"], train["epochs"]) == (256, 200)
        assert cell.settings["dataset"]["identity"]["version"] == 2


def test_the_claims_grid_adds_what_they_compare_with_and_trains_nothing_of_the_article_again() -> None:
    claims, article = planned("second-article-claims.yaml"), planned("second-article.yaml")
    assert {(cell.folder, cell.text) for cell in article.runnable} < {
        (cell.folder, cell.text) for cell in claims.runnable
    }
    large = next(cell for cell in claims.runnable if cell.model.name == "simclr-large")
    assert large.settings["train"] | {"batch_size": 256} == claims.cells[0].settings["train"]
    still = [cell.settings["recipe"] for cell in claims.cells if cell.model.name.endswith("no-momentum")]
    assert [(recipe["ema_start"], recipe["ema_end"]) for recipe in still] == [(0.0, None)] * 3


def test_demo_all_trains_every_method_on_a_cpu_and_a_pretext_task_beside_one() -> None:
    plan = planned("demo-all.yaml")
    grid = [cell for cell in plan.runnable if not cell.reference]
    assert {cell.model.method for cell in grid} == set(registry.METHODS)
    assert {"lorot", "rotation"} <= {task for cell in grid for task in cell.model.auxiliary}
    assert plan.config.compute.allow_cpu and plan.config.compute.device == "cpu"


@pytest.mark.parametrize("name", ["demo.yaml", "demo-all.yaml"])
def test_the_demos_need_nothing_from_outside(name: str) -> None:
    assert all(cell.dataset.settings.drawn for cell in planned(name).cells)
