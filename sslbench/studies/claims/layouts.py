"""How a claim's comparison is laid out, and how it is measured on our cells and on the published tables.

A measure is laid out in columns, each two groups of entries: its accuracy is the mean over columns of the groups'
difference, its cost the mean logarithm of their ratio. The same layout on the published tables gives the article's own
effect.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from types import SimpleNamespace

from sslbench.report.wording import counted
from sslbench.studies.claims.comparable_entries import Block, Entry
from sslbench.studies.claims.contrasts import Comparison, accuracies, averaged, mean_gap, ratios

Key = tuple[str, str]  # (model as the article prints it, transform)
Columns = list[tuple[list[Key], list[Key]]]
Layout = Callable[[set[Key]], Columns]

SIMILAR = 0.02  # a share, in which accuracies count as similar; claims.py says why
SLIGHT = 0.02  # a share of a cost: nobody would call less of it lower
TRADITIONAL, LOCAL = ("baseline", "simclr", "orthogonality"), ("lorot", "dcl")
TITLES = {
    "baseline": "baseline",
    "simclr": "SimCLR's",
    "orthogonality": "orthogonality",
    "lorot": "LoRot-I",
    "dcl": "DCL",
}


@dataclass(frozen=True)
class Tools:
    home: list[Block]  # for the first article's claims, one per dataset
    every: list[Block]  # for the second's, one per dataset
    blocks: list[Block]  # all
    theirs: list[dict[Key, SimpleNamespace]]  # the published tables, one per dataset
    report: dict
    confidence: float


@dataclass(frozen=True)
class Outcome:
    comparisons: list[Comparison] = field(default_factory=list)
    reason: str = ""  # why there is none
    rule: str = "all"  # all, any, dominance
    groups: int = 0  # that a dominance needs
    theirs: list[dict] = field(default_factory=list)
    scope: str = ""
    at_home: bool = False
    assumed: bool = False  # what the claim says was built into its cells


@dataclass(frozen=True)
class Measure:
    about: str
    what: str  # top1, minutes, memory
    layout: Layout
    sign: int  # +1: the claim says that the first group is higher
    margin: float | None = None  # of similarity, or of a cost that counts as lower
    unit: str = "column"  # what a cost's interval comes from
    veto: bool = False
    group: str = ""
    printed: str = ""  # what it is called on the published tables, where that differs


def published_places(figures: Iterable) -> list[dict[Key, SimpleNamespace]]:
    """The first article's tables; its two figures at chance on ImageWoof are left out, as collapsed cells are here."""
    tables: dict[str, dict[Key, SimpleNamespace]] = {}
    for figure in figures:
        if figure.metric == "top1" and not (figure.dataset == "imagewoof" and figure.value < 0.11):
            place = SimpleNamespace(top1=figure.value, minutes=figure.minutes, memory=figure.peak_gb, devices=())
            tables.setdefault(figure.dataset, {})[figure.model, figure.transform] = place
    return list(tables.values())


def across(first: Sequence[str], second: Sequence[str], transforms: Sequence[str]) -> Layout:
    """Per transform: the models ``first`` against ``second``."""

    def columns(keys: set[Key]) -> Columns:
        sides = (
            ([(m, t) for m in first if (m, t) in keys], [(m, t) for m in second if (m, t) in keys]) for t in transforms
        )
        return [(a, b) for a, b in sides if a and b]

    return columns


def within(first: Sequence[str], second: Sequence[str], models: Sequence[str] | None = None) -> Layout:
    """Per model: the transforms ``first`` against ``second``, where the model has any of both."""

    def columns(keys: set[Key]) -> Columns:
        named = models or sorted({m for m, _ in keys})
        sides = (([(m, t) for t in first if (m, t) in keys], [(m, t) for t in second if (m, t) in keys]) for m in named)
        return [(a, b) for a, b in sides if a and b]

    return columns


def on_both(tools: Tools, measures: list[Measure], rule: str = "all") -> Outcome:
    """The first article's measures on our cells at one protocol, and the same on its own tables."""
    found, theirs, missing = [], [], []
    for m in measures:
        effect = published_effect(tools, m.printed or m.about, m.what, m.layout)
        theirs += [effect] if effect else []
        laid = [(block, m.layout(set(block.places))) for block in tools.home]
        laid = [(block, columns) for block, columns in laid if columns]
        if m.what == "top1":
            terms = [terms_of(columns, block.places) for block, columns in laid]
            comparison = accuracies(terms, m.sign, m.about, tools.confidence, m.margin) if terms else None
        else:
            logs = [v for block, columns in laid for v in logs_of(columns, block.places, m.what)]
            comparison = ratios(logs, m.sign, m.about, m.unit, tools.confidence, m.margin or 0.0)
        if comparison is not None:
            found.append(comparison.named(veto=m.veto, group=m.group))
        elif not m.veto:
            missing.append(m.about)
    if (missing and rule == "all") or not found:
        few = (
            "two or more columns with figures from one device" if measures[0].what != "top1" else "cells on both sides"
        )
        return nothing(f"{missing[0]}: needs {few}", theirs=theirs)
    return scoped(tools, found, rule, theirs)


def terms_of(columns: Columns, places: dict) -> list[tuple[float, object]]:
    weights = averaged([mean_gap(a, b) for a, b in columns])
    return [(weight, places[key].right) for key, weight in weights.items()]


def logs_of(columns: Columns, places: dict, what: str) -> list[float]:
    """One logarithm of a ratio per column, where all its entries have the figure and ran on one kind of device."""
    found = []
    for a, b in columns:
        entries = [places[key] for key in (*a, *b)]
        if all(getattr(e, what) for e in entries) and len({e.devices for e in entries}) == 1:
            means = [fmean(math.log(getattr(places[key], what)) for key in side) for side in (a, b)]
            found.append(means[0] - means[1])
    return found


def published_effect(tools: Tools, about: str, what: str, layout: Layout) -> dict | None:
    if what == "top1":
        laid = [(table, layout(set(table))) for table in tools.theirs]
        sums = [
            sum(w * table[k].top1 for k, w in averaged([mean_gap(a, b) for a, b in columns]).items())
            for table, columns in laid
            if columns
        ]
        return {"about": about, "unit": "points", "effect": fmean(sums)} if sums else None
    logs = [v for table in tools.theirs for v in logs_of(layout(set(table)), table, what)]
    return {"about": about, "unit": "ratio", "effect": math.exp(fmean(logs))} if logs else None


def differs(terms: list, about: str, confidence: float) -> Comparison:
    """For: the two differ, either way. Against: they are within the margin of similarity."""
    plain = accuracies(terms, 1, about, confidence)
    alike = accuracies(terms, 1, about, confidence, margin=SIMILAR)
    return plain.named(p_for=min(plain.p_for, plain.p_against), p_against=alike.p_for)


def pairs_of(block: Block, first: Callable, second: Callable, by: Callable[[Entry], str]) -> list:
    """Terms of the mean difference of two kinds of entries over groups (``by``); empty where no group has both."""
    groups: dict[str, tuple[list[Entry], list[Entry]]] = {}
    for entry in block.grid():
        sides = groups.setdefault(by(entry), ([], []))
        if first(entry):
            sides[0].append(entry)
        elif second(entry):
            sides[1].append(entry)
    whole = [(a, b) for a, b in groups.values() if a and b]
    return [
        (sign / len(side) / len(whole), e.right)
        for pair in whole
        for sign, side in zip((1.0, -1.0), pair, strict=True)
        for e in side
    ]


def gap(
    tools: Tools, about: str, first: Callable, second: Callable, by: Callable[[Entry], str] = lambda e: e.key[1]
) -> list[Comparison]:
    sets = [terms for block in tools.every if (terms := pairs_of(block, first, second, by))]
    return [accuracies(sets, 1, about, tools.confidence)] if sets else []


def nothing(reason: str, theirs: list[dict] | None = None) -> Outcome:
    return Outcome(reason=reason[0].upper() + reason[1:] + ".", theirs=theirs or [])


def scoped(tools: Tools, found: list[Comparison], rule: str = "all", theirs: list[dict] | None = None) -> Outcome:
    at_home = all(block.article for block in tools.home)
    named = ", ".join(block.dataset for block in tools.home)
    differs = next((e.differs for block in tools.home for e in block.places.values() if e.differs), "")
    scope = f"{named}, at the article's protocol" if at_home else f"{named}, not at the article's protocol: {differs}"
    return Outcome(found, rule=rule, theirs=theirs or [], scope=scope, at_home=at_home)


def generally(tools: Tools, found: list[Comparison], missing: str, rule: str = "all") -> Outcome:
    """The second article names no protocol of its own: what is tested is what it says of methods in general."""
    if not found:
        return nothing(missing)
    seen = dict.fromkeys(
        (b.dataset, b.protocol["backbone"], b.protocol["input_size"], b.protocol["epochs"]) for b in tools.every
    )
    told = "; ".join(f"{d}: {net}, {size} px, {counted(epochs, 'epoch')}" for d, net, size, epochs in seen)
    return Outcome(found, rule=rule, scope=told)
