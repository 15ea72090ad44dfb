"""The tiny grid, run through every rule as a user would."""

import pytest

from tests.project import Project
from tests.workflow.tiny_grid import TINY


class Pipeline(Project):
    def run(self, overlay: dict, *arguments: str):
        self.overlay(overlay)
        return self.snakemake(*arguments)


@pytest.fixture
def project(tmp_path) -> Pipeline:
    return Pipeline(tmp_path / "a project", TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Pipeline:
    """The tiny grid, run to its report. A space in the path, as users have them."""
    project = Pipeline(tmp_path_factory.mktemp("run") / "a project", TINY)
    done = project.run(TINY)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return project
