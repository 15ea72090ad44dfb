"""The answer in words: what ties for the best on each dataset, what is not to be trusted, and what that means for
someone who has to choose. Minutes have no say in it: those of a trained network are spent, whichever one takes.

Every sentence is computed, and none claims more than the paired tests at the report's confidence carry.
"""

from collections import Counter
from statistics import median

from sslbench.report import truncate
from sslbench.report.blocks import Block, Paragraph, Span, Text, Verdict, spans
from sslbench.report.sections import frozen, leaks
from sslbench.report.wording import Labels, accuracy, counted, interval, listed, points, share_of

_LEFT = {"stale": "not today's", "missing": "not run yet", "failed": "failed", "set aside": "set aside"}


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
    untrained = frozen.nothing_trained(report, report["entries"])
    if done == len(cells) and untrained:
        count = len({c["model"] for c in cells})
        text = f"{counted(count, 'frozen backbone')}, judged as downloaded; nothing was trained on these images."
    elif done == len(cells):
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
    beside = _collapsed(entries, labels) + _left(entries, labels)
    if not any(e["probed"] for e in entries):
        told = "No picture is labelled, so nothing is ranked; what can be said stands under Choosing without labels."
        return Verdict(labels.dataset(name), told, tuple(beside))
    if not ranked:
        aside = next((e["why"] for e in entries if "set aside" in e["states"]), "")
        return Verdict(labels.dataset(name), "Nothing to rank yet.", (*[f"Set aside: {aside}"] * bool(aside), *beside))
    best = sorted((e for e in ranked if e["dataset_rank"] == 1), key=lambda e: (-e["top1"]["value"], e["name"]))
    here = [e for e in report["entries"] if e["name"][0] == name]
    details: list[Text] = [*leaks.caveats(report, name, labels), *frozen.details(here, labels)]
    details += [_power(report, name, len(ranked), best[0]["n"]), _floor(report, name, labels)]
    details += [_below_start(report, ranked, labels), *beside]
    untrained = frozen.nothing_trained(report, entries)
    advice = _of_backbones(ranked, best, labels) if untrained else _advice(ranked, best, labels)
    if not untrained:
        told, pays = frozen.compared(report, here, ranked, labels)
        if told:
            advice = (*spans(advice), f"{' ' * bool(advice)}{told}") if pays else told
    if advice and report["plan"].get("note"):
        first, *rest = spans(advice)
        advice = (f"By these figures alone: {first[0].lower()}{first[1:]}", *rest)
    return Verdict(labels.dataset(name), _claim(report, ranked, best, labels), tuple(d for d in details if d), advice)


def _claim(report: dict, ranked: list[dict], best: list[dict], labels: Labels) -> Text:
    """Who is ahead, or who ties, among the ranked combinations of model and transform."""
    percent, top = f"{100 * report['confidence']:g} %", best[0]
    noun = "backbone" if frozen.nothing_trained(report, ranked) else "combination"
    shown = f"{accuracy(top['top1']['value'])} ({interval(share_of(top))})"
    if len(ranked) == 1:
        return f"One {noun} is ranked, {labels.entry(top)} at {shown}; there is nothing to compare it with."
    reach = f", for {_reach(ranked)}"
    if len(best) == 1:
        others = counted(len(ranked) - 1, f"other {noun}")
        return (
            Span(labels.entry(top), "strong"),
            f" is ahead of the {others}, at {shown}; each paired difference holds at {percent}{reach}.",
        )
    share = f"all {len(best)}" if len(best) == len(ranked) else f"{len(best)} of {len(ranked)}"
    tie = f"{share} {noun}s tie for the best. At {percent}{reach}, they are not significantly different from"
    if _most(ranked, best):
        return Span("No winner", "strong"), f": {tie} the highest score, {shown} of {labels.entry(top)}."
    names = listed([labels.entry(e) for e in best], most=4)
    if noun == "backbone":
        tie = f" tie for the best of {len(ranked)} backbones: none is significantly different from the highest score"
        return Span(names, "strong"), f"{tie}, {shown}."
    return Span(names, "strong"), f": {tie} the highest score, {shown}."


def _most(ranked: list[dict], best: list[dict]) -> bool:
    """Whether so many tie that there is no winner to speak of."""
    return len(best) > max(1, len(ranked) / 2)


def _reach(entries: list[dict]) -> str:
    """What the paired tests speak of: where every entry has several seeds, of other seeds as well."""
    seeds = [e["top1"].get("seeds") or 1 for e in entries]
    if min(seeds) > 1:
        return "another seed and another test set"
    return (
        "these networks on other test pictures"
        if max(seeds) == 1
        else "other test pictures, and other seeds where an entry has several"
    )


def _advice(ranked: list[dict], best: list[dict], labels: Labels) -> Text:
    """What to take: the highest score, unless most entries tie."""
    if len(ranked) == 1:
        return ""
    if _most(ranked, best):
        return "Choose among those that tie by other needs than the score; more seeds or test images may separate them."
    first = [labels.entry(e) for e in best if e["top1"]["value"] == best[0]["top1"]["value"]]
    names = Span(" or ".join(first), "strong")
    if len(first) > 1:
        return "Take ", names, ": they share the highest score. Their lead may be chance."
    if len(best) > 1:
        return "Take ", names, ": it has the highest score. Its lead over those that tie may be chance."
    others = sorted((e for e in ranked if e is not best[0] and e["behind"]), key=truncate.place)
    if not others:
        return "Take ", names, "."
    return "Take ", names, f": the next, {labels.entry(others[0])}, is {frozen.behind(others[0])} behind."


def _of_backbones(ranked: list[dict], best: list[dict], labels: Labels) -> Text:
    """Which backbone to download: the highest score, what it costs, and what its licence asks for."""
    top = best[0]
    if len(ranked) == 1:
        return ""
    if _most(ranked, best):
        timed = [e for e in best if frozen.alone(e) is not None]
        first: Text = "Choose among those that tie by other needs than the score; more test images may separate them."
        quickest = min(timed, key=frozen.alone, default=top)
        if timed and all(frozen.apart(quickest, e) for e in timed if e is not quickest):
            top = quickest
            first = "By speed, take ", Span(labels.entry(top), "strong"), ": it is the fastest of those that tie."
    else:
        first = _advice(ranked, best, labels)
    return *spans(first), frozen.cheaper(ranked, top, labels) + frozen.terms(ranked, top, labels)


def _collapsed(entries: list[dict], labels: Labels) -> list[str]:
    names = [labels.entry(e) for e in entries if e["collapsed"]]
    return [f"Collapsed, and not ranked: {listed(names)}."] if names else []


def _left(entries: list[dict], labels: Labels) -> list[str]:
    """What is stale or missing, by name: the answer may change when it is there."""
    told = []
    for state, word in _LEFT.items():
        names = [labels.entry(e) for e in entries if state in e["states"]]
        told += [f"{listed(names)} ({word})"] if names else []
    return [f"Not counted: {'; '.join(told)}."] if told else []


def _power(report: dict, dataset: str, ranked: int, pictures: int) -> str:
    """How small a difference the test set can show at all."""
    smallest = report["datasets"].get(dataset, {}).get("smallest_difference")
    if ranked < 2:
        return ""
    pairs = counted(ranked * (ranked - 1) // 2, "pair")
    compared = truncate.compared(ranked)
    where = f"{compared}. A" if compared else f"With {pictures:,} test pictures and {pairs} compared, a"
    if smallest is None:
        return f"{where}ny difference between entries as alike as these would go unseen."
    return f"{where} true difference below about {100 * smallest:.1f} points would often go unseen."


def _floor(report: dict, dataset: str, labels: Labels) -> str:
    """What the references score, so that the best figure has a floor and a ceiling."""
    told = []
    for entry in report["entries"]:
        counts = entry["kind"] == "reference" and not frozen.is_pretrained(
            report, entry
        )  # which are compared elsewhere
        if counts and entry["name"][0] == dataset and entry["top1"]["value"] is not None:
            what = labels.model(entry["name"][1])
            what = f"supervised with {entry['name'][2]}" if entry["name"][2] != "none" else what[0].lower() + what[1:]
            told.append(f"{what} {accuracy(entry['top1']['value'])}")
    return f"For reference: {listed(told)}." if told else ""


def _below_start(report: dict, ranked: list[dict], labels: Labels) -> str:
    """Entries that training made worse than the random initialisation that they began from, or not better."""
    told = [(e, e["against_random"]) for e in ranked if e.get("against_random")]
    level = 1 - report["confidence"]
    below = [labels.entry(e) for e, pair in told if pair["adjusted"] <= level and pair["difference"] < 0]
    same = [labels.entry(e) for e, pair in told if pair["adjusted"] > level]
    text = f"Worse than the random initialisation that it began from: {listed(below, most=4)}." if below else ""
    if same:
        names = "all entries" if len(same) == len(ranked) else listed(same, most=4)
        text += (
            f"{' ' * bool(text)}Not significantly above it: {names}."
            if text
            else (f"Not significantly above the random initialisation: {names}.")
        )
    return text


def _split(grid: list[dict]) -> str:
    """What one training's accuracy varies by: its luck, and the choice of test pictures; of the median entry."""
    spreads = [e["spread"] for e in grid if e["spread"] and e["spread"]["sd_seeds"] is not None]
    if not spreads:
        return ""
    seeds, pictures = (points(median(spread[key] for spread in spreads)) for key in ("sd_seeds", "sd_pictures"))
    return (
        f" One training's accuracy varies (standard deviation, median over entries) by {seeds} from seed to seed, and "
        f"by {pictures} with the choice of test pictures."
    )


def _method(report: dict, grid: list[dict]) -> tuple[Block, ...]:
    percent = f"{100 * report['confidence']:g} %"
    several = any(e["top1"].get("seeds", 0) > 1 for e in grid)
    text = (
        f"Accuracies are means over seeds; their {percent} intervals are for another seed and another test set. "
        "Entries that are not ranked have t intervals over their seeds alone."
        if several
        else f"Intervals are {percent} Wilson intervals: they cover the choice of test pictures."
    )
    untrained = frozen.nothing_trained(report, grid)
    if not several and not untrained:
        text += " With one seed per cell, they do not cover the luck of a training run."
    text += _split(grid)
    ranked = Counter(e["name"][0] for e in grid if e["dataset_rank"])
    many = truncate.compared(max(ranked.values(), default=0))
    compared = "compared (Bonferroni's over all there are, where not all were)" if many else "compared"
    decided = (
        " Ties are decided by paired tests on the stored predictions with Holm's correction over all pairs "
        f"{compared}; stale and collapsed cells are left out. A tie is not a proof of equality. An interval of a "
        f"difference is that pair's own.{'' if untrained else _protocol(grid)}"
    )
    return (Paragraph(text + decided, "faint"),)


def _protocol(grid: list[dict]) -> str:
    """What all of it holds for, where the whole grid has one protocol."""
    protocols = [one for e in grid for one in e["protocols"]]
    if not protocols or any(one != protocols[0] for one in protocols):
        return " Cells differ in their protocol; the tables say in what."
    one = protocols[0]
    if not one["epochs"]:
        return f" All of it holds for {one['backbone']} at {one['input_size']} px."
    length = counted(one["epochs"], "epoch")
    return (
        f" All of it holds for {one['backbone']} at {one['input_size']} px after {length} at batch "
        f"{one['batch_size']}; another protocol may order the entries otherwise."
    )
