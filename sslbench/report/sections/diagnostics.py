"""Tables beside accuracy: nearest neighbours, health of the features, and a transform's parameter swept."""

from sslbench.report import families
from sslbench.report.blocks import Block, Cell, Column, Folded, Paragraph, Row, Span, Table
from sslbench.report.charts.sweep import sweep_chart
from sslbench.report.sections.accuracy import MANY_TRANSFORMS, Notes, collapsed, suspicious
from sslbench.report.wording import ABSENT, Labels, accuracy, cost, interval


def neighbours(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """kNN top-1 per model and transform, one line for each k."""
    entries = _measured(report, dataset, lambda e: e["knn"])
    if not entries:
        return ()
    ks = sorted({k for e in entries.values() for k in e["knn"]}, key=int)
    transforms = list(dict.fromkeys(t for _, t in entries))
    if len(transforms) > MANY_TRANSFORMS:
        return ()  # the leaderboard has them
    columns = [Column("Model", "text"), Column("Family", "text", spare=True)]
    columns += [Column(t if t != "none" else "no transform", hint=" / ".join(f"k={k}" for k in ks)) for t in transforms]
    rows = []
    for model in dict.fromkeys(m for m, _ in entries):
        cells = [Cell((labels.model(model),)), families.cell(report, model)]
        for transform in transforms:
            entry = entries.get((model, transform))
            if entry is None:
                cells.append(Cell((ABSENT,), "absent"))
                continue
            lines = [" / ".join(accuracy(entry["knn"].get(k, {}).get("top1")) for k in ks)]
            lines += [Span("collapsed", "collapsed")] * collapsed(entry) + [Span("not today's", "stale")] * _stale(
                entry
            )
            cells.append(Cell(tuple(lines), "collapsed" if collapsed(entry) else ""))
        rows.append(Row(tuple(cells), "reference" if _reference(entries, model) else ""))
    caption = f"{labels.dataset(dataset)}: top-1 accuracy of weighted nearest neighbours on the same features"
    return (Table(caption, tuple(columns), tuple(rows)),)


def health(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Channel deviation, effective rank and verdict per model and transform, the evidence as footnotes."""
    entries = _measured(report, dataset, lambda e: e["health"].get("effective_rank") is not None or e["collapsed"])
    if not entries:
        return ()
    notes = Notes()
    transforms = list(dict.fromkeys(t for _, t in entries))
    features = max((e["health"].get("features") or 0 for e in entries.values()), default=0)
    of = f" of {features:,}" if features else ""
    caption = f"{labels.dataset(dataset)}: health of the features: effective rank{of}, below it the channels' deviation"
    if len(transforms) > MANY_TRANSFORMS:
        return (Folded(f"{labels.dataset(dataset)}: health of the features", (_long(entries, caption, labels),)),)
    columns = [Column("Model", "text"), Column("Family", "text", spare=True)]
    columns += [Column(t if t != "none" else "no transform") for t in transforms]
    rows = []
    for model in dict.fromkeys(m for m, _ in entries):
        cells = [_health_cell(entries.get((model, transform)), notes) for transform in transforms]
        named = Cell((labels.model(model),)), families.cell(report, model)
        rows.append(Row((*named, *cells), "reference" if _reference(entries, model) else ""))
    return (Table(caption, tuple(columns), tuple(rows), tuple(notes.texts)),)


def _long(entries: dict[tuple[str, str], dict], caption: str, labels: Labels) -> Table:
    """A row per entry, where there are too many transforms for a column each."""
    notes = Notes()
    rows = [
        Row(
            (Cell((labels.model(model),)), Cell((transform,)), _health_cell(entry, notes)),
            "reference" if entry["kind"] == "reference" else "",
        )
        for (model, transform), entry in entries.items()
    ]
    columns = Column("Model", "text"), Column("Transform", "text"), Column("Health")
    return Table(caption, columns, tuple(rows), tuple(notes.texts))


def sweep(report: dict, labels: Labels) -> tuple[tuple[str, tuple[Block, ...]], ...]:
    """Per dataset, a table of one parameter: its values down, models across. Empty where the plan sweeps nothing."""
    plan = report["plan"].get("sweep")
    if not plan:
        return ()
    found = []
    for dataset in report["datasets"]:
        entries = {
            tuple(e["name"][1:]): e for e in report["entries"] if e["name"][0] == dataset and e["kind"] == "grid"
        }
        models = list(dict.fromkeys(m for m, t in entries if t in plan["values"]))
        if not models:
            continue
        columns = [Column(plan["parameter"], "text")] + [
            Column(labels.model(m), hint=f"{families.cell(report, m).lines[0]} (min / peak GB)") for m in models
        ]
        rows = []
        for transform, value in sorted(plan["values"].items(), key=lambda item: (_order(item[1]), item[0])):
            cells = [_sweep_cell(entries.get((model, transform))) for model in models]
            rows.append(Row((Cell((str(value), Span(transform, "code"))), *cells)))
        caption = f"{labels.dataset(dataset)}: top-1 accuracy by {plan['parameter']}"
        table = Table(caption, tuple(columns), tuple(rows))
        found.append((labels.dataset(dataset), (*sweep_chart(report, dataset, labels), table)))
    text = "Each row is one transform that differs from the others in this parameter; all else is equal."
    return tuple((title, (Paragraph(text, "faint"), *blocks)) for title, blocks in found)


def _health_cell(entry: dict | None, notes: Notes) -> Cell:
    if entry is None:
        return Cell((ABSENT,), "absent")
    values = entry["health"]
    lines = [_number(values.get("effective_rank"), ".1f"), f"std {_number(values.get('channel_std'), '.3g')}"]
    numbers: tuple[int, ...] = ()
    word = "collapsed" if collapsed(entry) else "suspicious" if suspicious(entry) else ""
    if word:
        lines.append(Span(word, word))
        if entry["evidence"]:
            numbers = (notes.number("; ".join(dict.fromkeys(entry["evidence"]))),)
    if _stale(entry):
        lines.append(Span("not today's", "stale"))
    return Cell(tuple(lines), "collapsed" if collapsed(entry) else "", notes=numbers)


def _sweep_cell(entry: dict | None) -> Cell:
    if entry is None or entry["top1"]["value"] is None:
        return Cell((ABSENT,), "absent")
    lines = [accuracy(entry["top1"]["value"]), interval(entry["top1"]), cost(entry)]
    lines += [Span("collapsed", "collapsed")] * bool(entry["collapsed"]) + [Span("not today's", "stale")] * _stale(
        entry
    )
    return Cell(tuple(line for line in lines if line), "collapsed" if entry["collapsed"] else "")


def _measured(report: dict, dataset: str, wanted: object) -> dict[tuple[str, str], dict]:
    """A dataset's entries that have what is ``wanted``, the grid's before the references, by (model, transform)."""
    chosen = [e for e in report["entries"] if e["name"][0] == dataset and e["used"] and wanted(e)]
    ordered = sorted(chosen, key=lambda e: e["kind"] == "reference")  # stable: the plan's order otherwise
    return {tuple(e["name"][1:]): e for e in ordered}


def _reference(entries: dict, model: str) -> bool:
    return any(e["kind"] == "reference" for (m, _), e in entries.items() if m == model)


def _stale(entry: dict) -> bool:
    return "stale" in entry["states"] and "done" not in entry["states"]


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, then all else by its text."""
    number = isinstance(value, int | float)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)
