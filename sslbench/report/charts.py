"""Small SVG charts as text: accuracy against minutes, and learning curves. Colours come from the page's style sheet.

Series are told apart by shape or dash as well as by colour. Every number is written with fixed digits, so that equal
data give equal bytes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from sslbench.report import svg

Place = Callable[[float, float], tuple[float, float]]  # (x, y) of the data -> px
SERIES = 8  # colours, shapes and dashes before they repeat
_DASHES = ("", "6 3", "2 2.5", "8 3 2 3", "1 3", "10 4", "4 4", "3 1.5")


@dataclass(frozen=True)
class Point:
    x: float
    y: float  # share in [0, 1]
    series: int
    name: str
    collapsed: bool = False


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both minutes (lower) and accuracy (higher), by minutes; none collapsed."""
    line: list[Point] = []
    for point in sorted((p for p in points if not p.collapsed), key=lambda p: (p.x, -p.y, p.name)):
        if not line or point.y > line[-1].y:
            line.append(point)
    return line


def scatter(points: Sequence[Point], title: str, x_label: str, y_label: str) -> Markup:
    """Accuracy against cost with the Pareto line. ``points`` is not empty; x is above 0."""
    width, height = 760, 380
    left, right, top, bottom = 52, 20, 22, 46
    xs, ys = [p.x for p in points], [p.y for p in points]
    # A span of more than a decade crowds the cheap runs into one corner of a linear axis.
    logarithmic = min(xs) > 0 and max(xs) / min(xs) > 8
    x_ticks = _log_ticks(min(xs), max(xs)) if logarithmic else _ticks(min(xs), max(xs), 6)
    y_ticks = _ticks(min(ys), max(ys), 5)

    def place(x: float, y: float) -> tuple[float, float]:
        low, high, at = x_ticks[0], x_ticks[-1], x
        if logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(x)
        across = (at - low) / (high - low)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    parts = []
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(svg.tag("line", {"class": "grid", "x1": left, "x2": width - right, "y1": y, "y2": y}))
        parts.append(svg.text(left - 8, y + 4, f"{100 * tick:.{_digits(y_ticks, 100)}f}", "tick end"))
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(
            svg.tag("line", {"class": "grid", "x1": x, "x2": x, "y1": height - bottom, "y2": height - bottom + 5})
        )
        parts.append(svg.text(x, height - bottom + 19, f"{tick:.{_digits(x_ticks)}f}", "tick middle"))
    parts.append(svg.text((left + width - right) / 2, height - 8, x_label, "axis middle"))
    parts.append(svg.text(left - 8, 12, y_label, "axis end" if len(y_label) < 8 else "axis"))
    line = pareto(points)
    if len(line) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(p.x, p.y) for p in line))
        parts.append(svg.tag("polyline", {"class": "pareto", "points": path}))
    for point in sorted(points, key=lambda p: (not p.collapsed, p.series, p.name, p.x, p.y)):
        parts.append(_marker(*place(point.x, point.y), point))
    parts += _labels(line, [place(p.x, p.y) for p in points], place, width)
    return svg.drawing(width, height, title, parts, "chart")


def curve(
    lines: Sequence[tuple[int, str, Sequence[tuple[float, float]]]], title: str, percent: bool, top: float = 0.0
) -> Markup:
    """One small panel of learning curves: (series, name, [(epoch, value), ...]) each.

    ``top`` above 0 fixes the y axis to [0, top], so that panels side by side share it.
    """
    width, height, left, right, above, bottom = 230, 130, 40, 8, 8, 20
    xs = [x for _, _, points in lines for x, _ in points]
    ys = [y for _, _, points in lines for _, y in points]
    low_x, high_x = min(xs), max(xs)
    low_y, high_y = (0.0, top) if top > 0 else (min(ys), max(ys))
    span_x, span_y = (high_x - low_x) or 1.0, (high_y - low_y) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / span_x, (y - low_y) / span_y
        return left + across * (width - left - right), height - bottom - up * (height - above - bottom)

    parts = []
    for value in (low_y, low_y + span_y):
        _, y = place(low_x, value)
        parts.append(svg.tag("line", {"class": "grid", "x1": left, "x2": width - right, "y1": y, "y2": y}))
        parts.append(svg.text(left - 5, y + 4, f"{100 * value:.0f} %" if percent else _short(value), "tick end"))
    parts.append(svg.text(left, height - 6, f"{low_x:.0f}", "tick"))
    if high_x > low_x:
        parts.append(svg.text(width - right, height - 6, f"epoch {high_x:.0f}", "tick end"))
    for series, name, points in lines:
        attributes = {"class": f"line s{series % SERIES}", "stroke-dasharray": _DASHES[series % SERIES]}
        placed = [place(x, y) for x, y in points]
        hint = svg.tag("title", {}, escape(name))
        if len(placed) == 1:
            x, y = placed[0]
            parts.append(svg.tag("circle", {"class": f"dot s{series % SERIES}", "cx": x, "cy": y, "r": 3}, hint))
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(svg.tag("polyline", attributes | {"points": path}, hint))
    return svg.drawing(width, height, title, parts, "panel")


def swatch(series: int, line: bool) -> Markup:
    """The key of one series for a legend: its dash where ``line``, else its shape."""
    if line:
        shape = {"class": f"line s{series % SERIES}", "x1": 1, "x2": 25, "y1": 7, "y2": 7}
        part = svg.tag("line", shape | {"stroke-dasharray": _DASHES[series % SERIES]})
        return svg.drawing(26, 14, "", [part], "swatch")
    return svg.drawing(14, 14, "", [_marker(7, 7, Point(0, 0, series, ""))], "swatch")


def _marker(x: float, y: float, point: Point) -> Markup:
    hint = svg.tag("title", {}, escape(point.name)) if point.name else ""
    if point.collapsed:
        path = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
        return svg.tag("path", {"class": f"mark crossed s{point.series % SERIES}", "d": path}, hint)
    r = 4.6
    shapes = (
        f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r:.1f} 0a{r} {r} 0 1 0 {-2 * r:.1f} 0z",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5.4:.1f}l5 9h-10z",
        f"M{x:.1f} {y - 5.6:.1f}l5.6 5.6l-5.6 5.6l-5.6 -5.6z",
        f"M{x:.1f} {y + 5.4:.1f}l5 -9h-10z",
        f"M{x - 1.7:.1f} {y - 5:.1f}h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
        f"M{x - 5:.1f} {y - 3:.1f}h10v6h-10z",
        f"M{x - 3:.1f} {y - 5:.1f}h6v10h-6z",
    )
    series = point.series % SERIES
    return svg.tag("path", {"class": f"mark s{series}", "d": shapes[series]}, hint)


def _labels(line: Sequence[Point], marks: Sequence[tuple[float, float]], place: Place, width: int) -> list[Markup]:
    """Names beside the Pareto points, the best first; one that would hide a mark or a name is left to hovering."""
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    labels = []
    for point in reversed(line):
        x, y = place(point.x, point.y)
        length = 6.4 * len(point.name)
        for side, dx, dy in (("", 9, -6), ("end", -9, -6), ("", 9, 15), ("end", -9, 15)):
            start = x + dx - (length if side else 0)
            box = (start, y + dy - 10, start + length, y + dy + 3)
            inside = box[0] >= 2 and box[2] <= width - 2
            if inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                labels.append(svg.text(x + dx, y + dy, point.name, f"label {side}".strip()))
                break
    return labels


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that span [low, high], at least two of them."""
    span = (high - low) or abs(high) * 0.2 or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    first = max(i for i, mark in enumerate(marks) if mark <= low * 1.001)
    last = min((i for i, mark in enumerate(marks) if mark >= high * 0.999), default=len(marks) - 1)
    return marks[first : max(last, first + 1) + 1]


def _digits(ticks: Sequence[float], scale: float = 1.0) -> int:
    """The fewest decimals that write all ticks apart."""
    wanted = [scale * tick for tick in ticks]
    return next((d for d in range(4) if all(abs(round(w, d) - w) < 1e-6 * max(abs(w), 1e-3) for w in wanted)), 4)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
