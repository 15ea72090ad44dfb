"""What an export says of a cell beyond the cell's files: its names and its method's facts. No torch."""

from collections.abc import Mapping

from sslbench.config.weights import Weights
from sslbench.data import seen
from sslbench.grid.cell import Cell, Dataset
from sslbench.grid.commands import command

MARK = "-collapsed"  # at the end of the folder's name, by which a collapsed cell is asked for


def about(cell: Cell, folder: str, overlays: list[str], weights: Mapping[str, Weights]) -> dict:
    """``folder``: the export's, below the working folder; ``overlays``: the config files named; ``weights``: theirs."""
    dataset, model, transform, seed = cell.names
    folded = cell.dataset.part in set(cell.dataset.settings.split_names()) - {""}
    return {
        "dataset": dataset,
        "evaluated_on": cell.evaluated.name,
        "model": model,
        "transform": transform,
        "seed": seed,
        "title": cell.model.title,
        "paper": cell.model.facts.paper,
        "family": cell.model.facts.family,
        "exclude_test": cell.dataset.settings.exclude_test,
        "folder": folder,
        "collapsed": folder.endswith(MARK),
        "command": command(overlays, f"{folder}/README.md"),
        # Test images were kept out; each fold trains on those of the others.
        "trained_on": [name + " train" * (not folded) for name in _published(cell.dataset)],
        "called": _published(cell.evaluated),
        "split": cell.evaluated.split,
        "drawn": cell.evaluated.settings.drawn,
        # Of a pretrained row: what the config says that its weights have seen
        **({"weights": cell.model.weights, "seen": weights[cell.model.weights].seen} if cell.model.weights else {}),
    }


def _published(dataset: Dataset) -> list[str]:
    """What others call a dataset: its name here and, of one that can be had by it, its kind's or torchvision's."""
    called = seen.called(dataset.name, dataset.settings.identity()) - {"folder", "table", "torchvision"}
    return sorted(called | ({"imagenet-1k"} if dataset.kind == "imagenet" else set()))
