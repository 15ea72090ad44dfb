"""The one-cell pipeline, run once undisturbed, to hold the disturbed ones against."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.workflow.faults.stages import STAGES, Nursery, copy, leftovers, written


class Undisturbed(NamedTuple):
    folder: Path
    nursery: Nursery
    files: dict[str, bytes]  # as written() finds them
    calls: dict[str, list[str]]  # what each stage asks of the file system, in order

    def again(self, folder: Path) -> Nursery:
        """The nursery, at work in a copy."""
        copy(self.folder, folder)
        self.nursery.folder = folder
        return self.nursery

    def same_ledger(self, nursery: Nursery) -> None:
        """Give a cell that was trained anew the undisturbed one's ledger: all else that the report shows is equal."""
        (done,) = self.folder.glob("results/.store/*/done")
        for name in ("ledger.json", "files.json"):  # all other hashes stay what they were, or the store refuses
            (nursery.folder / done.relative_to(self.folder) / name).write_bytes((done / name).read_bytes())
        nursery.must("pretrain")  # links it

    def same(self, folder: Path) -> None:
        """Whether a tree ended as the undisturbed one, and nothing half-written is left in it."""
        found = written(folder)
        assert found.keys() == self.files.keys()
        assert [name for name in found if found[name] != self.files[name]] == []
        assert leftovers(folder) == []


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed") / "project"
    folder.mkdir()
    nursery, calls = Nursery(folder), {}
    try:
        for stage in STAGES:
            assert nursery.run(stage, calls=True) == 0, nursery.stderr.read_text()
            calls[stage] = nursery.calls.read_text().splitlines()
        yield Undisturbed(folder, nursery, written(folder), calls)
    finally:
        nursery.close()
