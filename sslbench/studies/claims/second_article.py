"""What decides each claim of the second article; claims.py says why."""

from collections.abc import Callable
from itertools import combinations

from sslbench.report.wording import listed
from sslbench.stats.paired import above_chance, wilson
from sslbench.studies.claims.comparable_entries import Entry, changed
from sslbench.studies.claims.contrasts import Comparison, accuracies, orders
from sslbench.studies.claims.layouts import (
    LOCAL,
    SIMILAR,
    TITLES,
    TRADITIONAL,
    Outcome,
    Tools,
    differs,
    gap,
    generally,
    nothing,
    pairs_of,
)

TEACHERS = ("byol", "dino", "moco")


def _still(entry: Entry) -> bool:
    """Whether its momentum encoder is no more than a copy."""
    return entry.recipe.get("ema_start") == 0 and not entry.recipe.get("ema_end")


def _ablated(entry: Entry) -> bool:
    """Whether a part is taken out, to be held against the whole; it stands for its method nowhere else."""
    return _still(entry) or entry.options.get("publish") == "student" or entry.options.get("head") == "none"


def _beside(tools: Tools, about: str, first: Callable, second: Callable, missing: str) -> Outcome:
    """The mean gap between two kinds of entries of one column; ``missing``: why there is none."""
    return generally(tools, gap(tools, about, first, second), missing)


def supervised(tools: Tools) -> Outcome:
    found = []
    for block in tools.every:
        for entry in block.grid():
            row = block.reference("supervised", entry.kind)
            if row is not None and entry.plain and row.plain and not _ablated(entry):
                sides = [[(1.0, entry.right), (-1.0, row.right)]]
                about = f"{block.dataset}, {entry.key[1]}: {entry.key[0]} less supervised"
                found.append(accuracies(sides, 1, about, tools.confidence, margin=-SIMILAR))
    return generally(tools, found, "no supervised row stands beside an entry of its transform and protocol", "any")


def teachers(tools: Tools) -> Outcome:
    whole = [e for b in tools.every for e in b.grid() if not _ablated(e)]
    if not {e.method for e in whole} & {"dino", "moco"}:
        return nothing("the grid has neither DINO nor MoCo, the article's own teachers")
    named = sorted({e.key[0] for e in whole if e.method in TEACHERS})
    return _beside(
        tools,
        f"{listed(named)} less the others",
        lambda e: e.method in TEACHERS and not _ablated(e),
        lambda e: e.method not in TEACHERS and not _ablated(e),
        "no column has methods with and without a teacher",
    )


def momentum(tools: Tools) -> Outcome:
    found = [
        c
        for method in TEACHERS
        for c in gap(
            tools,
            f"{method} with a momentum encoder less without",
            lambda e, m=method: e.method == m and not e.recipe and not e.options,
            lambda e, m=method: (
                e.method == m and _still(e) and set(e.recipe) <= {"ema_start", "ema_end"} and not e.options
            ),
        )
    ]
    return generally(tools, found, "no method stands beside itself without its momentum encoder")


def teacher_edge(tools: Tools) -> Outcome:
    student = {"publish": "student"}
    return _beside(
        tools,
        "DINO's teacher less its student",
        lambda e: e.method == "dino" and not e.options,
        lambda e: e.method == "dino" and e.options == student,
        "DINO does not stand beside itself with `publish: student`",
    )


def no_collapse(tools: Tools) -> Outcome:
    found, models = [], tools.report["models"]
    for cell in tools.report["cells"]:
        plan = models[cell["model"]]
        default = cell["method"] == "dino" and not changed("dino", plan.get("options") or {})
        if default and cell["status"] == "done" and cell["top1"]["value"] is not None and cell["classes"]:
            n, chance = cell["n"], 1 / cell["classes"]
            right = round(cell["top1"]["value"] * n)
            low, high = wilson(right, n, tools.confidence)
            fell = cell["health"].get("verdict") == "collapsed"
            about = f"{cell['dataset']}, {cell['transform']}, seed {cell['seed']}: accuracy less chance"
            p_for, p_against = (1.0, 0.0) if fell else (above_chance(right, n, chance), 1.0)
            found.append(
                Comparison(
                    about,
                    "points",
                    right / n - chance,
                    low - chance,
                    high - chance,
                    p_for,
                    p_against,
                    f"{n:,} test pictures; health: {cell['health'].get('verdict')}",
                )
            )
    return generally(tools, found, "no entry of DINO at its defaults is finished")


def simclr_ahead(tools: Tools) -> Outcome:
    return _beside(
        tools,
        "SimCLR less MoCo v1",
        lambda e: e.method == "simclr" and not e.options,
        lambda e: e.method == "moco" and e.options.get("head") == "linear",
        "SimCLR does not stand beside MoCo of version 1",
    )


def moco_large_batch(tools: Tools) -> Outcome:
    found = []
    for a in tools.blocks:
        for b in tools.blocks:
            same = all(a.protocol[k] == b.protocol[k] for k in a.protocol if k != "batch_size")
            if a.dataset != b.dataset or not same or b.protocol["batch_size"] < 4 * a.protocol["batch_size"]:
                continue
            # SimCLR's head is an MLP, so MoCo's first version is no match for it.
            of_one_head = (e for e in a.grid() if e.method == "moco" and not _ablated(e) and "head" not in e.options)
            for moco in of_one_head:
                for simclr in (e for e in b.grid() if e.method == "simclr" and not e.options):
                    if (moco.key[1], moco.pictures) == (simclr.key[1], simclr.pictures):
                        about = f"{a.dataset}, {moco.key[1]}: MoCo less SimCLR at batch {b.protocol['batch_size']:,}"
                        sides = [[(1.0, moco.right), (-1.0, simclr.right)]]
                        found.append(accuracies(sides, 1, about, tools.confidence))
    return generally(tools, found, "SimCLR was not trained in batches four times as large as MoCo's")


def projection_head(tools: Tools) -> Outcome:
    return _beside(
        tools,
        "SimCLR with its head less without",
        lambda e: e.method == "simclr" and not e.options,
        lambda e: e.method == "simclr" and e.options == {"head": "none"},
        "SimCLR does not stand beside itself with `head: none`",
    )


def crop_and_colour(tools: Tools) -> Outcome:
    study = tools.report["plan"].get("composition")
    if not study or "crop" not in study["rows"] or "color" not in study["columns"]:
        return nothing("the grid holds no study of pairs of operations")
    best = study["places"][study["rows"].index("crop")][study["columns"].index("color")]
    pairs = {
        name
        for row, names in zip(study["rows"], study["places"], strict=True)
        for column, name in zip(study["columns"], names, strict=True)
        if row != column and name != best
    }
    found = gap(
        tools,
        "crop+color less all other pairs",
        lambda e: e.key[1] == best,
        lambda e: e.key[1] in pairs,
        by=lambda e: e.key[0],
    )
    return generally(tools, found, "the study's pairs are not finished")


def transforms_matter_to_all(tools: Tools) -> Outcome:
    found = []
    for a, b in combinations((*TRADITIONAL, *LOCAL), 2):
        laid = [
            pairs_of(
                block,
                lambda e, t=a: e.plain and e.kind == t,
                lambda e, t=b: e.plain and e.kind == t,
                lambda e: e.key[0],
            )
            for block in tools.every
        ]
        if terms := [part for part in laid if part]:
            found.append(differs(terms, f"{TITLES[a]} less {TITLES[b]}", tools.confidence))
    return generally(tools, found, "no model ran with two of the registered transforms", "any")


def mid_level(tools: Tools) -> Outcome:
    sets = []
    for block in tools.every:
        mine, floor = [e for e in block.grid() if e.method == "contextprediction"], block.reference("random")
        if mine and floor is not None:
            sets.append([*((1 / len(mine), e.right) for e in mine), (-1.0, floor.right)])
    about = "context prediction less random initialisation"
    found = [accuracies(sets, 1, about, tools.confidence)] if sets else []
    return generally(tools, found, "context prediction does not stand beside a random initialisation")


def better_backbone(tools: Tools) -> Outcome:
    groups = []
    for block in tools.every:
        known = [(e.top1, e.neighbours) for e in block.grid() if e.neighbours is not None]
        if len(known) >= 4:
            groups.append(tuple(zip(*known, strict=True)))
    # Rows share methods and transforms, and both measures the features, so its p is, if anything, too small.
    about = "linear probe and nearest neighbours, both on the same features, over rows that share methods"
    found = [orders(groups, about, tools.confidence).named(once=True)] if groups else []
    return generally(tools, found, "no dataset has four entries with both measures")
