"""Accuracy against minutes of training, or where nothing is trained against the time of an image, with the line of
those that nothing beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from sslbench.report.blocks import Block
from sslbench.report.charts import common as parts
from sslbench.report.charts import scales, vega
from sslbench.report.sections import frozen
from sslbench.report.wording import Labels, accuracy, interval, listed, milliseconds, minutes

WIDTH, HEIGHT = 660, 320  # px of the plot
# Nothing stands above and left of a point of the line; so a name does, or else above and right.
_SIDES = {"nw": ("right", -7, -9), "ne": ("left", 7, -9)}


@dataclass(frozen=True)
class Point:
    cost: float  # minutes or milliseconds
    accuracy: float
    name: str
    collapsed: bool = False


def cost_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Nothing below two entries with an accuracy and a cost. The best frozen backbone costs no training, and so is a
    level line."""
    grid = parts.grid_entries(report, dataset)
    untrained = frozen.nothing_trained(report, grid)
    spent, told_cost = (frozen.alone, milliseconds) if untrained else (lambda e: e["minutes"], minutes)
    timed = [e for e in grid if (spent(e) or 0) > 0]
    if len(timed) < 2:
        return ()
    transforms, named = parts.order(timed, 2), parts.naming(timed, labels)
    families = list(dict.fromkeys(e["family"] for e in timed))
    by_transform = len(transforms) > 1
    points = [Point(spent(e), e["top1"]["value"], named(e), bool(e["collapsed"])) for e in timed]
    line = pareto(points)
    level = _level(report, dataset, labels)
    x = scales.cost([p.cost for p in points])
    bounds = [bound for e in timed for bound in (e["top1"]["low"], e["top1"]["high"])]
    y = scales.linear([*bounds, *(row["level"] for row in level)], 5)
    sides = placed(points, line, x, y)
    rows = [
        {
            "name": point.name,
            "series": entry["name"][2] if by_transform else entry["family"],
            "ms" if untrained else "min": point.cost,
            "top1": point.accuracy,
            "low": entry["top1"]["low"],
            "high": entry["top1"]["high"],
            "range": interval(entry["top1"]),
        }
        | ({"collapsed": 1} if point.collapsed else {})
        | ({"best": 1} if point in line else {})
        | ({"side": sides[point]} if point in sides else {})
        for entry, point in zip(timed, points, strict=True)
    ]
    series, collapsed = transforms if by_transform else families, any(p.collapsed for p in points)
    chart = _chart(series, x, y, set(sides.values()), collapsed, untrained, bool(level))
    rows += level
    told = listed([f"{p.name} ({accuracy(p.accuracy)}, {told_cost(p.cost)})" for p in line], most=8)
    devices = sorted({device for e in timed for device in e["devices"]})
    words = f"No other run is both faster and more accurate than: {told}. " if line else ""
    words += "The line does not speak of ties; bars are intervals."
    words += " Collapsed runs are crosses." if collapsed else ""
    words += "".join(f" The level line is {row['name']} ({accuracy(row['level'])})." for row in level)
    words += f" Minutes come from different hardware: {listed(devices)}." if len(devices) > 1 and not untrained else ""
    against = "milliseconds for one image" if untrained else "minutes of training"
    caption = f"{labels.dataset(dataset)}: top-1 accuracy against {against}."
    return (vega.figure(chart, rows, caption, words, ("cost", dataset), fluid=True),)


def _level(report: dict, dataset: str, labels: Labels) -> list[dict]:
    """The best frozen backbone beside trained entries, [] where there is none."""
    return [
        {"level": e["top1"]["value"], "name": f"{frozen.plain(e, labels)}, the best frozen backbone"}
        for e in report["entries"]
        if e["name"][0] == dataset and e.get("best_frozen") and e["kind"] != "grid"
    ]


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both cost (lower) and accuracy (higher), by cost; none collapsed."""
    line: list[Point] = []
    for point in sorted((p for p in points if not p.collapsed), key=lambda p: (p.cost, -p.accuracy, p.name)):
        if not line or point.accuracy > line[-1].accuracy:
            line.append(point)
    return line


def placed(points: Sequence[Point], line: Sequence[Point], x: scales.Axis, y: scales.Axis) -> dict[Point, str]:
    """On which side of its mark a name of the line stands, the best first; one that finds no room is left out."""
    marks = {p: (x.place(p.cost) * WIDTH, HEIGHT - y.place(p.accuracy) * HEIGHT) for p in points}
    taken = [(px - 5, py - 5, px + 5, py + 5) for px, py in marks.values()]
    found = {}
    for point in reversed(line):
        px, py = marks[point]
        length = parts.CHARACTER * len(point.name)
        for side, (align, dx, dy) in _SIDES.items():
            start = px + dx - (length if align == "right" else 0)
            box = (start, py + dy - 6, start + length, py + dy + 6)
            inside = box[0] >= 0 and box[2] <= WIDTH
            if inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                found[point] = side
                break
    return found


def _chart(
    series: list[str], x: scales.Axis, y: scales.Axis, sides: set[str], collapsed: bool, untrained: bool, level: bool
) -> alt.LayerChart:
    key, pick = parts.legend(series, WIDTH, offset=28), parts.picked("series")
    title = "milliseconds for one image" if untrained else "minutes of training"
    across = alt.X(
        "ms:Q" if untrained else "min:Q",
        title=title + (", logarithmic" if x.logarithmic else ""),
        scale=_scale(x),
        axis=alt.Axis(values=list(x.ticks), format=f",.{scales.digits(x.ticks)}f", grid=False),
    )
    up = alt.Axis(values=list(y.ticks), format=f".{max(scales.digits(y.ticks), 1)}f", ticks=False, **parts.OVER)
    height = alt.Y("top1:Q", title="top-1 accuracy", scale=_scale(y), axis=up)
    colour = parts.coloured("series", series, key)
    faded = alt.condition(pick, alt.value(1), alt.value(0.12))
    base = alt.Chart().encode(x=across)
    sound, gone = "!datum.collapsed", "datum.collapsed"
    hints = parts.hints(name="model", series="series", top1="top-1|.3f", range="interval")
    hints += parts.hints(**({"ms": "ms an image|,.1f"} if untrained else {"min": "minutes|,.2f"}))
    layers = [
        base.mark_line(stroke=vega.colour("ink"), strokeDash=[4, 3], strokeWidth=1.2, opacity=0.6)
        .transform_filter("datum.best")
        .encode(y=height),
        base.mark_rule(strokeWidth=1.2)
        .encode(y=alt.Y("low:Q", scale=_scale(y)), y2="high:Q", color=colour)
        .encode(opacity=alt.condition(pick, alt.value(0.35), alt.value(0.06))),
        base.mark_point(filled=True, size=75, stroke=vega.colour("paper"), strokeWidth=0.8)
        .transform_filter(sound)
        .encode(y=height, color=colour, shape=parts.shaped("series", series, key), opacity=faded, tooltip=hints),
    ]
    if collapsed:
        cross = base.mark_point(shape=parts.CROSS, size=70, stroke=vega.colour("bad"), strokeWidth=2, filled=False)
        layers.append(cross.transform_filter(gone).encode(y=height, tooltip=hints))
    for side in sorted(sides):
        align, dx, dy = _SIDES[side]
        text = {"align": align, "dx": dx, "dy": dy, "baseline": "middle", "fontWeight": 600}
        # A halo of paper: a name is legible on the line and on bars.
        for more in ({"stroke": vega.colour("paper"), "strokeWidth": 3, "strokeJoin": "round"}, {}):
            named = base.mark_text(**text, **more).transform_filter(f"datum.side=='{side}'")
            layers.append(named.encode(y=height, text="name:N").properties(name=f"label-{side}-{len(more)}"))
    layers[2] = layers[2].properties(name="marks").add_params(pick)
    if level:
        only = alt.Chart().transform_filter("isValid(datum.level)")
        at = alt.Y("level:Q", scale=_scale(y))
        layers.append(only.mark_rule(stroke=vega.colour("accent"), strokeWidth=1.4).encode(y=at))
        text = {"align": "right", "dx": -4, "dy": -7, "fontWeight": 600}
        layers.append(only.mark_text(**text).encode(y=at, x=alt.value(WIDTH), text="name:N"))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _scale(axis: scales.Axis) -> alt.Scale:
    kind = "log" if axis.logarithmic else "linear"
    return alt.Scale(type=kind, domain=[axis.ticks[0], axis.ticks[-1]], nice=False, zero=False)
