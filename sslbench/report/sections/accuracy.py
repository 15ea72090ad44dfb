"""Accuracies as tables, one per dataset: models down, transforms across."""

from sslbench.report import families, studies
from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.sections import frozen
from sslbench.report.wording import ABSENT, Labels, accuracy, cost, counted, interval, share_of

MANY_TRANSFORMS = 8  # above this a table with one column for each is no longer read across
_MANY_CLASSES = 20  # above this, top-5 says something that top-1 does not
_METRICS = {"top1": "top-1", "top5": "top-5"}
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
    entries, grid = of_dataset(report, dataset)
    if not any(e["probed"] for e in entries.values()):
        return ()  # nothing is labelled there
    if frozen.nothing_trained(report, list(entries.values())):
        return ()  # all of it is in the leaderboard
    transforms = list(dict.fromkeys(t for _, t in grid))
    models = list(dict.fromkeys(m for m, _ in grid))
    if len(transforms) > MANY_TRANSFORMS:
        text = (
            f"{labels.dataset(dataset)}: {len(transforms)} transforms are too many to stand side by side. Each figure, "
            f"with its interval and its cost, stands in the leaderboard{_uniform(grid)}."
        )
        return (Paragraph(text),)
    metrics = metrics_of(report, dataset)
    notes = Notes()
    columns = _heads(transforms, metrics, bool(_uniform(grid)))
    rows, differing = [], _differing(grid)
    for model in models:
        of_model = [grid.get((model, t)) for t in transforms]
        protocol = _of_row([e for e in of_model if e])
        more = tuple(Span(str(protocol[key]), "faint") for key in ("backbone", "precision") if key in differing)
        more += pooling(next(e for e in of_model if e))
        cells = [heading(labels.model(model), model, more), families.cell(report, model), *_protocol(protocol)]
        for entry in of_model:
            cells += [_figure(entry, metric, notes, protocol) for metric in metrics]
        rows.append(Row(tuple(cells)))
    rows += _references(report, entries, transforms, metrics, labels, notes)
    for more in studies.asked(report, "rows"):
        rows += more(report, dataset, transforms, metrics, labels)
    n = max((e["n"] or 0 for e in entries.values()), default=0)
    counted_n = f", {n:,} test pictures" if n else ""
    what = "Top-1 and top-5 accuracy" if len(metrics) == 2 else "Top-1 accuracy"
    probe = f"{what} of a linear probe on the frozen backbone, last epoch{counted_n}{_uniform(grid)}"
    caption = f"{labels.dataset(dataset)}: {probe}"
    return (Table(caption, columns, tuple(rows), tuple(notes.texts)),)


def of_dataset(report: dict, dataset: str) -> tuple[dict, dict]:
    """A dataset's entries by (model, transform): all, and those of the grid."""
    entries = {tuple(e["name"][1:]): e for e in report["entries"] if e["name"][0] == dataset}
    return entries, {key: e for key, e in entries.items() if e["kind"] == "grid"}


def _heads(transforms: list[str], metrics: tuple[str, ...], uniform: bool) -> tuple[Column, ...]:
    protocol = (Column(title, spare=uniform) for title in ("Batch size", "Input size", "Epochs"))
    heads = [Column("Model", "text"), Column("Family", "text", spare=uniform), *protocol]
    for transform in transforms:
        transform = "" if transform == "none" else transform  # where nothing is trained
        for metric in metrics:
            hint = "(min / peak GB)" if metric == "top1" else ""
            heads.append(
                Column(
                    f"{transform} {_METRICS[metric] if len(metrics) == 2 or not transform else ''}".strip(),
                    hint=hint,
                )
            )
    return tuple(heads)


def heading(label: str, name: str, more: tuple[Span, ...] = ()) -> Cell:
    plain = label.lower().replace(" ", "") == name.lower()
    return Cell((label, *more) if plain else (label, Span(name, "code"), *more))


def pooling(entry: dict) -> tuple[Span, ...]:
    """Which features of a pretrained network of tokens are judged: the held-out images chose."""
    found = entry.get("pooling")
    return (Span(found, "faint"),) if found else ()


def _uniform(grid: dict) -> str:
    """The protocol in words where all of a table's cells share it."""
    if not grid or _differing(grid):
        return ""
    one = next(iter(grid.values()))["protocols"][0]
    if not one["epochs"]:
        return f"; {one['backbone']}, input {one['input_size']} px"
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
    told = (protocol[key] for key in ("batch_size", "input_size", "epochs"))
    return [Cell((ABSENT if value is None else str(value),)) for value in told]


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
    marks += frozen.marks(entry)
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
    numbers += map(notes.number, frozen.why(entry))
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
        first = Cell((labels.model(model), *pooling(next(iter(mine.values())))))
        cells = [first, families.cell(report, model), *_protocol(protocol)]
        outside = [t for t in mine if t not in transforms]
        if outside:
            # One value that belongs to no column: it spans them all.
            lines = [_reference_line(mine[t], metrics, t) for t in outside]
            width = max(len(transforms) * len(metrics), 1)
            numbers = [notes.number(text) for t in outside for text in frozen.why(mine[t])]
            cells.append(Cell(tuple(line for group in lines for line in group), across=width, notes=tuple(numbers)))
        else:
            cells += [_figure(mine.get(t), metric, notes, protocol) for t in transforms for metric in metrics]
        rows.append(Row(tuple(cells), "reference"))
    return rows


def _reference_line(entry: dict, metrics: tuple[str, ...], transform: str) -> list[Text]:
    if entry["top1"]["value"] is None:
        state = next(iter(entry["states"]))
        kind, word = _STATES.get(state, ("missing", "no figure"))
        return [(ABSENT, " ", Span(word, kind))]
    told = [f"{_METRICS[m] + ' ' if len(metrics) > 1 else ''}{accuracy(entry[m]['value'])}" for m in metrics]
    where = "" if transform == "none" else f"{transform}: "
    return [where + ", ".join(told), interval(entry["top1"]), *_marks(entry)]


def metrics_of(report: dict, dataset: str) -> tuple[str, ...]:
    """Top-1, and top-5 where there are many classes, or, with their number not known, where a study has it."""
    measured = [e["classes"] for e in report["entries"] if e["name"][0] == dataset and e["classes"]]
    judge = next((c["evaluated_on"] for c in report["cells"] if c["dataset"] == dataset), dataset)
    packed = report["datasets"].get(judge, {}).get("manifest", {})
    classes = max(measured, default=0) or int(packed.get("classes") or 0)
    studied = any("top5" in known(report, dataset) for known in studies.asked(report, "metrics"))
    return ("top1", "top5") if classes > _MANY_CLASSES or (studied and not classes) else ("top1",)
