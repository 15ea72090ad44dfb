"""The study of pairs of operations as the report shows it: per dataset and model a heat map, and its figures."""

from statistics import fmean

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.charts.heatmap import Place, heat_map
from sslbench.report.sections.accuracy import Notes, collapsed
from sslbench.report.wording import ABSENT, Labels, accuracy, interval, listed

_STATES = {"stale": "not today's", "missing": "not run yet", "failed": "failed", "set aside": "set aside"}
_ABOUT = (
    "The first operation down, the second across; on the diagonal an operation alone; last the mean of the row. In the "
    "table, shaded figures cannot be told apart from the best of their dataset."
)


def composition(report: dict, labels: Labels) -> tuple[tuple[str, tuple[Block, ...]], ...]:
    """(dataset, blocks) where the plan asks for the study and the dataset's grid has any of its transforms."""
    study = report["plan"].get("composition")
    if not study:
        return ()
    found = []
    for dataset in report["datasets"]:
        entries = {
            tuple(e["name"][1:]): e for e in report["entries"] if e["name"][0] == dataset and e["kind"] == "grid"
        }
        wanted = {name for row in study["places"] for name in row}
        blocks: list[Block] = []
        for model in dict.fromkeys(m for m, transform in entries if transform in wanted):
            mine = [[entries.get((model, name)) for name in row] for row in study["places"]]
            title = f"{labels.dataset(dataset)}, {labels.model(model)}: top-1 accuracy by pair of operations"
            blocks += [*_chart(study, mine, title, ("composition", dataset, model)), _table(study, mine, title)]
        if blocks:
            found.append((labels.dataset(dataset), (Paragraph(_ABOUT, "faint"), *blocks)))
    return tuple(found)


def _table(study: dict, places: list[list[dict | None]], title: str) -> Table:
    columns = [Column("First, then", "text"), *(Column(name) for name in study["columns"]), Column("Mean")]
    notes, rows = Notes(), []
    for row, names, entries in zip(study["rows"], study["places"], places, strict=True):
        cells = [
            _cell(entry, _in_other_order(name, row, column, notes))
            for entry, name, column in zip(entries, names, study["columns"], strict=True)
        ]
        rows.append(Row((Cell((row,)), *cells, _mean(entries))))
    return Table(title, tuple(columns), tuple(rows), tuple(notes.texts))


def _in_other_order(name: str, row: str, column: str, notes: Notes) -> tuple[int, ...]:
    if row == column or name == f"{row}+{column}":
        return ()
    return (notes.number(f"Run in one order only: {column} comes first here, too."),)


def _cell(entry: dict | None, numbers: tuple[int, ...]) -> Cell:
    if entry is None:
        return Cell((ABSENT,), "absent")
    marks: list[Text] = [Span("collapsed", "collapsed")] * collapsed(entry)
    if "done" not in entry["states"]:
        state = next(state for state in _STATES if state in entry["states"])
        marks.append(Span(_STATES[state], "aside" if state == "set aside" else state))
    if _value(entry) is None:
        return Cell((ABSENT, *marks), "absent", notes=numbers)
    tone = "collapsed" if collapsed(entry) else "best" if entry["dataset_rank"] == 1 else ""
    lines = (accuracy(_value(entry)), interval(entry["top1"]), *marks)
    return Cell(tuple(line for line in lines if line), tone, notes=numbers)


def _mean(entries: list[dict | None]) -> Cell:
    values = [value for entry in entries if (value := _value(entry)) is not None]
    if not values:
        return Cell((ABSENT,), "absent")
    some = (f"of {len(values)} of {len(entries)}",) if len(values) < len(entries) else ()
    return Cell((accuracy(fmean(values)), *some))


def _chart(study: dict, places: list[list[dict | None]], title: str, name: tuple[str, ...]) -> tuple[Block, ...]:
    """Nothing where fewer than two places have a figure: there is no scale."""
    shown = {
        name: _value(entry)
        for names, entries in zip(study["places"], places, strict=True)
        for name, entry in zip(names, entries, strict=True)
        if _value(entry) is not None
    }
    if len(shown) < 2:
        return ()
    drawn = {
        (row, column): Place(_value(entry), interval(entry["top1"]), collapsed=collapsed(entry), hint=name)
        for row, names, entries in zip(study["rows"], study["places"], places, strict=True)
        for column, name, entry in zip(study["columns"], names, entries, strict=True)
        if _value(entry) is not None
    }
    order = sorted(shown, key=lambda name: (-shown[name], name))
    highest = listed([f"{name} ({accuracy(shown[name])})" for name in order[:3]])
    lowest = f"{order[-1]} ({accuracy(shown[order[-1]])})"
    crossed = any(place.collapsed for place in drawn.values())
    told = f"The stronger the colour, the higher. Highest: {highest}; lowest: {lowest}." + (
        " Collapsed runs are hatched." if crossed else ""
    )
    axes = ("first operation", "second operation")
    return (heat_map(study["rows"], study["columns"], drawn, f"{title}.", told, name, axes),)


def _value(entry: dict | None) -> float | None:
    return None if entry is None else entry["top1"]["value"]
