"""A folder of pictures without labels, from the pictures to a report of what can be said without any."""

import json

import numpy as np
import pandas
from PIL import Image

from tests.project import Project
from tests.workflow.tiny_grid import TINY

PICTURES = 40


def test_a_grid_without_any_label_ends_in_a_report_of_its_label_free_measures(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "unsorted").mkdir()
    for number in range(PICTURES):
        pixels = random.normal(random.uniform(60, 200, 3), 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "unsorted" / f"{number}.png")
    datasets = {"unsorted": {"kind": "folder", "path": str(tmp_path / "unsorted"), "pack_size": 32, "labelled": False}}
    grid = [{"datasets": ["unsorted"], "models": ["simclr"], "transforms": ["simclr"]}]
    project = Project(tmp_path / "project", TINY | {"datasets": datasets, "grid": grid})
    card = "exports/unsorted/simclr/simclr/seed0/README.md"
    done = project.snakemake("all", card)
    assert done.returncode == 0, done.stdout + done.stderr

    # a supervised reference, features for a probe and the probe itself are left out
    assert not list(project.folder.glob("results/unsorted/supervised"))
    assert not list(project.folder.glob("results/**/features-*"))
    table = pandas.read_csv(project.folder / "results/collected/tiny/cells.csv").set_index("model")
    assert table.loc["simclr", "status"] == "done" and table["top1"].isna().all()
    assert set(table.index) == {"simclr", "random"}

    found = json.loads((project.folder / "results/unsorted/simclr/simclr/seed0/labelfree.json").read_text())
    assert found["n"] == PICTURES
    assert found["rankme"] > 1 and found["lidar"] > 1
    assert found["health"]["verdict"] in ("healthy", "suspicious")
    assert f"{found['rankme']:.4g}" in (project.folder / card).read_text()
    page = (project.folder / "reports/tiny/report.md").read_text()
    assert "No picture is labelled, so nothing is ranked" in page
    assert f"{found['rankme']:.1f}" in page and f"{found['lidar']:.1f}" in page
    assert "linear probe" not in page.split("## Choosing without labels")[1].split("## ")[0]
