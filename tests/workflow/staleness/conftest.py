"""A small grid that Snakemake believes to be finished."""

import subprocess
from pathlib import Path

import pytest

from tests.project import Project
from tests.workflow.staleness.small_grid import CELLS, GRID, Finished


@pytest.fixture(scope="session")
def touched(tmp_path_factory) -> Path:
    """Every output of the grid as an empty file, recorded by Snakemake itself (--touch) as made by today's rules."""
    project = Project(tmp_path_factory.mktemp("finished") / "project", GRID)
    listed = project.snakemake("-n", "--quiet", "progress", "--summary")
    outputs = [line.split("\t")[0] for line in listed.stdout.splitlines()[1:] if "\t" in line]
    assert len(outputs) > 10 * CELLS, listed.stdout + listed.stderr
    for output in outputs:
        path = project.folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix else path.mkdir(exist_ok=True)  # the one output that is a folder has no ending
    recorded = project.snakemake("--touch", "--forceall")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    return project.folder


@pytest.fixture
def project(touched, tmp_path) -> Finished:
    # cp -a keeps the times, as moving the folder would.
    subprocess.run(["cp", "-a", touched, tmp_path / "moved"], check=True)
    return Finished(tmp_path / "moved")
