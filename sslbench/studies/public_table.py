"""Public figures of others beside ours, where data, network, schedule, views, recipe and metric are the same.

Nothing is shown of a run that none of them matches.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.sections.accuracy import Notes
from sslbench.report.wording import Labels, accuracy, counted, difference, interval
from sslbench.stats import paired
from sslbench.studies import ledgers
from sslbench.studies.tables_side_by_side import against

MOST = 20  # rows of one dataset's table


def cells(_: dict, confidence: float) -> Callable[[dict, dict, dict, dict], dict]:
    """A function that finds what stands beside a cell."""
    figures = ledgers.by_place(ledgers.read(ledgers.PUBLIC))
    return lambda cell, _, settings, pictures: {"public": of_cell(figures, cell, settings, pictures, confidence)}


def cell_columns(cell: dict) -> dict:
    """Columns of a row of cells.csv."""
    row = {}
    for one in cell["public"]:
        name, theirs = f"public_{one['figure']['metric']}", one["figure"]["value"]
        row |= {name: theirs, f"{name}_difference": one["ours"]["value"] - theirs}
    return row


def blocks(report: dict, _: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """``table``, of all that the run has."""
    return table(report, dataset, labels)


def of_cell(figures: Mapping, cell: dict, settings: Mapping, pictures: dict, confidence: float) -> list[dict]:
    """The public figures that stand beside a finished cell of collect's, each with its caveats and our share.

    ``figures``: published.by_place; ``settings``: what the cell was made with; ``pictures``: as in published.beside.
    """
    if (
        cell["kind"] == "reference"
        or cell["status"] != "done"
        or cell["evaluated_on"] != cell["dataset"]
        or not cell["n"]
    ):
        return []
    shares = {metric: cell[metric]["value"] for metric in ("top1", "top5")}
    shares |= {f"knn{k}": values.get("top1") for k, values in cell["knn"].items()}
    measured = {metric: share for metric, share in shares.items() if share is not None}
    mine = figures.get((settings["dataset"]["source"], cell["method"]), [])
    found = []
    for one in ledgers.matching(mine, settings, measured, pictures):
        share = measured[one.figure.metric]
        low, high = paired.wilson(round(share * cell["n"]), cell["n"], confidence)
        ours = {"value": share, "low": low, "high": high}
        found.append({"figure": asdict(one.figure), "caveats": list(one.caveats), "ours": ours})
    return found


def table(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """The dataset's combinations that a public figure matches, with the difference; () where none does."""
    groups: dict[tuple, list[tuple[dict, dict]]] = {}
    for cell in report["cells"]:
        for one in cell["public"] if cell["dataset"] == dataset else ():
            figure = one["figure"]
            key = (cell["model"], cell["transform"], figure["source"], figure["metric"], figure["model"])
            groups.setdefault(key, []).append((cell, one))
    if not groups:
        return ()
    notes = Notes()
    rows = [_row(pairs, report["confidence"], labels, notes) for pairs in list(groups.values())[:MOST]]
    heads = ("Model", "Transform", "Metric", "Published")
    columns = (*(Column(head, "text") for head in heads), Column("Ours"), Column("Difference", hint="ours − published"))
    text = (
        f"{counted(len(groups), 'public figure has', 'public figures have')} the data, network, input size, epochs, "
        "batch, views, recipe and metric of a combination here; what else differs is in the notes. Intervals are as "
        "for the article's figures, and leave out the variance of single trainings."
    )
    if len(groups) > MOST:
        text += f" The first {MOST} are shown; cells.csv has all."
    caption = f"{labels.dataset(dataset)}: public figures of the same protocol, and ours"
    return Paragraph(text, "faint"), Table(caption, columns, tuple(rows), tuple(notes.texts))


def _row(pairs: list[tuple[dict, dict]], confidence: float, labels: Labels, notes: Notes) -> Row:
    """One figure and our cells beside it, a pair for each seed."""
    cell, one = pairs[0]
    figure = ledgers.Figure(**one["figure"])
    share = _over_seeds([p["ours"] for _, p in pairs], confidence)
    low, high, told = against(figure, share, cell["n"], confidence)
    gap: Text = (
        Span(difference(share["value"] - figure.value), "strong"),
        f" ({difference(low)} to {difference(high)})",
    )
    if any(c["health"].get("verdict") == "collapsed" for c, _ in pairs):
        gap = Span("collapsed", "collapsed")
    number = notes.number(f"{figure.source}, {figure.place}. {'; '.join([*told, *one['caveats']])}.")
    return Row(
        (
            Cell((labels.model(cell["model"]),)),
            Cell((cell["transform"],)),
            Cell((ledgers.METRICS[figure.metric],)),
            Cell((figure.printed, Span(figure.model, "faint")), notes=(number,)),
            Cell((accuracy(share["value"]), interval(share))),
            Cell((gap,)),
        )
    )


def _over_seeds(shares: list[dict], confidence: float) -> dict:
    if len(shares) == 1:
        return shares[0]
    over = paired.over_seeds([share["value"] for share in shares], confidence)
    return {"value": over.mean, "low": max(over.low, 0.0), "high": min(over.high, 1.0), "seeds": over.n}
