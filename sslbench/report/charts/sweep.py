"""Accuracy by the value of one parameter of a transform, a line per model."""

from collections.abc import Sequence

import altair as alt

from sslbench.report.blocks import Block
from sslbench.report.charts import common as parts
from sslbench.report.charts import scales, vega
from sslbench.report.wording import Labels, accuracy, interval, listed

WIDTH, HEIGHT = 520, 280  # px of the plot
_DIRECT = 8  # lines that are named at their ends; more have a legend


def sweep_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Nothing where the plan sweeps nothing, or no model has two values."""
    plan = report["plan"].get("sweep")
    if not plan:
        return ()
    values = plan["values"]
    entries = [e for e in parts.grid_entries(report, dataset) if e["name"][2] in values]
    models = [m for m in parts.order(entries, 1) if sum(e["name"][1] == m for e in entries) > 1]
    if not models:
        return ()
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values.values())
    steps = sorted(set(values.values())) if numeric else list(dict.fromkeys(map(str, values.values())))
    rows, last = [], {}
    for model in models:
        mine = {e["name"][2]: e for e in entries if e["name"][1] == model}
        for transform, e in sorted(mine.items(), key=lambda item: steps.index(_step(values[item[0]], numeric))):
            row = {"model": labels.model(model), "value": _step(values[transform], numeric), "transform": transform}
            row |= {"top1": e["top1"]["value"], "low": e["top1"]["low"], "high": e["top1"]["high"]}
            row |= {"range": interval(e["top1"])} | ({"collapsed": 1} if e["collapsed"] else {})
            rows.append(row)
            last[row["model"]] = row
    y = scales.linear([bound for row in rows for bound in (row["low"], row["high"])], 5)
    direct = len(last) <= _DIRECT
    if direct:
        for name, place in spread({n: HEIGHT * (1 - y.place(r["top1"])) for n, r in last.items()}).items():
            last[name]["at"] = place
    best = [max((r for r in rows if r["model"] == m), key=lambda r: r["top1"]) for m in last]
    told = listed([f"{row['model']} at {row['value']} ({accuracy(row['top1'])})" for row in best], most=8)
    told = f"Highest: {told}."
    crossed = any("collapsed" in row for row in rows)
    told += " Bars are intervals." + (" Collapsed runs are crosses." if crossed else "")
    caption = f"{labels.dataset(dataset)}: top-1 accuracy by {plan['parameter']}."
    chart = _chart(plan["parameter"], list(last), steps if numeric else None, y, direct, crossed)
    return (vega.figure(chart, rows, caption, told, ("sweep", dataset), fluid=True),)


def spread(places: dict[str, float], gap: float = 14.0) -> dict[str, float]:
    """Heights in px, moved apart by the least that keeps ``gap`` between neighbours in their order."""
    groups: list[list[str]] = []
    for name in sorted(places, key=lambda n: (places[n], n)):
        groups.append([name])
        while len(groups) > 1 and _end(groups[-2], places, gap) + gap > _start(groups[-1], places, gap):
            groups[-2:] = [groups[-2] + groups[-1]]
    return {name: _start(group, places, gap) + i * gap for group in groups for i, name in enumerate(group)}


def _start(group: list[str], places: dict[str, float], gap: float) -> float:
    return sum(places[name] for name in group) / len(group) - gap * (len(group) - 1) / 2


def _end(group: list[str], places: dict[str, float], gap: float) -> float:
    return _start(group, places, gap) + gap * (len(group) - 1)


def _step(value: object, numeric: bool) -> object:
    return value if numeric else str(value)


def _chart(
    parameter: str, models: list[str], steps: Sequence[float] | None, y: scales.Axis, direct: bool, crossed: bool
) -> alt.LayerChart:
    key = None if direct else parts.legend(models, WIDTH, offset=28)
    if steps is None:
        across = alt.X("value:N", title=parameter, sort=None, axis=alt.Axis(labelAngle=0, grid=False))
    else:
        wide = min(steps) > 0 and max(steps) / min(steps) > 20
        scale = alt.Scale(type="log" if wide else "linear", nice=False, zero=False, padding=16)
        axis = alt.Axis(values=list(steps), format=f".{scales.digits(steps)}f", grid=False)
        across = alt.X("value:Q", title=parameter, scale=scale, axis=axis)
    scale = alt.Scale(domain=[y.ticks[0], y.ticks[-1]], nice=False, zero=False)
    axis = alt.Axis(values=list(y.ticks), format=f".{max(scales.digits(y.ticks), 1)}f", ticks=False, **parts.OVER)
    up = alt.Y("top1:Q", title="top-1 accuracy", scale=scale, axis=axis)
    colour = parts.coloured("model", models, key)
    base = alt.Chart().encode(x=across, y=up, color=colour)
    hints = parts.hints(model="model", value=parameter, transform="transform", top1="top-1|.3f", range="interval")
    layers = [
        base.mark_rule(strokeWidth=1.2, opacity=0.4).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_line().encode(strokeDash=parts.dashed("model", models, None)),
        base.mark_point(filled=True, size=60, stroke=vega.colour("paper"), strokeWidth=0.8)
        .transform_filter("!datum.collapsed")
        .encode(shape=parts.shaped("model", models, key), tooltip=hints),
    ]
    if crossed:
        cross = base.mark_point(shape=parts.CROSS, size=70, strokeWidth=2, filled=False)
        layers.append(
            cross.transform_filter("datum.collapsed").encode(color=alt.value(vega.colour("bad")), tooltip=hints)
        )
    if direct:
        name = base.mark_text(align="left", dx=10, fontWeight=600).transform_filter("isValid(datum.at)")
        end = {} if steps is not None else {"x": across}
        layers.append(name.encode(y=alt.Y("at:Q", scale=None, axis=None), text="model:N", **end))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
