"""What a model is called: one title for the page, the Markdown, the charts and the model card."""

from pathlib import Path

import pytest
import yaml

from sslbench.export.metadata import about
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.report_plan import report_plan
from sslbench.report.wording import Labels

CONFIG = Path(__file__).parents[2] / "config.yaml"


def planned(*models: str, **entries: dict) -> Plan:
    raw = yaml.safe_load(CONFIG.read_text())
    raw["models"] |= entries
    raw["grid"] = [{"datasets": ["imagewoof"], "models": [*models, *entries], "transforms": ["baseline"]}]
    return Plan(load(raw))


def labels(plan: Plan) -> dict[str, str]:
    report = report_plan(plan)
    return {name: Labels(report).model(name) for name in report["models"]}


def test_a_title_says_preset_form_and_whether_the_recipe_was_changed() -> None:
    changed = {"method": "simclr", "recipe": {"base_lr": 0.1}}
    plan = planned("simclr", "vicregl-0.95", "vicregl-0.25", "vicregl", changed=changed)
    found, models = labels(plan), plan.config.all_models
    simclr, local = models["simclr"].preset, models["vicregl"].preset
    assert {simclr, local} <= {"lightly", "authors"}
    assert found["simclr"] == f"SimCLR ({simclr})"
    assert found["changed"].startswith(f"SimCLR ({simclr}, changed)")
    assert found["vicregl-0.95"] == f"VICRegL (lightly 1.2 form, {local}), α=0.95"
    assert found["vicregl-0.25"] == f"VICRegL (lightly 1.2 form, {local}), α=0.25"
    assert found["vicregl"] == f"VICRegL ({local}), α=0.75"
    assert found["random"] == "Random initialisation" and found["supervised"] == "Supervised"


def test_the_untrained_rows_of_two_networks_are_told_apart_by_the_network_alone() -> None:
    vit = {"method": "mae", "training": {"backbone": "vit_tiny_patch16_224"}}
    found = labels(planned("simclr", mae=vit))
    starts = sorted(label for name, label in found.items() if name.startswith("random"))
    assert starts == ["Random initialisation of resnet18", "Random initialisation of vit_tiny_patch16_224"]


@pytest.mark.parametrize("model", ["simclr", "vicregl-0.50"])
def test_the_model_card_has_the_pages_title(model: str) -> None:
    plan = planned(model)
    cell = plan.cell("imagewoof", model, "baseline", 0)
    assert labels(plan)[model].startswith(about(cell, "exports/x", [], {})["title"])
