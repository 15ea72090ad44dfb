"""A folder of pictures without labels, from the pictures to its label-free measures."""

import json

import numpy as np
from PIL import Image

from tests.project import Project
from tests.workflow.tiny_grid import TINY

PICTURES = 40


def test_pictures_without_labels_are_trained_on_and_measured_without_a_probe(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "unsorted").mkdir()
    for number in range(PICTURES):
        pixels = random.normal(random.uniform(60, 200, 3), 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "unsorted" / f"{number}.png")
    datasets = TINY["datasets"] | {
        "unsorted": {"kind": "folder", "path": str(tmp_path / "unsorted"), "pack_size": 32, "evaluate_on": "drawn"}
    }
    grid = [{"datasets": ["unsorted"], "models": ["simclr"], "transforms": ["simclr"]}]
    project = Project(tmp_path / "project", TINY | {"datasets": datasets, "grid": grid})
    cell = "results/unsorted/simclr/simclr/seed0"
    done = project.snakemake(f"{cell}/labelfree.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((project.folder / cell / "labelfree.json").read_text())
    assert found["n"] == PICTURES
    assert found["rankme"] > 1 and found["lidar"] > 1
    # neither features for a probe nor the labelled pictures were needed
    assert not list(project.folder.glob("results/**/features-*"))
    assert [path.name for path in (project.folder / "data" / "packed").iterdir()] == ["folder@unsorted-32px"]
