"""One thread for each test process.

Several of them share the cores, and OpenMP's threads spin while they wait for one that has no core: tests of tiny
tensors then take ten times as long. A test of several threads asks for them by ``torch.set_num_threads``.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # these are read when torch and numpy are imported, which is later
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where a test or a run that it starts has several threads

# Rooms whose files take longest begin first, so that no process is left with one of them at the end.
_LONGEST = ("workflow", "faults", "staleness", "training", "data", "methods", "transforms")
# These share the tiny grid's run (tests/workflow/conftest.py), which takes half a minute: one process does them all.
_TINY_GRID = {"test_pipeline.py", "test_additions.py", "test_export_by_path.py", "test_without_records.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Whole files, and those that share a set-up together, to one process."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tiny grid" if Path(file).name in _TINY_GRID else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, for ``--no-loadscope-reorder``."""

    def room(item: pytest.Item) -> int:
        name = item.path.parent.name
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)

    items.sort(key=lambda item: (room(item), item.path.name not in _TINY_GRID))  # stable: the rest stays as it is
