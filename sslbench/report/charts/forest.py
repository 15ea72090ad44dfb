"""Every entry's paired difference to the dataset's best, and which neighbours in rank cannot be told apart."""

import altair as alt

from sslbench.report import truncate
from sslbench.report.blocks import Block
from sslbench.report.charts import common as parts
from sslbench.report.charts import scales, vega
from sslbench.report.wording import Labels, counted, difference

WIDTH, ROW = 460, 18  # px of the plot, and of a row
_BAR = 9  # px from bar to bar


def forest_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Ranked entries by falling accuracy. Nothing below two of them."""
    ranked = [e for e in parts.grid_entries(report, dataset) if e["dataset_rank"] is not None]
    if len(ranked) < 2:
        return ()
    best = next(e for e in ranked if e["behind"] is None)
    ranked.sort(key=lambda e: (0.0 if e is best else 1.0, -(e["behind"] or {"difference": 0.0})["difference"]))
    bars = lanes([e["dataset_bars"] for e in ranked])
    named, level = parts.naming(ranked, labels), 1 - report["confidence"]
    rows = []
    for e in ranked:
        behind = e["behind"] or {"difference": 0.0, "low": None, "high": None, "adjusted": None}
        row = {"name": named(e), "shift": behind["difference"], "rank": e["dataset_rank"]}
        # Not every pair is compared where entries are too many; then the range is open.
        row |= {"ranks": "–".join(dict.fromkeys(map(str, e["dataset_range"] or ()))), "bars": e["dataset_bars"]}
        row["lanes"] = [bars[bar] for bar in e["dataset_bars"]]
        if e is best:
            rows.append(row | {"told": "the best", "kind": "best"})
            continue
        row |= {"low": behind["low"], "high": behind["high"], "p": behind["adjusted"]}
        told = f"{difference(behind['difference'])} ({difference(behind['low'])} to {difference(behind['high'])})"
        rows.append(row | {"told": told, "kind": "differs" if behind["adjusted"] <= level else "ties"})
    ties = sum(row["kind"] == "ties" for row in rows)
    others = counted(len(rows) - 1, "other")
    least = best["detectable"]
    words = f"Against {named(best)}, on the same test pictures; bars are each pair's own interval at "
    of = "Bonferroni" if truncate.compared(best["dataset_of"]) else "Holm"
    words += f"{100 * report['confidence']:.0f} %. Filled: differs after {of}'s "
    words += "correction over all pairs; "
    words += f"hollow: does not ({ties} of {others})."
    words += f" The band is what a typical pair shows in fewer than 4 of 5 cases: below {least:.3f}." if least else ""
    chains = 1 + max(bars.values(), default=-1)
    words += " Lines at the right join neighbours of which no two differ." if chains else ""
    caption = f"{labels.dataset(dataset)}: difference in top-1 accuracy to the best."
    chart = _chart([row["name"] for row in rows], rows, least, chains)
    return (vega.figure(chart, rows, caption, words, ("forest", dataset), fluid=True),)


def lanes(rows: list[list[int]]) -> dict[int, int]:
    """Bar -> its lane: the first in which no other bar stands beside it. ``rows``: the bars of each row."""
    spans: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        for bar in row:
            spans.setdefault(bar, [place, place])[1] = place
    ends: list[int] = []  # last row of each lane's last bar
    found = {}
    for bar, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        lane = next((i for i, last in enumerate(ends) if last < start), len(ends))
        ends[lane : lane + 1] = [end]
        found[bar] = lane
    return found


def _chart(names: list[str], rows: list[dict], least: float | None, chains: int) -> alt.TopLevelMixin:
    x = scales.linear([0.0, -(least or 0.0), *(row[key] for row in rows for key in ("low", "high") if key in row)], 8)
    scale = alt.Scale(domain=[x.ticks[0], x.ticks[-1]], nice=False, zero=False)
    form = f"+.{max(scales.digits(x.ticks), 2)}f"
    axis = alt.Axis(values=list(x.ticks), labelExpr=f"datum.value==0?'0':replace(format(datum.value,'{form}'),'-','−')")
    across = alt.X("shift:Q", title="difference in top-1 accuracy", scale=scale, axis=axis)
    labels = alt.Axis(title=None, ticks=False, labelColor=vega.colour("ink"), grid=True, gridDash=[1, 3])
    down = alt.Y("name:N", sort=names, axis=labels)
    base = alt.Chart().encode(y=down, x=across)
    accent, paper, faint = vega.colour("accent"), vega.colour("paper"), vega.colour("faint")
    hints = parts.hints(name="model", told="difference", p="adjusted p|.2g", rank="rank", ranks="ranks possible")
    rectangle = alt.Chart().mark_rect(fill=vega.colour("grid"))
    layers = [
        *([rectangle.encode(x=alt.X(datum=-least), x2=alt.X2(datum=0))] if least else ()),
        alt.Chart().mark_rule(stroke=faint).encode(x=alt.X(datum=0)),
        base.mark_rule(strokeWidth=1.6, stroke=accent, opacity=0.55)
        .transform_filter("isValid(datum.low)")
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
    ]
    looks = {
        "best": {"shape": "diamond", "size": 90, "filled": True, "fill": accent, "stroke": paper, "strokeWidth": 1},
        "ties": {"shape": "circle", "size": 48, "fill": paper, "stroke": accent},
        "differs": {"shape": "circle", "size": 55, "fill": accent, "stroke": paper, "strokeWidth": 0.8},
    }
    for kind, look in looks.items():
        if any(row["kind"] == kind for row in rows):
            marks = base.mark_point(**look).transform_filter(f"datum.kind=='{kind}'")
            layers.append(marks.encode(tooltip=hints))
    plot = alt.layer(*layers).properties(width=WIDTH, height=alt.Step(ROW))
    if not chains:
        return plot
    bars = (
        alt.Chart()
        .transform_flatten(["bars", "lanes"])
        .mark_line(stroke=vega.colour("ink"), strokeWidth=2.5, strokeCap="round")
        .encode(
            y=alt.Y("name:N", sort=names, axis=None),
            x=alt.X("lanes:O", axis=None, scale=alt.Scale(domain=list(range(chains)))),
            detail="bars:N",
        )
        .properties(width=alt.Step(_BAR), height=alt.Step(ROW))
    )
    return alt.hconcat(plot, bars, spacing=14)
