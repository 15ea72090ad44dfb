"""A small grid on drawn pictures, run through every rule as a user would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = [
    "Snakefile",
    "config.yaml",
    "workflow",
    "sslbench",
    "envs",
    "profiles",
    "configs",
    "reports/published_results.csv",
]
TINY = {
    "name": "tiny",
    "title": "Tiny",
    "note": "A test.",
    "grid": [{"datasets": ["drawn"], "models": ["simclr", "vicregl-0.50"], "transforms": ["simclr", "dcl"]}],
    "references": {"random": True, "supervised": ["simclr"]},
    "datasets": {"drawn": {"kind": "shapes", "pack_size": 32, "train_per_class": 16, "test_per_class": 8}},
    "training": {
        "backbone": "test_resnet",
        "backbone_options": {"output_stride": 16},
        "input_size": 32,
        "batch_size": 32,
        "epochs": 1,
        "precision": "fp32",
        "measure_every": 1,
    },
    "compute": {"allow_cpu": True, "device": "cpu", "threads": 1},
}


class Project:
    """A copy of the project in a folder of its own, with an overlay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            target = folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, target)

    def run(self, overlay: dict, *arguments: str) -> subprocess.CompletedProcess:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "overlay.yaml"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "a project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """The tiny grid, run to its report. A space in the path, as users have them."""
    project = Project(tmp_path_factory.mktemp("run") / "a project")
    done = project.run(TINY)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return project


def our_line(done: subprocess.CompletedProcess) -> str:
    """The one line of ours in Snakemake's output, and no traceback of ours."""
    text = done.stdout + done.stderr
    lines = {line.strip() for line in text.splitlines() if line.strip().startswith("sslbench:")}
    assert "Traceback" not in text, text
    assert done.returncode != 0
    mistakes = {line for line in lines if "some jobs failed" not in line and "report_now" not in line}
    assert len(mistakes) == 1, text
    return mistakes.pop()
