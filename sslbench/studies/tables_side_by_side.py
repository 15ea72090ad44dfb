"""The first article's tables in their own shape, each cell beside ours.

Every printed figure has its place, whether or not we have a cell for it. A difference is shown where the protocols
match (ledgers.py); elsewhere the reason stands as a footnote, and `not run` where the grid has no such cell.
"""

import math

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Part, Row, Section, Span, Table, Text
from sslbench.report.sections.accuracy import Notes, collapsed
from sslbench.report.wording import Labels, accuracy, cost, counted, difference, listed
from sslbench.stats import paired
from sslbench.studies import ledgers
from sslbench.studies.claims.comparable_entries import LIGHTLY_FORM, as_printed, changed

_PRINTED = {("imagenette2-160", "LoRot-I"): "LoRot", ("imagewoof", "LoRot-I"): "LoRot", ("nabirds", "LoRot-I"): "LoRot"}
_STATES = {"stale": "stale", "missing": "missing", "failed": "failed", "set aside": "aside"}


def section(report: dict, _: Labels) -> Section:
    found = parts(report)
    head = (Paragraph(("What these figures show by themselves: ", Span("docs/findings.md", "code"), "."), "faint"),)
    return Section("articles", "The first article's tables beside ours", head * bool(found), found, "First article")


def parts(report: dict) -> tuple[Part, ...]:
    """One part per published table of whose dataset the report has a cell."""
    figures = ledgers.read()
    ours = _by_place(report, figures)
    found = []
    for dataset in dict.fromkeys(f.dataset for f in figures):
        rows = [f for f in figures if f.dataset == dataset]
        if any(key[0] == dataset for key in ours):
            found.append(Part(rows[0].place, _part(report, rows, ours)))
    return tuple(found)


def _part(report: dict, rows: list[ledgers.Figure], ours: dict) -> tuple[Block, ...]:
    dataset, notes = rows[0].dataset, Notes()
    # Transform by transform, and within one of them top-1 before top-5, as printed.
    heads = list(dict.fromkeys((f.transform_as_printed, f.metric) for f in rows))
    epochs = "Epochs" if dataset == "imagenette" else "Epoch"  # as printed
    columns = [Column("Model", "text"), *(Column(t, spare=True) for t in ("Batch size", "Input size", epochs))]
    columns += [Column(_head(dataset, *head), hint="published, ours, difference") for head in heads]
    lines, counts = [], {"with a difference": 0, "that may not be compared": 0, "not run": 0}
    for model in dict.fromkeys(f.model for f in rows):
        mine = {(f.transform_as_printed, f.metric): f for f in rows if f.model == model}
        one = next(iter(mine.values()))
        cells = [Cell((model,)), *(Cell((str(n),)) for n in (one.batch_size, one.input_size, one.epochs))]
        for head in heads:
            figure = mine[head]
            cell, kind = _cell(figure, ours.get((dataset, model, figure.transform)), report, notes)
            cells.append(cell)
            counts[kind] += 1
        lines.append(Row(tuple(cells)))
    told = listed([f"{n} {kind}" for kind, n in counts.items() if n])
    percent = f"{100 * report['confidence']:g} %"
    text = (
        f"{counted(len(rows), 'published figure')}: {told}. A difference is ours less theirs, with its {percent} "
        "interval: theirs as a share of as many pictures as its test set most likely has, rounded as printed; the two "
        "taken as independent samples, which is cautious where they are the same pictures."
    )
    table = Table(f"{rows[0].place}, with ours", tuple(columns), tuple(lines), tuple(notes.texts))
    return Paragraph(text, "faint"), table


def _head(dataset: str, transform: str, metric: str) -> str:
    name = _PRINTED.get((dataset, transform), "SimClr" if transform == "SimCLR" else transform)
    if dataset == "nabirds":  # as printed; top-1 and top-5 are meant
        return f"Test Accuracy {'top 1%' if metric == 'top1' else 'top 5%'} {name}"
    return f"Test Accuracy {name}"


def _cell(figure: ledgers.Figure, entry: dict | None, report: dict, notes: Notes) -> tuple[Cell, str]:
    printed = figure.printed
    if figure.minutes is not None:
        printed += f" ({figure.minutes:.1f}Min/{figure.peak_gb:.1f}Go)"
    if entry is None:
        return Cell((printed, Span("not run", "missing")), "absent"), "not run"
    share, beside = entry[figure.metric], entry["published"][figure.metric]
    fell = collapsed(entry)
    if share["value"] is None:
        state = next((s for s in _STATES if s in entry["states"]), "missing")
        word = "not run" if state == "missing" else state
        number = (notes.number(entry["why"]),) if entry["why"] and state != "missing" else ()
        kind = "not run" if state == "missing" else "that may not be compared"
        return Cell((printed, Span(word, _STATES[state])), "absent", notes=number), kind
    spent = f" {cost(entry)}" if figure.metric == "top1" and cost(entry) else ""
    lines: list[Text] = [printed, f"{accuracy(share['value'])}{spent}"]
    if fell or "reason" in beside or beside["difference"] is None:
        reasons = ["ours has collapsed"] * fell + [beside[key] for key in ("reason",) if key in beside]
        reasons += [entry["why"] or "ours is not current"] * (not reasons)
        lines.append(Span("collapsed", "collapsed") if fell else Span("not compared", "stale"))
        number = notes.number(f"Not compared: {'; '.join(reasons)}.")
        return Cell(tuple(lines), "collapsed" if fell else "stale", notes=(number,)), "that may not be compared"
    low, high, told = against(figure, share, entry["n"] or 0, report["confidence"])
    gap = beside["difference"]
    lines.append((Span(difference(gap), "strong"), f" ({difference(low)} to {difference(high)})"))
    caveats = [*told, *beside["caveats"]]
    number = notes.number("Left open by the source, or different here: " + "; ".join(caveats) + ".")
    return Cell(tuple(lines), notes=(number,)), "with a difference"


def against(figure: ledgers.Figure, share: dict, n: int, confidence: float) -> tuple[float, float, list[str]]:
    """Interval of ours less theirs, and what it leaves out.

    Recovered from the interval of each (MOVER: Zou and Donner 2008, Stat. Med. 27:1693-1702; with Wilson's, Newcombe's
    method 10 of 1998, Stat. Med. 17:873-890). Theirs runs from the fewest to the most right pictures that are printed
    so; where the source does not tell how many pictures, they are taken to be as many as ours.
    """
    told = []
    pictures = figure.test_pictures
    if pictures is None:
        pictures = n
        told.append(f"its test pictures are not known, and taken as {n:,} like ours")
    half = 0.5 * 10 ** -len(figure.printed.partition(".")[2])
    fewest = max(0, math.ceil((figure.value - half) * pictures - 1e-9))
    most = min(pictures, math.floor((figure.value + half) * pictures + 1e-9))
    low = paired.wilson(min(fewest, round(figure.value * pictures)), pictures, confidence)[0]
    high = paired.wilson(max(most, round(figure.value * pictures)), pictures, confidence)[1]
    told.append("ours over seeds" if share.get("seeds", 1) > 1 else "one training each, whose luck is not covered")
    gap, ours = share["value"] - figure.value, share["value"]
    down = math.hypot(ours - share["low"], high - figure.value)
    up = math.hypot(share["high"] - ours, figure.value - low)
    return max(-1.0, gap - down), min(1.0, gap + up), told


def _by_place(report: dict, figures: list[ledgers.Figure]) -> dict[tuple[str, str, str], dict]:
    """Our entry for each place (dataset, model, transform) of the published tables: one that matches, else any."""
    found: dict[tuple[str, str, str], dict] = {}
    for entry in report["entries"]:
        name, model, transform = entry["name"]
        if entry["kind"] != "grid" or transform == "none":  # a pretrained row
            continue
        plan, kind = report["models"][model], report["transforms"].get(transform, {"kind": transform})
        source = report["datasets"].get(name, {}).get("source")
        dataset = next((f.dataset for f in figures if source in f.dataset_sources), None)
        options = {k: v for k, v in (plan.get("options") or {}).items() if k != "recipe"}
        options = changed(plan["method"], options)
        # VICRegL's other form stands in the row of its alpha, with the reason why it may not be compared.
        form = {"form": LIGHTLY_FORM} if plan["method"] == "vicregl" else {}
        printed = as_printed(figures, plan["method"], options | form)
        if dataset is None or printed is None:
            continue
        key = (dataset, printed, kind["kind"])
        if key not in found or _rank(entry) < _rank(found[key]):
            found[key] = entry
    return found


def _rank(entry: dict) -> tuple[bool, bool]:
    """Lower is better: an entry whose protocol matches, then one with a figure."""
    return "reason" in entry["published"]["top1"], entry["top1"]["value"] is None
