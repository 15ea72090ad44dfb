"""After each kind of change, exactly the cells whose result depends on it would be trained again."""

import shutil

import pytest
import yaml

from tests.project import ROOT
from tests.workflow.staleness.small_grid import CELLS, REFERENCES

SIMCLR = "sslbench/methods/simclr/model.py"
PER_DATASET = 4 * 3 + 2  # cells and references
REPORTED = {"collect": 1, "album": 1, "report": 1, "all": 1}
TASKS = ["retrieve", "adapt", "finetune"]


def test_a_finished_grid_runs_nothing(project):
    assert project.would_run() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda p: [f.touch() for f in p.folder.rglob("*") if f.is_file() and ".snakemake" not in f.parts],
        lambda p: p.edit(SIMCLR, "import torch", "# a remark\nimport torch"),
        lambda p: p.edit(SIMCLR, '"""', '"""In other words: '),
        lambda p: p.edit("workflow/scripts/pretrain.py", "import json", "import json  # a remark"),
        lambda p: p.edit(SIMCLR, "import math\nfrom typing import Any\n", "from typing import Any\nimport math\n"),
        lambda p: p.edit(SIMCLR, "def loss(self, ", "def loss(self: object, "),
        lambda p: p.move("sslbench/nn/random.py", "sslbench/methods/draws.py"),
        lambda p: p.edit("sslbench/registry.py", "METHODS = {", 'METHODS = {\n    "another": "sslbench.methods.byol",'),
        lambda p: p.configure(models__eleventh={"method": "byol", "recipe": {"base_lr": 0.1}}),
        lambda p: p.configure(transforms__sixth={"kind": "simclr", "blur": {"p": 0.1}}),
        lambda p: p.configure(
            compute__threads=7, compute__checkpoint_minutes=1.0, compute__jobs={"pretrain": {"memory_mb": 9}}
        ),
        lambda p: p.configure(compute__pack_jobs=1),
        lambda p: p.configure(training__epochs=200),
        lambda p: p.edit("envs/train.yaml", "# pretrain", "# to pretrain"),
        lambda p: shutil.rmtree(p.folder / "logs", ignore_errors=True),
    ],
    ids=[
        "every file touched (a clone)",
        "a comment in a method",
        "a docstring in a method",
        "a comment in a script",
        "imports in another order",
        "an annotation",
        "a module moved and renamed",
        "a method added to the registry",
        "an eleventh model defined",
        "a sixth transform defined",
        "threads, checkpoints and memory changed",
        "packing on fewer processes",
        "a default written out",
        "a comment in an environment",
        "logs deleted",
    ],
)
def test_nothing_that_changes_no_result_runs_anything(project, change):
    change(project)
    assert project.would_run() == {}


def test_use_conda_or_not_runs_nothing(project, tmp_path):
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    conda.write_text(
        '#!/bin/sh\ncase "$1" in\n--version) echo conda 25.1.1;;\ninfo) echo \'{"conda_prefix": "/opt/none", '
        '"platform": "linux-64", "conda_version": "25.1.1"}\';;\nconfig) echo \'{"get": {"channel_priority": "strict"}}\';;\nesac\n'
    )
    conda.chmod(0o755)
    assert project.would_run("--use-conda", "--conda-frontend", "conda", path=conda.parent) == {}


@pytest.mark.parametrize(
    ("change", "cells"),
    [
        (lambda p: p.edit(SIMCLR, "def loss", "seen = 0\n\n    def loss"), 2 * 3),
        (
            lambda p: p.edit("sslbench/transforms/ops/rotate_square.py", "import torch", "import torch\n\nSEEN = 0"),
            2 * 4,
        ),
        (
            lambda p: p.edit("sslbench/transforms/ops/blur.py", "import torch", "import torch\n\nSEEN = 0"),
            2 * 4 * 2 + 2,
        ),
        (lambda p: p.edit("sslbench/training/run.py", "SIGNALS = (", "SEEN = 0\nSIGNALS = ("), CELLS + REFERENCES),
        (lambda p: p.configure(models__simclr={"method": "simclr", "recipe": {"base_lr": 0.07}}), 2 * 3),
        (lambda p: p.configure(transforms__lorot={"kind": "lorot", "square": {"smallest": 3}}), 2 * 4),
        (lambda p: p.configure(training__epochs=201), CELLS + 2),
        (lambda p: p.configure(training__precision="fp32"), CELLS + REFERENCES),
        (lambda p: p.configure(training__accumulate=2), CELLS + REFERENCES),
        (lambda p: p.configure(datasets__drawn={"seed": 5}), PER_DATASET),
        (lambda p: p.configure(seeds=[0, 1]), CELLS + REFERENCES),
    ],
    ids=[
        "a method's code: its cells",
        "an operation's code: the cells whose transform uses it",
        "another operation's code, with the reference that uses it",
        "the engine's code: all",
        "one model's learning rate: its cells",
        "one transform's parameter: its cells",
        "the epochs: all that train",
        "the precision: all",
        "the accumulation: all",
        "one dataset's pictures: its cells",
        "a second seed: as many again",
    ],
)
def test_a_change_retrains_exactly_the_cells_that_depend_on_it(project, change, cells):
    change(project)
    assert project.pretrained() == cells


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (
            lambda p: p.configure(evaluation__knn={"k": [20, 100], "temperature": 0.1}),
            {"evaluate": CELLS + REFERENCES} | REPORTED,
        ),
        (
            lambda p: p.edit("sslbench/evaluation/knn.py", "import torch", "import torch\n\nSEEN = 0"),
            {"evaluate": CELLS + REFERENCES} | REPORTED,
        ),
        (
            lambda p: p.configure(evaluation__resize_ratio=1.1),
            dict.fromkeys(["embed", "evaluate", "labelfree", "look"], CELLS + REFERENCES) | REPORTED,
        ),
        (
            lambda p: p.edit("sslbench/report/render/templates/page.html.j2", "</body>", "<p></p></body>"),
            {"report": 1, "all": 1},
        ),
    ],
    ids=["the probe's settings", "the probe's code", "the evaluation's picture size", "the page's template"],
)
def test_the_probe_never_retrains_and_the_report_never_probes(project, change, rules):
    change(project)
    assert project.would_run() == rules


def test_a_model_on_another_backbone_runs_itself_and_its_untrained_row_alone(project):
    settings = yaml.safe_load((project.folder / "overlay.yaml").read_text())
    grid = [*settings["grid"], {"datasets": ["drawn"], "models": ["on-vit"], "transforms": ["lorot", "simclr"]}]
    project.overlay(
        settings | {"grid": grid, "models": {"on-vit": {"method": "simclr", "training": {"backbone": "test_vit"}}}}
    )
    each = dict.fromkeys(["pretrain", "embed", "evaluate", "labelfree", "look"], 2 + 1)
    assert project.would_run() == each | {"speed": 2} | REPORTED  # now that there are two networks


def downstream(project, *tasks: str, models: tuple[str, ...] = ("barlowtwins", "byol", "simclr", "swav")) -> None:
    """A block of its own for ``models`` on one dataset and transform; the other blocks stay."""
    grid = yaml.safe_load((project.folder / "overlay.yaml").read_text())["grid"]
    more = {"datasets": ["drawn"], "models": list(models), "transforms": ["lorot"], "downstream": list(tasks)}
    project.overlay({**yaml.safe_load((project.folder / "overlay.yaml").read_text()), "grid": [*grid, more]})


def test_switching_downstream_tasks_on_runs_them_alone_where_the_block_says(project):
    downstream(project, *TASKS, models=("byol", "swav"))
    assert project.would_run() == dict.fromkeys(TASKS, 2 + 2) | REPORTED  # two cells, and the dataset's references


def test_one_task_switched_on_runs_no_other(project):
    downstream(project, "retrieve")
    assert project.would_run() == {"retrieve": 4 + 2} | REPORTED


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda p: p.configure(evaluation__labelfree={"pictures": 9, "views": 2}), {"labelfree": CELLS + REFERENCES}),
        (lambda p: p.configure(evaluation__finetune={"epochs": 7}), {}),
        (lambda p: p.edit("sslbench/evaluation/finetune.py", "import torch", "import torch\n\nSEEN = 0"), {}),
        (lambda p: p.edit("sslbench/evaluation/retrieval.py", "import torch", "import torch\n\nSEEN = 0"), {}),
    ],
    ids=["LiDAR's pictures", "a setting of a task that is off", "its code", "the code of another that is off"],
)
def test_settings_and_code_beside_the_probe_touch_nothing_else(project, change, rules):
    change(project)
    assert project.would_run() == ((rules | REPORTED) if rules else {})


def test_lost_features_are_made_again_only_where_something_needs_them(project):
    cell = "results/drawn/byol/lorot/seed0"
    (project.folder / cell / "features-test.safetensors").unlink()
    assert project.would_run() == {}  # what was made from it is there
    (project.folder / cell / "linear.json").unlink()
    assert project.would_run(f"{cell}/linear.json") == {"embed": 1, "evaluate": 1}


def test_swapped_values_are_noticed(project):
    """Snakemake compares params as a set of values, so two params that swap values would pass unseen."""
    overlay = {"method": "swav", "hidden_dim": 128, "out_dim": 2048}  # the defaults, swapped
    project.configure(models__swav=overlay)
    assert project.pretrained() == 2 * 3


@pytest.mark.parametrize("profile", ["default", "slurm", "kubernetes", "aws-batch"])
def test_all_profiles_share_the_keys_that_decide_what_is_stale(profile):
    keys = ["rerun-triggers", "rerun-incomplete", "max-checksum-file-size"]
    default = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    chosen = yaml.safe_load((ROOT / "profiles" / profile / "profile.yaml").read_text())
    assert (
        [chosen[key] for key in keys] == [default[key] for key in keys] == [["input", "mtime", "params"], True, "2GB"]
    )
