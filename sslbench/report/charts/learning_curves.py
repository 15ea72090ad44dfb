"""Learning curves as small multiples: loss, online accuracy, rank of the features, and the parts of every loss."""

from collections.abc import Sequence

import altair as alt

from sslbench.report.blocks import Block, Figure, Folded
from sslbench.report.charts import common as parts
from sslbench.report.charts import vega
from sslbench.report.collect.cell_results import loss_parts
from sslbench.report.wording import Labels, listed

WIDTH, HEIGHT, COLUMNS = 176, 96, 4  # px of a panel's plot, panels in a row
EXTENT = 34  # px of the numbers at a panel's left
_NUMBER = "abs(datum.value)<1000?format(datum.value,'~g'):format(datum.value,'~s')"
POINTS, FEWER = 40, 24  # of a line; of a line of a loss's part, of which there are most
_SCALES = "Each panel has its own scale: losses of different methods cannot be compared."
_KINDS = {  # first word of a curve's column -> caption, what it is
    "online": ("Online head's top-1 by epoch.", "A linear head on detached features, on held-out training pictures."),
    "effective": ("Effective rank of the features by epoch.", "A rank that falls towards 1 is a collapse."),
    "knn": ("Nearest neighbours' top-1 by epoch.", "On held-out training pictures."),
}


def curve_charts(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """A figure for the loss, one for each kind of measurement, and the loss's parts folded away; of the lowest seed."""
    cells: dict[tuple[str, str], dict] = {}
    grid = (c for c in report["cells"] if c["dataset"] == dataset and c["kind"] == "grid" and c["curve"])
    for cell in sorted(grid, key=lambda c: c["seed"]):
        cells.setdefault((cell["model"], cell["transform"]), cell)
    known = [e["name"] for e in report["entries"] if tuple(e["name"][1:]) in cells and e["name"][0] == dataset]
    transforms = list(dict.fromkeys(name[2] for name in known))
    models = list(dict.fromkeys(name[1] for name in known))
    others = [f"{labels.model(m)} with {t}" for (m, t), cell in cells.items() if cell["status"] == "stale"]
    stale = f" Not today's: {listed(others)}." if others else ""
    title = labels.dataset(dataset)
    blocks: list[Block] = []
    loss = [_line(labels.model(m), t, cells[m, t], "loss") for m in models for t in transforms if (m, t) in cells]
    blocks += _figure(loss, transforms, f"{title}: training loss by epoch.", _SCALES + stale, ("loss", dataset), False)
    columns = dict.fromkeys(c for cell in cells.values() for c in cell["curve"])
    for kind, (caption, told) in _KINDS.items():
        lines = [
            _line(_panel(labels.model(m), column, kind), t, cells[m, t], column)
            for m in models
            for column in columns
            if column.split("_")[0].rstrip("0123456789") == kind
            for t in transforms
            if (m, t) in cells
        ]
        name = f"{title}: {caption[0].lower()}{caption[1:]}"
        blocks += _figure(lines, transforms, name, told + stale, (kind, dataset), True)
    pieces = [
        _line(f"{labels.model(m)}: {part.replace('_', ' ')}", t, cells[m, t], part, FEWER)
        for m in models
        for part in dict.fromkeys(p for t in transforms if (m, t) in cells for p in loss_parts(cells[m, t]["curve"]))
        for t in transforms
        if (m, t) in cells
    ]
    caption = f"{title}: parts of the loss, and what it reports, by epoch."
    told = "As the method names them, before their weights. Each panel has its own scale." + stale
    if found := _figure(pieces, transforms, caption, told, ("parts", dataset), False):
        blocks.append(Folded("Parts of the loss", tuple(found)))
    return tuple(blocks)


def thinned(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """At most ``most`` of the points, evenly over their places, the first and the last among them."""
    count = min(len(points), most)
    return [points[round(i * (len(points) - 1) / max(count - 1, 1))] for i in range(count)]


def _panel(model: str, column: str, kind: str) -> str:
    plain = {"online": "online_top1", "effective": "effective_rank", "knn": "knn"}[kind]
    return model if column == plain else f"{model}, {column.removeprefix(plain).strip('_').replace('_', ' ')}"


def _line(panel: str, transform: str, cell: dict, column: str, most: int = POINTS) -> dict | None:
    """One line, its points in two lists; None where there are none."""
    values = cell["curve"].get(column, [])
    found = zip(cell["curve"].get("epoch", []), values, strict=False)
    points = thinned([(x, y) for x, y in found if None not in (x, y)], most)
    if not points:
        return None
    # Four digits are finer than a pixel of a panel, and half the page.
    ys = [float(f"{y:.4g}") for _, y in points]
    return {"panel": panel, "transform": transform, "epoch": [x for x, _ in points], "value": ys}


def _figure(
    lines: Sequence[dict | None], transforms: list[str], caption: str, told: str, name: tuple[str, ...], shared: bool
) -> list[Figure]:
    rows = [line for line in lines if line]
    if not rows:
        return []
    present = [t for t in transforms if any(row["transform"] == t for row in rows)]
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    told = f"{told} All with {present[0]}." if len(present) == 1 else told
    dots = [{"dot": 1, **row} if len(row["value"]) == 1 else row for row in rows]  # a line of one point draws nothing
    chart = _chart(panels, present, shared, any("dot" in row for row in dots))
    return [vega.figure(chart, dots, caption, told, name, panel=WIDTH + EXTENT + 10)]


def _chart(panels: list[str], transforms: list[str], shared: bool, dots: bool) -> alt.FacetChart:
    columns = min(COLUMNS, len(panels))
    key, pick = parts.legend(transforms, columns * (WIDTH + EXTENT + 10)), parts.picked("transform")
    quiet = {"title": None, "tickCount": 3, "labelFontSize": 10, "ticks": False}
    # As wide everywhere, or the panels would not stand in line.
    level = {"minExtent": EXTENT, "maxExtent": EXTENT, "labelExpr": _NUMBER}
    across = alt.X(
        "epoch:Q", axis=alt.Axis(grid=False, labelFlush=True, **quiet), scale=alt.Scale(nice=False, zero=False)
    )
    up = alt.Y("value:Q", axis=alt.Axis(**quiet, **level), scale=alt.Scale(zero=shared, nice=True))
    base = alt.Chart().encode(x=across, y=up, color=parts.coloured("transform", transforms, key))
    lines = base.mark_line(strokeWidth=1.4).encode(
        strokeDash=parts.dashed("transform", transforms, key),
        opacity=alt.condition(pick, alt.value(1), alt.value(0.1)),
        tooltip=parts.hints(panel="panel", transform="transform"),
    )
    layers = [lines.properties(name="lines").add_params(pick)]
    if dots:
        layers.append(base.mark_point(filled=True, size=24).transform_filter("datum.dot"))
    layered = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    faceted = layered.facet(
        facet=alt.Facet("panel:N", sort=panels, title=None), columns=columns, data=alt.NamedData("rows")
    )
    free = {"x": "independent"} if shared else {"x": "independent", "y": "independent"}
    return (
        faceted.transform_flatten(["epoch", "value"])
        .resolve_scale(**free)
        .properties(spacing={"row": 50, "column": EXTENT + 10}, bounds="flush")
    )
