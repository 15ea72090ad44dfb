"""The first article's figures in report.json and cells.csv: per cell and entry the one that may stand beside it."""

from collections.abc import Callable, Mapping

from sslbench.report.collect import entries as ranking
from sslbench.studies import ledgers


def cells(plan: dict, _: float) -> Callable[[dict, dict, dict, dict], dict]:
    """A function that finds what stands beside a cell."""
    figures = ledgers.read()
    return lambda cell, entry, settings, pictures: {
        "published": _published(figures, cell, entry, settings, plan, pictures)
    }


def entries(cells: list[dict]) -> dict:
    """What stands beside an entry made of ``cells``."""
    return {"published": {metric: _joined([c["published"][metric] for c in cells]) for metric in ("top1", "top5")}}


def fields(*_: object) -> dict:
    """The ledger, for the tables that show all of it."""
    return {"ledger": [_ledger_row(figure) for figure in ledgers.read()]}


def cell_columns(cell: dict) -> dict:
    """Columns of a row of cells.csv."""
    return entry_columns(cell) | {"published_why_not": cell["published"]["top1"].get("reason", "")}


def entry_columns(entry: Mapping) -> dict:
    """Columns of a row of entries.csv."""
    row = {}
    for metric in ("top1", "top5"):
        figure = entry["published"][metric]
        row |= {f"published_{metric}": figure.get("value"), f"difference_{metric}": figure.get("difference")}
    return row


def _published(figures: list, cell: dict, entry: dict, settings: dict, plan: dict, pictures: dict) -> dict:
    """What the ledger has beside a cell, by metric: a figure with caveats and difference, or the reason for none."""
    if entry["kind"] == "reference":
        return {metric: {"reason": "a reference row"} for metric in ("top1", "top5")}
    transform = plan["transforms"].get(entry["transform"], {"kind": entry["transform"], "overrides": {}})
    if cell["evaluated_on"] != cell["dataset"]:
        return {metric: {"reason": f"judged on {cell['evaluated_on']}"} for metric in ("top1", "top5")}
    if settings.get("transform") != entry["expected"]["settings"].get("transform"):
        return {metric: {"reason": "the transform has changed since"} for metric in ("top1", "top5")}
    found = {}
    for metric in ("top1", "top5"):
        match = ledgers.beside(figures, settings, transform["overrides"], transform["kind"], metric, pictures)
        if match.figure is None:
            found[metric] = {"reason": match.reason}
            continue
        ours = cell[metric]["value"] if cell["status"] == "done" else None
        figure = match.figure
        found[metric] = {
            **{key: getattr(figure, key) for key in ("value", "printed", "minutes", "peak_gb", "source", "place")},
            "caveats": list(match.caveats),
            "difference": None if ours is None else ours - figure.value,
        }
    return found


def _joined(found: list[dict]) -> dict:
    """What stands beside an entry: its seeds' mean difference, where the protocol matches for all of them."""
    if any("reason" in figure for figure in found):
        return next(figure for figure in found if "reason" in figure)
    return found[0] | {"difference": ranking.mean([figure["difference"] for figure in found])}


def _ledger_row(figure: ledgers.Figure) -> dict:
    keys = (
        "source",
        "place",
        "dataset",
        "dataset_sources",
        "model",
        "method",
        "options",
        "transform",
        "metric",
        "value",
    )
    more = ("printed", "minutes", "peak_gb", "backbone", "input_size", "epochs", "batch_size")
    more += ("transform_as_printed", "test_pictures")
    return {key: getattr(figure, key) for key in keys + more}
