"""The first article's figures on the page: in the leaderboard, below the accuracies and beside them."""

from math import sqrt
from statistics import NormalDist

from sslbench.report import families
from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table, Text
from sslbench.report.sections import accuracy as tables
from sslbench.report.sections.accuracy import Notes
from sslbench.report.sections.leaderboard import Figure
from sslbench.report.wording import ABSENT, Labels, counted, difference, listed
from sslbench.transforms.recipes import baseline


def leaderboard() -> tuple[Figure, ...]:
    """The leaderboard's column; left out where no figure may stand beside any entry."""
    return (Figure("Published", _published, hint="ours − it", known=_known),)


def _known(entry: dict) -> bool:
    return entry["kind"] == "grid" and "reason" not in entry["published"]["top1"]


def _published(entry: dict, report: dict, labels: Labels, notes: Notes, _: object) -> Cell:
    figure = entry["published"]["top1"]
    if entry["kind"] == "reference":
        return Cell((ABSENT,), "absent")
    if "reason" in figure:
        return Cell((ABSENT,), "absent", notes=(notes.number(f"No published figure: {figure['reason']}."),))
    caveats = "; ".join(figure["caveats"])
    told = f"{figure['source']}, {figure['place']}." + (
        f" Left open there, or different here: {caveats}." if caveats else ""
    )
    own = figure["difference"]
    lines = (figure["printed"],) if own is None else (figure["printed"], difference(own))
    return Cell(lines, notes=(notes.number(told),), order=own)


def remarks(report: dict) -> str:
    """What of its text is our reading: the unit of its memory, and what a baseline column's rotation is."""
    return f" The article's Go are most likely GiB (1.074 GB).{rotations(report)}"


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


def metrics(report: dict, dataset: str) -> set[str]:
    """What has been published on a dataset."""
    source = report["datasets"].get(dataset, {}).get("source")
    return {figure["metric"] for figure in report["ledger"] if source in figure["dataset_sources"]}


def blocks(_: dict, shown: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """A dataset's figures and ours, cell by cell; nothing where its transforms are too many to stand side by side."""
    entries, grid = tables.of_dataset(shown, dataset)
    if not any(e["probed"] for e in entries.values()) or len({t for _, t in grid}) > tables.MANY_TRANSFORMS:
        return ()
    return _beside(shown, dataset, grid, tables.metrics_of(shown, dataset), labels)


def rows(report: dict, dataset: str, transforms: list[str], metrics: tuple[str, ...], labels: Labels) -> list[Row]:
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
        others = any(cell.get("public") for cell in report["cells"] if cell["dataset"] == dataset)
        what = "figure of the article's" if others else "published figure"
        return (Paragraph(f"No {what} may stand beside these cells: {told}.", "faint"),)
    notes = Notes()
    columns = [Column("Model", "text"), Column("Family", "text", spare=True)]
    for t in transforms:
        names = {"top1": " top-1", "top5": " top-5"} if len(metrics) == 2 else {"top1": ""}
        columns += [Column(f"{t}{names[m]}", hint="published, ours − published") for m in metrics]
    lines = []
    for model in models:
        cells = [tables.heading(labels.model(model), model), families.cell(report, model)]
        for transform in transforms:
            for metric in metrics:
                entry = grid.get((model, transform))
                cells.append(_difference(entry, found.get(((model, transform), metric)), notes, metric))
        lines.append(Row(tuple(cells)))
    sources = listed(sorted({figure["source"] for figure in matched.values()}))
    caption = f"{labels.dataset(dataset)} beside the published figures ({sources})"
    ours = sum(figure.get("difference") is not None for figure in matched.values())
    total = len([f for f in report["ledger"] if source in f["dataset_sources"]])
    shared = f"{len(matched)} share dataset, backbone, input size, epochs, batch, transform and metric with a cell here"
    current = f"{counted(ours, 'of them has', 'of them have')} a current figure of ours beside it"
    chance = _by_chance(grid, report["confidence"])
    text = f"{counted(total, 'figure')} published on this dataset; {shared}, and {current}.{chance}"
    return (Paragraph(text, "faint"), Table(caption, tuple(columns), tuple(lines), tuple(notes.texts)))


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
