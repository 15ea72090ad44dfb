"""Measures that need no labels, and whether they would have chosen what the probe, which needs them, finds best."""

from collections import Counter
from statistics import fmean

from sslbench.report import families
from sslbench.report.blocks import Block, Cell, Column, Paragraph, Points, Row, Table, Text
from sslbench.report.protocols import network
from sslbench.report.sections.downstream import grouped, heading, marks
from sslbench.report.wording import ABSENT, Labels, accuracy, cost, counted
from sslbench.stats.paired import holm
from sslbench.stats.rank_correlation import FEWEST, Agreement, agree

_TITLES = {"rankme": "RankMe", "alpha": "α-ReQ", "lidar": "LiDAR"}
_TEXT = (
    "RankMe and LiDAR are better high; α-ReQ's exponent is better near 1. All are of pooled features of pictures that "
    "the row was trained on, labelled or not, even where the probe is of another dataset. LiDAR sees views by the "
    "row's own transform, as its authors do, so rows of different transforms are measured on different views."
)
_PROBED = " The correlations below are with the linear probe, over the rows that are not references."
_BARE = " No label is known here, so nothing shows how well they order these rows; a labelled dataset would."


def blocks(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """The measures' table, and in words how well each agrees with the probe."""
    rows = grouped(report, dataset, lambda cell: cell["beside"].get("labelfree"))
    if not rows:
        return ()
    width = {cell["beside"]["labelfree"].get("features") for cells in rows.values() for cell in cells}
    of = f"of {width.pop():,}" if len(width) == 1 and None not in width else ""
    probed = any(cell["probed"] for cells in rows.values() for cell in cells)
    heads = (Column("Model", "text"), Column("Family", "text", spare=True),
             Column("Probe, top-1") if probed else Column("Cost", hint="(min / peak GB)"),
             Column("RankMe", hint=of), Column("α-ReQ", hint="α"), Column("LiDAR"))  # fmt: skip
    lines = []
    for key, cells in rows.items():
        values = [_shown(_mean(cells, name), ".2f" if name == "alpha" else ".1f") for name in _TITLES]
        first = accuracy(_probe(cells)) if probed else cost(_spent(cells)) or ABSENT
        probe = Cell((first, *marks(cells, "labelfree")))
        kind = "reference" if cells[0]["kind"] == "reference" else ""
        named = heading(key, labels), families.cell(report, key[0])
        lines.append(Row((*named, probe, *(Cell((value,)) for value in values)), kind))
    caption = f"{labels.dataset(dataset)}: measures of the features that need no labels"
    table = Table(caption, heads, tuple(lines))
    if not probed:
        return Paragraph(_TEXT + _BARE, "faint"), table
    return Paragraph(_TEXT + _PROBED, "faint"), table, *_agreement(rows, report, labels)


def _agreement(rows: dict, report: dict, labels: Labels) -> tuple[Block, ...]:
    """In words, for the rows of the grid that have one backbone, and whose figures are today's."""
    grid = {key: cells for key, cells in rows.items() if cells[0]["kind"] == "grid" and not _stale(cells)}
    networks = Counter(_begun(cells) for cells in grid.values())
    if not networks:
        return ()
    usual = networks.most_common(1)[0][0]
    same = {key: cells for key, cells in grid.items() if _begun(cells) == usual}
    measured: dict[str, dict] = {}
    for name in _TITLES:
        pairs = {key: (_score(name, _mean(cells, name)), _probe(cells)) for key, cells in same.items()}
        measured[name] = {key: pair for key, pair in pairs.items() if None not in pair}
    # None below FEWEST: figures of a few rows look like an answer and are none
    found = {
        name: agree(*zip(*pairs.values(), strict=True), report["confidence"]) if len(pairs) >= FEWEST else None
        for name, pairs in measured.items()
    }
    known = [name for name, one in found.items() if one]
    adjusted = dict(zip(known, holm([found[name].p for name in known]), strict=True)) if known else {}
    level = 1 - report["confidence"]
    items: list[Text] = []
    for name, pairs in measured.items():
        told = _told(found[name], adjusted.get(name, 1.0), level, len(pairs))
        items.append(f"{_TITLES[name]}: {told}{_choice(pairs, labels)}")
    left_out = len(grid) - len(same)
    text = (
        f"Over {counted(len(same), 'row')} with {_said(*usual)}"
        + (f" ({counted(left_out, 'row')} with other networks left out: widths differ)" if left_out else "")
        + ". p-values are Kendall's, corrected for three measures; rows that share a method or a transform are not "
        "independent, so they are, if anything, too small."
    )
    return Paragraph(text, "faint"), Points(tuple(items))


def _begun(cells: list[dict]) -> tuple:
    return network(cells[0]["protocol"])


def _said(backbone: str, options: str, size: int) -> str:
    return f"{backbone}{f' ({options})' if options else ''} at {size} px"


def _told(one: Agreement | None, p: float, level: float, n: int) -> str:
    if one is None:
        few = f"too few rows ({n}; a correlation takes at least {FEWEST})" if n < FEWEST else "all rows are alike"
        return f"undecided, {few}."
    bounds = "" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})"
    figures = f"Spearman's ρ {one.spearman:+.2f}{bounds}, Kendall's τ {one.kendall:+.2f}, p {p:.2g}, n {one.n}"
    figures = figures.replace("-", "−")
    if p > level:
        return f"undecided ({figures})."
    way = (
        "orders the rows as the probe does, more often than not" if one.kendall > 0 else "orders them against the probe"
    )
    return f"{way} ({figures})."


def _choice(pairs: dict, labels: Labels) -> str:
    """What choosing by the measure alone would have cost."""
    if len(pairs) < 2:
        return ""
    chosen = max(pairs, key=lambda key: pairs[key][0])
    best = max(value for _, value in pairs.values())
    name = f"{labels.model(chosen[0])} with {chosen[1]}"
    behind = best - pairs[chosen][1]
    cost = "which is the probe's first as well" if behind == 0 else f"{behind:.3f} below the best"
    return f" By it alone one would take {name}, at {pairs[chosen][1]:.3f}, {cost}."


def _score(name: str, value: float | None) -> float | None:
    """Larger is better: alpha counts by its distance from 1."""
    return value if value is None or name != "alpha" else -abs(value - 1)


def _mean(cells: list[dict], name: str) -> float | None:
    values = [cell["beside"]["labelfree"].get(name) for cell in cells]
    return None if not values or None in values else fmean(values)


def _spent(cells: list[dict]) -> dict:
    """A row's mean minutes and highest memory."""
    costs = [cell["cost"] for cell in cells]
    minutes = [one["minutes"] for one in costs if one["minutes"] is not None]
    peak = max((one["peak_gb"] for one in costs if one["peak_gb"]), default=None)
    memory = next((one["memory"] for one in costs if one["memory"]), None)
    return {"minutes": fmean(minutes) if minutes else None, "peak_gb": peak, "memory": memory}


def _probe(cells: list[dict]) -> float | None:
    values = [cell["top1"]["value"] for cell in cells]
    return None if None in values else fmean(values)


def _stale(cells: list[dict]) -> bool:
    return any(c["status"] != "done" or not c["beside"]["labelfree"]["current"] for c in cells)


def _shown(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form).replace("-", "−")
