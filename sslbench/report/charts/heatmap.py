"""Heat maps: models by transforms, and operations by operations; in every place a figure with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from sslbench.report.blocks import Block, Figure
from sslbench.report.charts import common as parts
from sslbench.report.charts import vega
from sslbench.report.wording import Labels, accuracy, difference, interval, listed

PLACE_WIDTH, PLACE_HEIGHT = 84, 38  # px
PALEST, STRONGEST = 0.05, 0.45  # opacity of a colour: text stays legible on it in both schemes
BASELINE = "baseline"
_HALF = PLACE_WIDTH / PLACE_HEIGHT - 0.05, 0.95  # of a place, in units of half its height, less its edge
_HATCH = "".join(  # at 45 degrees, cut to the place
    f"M{max(-_HALF[0], c - _HALF[1]):.3g},{min(_HALF[1], c + _HALF[0]):.3g}"
    f"L{min(_HALF[0], c + _HALF[1]):.3g},{max(-_HALF[1], c - _HALF[0]):.3g}"
    for c in (i * 0.36 for i in range(-8, 9))
)


@dataclass(frozen=True)
class Place:
    """``value`` and the interval are shares; ``base`` is what the value is compared with, None: nothing."""

    value: float
    range: str
    base: float | None = None
    collapsed: bool = False
    hint: str = ""


def heat_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Models down, transforms across; coloured by the difference to the model's own baseline where the grid has one.

    Nothing below two transforms and two places.
    """
    entries = parts.grid_entries(report, dataset)
    transforms, models = parts.order(entries, 2), parts.order(entries, 1)
    base = _baseline(report, transforms)
    known = {tuple(e["name"][1:]): e for e in entries}
    if len(transforms) < 2:
        return ()
    own = {m: known.get((m, base)) for m in models} if base else {}
    places = {
        (labels.model(m), t): Place(
            e["top1"]["value"],
            interval(e["top1"]),
            own[m]["top1"]["value"] if own.get(m) and not own[m]["collapsed"] else None,
            bool(e["collapsed"]),
        )
        for (m, t), e in known.items()
    }
    caption = f"{labels.dataset(dataset)}: top-1 accuracy by model and transform."
    shifts = {
        f"{m} with {t}": p.value - p.base
        for (m, t), p in places.items()
        if p.base is not None and t != base and not p.collapsed
    }
    told = ""
    if base and shifts:
        up, down = max(shifts, key=shifts.__getitem__), min(shifts, key=shifts.__getitem__)
        told = f"Coloured by the difference to the same model with {base}. "
        told += f"Furthest up: {up} ({difference(shifts[up])}); " if shifts[up] > 0 else "None is above it; "
        told += f"furthest down: {down} ({difference(shifts[down])})." if shifts[down] < 0 else "none is below it."
    else:
        best = max((n for n in places if not places[n].collapsed), key=lambda n: places[n].value, default=None)
        told = "The stronger the colour, the higher."
        told += f" Highest: {best[0]} with {best[1]} ({accuracy(places[best].value)})." if best else ""
    crossed = listed([f"{m} with {t}" for (m, t), p in places.items() if p.collapsed])
    told += f" Collapsed, and hatched: {crossed}." if crossed else ""
    rows = [labels.model(m) for m in models]
    return (heat_map(rows, transforms, places, caption, told, ("heat", dataset), ("model", "transform")),)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    places: dict[tuple[str, str], Place],
    caption: str,
    told: str,
    name: tuple[str, ...],
    axes: tuple[str, str],
) -> Figure:
    """``places``: (row, column) -> what stands there. Diverging where any place has a base, else the higher the
    stronger. Collapsed places are hatched and lend their value to no scale."""
    sound = [p for p in places.values() if not p.collapsed]
    diverging = any(p.base is not None for p in sound)
    if diverging:
        span = max((abs(p.value - p.base) for p in sound if p.base is not None), default=0.0) or 1.0
    else:
        low = min((p.value for p in sound), default=0.0)
        span = max((p.value for p in sound), default=1.0) - low
    data = []
    for (row, column), p in sorted(
        places.items(), key=lambda item: (rows.index(item[0][0]), columns.index(item[0][1]))
    ):
        told_place = {"row": row, "column": column, "top1": p.value, "text": accuracy(p.value), "range": p.range}
        if p.collapsed:
            told_place |= {"state": "collapsed"}
        elif diverging and p.base is not None:
            shift = p.value - p.base
            told_place |= {"shade": STRONGEST * abs(shift) / span, "side": "above" if shift > 0 else "below"}
            told_place |= {"shift": difference(shift)}
        elif not diverging:
            told_place |= {
                "shade": PALEST + (STRONGEST - PALEST) * ((p.value - low) / span if span else 0),
                "side": "above",
            }
        data.append(told_place | ({"hint": p.hint} if p.hint else {}))
    return vega.figure(_chart(rows, columns, data, axes), data, caption, told, name)


def _baseline(report: dict, transforms: Sequence[str]) -> str | None:
    kinds = {t: (report["transforms"].get(t) or {}).get("kind", t) for t in transforms}
    return next((t for t in transforms if t == BASELINE), next((t for t in transforms if kinds[t] == BASELINE), None))


def _chart(rows: Sequence[str], columns: Sequence[str], data: list[dict], axes: tuple[str, str]) -> alt.LayerChart:
    quiet = {"title": None, "labelColor": vega.colour("ink"), "ticks": False, "grid": False}
    across = alt.X("column:N", sort=list(columns), axis=alt.Axis(orient="top", labelAngle=0, **quiet))
    down = alt.Y("row:N", sort=list(rows), axis=alt.Axis(**quiet))
    hints = {"row": axes[0], "column": axes[1], "text": "top-1", "range": "interval"}
    hints |= {"shift": "to the baseline"} if any("shift" in d for d in data) else {}
    hints |= {"state": "health"} if any("state" in d for d in data) else {}
    hints |= {"hint": "note"} if any("hint" in d for d in data) else {}
    base = alt.Chart().encode(x=across, y=down)
    side = alt.Scale(domain=["above", "below"], range=[vega.colour("s0"), vega.colour("s1")])
    layers = [
        base.mark_rect(stroke=vega.colour("paper"), strokeWidth=2, fillOpacity=0).encode(
            fill=alt.Fill("side:N", scale=side, legend=None),
            fillOpacity=alt.FillOpacity("shade:Q", scale=None, legend=None),
            tooltip=parts.hints(**hints),
        )
    ]
    if any("state" in d for d in data):
        hatch = base.mark_point(shape=_HATCH, size=PLACE_HEIGHT**2, stroke=vega.colour("bad"), strokeWidth=0.8)
        layers.append(hatch.encode(opacity=alt.value(0.45)).transform_filter("datum.state"))
    halo = {"stroke": vega.colour("paper"), "strokeWidth": 3, "strokeJoin": "round"}
    for more in (halo, {}) if len(layers) > 1 else ({},):
        text = base.mark_text(dy=-6, fontSize=12, **more).encode(text="text:N")
        small = base.mark_text(dy=9, fontSize=9, opacity=0.75, **more).encode(text="range:N")
        layers += [t.transform_filter("datum.state") for t in (text, small)] if more else [text, small]
    width, height = alt.Step(PLACE_WIDTH), alt.Step(PLACE_HEIGHT)
    return alt.layer(*layers).properties(width=width, height=height)
