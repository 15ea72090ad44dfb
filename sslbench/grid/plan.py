"""What a configuration asks for, as the rules and the report need it. No torch, no Snakemake."""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from sslbench.config.models import Config
from sslbench.errors import UserError
from sslbench.grid import networks, pretrained, random_init
from sslbench.grid.cell import Cell, Dataset
from sslbench.store import code_check
from sslbench.store.canonical_json import canonical

PRETRAIN_SCRIPT = "workflow/scripts/pretrain.py"


def alternatives(names: Any) -> str:
    """A regular expression that matches exactly these names."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


class Plan:
    """Cells by name, sources and packs by folder name, and what is set aside.

    Raises UserError where an archive or folder that the grid reads is missing, or a batch is larger than its dataset.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cells = config.cells()
        self._by_names = {cell.names: cell for cell in self.cells}
        self.datasets: dict[str, Dataset] = {}  # the first cell's: a pretrained row's pack may be another
        for found in [*(cell.dataset for cell in self.cells), *(cell.evaluated for cell in self.cells)]:
            self.datasets.setdefault(found.name, found)
        self.sources = {dataset.source: dataset for dataset in reversed(config.all_datasets.values())}
        self.packs = {dataset.whole: dataset for dataset in reversed(config.all_datasets.values())}
        for found in (one for cell in self.cells for one in (cell.dataset, cell.evaluated)):
            self.packs.setdefault(found.whole, found)
        self.reduced = {d.pack: d for d in reversed(config.all_datasets.values()) if d.excluding}
        self._check_files()
        self._check_batches()

    def _check_files(self) -> None:
        for dataset in self.datasets.values():
            if (self.config.paths.data / "sources" / dataset.source / "source.json").exists():
                continue  # it was read once; a report needs it no more
            if lacking := dataset.settings.missing():
                raise UserError(f"config: datasets.{dataset.entry}.{lacking}")

    def _check_batches(self) -> None:
        for cell in self.trained_pairs(self.cells):
            check_batch(cell, cell.dataset.settings.known_counts())

    @staticmethod
    def trained_pairs(cells: Iterable[Cell]) -> Iterable[Cell]:
        """One trained cell of each dataset and model: seeds and transforms have no say in batches."""
        return {(cell.dataset.name, cell.model.name): cell for cell in cells if cell.transform}.values()

    def cell(self, dataset: str, model: str, transform: str, seed: int) -> Cell:
        """The cell of these names, in the grid or not."""
        found = self._by_names.get((dataset, model, transform, seed))
        if found is None:
            untrained = self.config.all_models[model].method in (random_init.RANDOM, pretrained.METHOD)
            if (transform == "none") != untrained:
                raise UserError(
                    f"there is no cell {dataset}/{model}/{transform}: only untrained rows, random and random-..., and "
                    "pretrained-... go with none"
                )
            found = self.config.cell(dataset, model, transform, seed)
        return found

    @cached_property
    def runnable(self) -> list[Cell]:
        """The cells whose pictures can be had."""
        return [cell for cell in self.cells if not self.set_aside(cell)]

    @property
    def waiting(self) -> list[Cell]:
        """The runnable cells that were never trained."""
        return [cell for cell in self.runnable if not (cell.folder / "run.json").exists()]

    @property
    def waiting_backbones(self) -> Iterable[Cell]:
        """One of the cells that were never trained for each backbone."""
        trained = (cell for cell in self.waiting if cell.transform)
        return {canonical([cell.settings["backbone"], cell.settings["input_size"]]): cell for cell in trained}.values()

    @cached_property
    def timed(self) -> dict[str, dict]:
        """The networks whose time for an image is measured, by file name."""
        return networks.timed(self.runnable)

    @property
    def used_packs(self) -> list[str]:
        """Packs of the runnable cells, once each."""
        return list(dict.fromkeys(d.pack for cell in self.runnable for d in (cell.dataset, cell.evaluated)))

    def require_pictures(self, cells: list[Cell]) -> None:
        """Raise UserError, with how to get them, where pictures of ``cells`` cannot be had."""
        for cell in cells:
            if why := self.set_aside(cell):
                raise UserError(why)

    @cached_property
    def trained_on(self) -> set[str]:
        """Names of the datasets that anything is pretrained on."""
        return {cell.dataset.name for cell in self.cells if not cell.reference}

    def counted_apart(self, cell: Cell) -> bool:
        """Whether it is a row to hold others against. Where nothing is trained, pretrained backbones are what is
        compared."""
        return cell.reference and not (cell.model.weights and cell.dataset.name not in self.trained_on)

    @cached_property
    def _of_datasets(self) -> dict[str, list[Cell]]:
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            for name in {cell.dataset.name, cell.dataset.entry}:
                found.setdefault(name, []).append(cell)
        return found

    def of_dataset(self, name: str) -> list[Cell]:
        """A dataset's cells; of a divided one's, by the name of its entry, those of all its parts."""
        return self._of_datasets.get(name, [])

    def set_aside(self, cell: Cell) -> str | None:
        """How to get what a cell lacks, where its images cannot be had; None where they can."""
        for dataset in (cell.dataset, cell.evaluated):
            if dataset.needs_archive:
                return f"datasets.{dataset.entry}: {dataset.settings.how_to_get()}"
        return None

    def gallery(self) -> dict[str, list[list[dict]]]:
        """The operations of every transform that the grid uses, for the gallery."""
        return {cell.transform.name: cell.transform.branches for cell in self.cells if cell.transform}

    def operations(self) -> list[str]:
        """Every operation that the grid uses, as sources.operations has it."""
        return code_check.operations(branch for branches in self.gallery().values() for branch in branches)


def check_batch(cell: Cell, counts: tuple[int, int] | None) -> None:
    """Raise UserError where a cell's batch or options do not suit its number of training images, as far as known."""
    training, dataset = cell.model.training, cell.dataset.name
    batch = training.batch_size
    if counts and batch > counts[0]:
        raise UserError(
            f"config: training.batch_size is {batch}, but {dataset} has {counts[0]} training pictures; choose a batch "
            "of at most that"
        )
    if counts and (fault := cell.model.settings.fault(counts[0])):
        raise UserError(f"config: models.{cell.model.name} on {dataset}: {fault}")
    steps = training.epochs * (counts[0] // batch) if counts else None
    idle = cell.model.settings.without_effect(training.epochs, steps, batch // training.accumulate)
    # A default's is noted by the job.
    for option in (name for name in idle if _says(cell.model.overrides, name)):
        raise UserError(f"config: models.{cell.model.name}.{option} on {dataset}: {idle[option]}")


def _says(entry: dict, option: str) -> bool:
    """Whether a model's entry holds the dotted option."""
    for part in option.split("."):
        if not isinstance(entry, dict) or part not in entry:
            return False
        entry = entry[part]
    return True
