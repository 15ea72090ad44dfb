"""What several charts are made of: a dataset's entries, and how series are told apart."""

from collections.abc import Callable, Sequence

import altair as alt

from sslbench.report.charts import vega
from sslbench.report.wording import Labels

CHARACTER = 6.0  # px of a character of 11 px, a little more than its mean
OVER = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": -30, "titleY": -12}  # an axis' title
CROSS = "M-.7,-.7L.7,.7M.7,-.7L-.7,.7"  # a mark's shape, in the square from -1 to 1


def grid_entries(report: dict, dataset: str) -> list[dict]:
    """The grid's entries of a dataset that have an accuracy of today, in the plan's order."""
    return [
        e
        for e in report["entries"]
        if e["name"][0] == dataset and e["kind"] == "grid" and "done" in e["states"] and e["top1"]["value"] is not None
    ]


def order(entries: Sequence[dict], position: int) -> list[str]:
    """The names of models (1) or transforms (2) among ``entries``, in their order."""
    return list(dict.fromkeys(e["name"][position] for e in entries))


def naming(entries: Sequence[dict], labels: Labels) -> Callable[[dict], str]:
    """What to call an entry where all of them stand together: its model alone where they share a transform."""
    if len(order(entries, 2)) == 1:
        return lambda entry: labels.model(entry["name"][1])
    return labels.entry


def legend(names: Sequence[str], width: float, **more: object) -> alt.Legend | None:
    """A legend over the chart in as many columns as ``width`` px hold; none for one series."""
    if len(names) < 2:
        return None
    longest = max(map(len, names)) * CHARACTER + 40
    return alt.Legend(columns=max(1, min(len(names), int(width / longest))), symbolOpacity=1, **more)


def coloured(field: str, names: Sequence[str], key: alt.Legend | None) -> alt.Color:
    return alt.Color(f"{field}:N", legend=key, scale=alt.Scale(domain=list(names), range=vega.series(len(names))))


def shaped(field: str, names: Sequence[str], key: alt.Legend | None) -> alt.Shape:
    shapes = [vega.SHAPES[i % len(vega.SHAPES)] for i in range(len(names))]
    return alt.Shape(f"{field}:N", legend=key, scale=alt.Scale(domain=list(names), range=shapes))


def dashed(field: str, names: Sequence[str], key: alt.Legend | None) -> alt.StrokeDash:
    dashes = [vega.DASHES[i % len(vega.DASHES)] for i in range(len(names))]
    return alt.StrokeDash(f"{field}:N", legend=key, scale=alt.Scale(domain=list(names), range=dashes))


def picked(field: str) -> alt.Parameter:
    """Choosing series by their names in the legend."""
    return alt.selection_point(name="picked", fields=[field], bind="legend")


def hints(**fields: str) -> list[alt.Tooltip]:
    """Tooltips: field -> "title" or "title|format"."""
    found = []
    for field, told in fields.items():
        title, _, form = told.partition("|")
        found.append(alt.Tooltip(f"{field}:{'Q' if form else 'N'}", title=title, **({"format": form} if form else {})))
    return found
