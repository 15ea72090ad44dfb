"""Frozen pretrained backbones on the page: how every entry stands to the best of them, what their weights have seen of
the test images, their licences, and what an image costs in each network."""

from sslbench.report.blocks import Block, Cell, Column, Folded, Row, Span, Table, Text
from sslbench.report.wording import ABSENT, Labels, accuracy, counted, difference, listed, milliseconds, minutes, points

_LEVELS = {
    1: "test images, with labels",
    2: "test images, without labels",
    3: "same source and classes",
    4: "nothing known",
    5: "unknown",
}
_FORBIDS = "forbids commercial use"


def is_pretrained(report: dict, entry: dict) -> bool:
    return report["models"][entry["name"][1]]["method"] == "pretrained"


def nothing_trained(report: dict, entries: list[dict]) -> bool:
    """Whether all that is compared are backbones as they can be downloaded."""
    grid = [e for e in entries if e["kind"] == "grid"]
    return bool(grid) and all(is_pretrained(report, e) for e in grid)


def plain(entry: dict, labels: Labels) -> str:
    """A backbone's own name."""
    return labels.model(entry["name"][1]).removesuffix(", frozen")


def marks(entry: dict) -> list[Text]:
    """What its weights have seen leaves an entry without a rank, or makes its figure an upper bound."""
    weights = entry.get("weights") or {}
    if weights and not weights["ranked"]:
        return [Span("not ranked", "suspicious")]
    return [Span("upper bound", "suspicious")] if weights.get("upper_bound") else []


def why(entry: dict) -> list[Text]:
    """A footnote for such a mark, and for an entry that was tested on other images than the rest."""
    weights = entry.get("weights") or {}
    told: list[Text] = [f"{weights['consequence']} {weights['explanation']}"] if marks(entry) else []
    if entry.get("other_images"):
        told.append("Tested on other images than most entries, so it is not compared with them.")
    return told


def against(entry: dict, *_: object) -> Cell:
    """The leaderboard's cell: top-1 less that of the best frozen backbone, with the pair's own interval."""
    if entry.get("best_frozen"):
        return Cell(("the best",), order=0.0)
    return _pair(entry.get("against_frozen"))


def against_random(entry: dict, *_: object) -> Cell:
    """The leaderboard's cell: top-1 less that of the random initialisation that the entry began from."""
    return _pair(entry.get("against_random"))


def _pair(found: dict | None) -> Cell:
    if not found:
        return Cell((ABSENT,), "absent")
    ends = f"{difference(found['low'])} to {difference(found['high'])}"
    return Cell((difference(found["difference"]), ends), order=found["difference"])


def parameters(entry: dict, *_: object) -> Cell:
    count = entry.get("parameters")
    return Cell((f"{count / 1e6:.1f}",), order=count) if count else Cell((ABSENT,), "absent")


def inference(entry: dict, *_: object) -> Cell:
    batches = (entry.get("speed") or {}).get("batches") or {}
    if not batches:
        return Cell((ABSENT,), "absent")
    lines = [milliseconds(one["ms"]) for _, one in sorted(batches.items(), key=lambda item: int(item[0]))]
    return Cell(tuple(lines), order=alone(entry))


def licence(entry: dict, *_: object) -> Cell:
    found = (entry.get("weights") or {}).get("licence")
    if not found:
        return Cell((ABSENT,), "absent")
    forbids = (Span(_FORBIDS, "suspicious"),) if found["use"] == _FORBIDS else ()
    return Cell((found["title"], *forbids))


def alone(entry: dict) -> float | None:
    """Milliseconds of one image by itself, where they were measured."""
    return _one(entry).get("ms")


def _one(entry: dict) -> dict:
    return ((entry.get("speed") or {}).get("batches") or {}).get("1") or {}


def differ(entries: list[dict]) -> bool:
    """Whether entries are of several networks, so that their sizes tell them apart."""
    return len({e.get("parameters") for e in entries if e.get("parameters")}) > 1


def captions(entries: list[dict], labels: Labels) -> str:
    """What the leaderboard's columns about frozen backbones and networks hold."""
    told = []
    best = {e["name"][0]: plain(e, labels) for e in entries if e.get("best_frozen")}
    if any(e.get("against_frozen") for e in entries):
        where = [name if len(best) == 1 else f"{name} on {dataset}" for dataset, name in best.items()]
        told.append(
            f"To best frozen: top-1 less that of {listed(where)}, the best frozen backbone that has not seen the test "
            "images, on the same images, with the pair's own interval."
        )
    timed = [e["speed"] for e in entries if e.get("speed")]
    if timed:
        devices = listed([f"{d}, {counted(t, 'thread')}" for d, t in {(s["device"], s["threads"]): 0 for s in timed}])
        sizes = sorted({int(batch) for s in timed for batch in s["batches"]})
        batches = listed([str(size) for size in sizes])
        told.append(f"Inference: median for an image in batches of {batches}, one below the other, on {devices}.")
    return "".join(f" {text}" for text in told)


def seen(report: dict, labels: Labels) -> tuple[Block, ...]:
    """What the weights of each row have seen of its test images, and their licences, folded away."""
    entries = [e for e in report["entries"] if e.get("weights")]
    if not entries:
        return ()
    several = len({e["name"][0] for e in entries}) > 1
    columns = [Column("Weights", "text"), *[Column("Dataset", "text")] * several, Column("Were trained on", "text")]
    columns += [Column(title, "text") for title in ("Known of the test images", "So", "Licence")]
    rows = []
    for e in sorted(entries, key=lambda e: e["weights"]["level"]):  # stable: the plan's order otherwise
        weights = e["weights"]
        level = Cell((_LEVELS[weights["level"]], weights["explanation"]))
        note = weights["licence"]["note"]
        licence = Cell((Span(note, "strong") if _forbids(e) else note,))
        network = e["protocols"][0]
        what = Cell((plain(e, labels), f"{network['backbone']}, {network['input_size']} px"))
        cells = [what, *[Cell((labels.dataset(e["name"][0]),))] * several]
        cells += [Cell((weights["has_seen"],)), level, Cell((weights["consequence"],)), licence]
        rows.append(Row(tuple(cells)))
    title = "What the weights have seen"
    caption = f"{title} of the test images, and their licences as they are stated, which is no legal advice"
    return (Folded(f"{title}, and their licences", (Table(caption, tuple(columns), tuple(rows)),)),)


def _forbids(entry: dict) -> bool:
    return entry["weights"]["licence"]["use"] == _FORBIDS


def details(entries: list[dict], labels: Labels) -> list[str]:
    """Whose figures do not count, and whose are too high, by name."""
    told = []
    out = [f"{plain(e, labels)} {accuracy(e['top1']['value'])}" for e in entries if _has(e, "ranked", False)]
    if out:
        verb = "its weights have" if len(out) == 1 else "their weights have"
        told.append(f"Not ranked, because {verb} seen the test images: {listed(out)}.")
    high = [plain(e, labels) for e in entries if _has(e, "upper_bound", True)]
    if high:
        told.append(
            f"Upper bounds, because the weights have seen images of the same source and classes: {listed(high)}."
        )
    return told


def _has(entry: dict, key: str, value: bool) -> bool:
    return bool(entry.get("weights")) and entry["weights"][key] is value


def cheaper(ranked: list[dict], chosen: dict, labels: Labels) -> str:
    """What the chosen backbone costs an image, and which faster one is worth a look."""
    own = alone(chosen)
    if own is None:
        return ""
    told = f" It takes {milliseconds(own)} an image."
    faster = [e for e in ranked if e is not chosen and (alone(e) or own) * 1.5 <= own and apart(e, chosen)]
    ties = [e for e in faster if e["dataset_rank"] == chosen["dataset_rank"]]
    if ties:
        first = min(ties, key=alone)
        return f"{told} {_named(first, labels)} ties with it and takes {milliseconds(alone(first))}."
    if faster:
        first = max(faster, key=lambda e: (e["top1"]["value"], e["name"]))
        return f"{told} {_named(first, labels)} takes {milliseconds(alone(first))} and is {behind(first)} behind."
    return told


def apart(faster: dict, slower: dict) -> bool:
    """Whether the quartiles of two entries' times do not overlap."""
    return _one(faster)["high"] < _one(slower)["low"]


def _lead(entry: dict) -> tuple:
    return entry["against_frozen"]["difference"], entry["name"]


def _named(entry: dict, labels: Labels) -> str:
    """A backbone, with its licence where that is not permissive."""
    found = (entry.get("weights") or {}).get("licence") or {"use": "permissive"}
    return plain(entry, labels) + (f" ({found['title']})" if found["use"] != "permissive" else "")


def behind(entry: dict) -> str:
    """How far an entry lies behind the best, with that pair's interval."""
    return _ends(entry["behind"], -1) if entry["behind"] else "no points"


def _ends(pair: dict, sign: int) -> str:
    """`3.1 points (1.2 to 5.0)` of a paired difference or, with ``sign`` -1, of its opposite."""
    low, high = sorted((100 * sign * pair["low"], 100 * sign * pair["high"]))
    return f"{points(pair['difference'])} ({low:.1f} to {high:.1f})".replace("-", "−")


def terms(ranked: list[dict], chosen: dict, labels: Labels) -> str:
    """What the chosen backbone's licence asks for, where it is not permissive, and the best with a permissive one."""
    found = (chosen.get("weights") or {}).get("licence")
    if not found or found["use"] == "permissive":
        return ""
    told = f" {found['note']}"
    free = [e for e in ranked if ((e.get("weights") or {}).get("licence") or {}).get("use") == "permissive"]
    if free:
        best = max(free, key=lambda e: (e["top1"]["value"], e["name"]))
        told += f" The best with a permissive one is {plain(best, labels)}, at {accuracy(best['top1']['value'])}."
    return told


def compared(report: dict, entries: list[dict], trained: list[dict], labels: Labels) -> tuple[Text, bool]:
    """Whether any pretraining beats the best frozen backbone, by how much and at what cost; and whether any does.

    ``trained``: the ranked ones of the grid. ("", True) where there is nothing to compare.
    """
    best = next((e for e in entries if e.get("best_frozen")), None)
    found = [e for e in trained if e.get("against_frozen")]
    if best is None or not found:
        return "", True
    level = 1 - report["confidence"]
    high = " (an upper bound)" if _has(best, "upper_bound", True) else ""
    score = f"{accuracy(best['top1']['value'])}{high}"
    name = f"the best frozen backbone, {plain(best, labels)} at {score}"
    sure = [e for e in found if e["against_frozen"]["adjusted"] <= level]  # a larger lead may be by chance
    first = max(sure, key=_lead, default=None)
    if first is None or first["against_frozen"]["difference"] <= 0:
        first = max(found, key=_lead)
    pair, entry = first["against_frozen"], labels.entry(first)
    if pair["adjusted"] <= level and pair["difference"] > 0:
        spent = f", after {minutes(first['minutes'])} of pretraining" if first["minutes"] else ""
        return f"{entry} beats {name}, by {_ends(pair, 1)}{spent}{_costs(first, best)}.", True
    close = f"{entry}, is {_ends(pair, -1)} behind" if pair["difference"] < 0 else f"{entry}, is {_ends(pair, 1)} ahead"
    unsure = "" if pair["adjusted"] <= level else ", which is not significant among so many comparisons"
    take = Span(f"{plain(best, labels)}, frozen", "strong")
    told = f": no pretraining beats its {score}. The closest, {close}{unsure}{_costs(first, best)}."
    return ("Take ", take, told + terms([e for e in entries if _has(e, "ranked", True)], best, labels)), False


def _costs(entry: dict, best: dict) -> str:
    mine, its = alone(entry), alone(best)
    if mine is None or its is None or mine == its:
        return ""
    return f"; an image takes {milliseconds(mine)}, in the frozen one {milliseconds(its)}"
