"""What a page shows of a grid that is too large for one: the best of every dataset, and where the rest stands.

A grid of up to ENTRIES is shown whole. Of a larger one each dataset has an equal share of them, chosen by what a
section is about; every section says so, and the downloads hold all. Nothing is left out of ranks, tests and counts.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from sslbench.report.blocks import Block, Folded, Paragraph, Row, Section, Table
from sslbench.report.charts import accuracy_vs_cost
from sslbench.report.wording import counted, listed
from sslbench.stats import ranking

ENTRIES = 400  # of the grid on one page, references apart
ROWS = 1000  # of one table
_HOW = {
    "leaderboard": "the best by rank and accuracy",
    "paired": "the best by rank and accuracy",
    "charts": "those that no other beats in both accuracy and minutes, then the most accurate",
} | dict.fromkeys(
    ("accuracy", "features", "downstream", "curves"), "all of a model with each transform, by the model's best entry"
)


def best(report: dict) -> dict:
    """The report with each dataset's best entries and their cells; references stay. The same where nothing is cut."""
    return _shortened(report, lambda entries, most: entries[:most])


def models(report: dict) -> dict:
    """As ``best``, but whole models, so that tables of models by transforms have no gaps."""
    return _shortened(report, _whole_models)


def thrifty(report: dict) -> dict:
    """As ``best``, but first all that nothing beats in both accuracy and minutes: the line of the cost chart."""
    return _shortened(report, _line_first)


def told(report: dict, sections: Iterable[Section]) -> list[Section]:
    """The sections with what each leaves out, and with no table longer than ROWS."""
    notes = {anchor: _notice(report, anchor) for anchor in _HOW} if _share(report) else {}
    found = []
    for section in sections:
        parts = tuple(replace(part, blocks=tuple(map(_cut, part.blocks))) for part in section.parts)
        blocks = tuple(map(_cut, section.blocks))
        if section.anchor in notes and (parts or section.anchor == "leaderboard"):
            blocks = (notes[section.anchor], *blocks)
        found.append(replace(section, blocks=blocks, parts=parts))
    return found


def pictured(cut: dict) -> str:
    """What the pictures of a dataset leave out, from album.json's cut; "" where nothing."""
    if not cut:
        return ""
    what = "each model's best"
    if cut["shown"] < cut["models"]:
        what = f"the best of each of {cut['shown']} of {cut['models']:,} models, those of the best rank"
    return (
        f" Of {counted(cut['of'], 'entry', 'entries')} with pictures, here is {what}, and the references; the figures "
        "of all stand in entries.csv and cells.csv, under Downloads."
    )


def compared(ranked: int) -> str:
    """How the entries of a dataset were compared, where they are too many for all pairs; "" where all pairs were."""
    if ranked <= ranking.MOST:
        return ""
    return (
        f"More than {ranking.MOST:,} entries are ranked: each was compared with the leaders of its rank and of those "
        "above it, Bonferroni's correction made for all pairs; the range of possible ranks is left open"
    )


def _grid(report: dict) -> list[dict]:
    return [entry for entry in report["entries"] if entry["kind"] == "grid"]


def _share(report: dict) -> int | None:
    """Entries of each dataset on the page; None where all are."""
    grid = _grid(report)
    return max(ENTRIES // len({e["name"][0] for e in grid}), 1) if len(grid) > ENTRIES else None


def _shortened(report: dict, choose: Callable[[list[dict], int], list[dict]]) -> dict:
    most = _share(report)
    if most is None:
        return report
    grouped: dict[str, list[dict]] = {}
    for entry in _grid(report):
        grouped.setdefault(entry["name"][0], []).append(entry)
    kept = set()
    for entries in grouped.values():
        chosen = entries if len(entries) <= most else choose(sorted(entries, key=place), most)
        kept |= {tuple(entry["name"]) for entry in chosen}
    return report | {
        "entries": [e for e in report["entries"] if e["kind"] != "grid" or tuple(e["name"]) in kept],
        "cells": [
            c for c in report["cells"] if c["kind"] != "grid" or (c["dataset"], c["model"], c["transform"]) in kept
        ],
    }


def place(entry: dict) -> tuple:
    """What a dataset's entries are sorted by, the best first: by rank, and accuracy within one."""
    value = entry["top1"]["value"]
    return entry["dataset_rank"] or float("inf"), -(value if value is not None else -1.0), entry["name"]


def _whole_models(entries: list[dict], most: int) -> list[dict]:
    """``entries``: best first. The first model is always there, with its best where it is too large by itself."""
    of: dict[str, list[dict]] = {}
    for entry in entries:
        of.setdefault(entry["name"][1], []).append(entry)
    chosen: list[dict] = []
    for mine in of.values():
        if not chosen:
            chosen = mine[:most]
        elif len(chosen) + len(mine) <= most:
            chosen += mine
    return chosen


def _line_first(entries: list[dict], most: int) -> list[dict]:
    timed = [e for e in entries if e["minutes"] and e["top1"]["value"] is not None]
    points = [
        accuracy_vs_cost.Point(e["minutes"], e["top1"]["value"], str(i), bool(e["collapsed"]))
        for i, e in enumerate(timed)
    ]
    line = {id(timed[int(point.name)]) for point in accuracy_vs_cost.pareto(points)}
    return sorted(entries, key=lambda entry: id(entry) not in line)[:most]


def _notice(report: dict, anchor: str) -> Paragraph:
    """What a section shows of how many, and where all of it is."""
    grid = _grid(report)
    text = (
        f"This grid has {counted(len(grid), 'entry', 'entries')}; a page shows {ENTRIES}. Here up to {_share(report)} "
        f"of each dataset, {_HOW[anchor]}, and the references."
    )
    if anchor == "leaderboard":
        states = Counter(state for entry in grid for state in entry["states"] if state != "done")
        states["collapsed"] = sum(bool(entry["collapsed"]) for entry in grid)
        odd = [f"{count:,} {state}" for state, count in states.items() if count]
        text += f" Of all of them: {listed(odd)}." if odd else " All of them are finished, current and not collapsed."
        ranked = Counter(entry["name"][0] for entry in grid if entry["dataset_rank"])
        how = compared(max(ranked.values(), default=0))
        text += f" {how}." if how else ""
    return Paragraph(f"{text} All stand in entries.csv and cells.csv, under Downloads.", "note")


def _cut(block: Block) -> Block:
    """A table's first ROWS rows, with a note that says so; its references stay, footnotes of the others go."""
    if isinstance(block, Folded):
        return replace(block, blocks=tuple(map(_cut, block.blocks)))
    if not isinstance(block, Table) or len(block.rows) <= ROWS:
        return block
    rows = [*block.rows[:ROWS], *(row for row in block.rows[ROWS:] if row.kind == "reference")]
    note = f"Shown are {len(rows):,} of {len(block.rows):,} rows, the first ones and the references."
    used, before = _referred(rows), _referred(block.rows)
    kept = [number for number in range(1, len(block.notes) + 1) if number in used or number not in before]
    numbers = {old: new for new, old in enumerate(kept, start=1)}
    rows = [
        replace(
            row, cells=tuple(replace(c, notes=tuple(map(numbers.get, c.notes))) if c.notes else c for c in row.cells)
        )
        for row in rows
    ]
    return replace(block, rows=tuple(rows), notes=(*(block.notes[number - 1] for number in kept), note))


def _referred(rows: Iterable[Row]) -> set[int]:
    return {number for row in rows for cell in row.cells for number in cell.notes}
