"""Datasets that are divided into folds or repeats: on the page the folds of one are one dataset, and a table says how
much results vary from split to split."""

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Part, Row, Span, Table, Text
from sslbench.report.collect.folds import whole
from sslbench.report.wording import ABSENT, Labels, accuracy, counted, difference, interval, points

_FOLDS = (
    "Each image was tested once, by the network that was not trained on its fold; accuracies, intervals and paired "
    "comparisons elsewhere on this page are over all of them. Training sets of folds overlap, so the networks are not "
    "independent, and intervals do not cover another division into folds."
)
_REPEATS = (
    "Test sets of repeats overlap, and so do training sets: intervals are Nadeau and Bengio's corrected t intervals "
    "over repeats, and those of a difference are each pair's own."
)
_SPREAD = (
    " SD over splits: of the parts' accuracies, each the mean over its seeds; it holds the choice of training and of "
    "test images, and what is left of the seeds. SD over seeds: within parts."
)


def merged(report: dict) -> dict:
    """The report with the folds of a dataset as one, of its name; its repeats, and folds of which some are not in the
    grid, stay as they are."""
    divided = report.get("divided") or {}
    entries = divided.get("entries") or []
    names = {entry["name"][0] for entry in entries}
    if not names:
        return report

    def name_of(dataset: str) -> str:
        return whole(dataset) if whole(dataset) in names and "@" in dataset else dataset

    datasets = {}
    for name, dataset in report["datasets"].items():
        if (new := name_of(name)) != name and new not in datasets:
            dataset = dataset | {"name": new, "smallest_difference": divided["datasets"][new]["smallest_difference"]}
        datasets.setdefault(new, dataset)
    cells = [
        cell | {"dataset": name_of(cell["dataset"]), "evaluated_on": name_of(cell["evaluated_on"])}
        for cell in report["cells"]
    ]
    own, placed = {tuple(e["name"]): e for e in entries}, {}
    for entry in report["entries"]:  # each in the place of its first fold
        dataset, *rest = entry["name"]
        new = (name_of(dataset), *rest)
        placed.setdefault(new, own.get(new, entry))
    return report | {"datasets": datasets, "cells": cells, "entries": list(placed.values())}


def parts(report: dict, labels: Labels) -> tuple[Part, ...]:
    """One table per divided dataset."""
    found = []
    rows_of: dict[str, list[dict]] = {}
    for row in (report.get("divided") or {}).get("rows", ()):
        rows_of.setdefault(row["name"][0], []).append(row)
    for name, rows in rows_of.items():
        if any(row["means"] for row in rows):
            text = (_FOLDS if rows[0]["folds"] else _REPEATS) + _SPREAD
            found.append(Part(labels.dataset(name), (Paragraph(text, "faint"), _table(name, rows, labels))))
    return tuple(found)


def _table(name: str, rows: list[dict], labels: Labels) -> Block:
    repeats, count = not rows[0]["folds"], max(row["parts"] for row in rows)
    several = any(row["seeds"] > 1 for row in rows)
    columns = [Column("Combination", "text"), Column("Top-1", hint="mean over splits")]
    columns += [Column("Difference", hint="to the highest mean")] * repeats
    columns += [Column("SD over splits", hint="points")] + [Column("SD over seeds", hint="points")] * several
    columns += [Column("Lowest"), Column("Highest")]
    lines = []
    for row in sorted(rows, key=lambda row: (row["kind"] == "reference", -(row["mean"] or -1))):
        behind, values = row["behind"], row["means"].values()
        first: list[Text] = [accuracy(row["mean"]), interval(row)]
        if row["mean"] is None:
            first = [ABSENT, Span(f"{len(values)} of {row['parts']} finished", "missing")]
        cells = [Cell((labels.combination(*row["name"][1:]),)), Cell(tuple(filter(None, first)))]
        if repeats:
            told = (
                (difference(behind["difference"]), f"{behind['low']:+.3f} to {behind['high']:+.3f}") if behind else ()
            )
            cells.append(Cell(tuple(line.replace("-", "−") for line in told) or (ABSENT,)))
        for key in ("sd_parts", "sd_seeds")[: 1 + several]:
            cells.append(Cell((ABSENT if row[key] is None else points(row[key]).removesuffix(" points"),)))
        cells += [Cell((accuracy(f(values, default=None)),)) for f in (min, max)]
        lines.append(Row(tuple(cells), "reference" if row["kind"] == "reference" else ""))
    what = counted(count, "repeat" if repeats else "fold")
    seeds = f" of {counted(max(row['seeds'] for row in rows), 'seed')} each" if several else ""
    return Table(f"{labels.dataset(name)}: top-1 accuracy over {what}{seeds}", tuple(columns), tuple(lines))
