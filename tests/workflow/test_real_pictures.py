"""Every registered method on real photographs, through the whole pipeline: ten minutes on two cores."""

import csv
import json
import math
import os
from pathlib import Path

import pytest

from sslbench import registry
from tests.project import ROOT, Project

ARCHIVE = "imagenette2-160-mini.tgz"  # 600 + 300 pictures of ImageNette
FOLDER = Path(os.environ.get("SSLBENCH_REAL_DATA") or ROOT.parent / "shared" / "data")
OPTIONS = {
    "moco": {"queue": 256},  # fewer keys than pictures
    "dino": {"local_views": 2},
    "mae": {
        "decoder_dim": 128,
        "decoder_depth": 2,
        "training": {"backbone": "vit_tiny_patch16_224", "backbone_options": {"patch_size": 8}},
    },
}
BESIDE = {"method": "simclr", "auxiliary": {name: {"weight": 0.1} for name in registry.PRETEXT}}
MODELS = {f"{name}-here": {"method": name} | OPTIONS.get(name, {}) for name in registry.METHODS} | {"beside": BESIDE}

UNTRAINED = {"random/none", "random-vit_tiny_patch16_224-patch_size-8/none"}  # ResNet-18, and MAE's own network


def overlay(archive: Path) -> dict:
    source = {"kind": "folder", "pack_size": 72, "archive": str(archive.resolve())}  # fewer than ImageNette has
    return {
        "name": "real",
        "title": "Real pictures",
        "grid": [{"datasets": ["photographs"], "models": list(MODELS), "transforms": ["baseline"]}],
        "references": {"random": True, "supervised": ["baseline"]},
        "datasets": {"photographs": source},
        "models": MODELS,
        "training": {
            "backbone": "resnet18",
            "input_size": 64,
            "batch_size": 64,
            "epochs": 1,
            "precision": "fp32",
            "measure_every": 1,
        },
        "compute": {"allow_cpu": True, "device": "cpu", "threads": 1},
    }


@pytest.mark.long
def test_every_method_learns_from_real_pictures_for_an_epoch_and_none_collapses(tmp_path):
    if not (FOLDER / ARCHIVE).is_file():
        pytest.skip(f"{ARCHIVE} is not below {FOLDER}; set SSLBENCH_REAL_DATA to the folder that holds it")
    project = Project(tmp_path / "real", overlay(FOLDER / ARCHIVE))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    results = project.folder / "results" / "photographs"
    cells = {f"{name}/baseline" for name in [*MODELS, "supervised"]} | UNTRAINED
    assert {str(path.parent.parent.relative_to(results)) for path in results.glob("*/*/seed0/run.json")} == cells
    for name in cells:
        folder = results / name / "seed0"
        health, linear = (json.loads((folder / f"{file}.json").read_text()) for file in ("health", "linear"))
        assert health["verdict"] in ("healthy", "suspicious"), (name, health)
        assert linear["n"] == 300 and 0 < linear["top1"] < 1, name
        rows = list(csv.DictReader((folder / "curve.csv").open()))
        assert len(rows) == (0 if name in UNTRAINED else 1), name
        assert all(math.isfinite(float(row["loss"])) and row["images"] == "576" for row in rows), name  # 9 steps of 64
    page = (project.folder / "reports/real/report.md").read_text()
    titles = [registry.load(f"{package}.settings").FACTS.title for package in registry.METHODS.values()]
    assert [title for title in titles if title not in page] == []
    assert "could not" not in page and "not finished" not in page
