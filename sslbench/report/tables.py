"""The article's tables in their own shape, one per dataset: models down, transforms across; what stands beside them."""

from math import sqrt
from statistics import NormalDist

from sslbench.report import families
from sslbench.report.content import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.wording import ABSENT, Labels, accuracy, cost, counted, difference, interval, listed, share_of
from sslbench.transforms import baseline

MANY_TRANSFORMS = 8  # above this a table with one column for each is no longer read across
_MANY_CLASSES = 20  # above this, top-5 says something that top-1 does not
_STATES = {
    "missing": ("missing", "not run yet"),
    "failed": ("failed", "failed"),
    "set aside": ("aside", "set aside"),
    "stale": ("stale", "not today's"),
}


class Notes:
    """A table's footnotes: equal texts share a number."""

    def __init__(self) -> None:
        self.texts: list[Text] = []

    def number(self, text: Text) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def accuracy_tables(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Accuracy per model and transform with interval, minutes, memory, rank and marks; top-5 where classes are many."""
    entries = {tuple(e["name"][1:]): e for e in report["entries"] if e["name"][0] == dataset}
    grid = {key: e for key, e in entries.items() if e["kind"] == "grid"}
    if not any(e["probed"] for e in entries.values()):
        return ()  # nothing is labelled there
    transforms = list(dict.fromkeys(t for _, t in grid))
    models = list(dict.fromkeys(m for m, _ in grid))
    if len(transforms) > MANY_TRANSFORMS:
        text = (
            f"{labels.dataset(dataset)}: {len(transforms)} transforms are too many to stand side by side. Each figure, "
            f"with its interval and its cost, stands in the leaderboard{_uniform(grid)}."
        )
        return Paragraph(text), *_families(report, models)
    metrics = _metrics(report, dataset)
    notes = Notes()
    columns = _heads(transforms, metrics, bool(_uniform(grid)))
    rows, differing = [], _differing(grid)
    for model in models:
        of_model = [grid.get((model, t)) for t in transforms]
        protocol = _of_row([e for e in of_model if e])
        more = tuple(Span(str(protocol[key]), "faint") for key in ("backbone", "precision") if key in differing)
        cells = [_model(labels.model(model), model, more), families.cell(report, model), *_protocol(protocol)]
        for entry in of_model:
            cells += [_figure(entry, metric, notes, protocol) for metric in metrics]
        rows.append(Row(tuple(cells)))
    rows += _references(report, entries, transforms, metrics, labels, notes)
    rows += _published_best(report, dataset, transforms, metrics, labels)
    n = max((e["n"] or 0 for e in entries.values()), default=0)
    counted_n = f", {n:,} test pictures" if n else ""
    what = "Top-1 and top-5 accuracy" if len(metrics) == 2 else "Top-1 accuracy"
    probe = f"{what} of a linear probe on the frozen backbone, last epoch{counted_n}{_uniform(grid)}"
    caption = f"{labels.dataset(dataset)}: {probe}"
    table = Table(caption, columns, tuple(rows), tuple(notes.texts))
    return (table, *_families(report, models), *_beside(report, dataset, grid, metrics, labels))


def rotations(report: dict) -> str:
    """What a baseline column's rotation is, which the article names without a probability; "" without such a column."""
    usual = baseline.Settings().rotate.p
    told = [
        f" {name} turns a view by 90 degrees with probability {p:g}: the article only lists a rotation, and this is "
        "our reading of that word; lightly's default is 0."
        for name, one in report["transforms"].items()
        if one["kind"] == "baseline" and (p := (one.get("overrides") or {}).get("rotate", {}).get("p", usual)) > 0
    ]
    return "".join(told)


def _families(report: dict, models: list[str]) -> tuple[Block, ...]:
    line = families.without_row(report, models)
    return (Paragraph(line, "faint"),) if line else ()


def _heads(transforms: list[str], metrics: tuple[str, ...], uniform: bool) -> tuple[Column, ...]:
    protocol = (Column(title, spare=uniform) for title in ("Batch size", "Input size", "Epochs"))
    heads = [Column("Model", "text"), Column("Family", "text", spare=uniform), *protocol]
    for transform in transforms:
        for metric in metrics:
            hint = "(min / peak GB)" if metric == "top1" else ""
            heads.append(
                Column(
                    f"{transform} {'top-5' if metric == 'top5' else 'top-1' if len(metrics) == 2 else ''}".strip(),
                    hint=hint,
                )
            )
    return tuple(heads)


def _model(label: str, name: str, more: tuple[Span, ...] = ()) -> Cell:
    plain = label.lower().replace(" ", "") == name.lower()
    return Cell((label, *more) if plain else (label, Span(name, "code"), *more))


def _uniform(grid: dict) -> str:
    """The protocol in words where all of a table's cells share it."""
    if not grid or _differing(grid):
        return ""
    one = next(iter(grid.values()))["protocols"][0]
    length = counted(one["epochs"], "epoch")
    return f"; {one['backbone']}, {length}, batch {one['batch_size']}, input {one['input_size']} px"


def _differing(grid: dict) -> set[str]:
    """The keys of the protocol in which a table's cells differ."""
    protocols = [protocol for entry in grid.values() for protocol in entry["protocols"]]
    return {key for one in protocols for key in one if one[key] != protocols[0][key]}


def _of_row(entries: list[dict]) -> dict:
    """The protocol that a row states: today's where an entry has it. What was made otherwise says so in a footnote."""
    return min(entries, key=lambda e: "stale" in e["states"])["protocols"][0]


def _protocol(protocol: dict) -> list[Cell]:
    return [Cell((str(protocol[key]),)) for key in ("batch_size", "input_size", "epochs")]


def _figure(entry: dict | None, metric: str, notes: Notes, protocol: dict) -> Cell:
    """One accuracy, or the word for why there is none. ``protocol``: what its row states."""
    if entry is None:
        return Cell((ABSENT,), "absent")
    share, lines, tone = entry[metric], [], ""
    if share["value"] is None:
        return _absent(entry, notes)
    lines.append(accuracy(share["value"]))
    lines.append(interval(share_of(entry) if metric == "top1" else share))
    if metric == "top1":
        lines.append(cost(entry))
        lines += _marks(entry)
        tone = "best" if entry["column_rank"] == 1 and entry["column_of"] > 1 else tone  # alone it is best of nothing
    if collapsed(entry):
        tone = "collapsed"
    elif "done" not in entry["states"]:
        tone = "stale"
    return Cell(
        tuple(line for line in lines if line), tone, notes=_why(entry, notes, protocol) if metric == "top1" else ()
    )


def collapsed(entry: dict) -> bool:
    """Whether a table says that an entry has collapsed. References are no candidates, and are given no verdict."""
    return bool(entry["collapsed"]) and entry["kind"] == "grid"


def suspicious(entry: dict) -> bool:
    """Whether a table calls an entry suspicious, as with ``collapsed``."""
    return bool(entry["suspicious"]) and entry["kind"] == "grid"


def _marks(entry: dict) -> list[Text]:
    """Rank, collapse, suspicion, staleness and seeds that are not there, as words."""
    marks: list[Text] = []
    seeds = len(entry["seeds"])
    if collapsed(entry):
        marks.append(
            Span("collapsed" if seeds == 1 else f"{entry['collapsed']} of {seeds} seeds collapsed", "collapsed")
        )
    elif entry["column_rank"] and entry["column_of"] > 1:
        tied = entry["column_tied"]
        marks.append(Span(f"rank {entry['column_rank']}" + (f", {tied} tied" if tied > 1 else ""), "tie"))
    if suspicious(entry):
        marks.append(Span("suspicious", "suspicious"))
    for state in ("stale", "missing", "failed", "set aside"):
        count = entry["states"].get(state, 0)
        if count:
            kind, word = _STATES[state]
            marks.append(
                Span(word if len(entry["seeds"]) == 1 else f"{count} of {len(entry['seeds'])} seeds {word}", kind)
            )
    return marks


def _absent(entry: dict, notes: Notes) -> Cell:
    if collapsed(entry):
        return Cell((ABSENT, *_marks(entry)), "collapsed", notes=_why(entry, notes))
    state = next(s for s in ("failed", "set aside", "missing", "stale", "done") if s in entry["states"])
    kind, word = _STATES.get(state, ("missing", "no figure"))
    return Cell((ABSENT, Span(word, kind)), "absent", notes=_why(entry, notes))


def _why(entry: dict, notes: Notes, protocol: dict | None = None) -> tuple[int, ...]:
    """A footnote for an entry that is not simply done; missing ones would all say the same and get none."""
    numbers = []
    if entry["why"] and {"failed", "set aside", "stale"} & entry["states"].keys():
        numbers.append(notes.number(entry["why"]))
    for one in entry["protocols"] if protocol else ():
        told = {key: "none" if value == "" else value for key, value in one.items() if value != protocol[key]}
        if other := ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told.items()):
            numbers.append(notes.number(f"Made with {other}."))
    if collapsed(entry) and entry["evidence"]:
        numbers.append(notes.number("Collapsed: " + "; ".join(dict.fromkeys(entry["evidence"]))))
    return tuple(numbers)


def _references(
    report: dict, entries: dict, transforms: list[str], metrics: tuple[str, ...], labels: Labels, notes: Notes
) -> list[Row]:
    """Rows that are counted apart: every untrained network once, supervised per transform."""
    rows = []
    references = {key: e for key, e in entries.items() if e["kind"] == "reference"}
    for model in dict.fromkeys(m for m, _ in references):
        mine = {t: e for (m, t), e in references.items() if m == model}
        protocol = _of_row(list(mine.values()))
        cells = [Cell((labels.model(model),)), families.cell(report, model), *_protocol(protocol)]
        outside = [t for t in mine if t not in transforms]
        if outside:
            # One value that belongs to no column: it spans them all.
            lines = [_reference_line(mine[t], metrics, t) for t in outside]
            width = max(len(transforms) * len(metrics), 1)
            cells.append(Cell(tuple(line for group in lines for line in group), across=width))
        else:
            cells += [_figure(mine.get(t), metric, notes, protocol) for t in transforms for metric in metrics]
        rows.append(Row(tuple(cells), "reference"))
    return rows


def _reference_line(entry: dict, metrics: tuple[str, ...], transform: str) -> list[Text]:
    if entry["top1"]["value"] is None:
        state = next(iter(entry["states"]))
        kind, word = _STATES.get(state, ("missing", "no figure"))
        return [(ABSENT, " ", Span(word, kind))]
    names = {"top1": "top-1", "top5": "top-5"}
    told = [f"{names[m] + ' ' if len(metrics) > 1 else ''}{accuracy(entry[m]['value'])}" for m in metrics]
    where = "" if transform == "none" else f"{transform}: "
    return [where + ", ".join(told), interval(entry["top1"]), *_marks(entry)]


def _published_best(
    report: dict, dataset: str, transforms: list[str], metrics: tuple[str, ...], labels: Labels
) -> list[Row]:
    """The best published figure of each column, with the protocol that it was measured under."""
    source = report["datasets"].get(dataset, {}).get("source")
    figures = [f for f in report["ledger"] if source in f["dataset_sources"]]
    if not figures or labels.judge(dataset):
        return []
    kinds = {t: report["transforms"].get(t, {}) for t in transforms}
    cells = []
    for transform in transforms:
        kind = kinds[transform]
        for metric in metrics:
            mine = [f for f in figures if f["transform"] == kind.get("kind") and f["metric"] == metric]
            if not mine or kind.get("overrides"):
                cells.append(Cell((ABSENT,), "absent"))
                continue
            best = max(mine, key=lambda f: f["value"])
            cells.append(Cell((best["printed"], best["model"])))
    one = figures[0]
    if all(cell.tone == "absent" for cell in cells):
        return []
    protocol = [Cell((ABSENT,)), *(Cell((str(one[key]),)) for key in ("batch_size", "input_size", "epochs"))]
    return [Row((Cell(("Best published", one["source"])), *protocol, *cells), "published")]


def _beside(report: dict, dataset: str, grid: dict, metrics: tuple[str, ...], labels: Labels) -> tuple[Block, ...]:
    """Published figure and difference per cell where the protocol matches; else the reason, once for all alike."""
    transforms = list(dict.fromkeys(t for _, t in grid))
    models = list(dict.fromkeys(m for m, _ in grid))
    found = {(key, metric): entry["published"][metric] for key, entry in grid.items() for metric in metrics}
    matched = {key: figure for key, figure in found.items() if "reason" not in figure}
    source = report["datasets"].get(dataset, {}).get("source")
    if not matched:
        if not any(source in f["dataset_sources"] for f in report["ledger"]):
            return (Paragraph(f"No published figure in the ledger is on {dataset}.", "faint"),)
        reasons = list(dict.fromkeys(figure["reason"] for (_, metric), figure in found.items() if metric == "top1"))
        told = reasons[0] if len(reasons) == 1 else f"for example {reasons[0]}"
        others = any(cell["public"] for cell in report["cells"] if cell["dataset"] == dataset)
        what = "figure of the article's" if others else "published figure"
        return (Paragraph(f"No {what} may stand beside these cells: {told}.", "faint"),)
    notes = Notes()
    columns = [Column("Model", "text"), Column("Family", "text", spare=True)]
    for t in transforms:
        names = {"top1": " top-1", "top5": " top-5"} if len(metrics) == 2 else {"top1": ""}
        columns += [Column(f"{t}{names[m]}", hint="published, ours − published") for m in metrics]
    rows = []
    for model in models:
        cells = [_model(labels.model(model), model), families.cell(report, model)]
        for transform in transforms:
            for metric in metrics:
                entry = grid.get((model, transform))
                cells.append(_difference(entry, found.get(((model, transform), metric)), notes, metric))
        rows.append(Row(tuple(cells)))
    sources = listed(sorted({figure["source"] for figure in matched.values()}))
    caption = f"{labels.dataset(dataset)} beside the published figures ({sources})"
    ours = sum(figure.get("difference") is not None for figure in matched.values())
    total = len([f for f in report["ledger"] if source in f["dataset_sources"]])
    shared = f"{len(matched)} share dataset, backbone, input size, epochs, batch, transform and metric with a cell here"
    current = f"{counted(ours, 'of them has', 'of them have')} a current figure of ours beside it"
    chance = _by_chance(grid, report["confidence"])
    text = f"{counted(total, 'figure')} published on this dataset; {shared}, and {current}.{chance}"
    return (Paragraph(text, "faint"), Table(caption, tuple(columns), tuple(rows), tuple(notes.texts)))


def _by_chance(grid: dict, confidence: float) -> str:
    """How far two equal models' single runs lie apart by the choice of test pictures alone."""
    measured = [e for e in grid.values() if e["top1"]["value"] is not None and e["n"]]
    if not measured:
        return ""
    n, share = measured[0]["n"], sum(e["top1"]["value"] for e in measured) / len(measured)
    points = 100 * NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(2 * share * (1 - share) / n)
    once = f"Two equal models, each tested once on {n:,} pictures of its own"
    return f" {once}, differ by up to {points:.1f} points in {100 * confidence:g} % of cases."


def _difference(entry: dict | None, figure: dict | None, notes: Notes, metric: str) -> Cell:
    if entry is None or figure is None:
        return Cell((ABSENT,), "absent")
    if "reason" in figure:
        return Cell((ABSENT,), "absent", notes=(notes.number(f"No published figure: {figure['reason']}."),))
    number = notes.number("Left open by the source, or different here: " + "; ".join(figure["caveats"]) + ".")
    lines: list[Text] = [figure["printed"]]
    if figure["difference"] is not None:
        lines.append(Span(difference(figure["difference"]), "strong"))
    if figure["minutes"] is not None and metric == "top1":
        lines.append(f"({figure['minutes']:.1f} min / {figure['peak_gb']:.1f} Go)")
    return Cell(tuple(lines), notes=(number,))


def _metrics(report: dict, dataset: str) -> tuple[str, ...]:
    """Top-1, and top-5 where there are many classes, or where it has been published on this dataset."""
    entry = report["datasets"].get(dataset, {})
    measured = [e["classes"] for e in report["entries"] if e["name"][0] == dataset and e["classes"]]
    judge = next((c["evaluated_on"] for c in report["cells"] if c["dataset"] == dataset), dataset)
    packed = report["datasets"].get(judge, {}).get("manifest", {})
    classes = max(measured, default=0) or int(packed.get("classes") or 0)
    published = any(f["metric"] == "top5" for f in report["ledger"] if entry.get("source") in f["dataset_sources"])
    return ("top1", "top5") if classes > _MANY_CLASSES or (published and not classes) else ("top1",)
