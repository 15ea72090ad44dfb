"""What is measured beside the probe: on which pictures, and which code a result or a stored run depends on."""

import pytest
import yaml

from sslbench import downstream
from sslbench.expand import load
from sslbench.fingerprint import closure
from sslbench.plan import Plan
from tests.project import ROOT

GRID = [{"datasets": ["unsorted"], "models": ["simclr"], "transforms": ["simclr"], "downstream": ["finetune"]}]


@pytest.fixture
def config(tmp_path):
    datasets = {
        "unsorted": {"kind": "folder", "path": str(tmp_path), "evaluate_on": "drawn", "pack_size": 40},
        "drawn": {"kind": "shapes", "pack_size": 32},
    }
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    return load(base | {"name": "small", "grid": GRID, "datasets": base["datasets"] | datasets, "sweep": None})


@pytest.mark.parametrize(
    ("module", "trains"),
    [
        ("stats", False),
        ("evaluate.shares", False),
        ("evaluate.results", False),
        ("evaluate.finetune", False),
        ("evaluate.tuning", True),
        ("engine.fit", True),
        ("engine.training", True),
        ("methods.supervised.model", True),
        ("transforms.ops.flip", True),
        ("backbones", True),
    ],
)
def test_stored_runs_of_a_fine_tuning_are_named_by_the_code_that_trains_alone(config, monkeypatch, module, trains):
    monkeypatch.setattr(downstream, "code_digest", lambda *roots: closure(*roots))
    cell = Plan(config).cell("unsorted", "simclr", "simclr", 0)
    name = f"sslbench.{module}"
    assert (name in downstream.training_code(config, cell)) == trains
    assert name in downstream.code(config, cell, "finetune")  # what is made of the runs is made anew in any case


def test_label_free_measures_are_of_the_pictures_trained_on_and_the_rest_of_those_with_labels(config):
    cell = Plan(config).cell("unsorted", "simclr", "simclr", 0)
    asked = downstream.settings(config, cell, "labelfree")
    assert asked["dataset"] == cell.settings["dataset"] and asked["dataset"]["source"] == "folder"
    assert (
        downstream.settings(config, cell, "finetune")["cell"]["dataset"]["source"] == cell.evaluated.settings.source()
    )
