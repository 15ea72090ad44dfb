"""A heat map as an SVG drawing: a figure in every place, and the stronger a colour the higher it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from sslbench.report import svg

WIDTH, HEIGHT = 72, 40  # px of a place
LEFT, TOP = 118, 44  # px for the rows' and the columns' names
PALEST, DARKEST = 0.05, 0.45  # opacity of the accent: text stays legible on it in both colour schemes


@dataclass(frozen=True)
class Place:
    value: float | None  # share in [0, 1]; None: nothing to show
    collapsed: bool = False


def heatmap(
    rows: Sequence[str], columns: Sequence[str], places: Sequence[Sequence[Place]], title: str, axes: tuple[str, str]
) -> Markup:
    """``places`` [row][column], at least one of which has a value; ``axes`` names rows and columns."""
    values = [place.value for line in places for place in line if place.value is not None]
    low, span = min(values), (max(values) - min(values)) or 1.0
    parts = [svg.text(LEFT - 10, TOP - 8, f"{axes[0]} ↓", "axis end"), svg.text(LEFT, 13, f"{axes[1]} →", "axis")]
    for i, name in enumerate(columns):
        parts.append(svg.text(LEFT + (i + 0.5) * WIDTH, TOP - 8.0, name, "middle"))
    for j, (name, line) in enumerate(zip(rows, places, strict=True)):
        y = TOP + j * HEIGHT
        parts.append(svg.text(LEFT - 10, y + HEIGHT / 2 + 4, name, "end"))
        for i, place in enumerate(line):
            parts += _drawn(LEFT + i * WIDTH, y, place, low, span, f"{name}, {columns[i]}")
    return svg.drawing(LEFT + len(columns) * WIDTH + 2, TOP + len(rows) * HEIGHT + 2, title, parts, "heatmap")


def _drawn(x: float, y: float, place: Place, low: float, span: float, name: str) -> list[Markup]:
    box = {"x": x + 1, "y": y + 1, "width": WIDTH - 2, "height": HEIGHT - 2}
    middle = svg.text(x + WIDTH / 2, y + HEIGHT / 2 + 4, "–" if place.value is None else f"{place.value:.3f}", "middle")
    if place.value is None:
        return [svg.tag("rect", {"class": "heat empty", **box}), middle]
    opacity = f"{PALEST + (DARKEST - PALEST) * (place.value - low) / span:.3f}"
    hint = svg.tag("title", {}, escape(f"{name}: {place.value:.3f}" + (", collapsed" if place.collapsed else "")))
    drawn = [svg.tag("rect", {"class": "heat", "fill-opacity": opacity, **box}, hint), middle]
    if place.collapsed:
        path = f"M{x + 6} {y + 6}L{x + WIDTH - 6} {y + HEIGHT - 6}M{x + WIDTH - 6} {y + 6}L{x + 6} {y + HEIGHT - 6}"
        drawn.append(svg.tag("path", {"class": "heat crossed", "d": path}))
    return drawn
