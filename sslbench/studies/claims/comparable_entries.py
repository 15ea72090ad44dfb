"""The cells that a claim may be tested on: finished, current, uncollapsed, and alike in all but what is compared.

Entries stand in blocks of one dataset and one protocol (backbone with its options, input size, epochs, batch,
precision), on the same test pictures. Where any block is the first article's own protocol, its claims are tested there
and nowhere else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy
import pandas

from sslbench import registry
from sslbench.report.protocols import PROTOCOL, network
from sslbench.studies import ledgers

LIGHTLY_FORM = "lightly-1.2"  # VICRegL's, and that of the first article's figures

Correct = Mapping[tuple[str, str, str, int], pandas.Series]


@dataclass(frozen=True)
class Entry:
    """One combination of dataset, model and transform over its seeds."""

    name: tuple[str, str, str]
    method: str
    options: dict  # the method's options that are not its defaults
    recipe: dict  # what the model sets of its recipe
    kind: str  # of transform, as registered
    plain: bool  # the transform as registered, nothing overridden
    article: str | None  # the model as the first article prints it, where it is one of those
    published: bool  # a published figure may stand beside it
    differs: str  # why not
    top1: float
    neighbours: float | None  # kNN top-1, k = 20
    minutes: float | None
    memory: float | None  # GB allocated on a GPU
    devices: tuple[str, ...]
    right: numpy.ndarray  # bool [seeds, n]
    pictures: int  # a key that entries on the same test pictures share
    protocol: dict
    reference: bool
    classes: int

    @property
    def key(self) -> tuple[str, str]:
        return self.name[1:]


@dataclass(frozen=True)
class Block:
    """Entries that may be compared: one dataset, one protocol, the same test pictures."""

    dataset: str
    source: str
    protocol: dict
    entries: tuple[Entry, ...]
    article: bool  # at the first article's protocol
    places: dict[tuple[str, str], Entry] = field(default_factory=dict)  # (model as printed, transform) of the article

    def grid(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.reference]

    def reference(self, model: str, kind: str | None = None) -> Entry | None:
        found = (e for e in self.entries if e.reference and e.method == model and kind in (None, e.kind))
        return next(found, None)


def may_test(cell: dict) -> bool:
    """Whether a cell's predictions are needed: as ranking.may_rank, and those of references too."""
    sound = cell["status"] == "done" and cell["health"].get("verdict") != "collapsed"
    return (sound or (cell["status"] == "done" and cell["kind"] == "reference")) and cell["top1"]["value"] is not None


def blocks(report: dict, correct: Correct) -> list[Block]:
    """All blocks of a report, the largest of a dataset first; the first article's own protocol alone where it is."""
    figures = ledgers.read()
    grouped: dict[tuple[str, str, int], list[Entry]] = {}
    references = []
    judges = {cell["dataset"]: cell["evaluated_on"] for cell in reversed(report["cells"])}
    for raw in report["entries"]:
        entry = _entry(report, raw, correct, figures, judges)
        if entry is not None and entry.reference:
            references.append(entry)
        elif entry is not None and entry.protocol["epochs"]:  # the articles' sentences are about pretraining
            protocol = json.dumps(entry.protocol, sort_keys=True)
            grouped.setdefault((entry.name[0], protocol, entry.pictures), []).append(entry)
    found = [_block(report, entries, references) for entries in grouped.values()]
    return sorted(found, key=lambda block: (not block.article, -len(block.grid()), block.dataset))


def of_article(found: list[Block]) -> list[Block]:
    """One block per published dataset at the article's protocol; where there is none, the largest of each dataset.

    Two archives of one dataset (ImageNette at 320 and at 160 px) hold the same pictures, and count once.
    """
    at_home = [block for block in found if block.article]
    figures = ledgers.read()
    chosen: dict[object, Block] = {}
    for block in at_home or found:
        if block.places:
            theirs = next((f.dataset for f in figures if block.source in f.dataset_sources), block.dataset)
            chosen.setdefault(theirs, block)
    return list(chosen.values())


def of_any(found: list[Block]) -> list[Block]:
    """The largest block of each dataset."""
    chosen: dict[str, Block] = {}
    for block in sorted(found, key=lambda block: -len(block.grid())):
        chosen.setdefault(block.source, block)
    return list(chosen.values())


def _block(report: dict, entries: list[Entry], references: list[Entry]) -> Block:
    first, dataset = entries[0], entries[0].name[0]
    home = network(first.protocol)
    beside = [
        e
        for e in references
        if (e.name[0], e.pictures) == (dataset, first.pictures)
        # What is not trained has no epochs and no batch to agree in.
        and (network(e.protocol) == home if e.method == "random" else e.protocol == first.protocol)
    ]
    at_home = any(entry.published for entry in entries)
    places: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.article and entry.plain and (entry.published or not at_home):
            places.setdefault((entry.article, entry.kind), entry)
    source = report["datasets"][dataset]["source"]
    return Block(dataset, source, first.protocol, (*entries, *beside), at_home, places)


def _entry(report: dict, raw: dict, correct: Correct, figures: list, judges: dict[str, str]) -> Entry | None:
    """None where an entry may not be compared: not current, collapsed, or without predictions."""
    dataset, model, transform = raw["name"]
    reference = raw["kind"] == "reference"
    usable = "done" in raw["states"] if reference else raw["ranked"]
    seeds = [correct[(*raw["name"], seed)] for seed in raw["used"] if (*raw["name"], seed) in correct]
    if not usable or not seeds or raw["top1"]["value"] is None or len(raw["protocols"]) != 1:
        return None
    table = pandas.concat(seeds, axis=1, join="inner")
    plan = report["models"][model]
    method = plan["method"]
    overrides = dict(plan.get("options") or {})
    recipe = overrides.pop("recipe", {})
    options = overrides if method in registry.REFERENCES else changed(method, overrides)
    kind = report["transforms"].get(transform, {"kind": transform, "overrides": {}})
    beside = (
        raw["published"]["top1"] if "published" in raw else {"reason": ""}
    )  # the first article's, where it is asked
    return Entry(
        name=(dataset, model, transform),
        method=method,
        options=options,
        recipe=recipe,
        kind=kind["kind"],
        plain=not kind["overrides"],
        article=None if judges.get(dataset) != dataset else as_printed(figures, method, options),
        published="reason" not in beside,
        differs=beside.get("reason", ""),
        top1=raw["top1"]["value"],
        neighbours=(raw["knn"].get("20") or {}).get("top1"),
        minutes=raw["minutes"],
        memory=raw["peak_gb"] if raw["memory"] == "GPU" else None,
        devices=tuple(raw["devices"]),
        right=table.to_numpy(bool).T,
        pictures=hash(tuple(table.index)),
        protocol=raw["protocols"][0],
        reference=reference,
        classes=int(raw["classes"] or 0),
    )


def changed(method: str, overrides: Mapping) -> dict:
    """The overrides that differ from a method's defaults; of `training`, what an entry's protocol does not name."""
    usual = ledgers.defaults(method)[0]
    unnamed = {key: value for key, value in (overrides.get("training") or {}).items() if key not in PROTOCOL}
    own = {key: value for key, value in overrides.items() if key != "training"}
    own |= {"training": unnamed} if unnamed else {}
    return {key: value for key, value in own.items() if usual.get(key) != value}


def as_printed(figures: list, method: str, options: dict) -> str | None:
    """The first article's name of a method with these options; None where it has none."""
    for figure in figures:
        if figure.method == method and changed(method, figure.options) == options:
            return figure.model
    return None
