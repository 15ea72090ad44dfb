"""What is measured beside the probe: on which pictures, and which code a result or a stored run depends on."""

import pytest
import yaml

from sslbench.grid import downstream_tasks
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.store.code_fingerprint import closure
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
        ("stats.paired", False),
        ("evaluation.label_fractions", False),
        ("evaluation.write_result", False),
        ("evaluation.finetune", False),
        ("evaluation.finetune_run", True),
        ("training.run", True),
        ("training.trainer", True),
        ("methods.supervised.model", True),
        ("transforms.ops.flip", True),
        ("nn.backbone", True),
    ],
)
def test_stored_runs_of_a_fine_tuning_are_named_by_the_code_that_trains_alone(config, monkeypatch, module, trains):
    monkeypatch.setattr(downstream_tasks, "code_digest", lambda *roots: closure(*roots))
    cell = Plan(config).cell("unsorted", "simclr", "simclr", 0)
    name = f"sslbench.{module}"
    assert (name in downstream_tasks.training_code(config, cell)) == trains
    assert name in downstream_tasks.code(config, cell, "finetune")  # what is made of the runs is made anew in any case


def test_label_free_measures_are_of_the_pictures_trained_on_and_the_rest_of_those_with_labels(config):
    cell = Plan(config).cell("unsorted", "simclr", "simclr", 0)
    asked = downstream_tasks.settings(config, cell, "labelfree")
    assert asked["dataset"] == cell.settings["dataset"] and asked["dataset"]["source"] == "folder"
    assert (
        downstream_tasks.settings(config, cell, "finetune")["cell"]["dataset"]["source"]
        == cell.evaluated.settings.source()
    )
