"""The verdict in words: what ties for the best on each dataset, what is cheapest of it, and what is not to be trusted.

Every sentence is computed, and none claims more than the paired tests at the report's confidence carry.
"""

from sslbench.report.content import Block, Paragraph, Span, Text, Verdict
from sslbench.report.wording import Labels, accuracy, counted, interval, listed, minutes


def answer(report: dict, labels: Labels) -> tuple[Block, ...]:
    """How much is there, then a verdict for every dataset, then what the intervals cover."""
    grid = [e for e in report["entries"] if e["kind"] == "grid"]
    verdicts = [_dataset(report, name, labels) for name in dict.fromkeys(e["name"][0] for e in grid)]
    return (Paragraph(_extent(report), "lead"), *verdicts, *_method(report, grid))


def _extent(report: dict) -> Text:
    """How many of the grid's cells stand behind this page, and what has become of the others."""
    cells = [c for c in report["cells"] if c["kind"] == "grid"]
    states = [c["status"] for c in cells]
    done = states.count("done")
    if done == len(cells):
        text = (
            f"All {counted(len(cells), 'cell')} of the grid are finished and current."
            if len(cells) != 1
            else ("The grid's one cell is finished and current.")
        )
    else:
        left = [f"{states.count(s)} {s}" for s in ("stale", "missing", "failed", "set aside") if s in states]
        text = f"{done} of {counted(len(cells), 'cell')} are finished and current; {listed(left)}."
    collapsed = sum(c["health"].get("verdict") == "collapsed" for c in cells)
    verb = "has" if collapsed == 1 else "have"
    return (
        f"{text} {counted(collapsed, 'run')} {verb} collapsed and {'is' if collapsed == 1 else 'are'} not ranked."
        if collapsed
        else text
    )


def _dataset(report: dict, name: str, labels: Labels) -> Verdict:
    entries = [e for e in report["entries"] if e["name"][0] == name and e["kind"] == "grid"]
    ranked = [e for e in entries if e["dataset_rank"] is not None]
    if not ranked:
        aside = next((e["why"] for e in entries if "set aside" in e["states"]), "")
        details = [f"Set aside: {aside}"] * bool(aside) + _collapsed(entries, labels)
        return Verdict(labels.dataset(name), "Nothing to rank yet.", tuple(details))
    best = sorted((e for e in ranked if e["dataset_rank"] == 1), key=lambda e: (-e["top1"]["value"], e["name"]))
    details = [_cheapest(best, labels), _power(report, name, len(ranked), best[0]["n"]), _floor(report, name)]
    details += _collapsed(entries, labels)
    return Verdict(labels.dataset(name), _claim(report, ranked, best, labels), tuple(d for d in details if d))


def _claim(report: dict, ranked: list[dict], best: list[dict], labels: Labels) -> Text:
    """Who is ahead, or who ties, among the ranked combinations of model and transform."""
    percent, top = f"{100 * report['confidence']:g} %", best[0]
    shown = f"{accuracy(top['top1']['value'])} ({interval(top['top1'])})"
    if len(ranked) == 1:
        return f"One combination is ranked, {labels.entry(top)} at {shown}; there is nothing to compare it with."
    if len(best) == 1:
        others = counted(len(ranked) - 1, "other combination")
        return (
            Span(labels.entry(top), "strong"),
            f" is ahead of the {others}, at {shown}; each paired difference holds at {percent}.",
        )
    if len(best) == len(ranked):
        highest = f"the highest figure is {labels.entry(top)} at {shown}"
        return f"Nothing separates the {len(ranked)} combinations from the best at {percent}; {highest}."
    names = listed([labels.entry(e) for e in best], most=4)
    return (
        Span(names, "strong"),
        f": {len(best)} of {len(ranked)} combinations tie for the best. At {percent} they cannot be told apart from "
        f"the highest figure, {shown}.",
    )


def _collapsed(entries: list[dict], labels: Labels) -> list[str]:
    names = [labels.entry(e) for e in entries if e["collapsed"]]
    return [f"Collapsed, and not ranked: {listed(names)}."] if names else []


def _cheapest(best: list[dict], labels: Labels) -> str:
    """The tied entry that took the fewest minutes, where they all ran on the same kind of device."""
    timed = [e for e in best if e["minutes"] is not None]
    devices = {device for e in timed for device in e["devices"]}
    if len(best) == 1 or len(timed) < len(best):
        return ""
    if len(devices) > 1:
        return f"They ran on different hardware ({listed(sorted(devices))}), so none is called the cheapest."
    least = min(timed, key=lambda e: (e["minutes"], e["name"]))
    figures = f"{minutes(least['minutes'])}, {accuracy(least['top1']['value'])}"
    return f"The cheapest of them is {labels.entry(least)}: {figures}."


def _power(report: dict, dataset: str, ranked: int, pictures: int) -> str:
    """How small a difference the test set can show at all."""
    smallest = report["datasets"].get(dataset, {}).get("smallest_difference")
    if smallest is None:
        return ""
    pairs = ranked * (ranked - 1) // 2
    return (
        f"With {pictures:,} test pictures and {counted(pairs, 'pair')} compared, a true difference below about "
        f"{100 * smallest:.1f} points would often go unseen."
    )


def _floor(report: dict, dataset: str) -> str:
    """What the references score, so that the best figure has a floor and a ceiling."""
    told = []
    for entry in report["entries"]:
        if entry["kind"] == "reference" and entry["name"][0] == dataset and entry["top1"]["value"] is not None:
            what = "random initialisation" if entry["name"][1] == "random" else f"supervised with {entry['name'][2]}"
            told.append(f"{what} {accuracy(entry['top1']['value'])}")
    return f"For reference: {listed(told)}." if told else ""


def _method(report: dict, grid: list[dict]) -> tuple[Block, ...]:
    percent = f"{100 * report['confidence']:g} %"
    several = any(e["top1"].get("seeds", 0) > 1 for e in grid)
    text = (
        f"Accuracies are means over seeds with {percent} t intervals over them."
        if several
        else f"Intervals are {percent} Wilson intervals: they cover the choice of test pictures. With one seed per "
        "cell, they do not cover the luck of a training run."
    )
    ties = (
        " Ties are decided by paired tests on the stored predictions with Holm's correction over all pairs "
        "compared; stale and collapsed cells are left out."
    )
    return (Paragraph(text + ties, "faint"),)
