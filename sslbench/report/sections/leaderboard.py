"""The leaderboard: every entry of every dataset in one table, with its figures, its cost, and how far to trust it.

It stands by dataset and rank, and is read so without scripts; the page's script sorts and filters its rows.
"""

from collections import Counter

from sslbench.report import families, studies, truncate
from sslbench.report.blocks import Block, Cell, Column, Paragraph, Part, Row, Span, Table, Text
from sslbench.report.sections import frozen
from sslbench.report.sections.accuracy import Notes, collapsed, pooling, suspicious
from sslbench.report.wording import ABSENT, Labels, accuracy, counted, interval, listed, share_of
from sslbench.stats import multi_dataset as datasets_together

_FRESH = {"done": ("current", "current"), "stale": ("not today's", "stale"), "missing": ("not run yet", "missing"),
          "failed": ("failed", "failed"), "set aside": ("set aside", "aside")}  # fmt: skip
_ROOM = 0.04  # left beside the lowest and the highest interval, as a share of the axis


def leaderboard(report: dict, labels: Labels) -> tuple[Block, ...]:
    """One table over all entries; empty for a report without any."""
    entries = sorted(report["entries"], key=_order(report))
    if not entries:
        return ()
    axes, notes = _axes(entries), Notes()
    more = [figure for columns in studies.asked(report, "leaderboard") for figure in columns()]
    untrained = frozen.nothing_trained(report, entries)
    shown = [part for part in (*_FIGURES, *more, _FAMILY) if part.wanted(entries)]
    shown = [part for part in shown if part.title not in (_OF_TRAINING if untrained else _OF_WEIGHTS)]
    columns = [Column("Model", "text", choice=True), *(part.column(axes, entries) for part in shown)]
    rows = []
    for entry in entries:
        cells = [Cell((labels.model(entry["name"][1]), *pooling(entry)))]
        cells += [part.cell(entry, report, labels, notes, axes) for part in shown]
        rows.append(Row(tuple(cells), "reference" if entry["kind"] == "reference" else ""))
    names = list(dict.fromkeys(e["name"][0] for e in entries))
    caption = f"{counted(len(entries), 'entry', 'entries')} on {listed([labels.dataset(n) for n in names])}"
    table = Table(caption, tuple(columns), tuple(rows), tuple(notes.texts), board=True)
    models = " ".join(filter(None, (_small_views(report), _presets(report))))
    about = Paragraph(_about(report, entries) + frozen.captions(entries, labels), "faint")
    return about, *[Paragraph(models, "faint")] * bool(models), table, *frozen.seen(report, labels)


def _presets(report: dict) -> str:
    if all(model["family"] == "reference" for model in report["models"].values()):
        return ""
    return (
        "In brackets behind a method stands whose constants it begins with, and “changed” where its entry sets some of "
        "its recipe; all of them are in docs/recipes.md."
    )


def _small_views(report: dict) -> str:
    """Which views methods take that do not see whole ones alone, and what share of two whole ones' pixels."""
    told = {}
    for model in report["models"].values():
        sizes = Counter(model.get("views") or [])
        if len(sizes) > 1:
            each = listed([f"{counted(n, 'view')} of {size} px" for size, n in sorted(sizes.items(), reverse=True)])
            pixels = sum(n * size**2 for size, n in sizes.items())
            share = pixels / (2 * max(sizes) ** 2)
            told[f"{model['title']} takes {each}: {pixels:,} px an image, {share:.0%} of two whole views."] = None
    return " ".join(told).replace("%", " %")


def across(report: dict, labels: Labels) -> tuple[Part, ...]:
    """What holds over all datasets, where two or more share two or more ranked entries: mean ranks and their groups.

    A dataset that is judged on another's labels is left out: it would count that one's test pictures twice. So is a
    repeat of one. Versions of one set, as ImageNette v1 and v2, are one block, by their mean rank.
    """
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for entry in report["entries"]:
        dataset, *combination = entry["name"]
        if entry["dataset_rank"] and labels.judge(dataset) is None and "@" not in dataset:
            scores.setdefault(tuple(combination), {})[dataset] = entry["top1"]["value"]
    names = list(dict.fromkeys(dataset for of in scores.values() for dataset in of))
    whole = {key: [of[name] for name in names] for key, of in scores.items() if len(of) == len(names)}
    versions: dict[str, list[str]] = {}
    for name in names:
        versions.setdefault(report.get("datasets", {}).get(name, {}).get("block", name), []).append(name)
    if len(versions) < 2 or len(whole) < 2:
        return ()
    level = 1 - report["confidence"]
    found = datasets_together.across(whole, level, [[names.index(one) for one in of] for of in versions.values()])
    rows, groups = [], letters(found)
    for key in found.names:
        figures = [Cell((accuracy(value),)) for value in whole[key]]
        rows.append(
            Row(
                (
                    Cell((labels.combination(*key),)),
                    Cell((f"{found.mean_ranks[key]:.2f}",)),
                    Cell((groups[key] or ABSENT,)),
                    *figures,
                )
            )
        )
    columns = [Column("Combination", "text"), Column("Mean rank"), Column("Group", "text"), *(Column(n) for n in names)]
    joined = "".join(
        f" {listed(of)} are versions of one set and count once." for of in versions.values() if len(of) > 1
    )
    caption = f"Mean ranks over {counted(len(names), 'dataset')} of the {len(whole)} combinations ranked on all of them"
    return (
        Part(
            "Over all datasets",
            (
                Paragraph(over_all(found, len(scores) - len(whole), level) + joined),
                Table(caption, tuple(columns), tuple(rows)),
            ),
        ),
    )


def letter(place: int) -> str:
    """A to Z, then AA, AB, ..., ZZ, AAA."""
    before, last = divmod(place, 26)
    return (letter(before - 1) if before else "") + chr(ord("A") + last)


def letters(found: datasets_together.Across) -> dict:
    """The groups that each entry is in, "" where in none."""
    between = ", " if len(found.nemenyi) > 26 else ""  # AB is the 28th group, or the first two
    return {key: between.join(letter(i) for i, bar in enumerate(found.nemenyi) if key in bar) for key in found.names}


def over_all(found: datasets_together.Across, left_out: int, level: float) -> str:
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    test = f"Friedman's test over {counted(found.blocks, 'dataset')}"
    critical = f"{found.critical_difference:.2f} mean ranks (Nemenyi, {100 * level:g} %)"
    if found.p <= level:
        text = f"{test}: they differ ({p}). Those that share a letter lie within the critical difference, {critical}."
    else:
        text = f"{test} shows no difference ({p}); "
        if found.critical_difference > len(found.names) - 1:
            text += "with so few, no two entries could differ significantly."
        else:
            text += f"to differ significantly, two would have to be {critical} apart."
    if found.least_p > level:
        text += " So few datasets could not tell any one pair apart by Wilcoxon's test, whatever the figures."
    if left_out:
        text += f" Left out: {counted(left_out, 'combination')} not ranked on every dataset."
    return text + " Datasets count as independent, and as a sample of those that one cares about."


# A column of which nothing is known anywhere is left out; those without a line here always stand.
_KNOWN = {
    "Transform": lambda e: e["name"][2] != "none",
    "To best frozen": lambda e: e.get("against_frozen"),
    "To random": lambda e: e.get("against_random"),
    "Inference": lambda e: e.get("speed"),
    "Licence": lambda e: e.get("weights"),
    "Top-5": lambda e: e["top5"]["value"] is not None,
    "kNN": lambda e: e["knn"],
    "Images/s": lambda e: e.get("images_per_second") is not None,
    "Energy": lambda e: e.get("energy_joules") is not None,
}


class Figure:
    """A column: when it is shown, its heading, and what an entry has in it."""

    def __init__(
        self, title: str, cell: object, kind: str = "number", hint: str = "", known: object = None, **more: bool
    ) -> None:
        self.title, self.kind, self.hint, self.more, self._cell = title, kind, hint, more, cell
        self._known = known or _KNOWN.get(title)  # what an entry has where anything is known of it

    def wanted(self, entries: list[dict]) -> bool:
        if self.title == "Parameters":
            return frozen.differ(entries)
        if self.title == "Dataset":
            return len({e["name"][0] for e in entries}) > 1
        return self._known is None or any(self._known(entry) for entry in entries)

    def column(self, axes: dict[str, tuple[float, float]], entries: list[dict]) -> Column:
        hint = "scale by dataset" if self.title == "Interval" and len(axes) > 1 else self.hint
        if self.title == "Rank" and (ranked := [e for e in entries if e["dataset_rank"]]):
            hint = self.hint * any(not truncate.compared(e["dataset_of"]) for e in ranked)
        return Column(self.title, self.kind, hint, **self.more)

    def cell(
        self, entry: dict, report: dict, labels: Labels, notes: Notes, axes: dict[str, tuple[float, float]]
    ) -> Cell:
        return self._cell(entry, report, labels, notes, axes)


def _rank(entry: dict, *_: object) -> Cell:
    if not entry["dataset_rank"]:
        return Cell((ABSENT,), "absent")
    low, high = entry["dataset_range"] or (None, None)
    lines: list[Text] = [Span(str(entry["dataset_rank"]), "strong")]
    lines += [f"{low}–{high}"] * (low is not None and low != high)
    return Cell(tuple(lines), "best" if entry["dataset_rank"] == 1 else "", order=float(entry["dataset_rank"]))


def _top1(entry: dict, *_: object) -> Cell:
    value = entry["top1"]["value"]
    if value is None:
        return Cell((ABSENT,), "absent")
    tone = "collapsed" if collapsed(entry) else "" if "done" in entry["states"] else "stale"
    seeds = entry["top1"].get("seeds") or 1
    lines = (accuracy(value), f"{seeds} seeds") if seeds > 1 else (accuracy(value),)
    return Cell(lines, tone or ("best" if entry["dataset_rank"] == 1 else ""), order=value)


def _interval(entry: dict, report: dict, labels: Labels, notes: Notes, axes: dict[str, tuple[float, float]]) -> Cell:
    share = share_of(entry)
    if share["value"] is None or share["low"] is None:
        return Cell((ABSENT,), "absent")
    start, end = axes[entry["name"][0]]
    low, value, high = ((share[key] - start) / (end - start) for key in ("low", "value", "high"))
    inside = low < 1 and high > 0  # a reference or a collapsed run far away has no bar
    bar = (max(low, 0.0), value, min(high, 1.0)) if inside else None
    return Cell((interval(share),), order=share["low"], bar=bar)


def _top5(entry: dict, *_: object) -> Cell:
    return _number(entry["top5"]["value"], ".3f")


def _knn(entry: dict, *_: object) -> Cell:
    values = {k: of.get("top1") for k, of in sorted(entry["knn"].items(), key=lambda item: int(item[0]))}
    known = {k: value for k, value in values.items() if value is not None}
    if not known:
        return Cell((ABSENT,), "absent")
    first, *more = [accuracy(value) for value in known.values()]
    return Cell((first, *more), order=next(iter(known.values())))


def _minutes(entry: dict, report: dict, labels: Labels, notes: Notes, _: object) -> Cell:
    value = entry["minutes"]
    if value is None:
        return Cell((ABSENT,), "absent")
    numbers = (notes.number(f"Ran on {listed(entry['devices'])}."),) if value and _several_devices(report) else ()
    told = "0" if not value else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"
    return Cell((told,), notes=numbers, order=value)


def _speed(entry: dict, *_: object) -> Cell:
    value = entry.get("images_per_second")
    return _number(value, ",.0f" if value is not None and value >= 99.5 else ".1f")


def _memory(entry: dict, *_: object) -> Cell:
    cell = _number(entry["peak_gb"], ".2f" if (entry["peak_gb"] or 0) < 9.995 else ".1f")
    return Cell((*cell.lines, "RSS"), order=cell.order) if entry["memory"] == "RSS" else cell


def _energy(entry: dict, *_: object) -> Cell:
    joules = entry.get("energy_joules")
    return _number(None if joules is None else joules / 1000, ",.1f")


def _state(entry: dict, report: dict, labels: Labels, notes: Notes, _: object) -> Cell:
    """Health and freshness as words; what stands behind them as footnotes."""
    lines: list[Text] = []
    numbers: list[int] = []
    if collapsed(entry) or suspicious(entry):
        word = "collapsed" if collapsed(entry) else "suspicious"
        count, seeds = entry[word], len(entry["seeds"])
        lines.append(Span(word if seeds == 1 else f"{count} of {seeds} {word}", word))
        if entry["evidence"]:
            numbers.append(notes.number(f"Called {word}: {'; '.join(dict.fromkeys(entry['evidence']))}."))
    elif entry["kind"] == "grid" and entry["top1"]["value"] is not None:
        lines.append(Span("healthy", "healthy"))
    lines += frozen.marks(entry)
    numbers += map(notes.number, frozen.why(entry))
    for state, count in entry["states"].items():
        word, kind = _FRESH[state]
        lines.append(Span(word if len(entry["states"]) == 1 else f"{count} of {len(entry['seeds'])} {word}", kind))
    if entry["why"] and entry["states"].keys() & {"failed", "set aside", "stale"}:
        numbers.append(notes.number(entry["why"]))
    return Cell(tuple(lines), notes=tuple(numbers), order=float(_severity(entry)))


_FIGURES = (
    Figure("Transform", lambda e, *_: Cell((e["name"][2],)), "text", choice=True),
    Figure("Dataset", lambda e, report, labels, *_: Cell((labels.dataset(e["name"][0]),)), "text", choice=True),
    Figure("Rank", _rank, hint="possible"),
    Figure("Top-1", _top1),
    Figure("Interval", _interval, "text"),
    Figure("To random", frozen.against_random, hint="its own initialisation", spare=True),
    Figure("To best frozen", frozen.against, hint="paired"),
    Figure("Top-5", _top5, spare=True),
    Figure("kNN", _knn, hint="top-1"),
    Figure("Inference", frozen.inference, hint="an image"),
    Figure("Parameters", frozen.parameters, hint="millions"),
    Figure("Minutes", _minutes, hint="pretraining"),
    Figure("Images/s", _speed, spare=True),
    Figure("Peak GB", _memory, spare=True),
    Figure("Energy", _energy, hint="kJ", spare=True),
    Figure("Licence", frozen.licence, "text"),
    Figure("State", _state, "text", hint="health, freshness"),
)  # fmt: skip
_OF_TRAINING = ("Minutes", "Images/s", "Peak GB", "Energy", "Family")  # say nothing where nothing was trained
_OF_WEIGHTS = ("Licence",)  # where something was, the table of what weights have seen has it
_FAMILY = Figure("Family", lambda e, report, *_: families.cell(report, e["name"][1]), "text", choice=True, spare=True)


def _order(report: dict) -> object:
    """By dataset as the plan has them, then the ranked by rank and accuracy, the unranked, and the references last."""
    place = {name: i for i, name in enumerate(dict.fromkeys(e["name"][0] for e in report["entries"]))}

    def key(entry: dict) -> tuple:
        value = entry["top1"]["value"]
        rank = entry["dataset_rank"] or len(report["entries"]) + 1
        reference = entry["kind"] == "reference"
        return place[entry["name"][0]], reference, rank, -(value if value is not None else -1.0), entry["name"]

    return key


def _axes(entries: list[dict]) -> dict[str, tuple[float, float]]:
    """Per dataset, the scale of its intervals: as wide as those of the ranked, so that ties are seen."""
    found = {}
    for name in dict.fromkeys(e["name"][0] for e in entries):
        mine = [e for e in entries if e["name"][0] == name and share_of(e)["low"] is not None]
        shares = [share_of(e) for e in [e for e in mine if e["dataset_rank"]] or mine]
        if shares:
            low, high = min(share["low"] for share in shares), max(share["high"] for share in shares)
            room = _ROOM * ((high - low) or 0.1)
            found[name] = low - room, high + room
    return found


def _severity(entry: dict) -> int:
    worst = max((list(_FRESH).index(state) for state in entry["states"]), default=0)
    return 10 * bool(collapsed(entry)) + 5 * bool(suspicious(entry)) + worst


def _several_devices(report: dict) -> bool:
    return len({device for e in report["entries"] for device in e["devices"]}) > 1


def _about(report: dict, entries: list[dict]) -> str:
    percent = f"{100 * report['confidence']:g} %"
    ks = sorted({k for e in entries for k in e["knn"]}, key=int)
    neighbours = f" kNN stands for k = {listed(ks)}, one below the other." if len(ks) > 1 else ""
    ranks = f"Entries of a dataset that share a rank cannot be told apart from the best of them at {percent}"
    ranged = "below it stands the range of ranks that the comparisons leave open"
    sizes = {e["name"][0]: e["dataset_of"] for e in entries if e["dataset_rank"]}
    many = {name: told for name, of in sizes.items() if (told := truncate.compared(of))}
    if not many:
        ranks += f"; {ranged}."
    else:
        where = "" if len(many) == len(sizes) else f"On {listed(list(many))}: "
        ranks += f"; {ranged}, where all pairs were compared. {where}" if where else ". "
        ranks += f"{next(iter(many.values()))}."
    return f"{ranks}{neighbours} Bars share one scale in each dataset. Small numbers lead to notes below the table."


def _number(value: float | None, form: str) -> Cell:
    return Cell((ABSENT,), "absent") if value is None else Cell((format(value, form),), order=value)
