"""Where the minutes of every entry went: waiting for data, augmentation, steps, evaluation, and the rest."""

from statistics import fmean

import altair as alt

from sslbench.report.blocks import Block
from sslbench.report.charts import common as parts
from sslbench.report.charts import vega
from sslbench.report.wording import Labels, counted, listed, minutes

WIDTH, ROW = 460, 20  # px of the plot, and of a row
PARTS = {"data": "s1", "augment": "s0", "step": "s4", "evaluate": "s3", "other": "rule"}  # of a ledger, with its colour
_TOLD = {
    "data": "waiting for data",
    "augment": "augmentation",
    "step": "training step",
    "evaluate": "online evaluation",
}
_TOLD |= {"other": "other"}


def resource_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Means over an entry's measured cells, the longest first. Nothing where no ledger has more than a total."""
    entries = [e for e in parts.grid_entries(report, dataset) if e["minutes"]]
    cells: dict[tuple, list[dict]] = {}
    for cell in report["cells"]:
        cells.setdefault((cell["dataset"], cell["model"], cell["transform"]), []).append(cell)
    spent = {tuple(e["name"]): split(cells[tuple(e["name"])], e) for e in entries}
    entries = [e for e in entries if any(spent[tuple(e["name"])][part] for part in PARTS if part != "other")]
    if not entries:
        return ()
    entries.sort(key=lambda e: -e["minutes"])
    named = parts.naming(entries, labels)
    rows = [{"name": named(e), "total": e["minutes"], **spent[tuple(e["name"])]} for e in entries]
    whole = sum(row["total"] for row in rows)
    shares = {part: sum(row[part] for row in rows) / whole for part in PARTS}
    told = [f"{100 * share:.1f} % {_TOLD[part]}" for part, share in shares.items() if share >= 0.0005]
    devices = sorted({device for e in entries for device in e["devices"]})
    words = f"{counted(len(entries), 'run')}, {minutes(whole)} together: {listed(told)}."
    words += f" Minutes come from different hardware: {listed(devices)}." if len(devices) > 1 else ""
    caption = f"{labels.dataset(dataset)}: minutes of training by what they were spent on."
    return (
        vega.figure(_chart([row["name"] for row in rows]), rows, caption, words, ("resources", dataset), fluid=True),
    )


def split(cells: list[dict], entry: dict) -> dict[str, float]:
    """Minutes by part, of an entry and its cells; their sum is the entry's. What the ledger counts apart (checkpoints,
    set-up) is ``other``."""
    told = [
        cell["cost"]["seconds"]
        for cell in cells
        if cell["seed"] in entry["used"] and cell["cost"]["minutes"] is not None
    ]
    found = {part: fmean(seconds.get(part, 0.0) for seconds in told) / 60 for part in PARTS if part != "other"}
    return found | {"other": max(entry["minutes"] - sum(found.values()), 0.0)}


def _chart(names: list[str]) -> alt.LayerChart:
    keys = list(PARTS)
    scale = alt.Scale(domain=[_TOLD[k] for k in keys], range=[vega.colour(PARTS[k]) for k in keys])
    key = alt.Legend(symbolType="square", columns=5)
    names_axis = alt.Axis(title=None, ticks=False, labelColor=vega.colour("ink"))
    down = alt.Y("name:N", sort=names, axis=names_axis)
    base = alt.Chart().encode(y=down)
    words = "{" + ",".join(f"{k}:'{_TOLD[k]}'" for k in keys) + "}"
    bars = (
        base.transform_fold(keys, as_=["part", "minutes"])
        .transform_calculate(
            what=f"{words}[datum.part]", share="datum.minutes/datum.total", rank=f"indexof({keys},datum.part)"
        )
        .mark_bar(stroke=vega.colour("paper"), strokeWidth=0.6, height={"band": 0.68})
        .encode(
            x=alt.X("minutes:Q", title="minutes of training", axis=alt.Axis(tickCount=6, grid=True), stack="zero"),
            color=alt.Color("what:N", scale=scale, legend=key),
            order=alt.Order("rank:Q"),
            tooltip=parts.hints(name="model", what="spent on", minutes="minutes|,.2f", share="share|.1%"),
        )
    )
    total = base.mark_text(align="left", dx=6, fill=vega.colour("faint")).encode(
        x=alt.X("total:Q"), text=alt.Text("total:Q", format=",.2f")
    )
    return alt.layer(bars, total).properties(width=WIDTH, height=alt.Step(ROW))
