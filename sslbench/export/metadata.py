"""What an export says of a cell beyond the cell's files: its names and its method's facts. No torch."""

from sslbench.errors import UserError
from sslbench.grid.cell import Cell
from sslbench.grid.commands import command

MARK = "-collapsed"  # at the end of the folder's name, by which a collapsed cell is asked for


def about(cell: Cell, folder: str, overlays: list[str]) -> dict:
    """``folder``: the export's, below the working folder; ``overlays``: the config files named.

    Raises UserError for a pretrained row: its weights are others', and a card of ours would say that they were trained.
    """
    if cell.model.weights:
        raise UserError(
            f"{folder}: pretrained weights are not exported: load {cell.model.training.backbone} from where they come"
        )
    dataset, model, transform, seed = cell.names
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
    }
