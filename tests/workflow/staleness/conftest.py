"""A small grid that Snakemake believes to be finished."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import Project
from tests.workflow.staleness.small_grid import CELLS, GRID, REFERENCES, Finished


def finish(project: Project, make: Callable[[Path], None] = lambda output: None) -> None:
    """Make every output as a file that holds its name, and have Snakemake itself record it (--touch) as made by today's
    rules. ``make`` may make one first."""
    listed = project.snakemake("-n", "--quiet", "progress", "--summary")
    outputs = [line.split("\t")[0] for line in listed.stdout.splitlines()[1:] if "\t" in line]
    assert outputs, listed.stdout + listed.stderr
    for output in outputs:
        path = project.folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        if path.suffix and not path.exists():
            path.write_text(output)
        elif not path.suffix:  # the one output that is a folder
            path.mkdir(exist_ok=True)
    recorded = project.snakemake("--touch", "--forceall")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr


@pytest.fixture(scope="session")
def touched(tmp_path_factory) -> Path:
    project = Project(tmp_path_factory.mktemp("finished") / "project", GRID)
    finish(project)
    assert len(list(project.folder.glob("results/*/*/*/seed0/run.json"))) == CELLS + REFERENCES
    return project.folder


@pytest.fixture
def project(touched, tmp_path) -> Finished:
    # cp -a keeps the times, as moving the folder would.
    subprocess.run(["cp", "-a", touched, tmp_path / "moved"], check=True)
    return Finished(tmp_path / "moved")
