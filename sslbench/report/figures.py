"""The page's charts as content: accuracy against minutes, and learning curves of every model."""

from sslbench.report import charts
from sslbench.report.content import Block, Chart
from sslbench.report.wording import Labels, accuracy, listed, minutes


def cost_chart(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """Top-1 accuracy against minutes of training, with the line of entries that none beats in both."""
    entries = [
        e for e in report["entries"] if e["name"][0] == dataset and e["kind"] == "grid" and "done" in e["states"]
    ]
    timed = [e for e in entries if e["top1"]["value"] is not None and (e["minutes"] or 0) > 0]
    if len(timed) < 2:
        return ()
    transforms = _order(report, dataset, 2)
    points = [
        charts.Point(
            e["minutes"], e["top1"]["value"], transforms.index(e["name"][2]), labels.entry(e), bool(e["collapsed"])
        )
        for e in timed
    ]
    line = charts.pareto(points)
    told = listed([f"{p.name} ({accuracy(p.y)}, {minutes(p.x)})" for p in line], most=8)
    title = f"{labels.dataset(dataset)}: top-1 accuracy against minutes"
    drawing = charts.scatter(points, title, "minutes of training", "top-1, %")
    devices = sorted({device for e in timed for device in e["devices"]})
    caveat = f" Minutes come from different hardware: {listed(devices)}." if len(devices) > 1 else ""
    crossed = " Collapsed runs are crosses." if any(p.collapsed for p in points) else ""
    legend = tuple((charts.swatch(i, line=False), t) for i, t in enumerate(transforms))
    told = (
        f"No other run is both faster and more accurate than: {told}. The line does not speak of ties.{crossed}{caveat}"
    )
    return (Chart((("", drawing),), title + ".", told, legend),)


def curve_charts(report: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """One panel per model for the loss, and one for the online head where it was measured; of the lowest seed."""
    transforms = _order(report, dataset, 2)
    cells: dict[tuple[str, str], dict] = {}
    for cell in sorted(
        (c for c in report["cells"] if c["dataset"] == dataset and c["kind"] == "grid"), key=lambda c: c["seed"]
    ):
        if cell["curve"]:
            cells.setdefault((cell["model"], cell["transform"]), cell)
    models = [m for m in _order(report, dataset, 1) if any(m == model for model, _ in cells)]
    legend = tuple(
        (charts.swatch(i, line=True), t) for i, t in enumerate(transforms) if any(t == own for _, own in cells)
    )
    blocks: list[Block] = []
    others = [f"{labels.model(m)} with {t}" for (m, t), cell in cells.items() if cell["status"] == "stale"]
    stale = f" Not today's: {listed(others)}." if others else ""
    online = [y for cell in cells.values() for y in cell["curve"].get("online_top1", []) if y is not None]
    for column, caption, told in (
        (
            "loss",
            "Training loss by epoch.",
            "Each panel has its own scale: losses of different methods cannot be compared.",
        ),
        (
            "online_top1",
            "Online head's top-1 by epoch.",
            "A linear head on detached features, measured on held-out training pictures.",
        ),
    ):
        drawings = []
        for model in models:
            lines = [
                (transforms.index(t), t, series)
                for t in transforms
                if (m_cell := cells.get((model, t))) and (series := _series(m_cell["curve"], column))
            ]
            if lines:
                percent = column == "online_top1"
                title = f"{labels.model(model)}: {caption}"
                top = max(online, default=0.0) if percent else 0.0
                drawings.append((labels.model(model), charts.curve(lines, title, percent, top)))
        if drawings:
            blocks.append(Chart(tuple(drawings), caption, told + stale, legend))
    return tuple(blocks)


def _series(curve: dict, column: str) -> list[tuple[float, float]]:
    pairs = zip(curve.get("epoch", []), curve.get(column, []), strict=False)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _order(report: dict, dataset: str, position: int) -> list[str]:
    """The names of a dataset's models (1) or transforms (2) in the plan's order, references left out."""
    names = [e["name"][position] for e in report["entries"] if e["name"][0] == dataset and e["kind"] == "grid"]
    return list(dict.fromkeys(names))
