"""What decides each claim of the first article; claims.py says why."""

from dataclasses import replace
from itertools import combinations

from sslbench.report.wording import listed
from sslbench.studies.claims.comparable_entries import LIGHTLY_FORM
from sslbench.studies.claims.contrasts import accuracies, orders
from sslbench.studies.claims.layouts import (
    LOCAL,
    SIMILAR,
    SLIGHT,
    TITLES,
    TRADITIONAL,
    Measure,
    Outcome,
    Tools,
    across,
    differs,
    nothing,
    on_both,
    published_effect,
    scoped,
    terms_of,
    within,
)

BARLOW, OTHERS = "BarlowTwins", ("SimCLR", "SimSiam", "SwaV", "BYOL", "VICReg")
ALPHAS = tuple(f"VICRegL, α={alpha}" for alpha in ("0.95", "0.75", "0.50", "0.25"))
_CHEAP = ("baseline", *LOCAL)  # where the article says that VICRegL takes less time


def leaders(tools: Tools) -> Outcome:
    present = {model for block in tools.home for model, _ in block.places}
    rest = listed([model for model in OTHERS if model in present]) or "the five others"
    every = (*TRADITIONAL, *LOCAL)
    return on_both(
        tools,
        [
            Measure(
                f"{title} less {rest}",
                "top1",
                across(models, OTHERS, every),
                1,
                printed=f"{title} less the five others",
            )
            for title, models in (("VICRegL", ALPHAS), ("Barlow Twins", (BARLOW,)))
        ],
    )


def similar(tools: Tools) -> Outcome:
    layout = across(ALPHAS, (BARLOW,), _CHEAP)
    return on_both(tools, [Measure("VICRegL less Barlow Twins", "top1", layout, 1, margin=SIMILAR)])


def less_time(tools: Tools) -> Outcome:
    layout = across(ALPHAS, (BARLOW,), _CHEAP)
    return _untested(tools, [Measure("minutes, VICRegL to Barlow Twins", "minutes", layout, -1, SLIGHT)])


def less_memory(tools: Tools) -> Outcome:
    layout = across(ALPHAS, (BARLOW, *OTHERS), (*TRADITIONAL, *LOCAL))
    return _untested(tools, [Measure("peak GPU memory, VICRegL to the others", "memory", layout, -1, SLIGHT)])


def _untested(tools: Tools, measures: list[Measure], rule: str = "all") -> Outcome:
    """What concerns VICRegL's costs, which its form decides: a smaller view takes less, whatever is learned."""
    outcome = on_both(tools, measures, rule)
    mine = [e for block in tools.home for (model, _), e in block.places.items() if model in ALPHAS]
    if not any(e.options.get("form") == LIGHTLY_FORM for e in mine):
        return outcome
    reason = "One of VICRegL's two views is small in its lightly 1.2 form, so its costs are lower whatever it learns."
    return replace(nothing(reason, outcome.theirs), assumed=True)


def local_lower(tools: Tools) -> Outcome:
    told = [(t, within((t,), TRADITIONAL)) for t in LOCAL]
    return on_both(tools, [Measure(f"{TITLES[t]} less the other three", "top1", layout, -1) for t, layout in told])


def local_faster(tools: Tools) -> Outcome:
    return on_both(tools, [_local_cost(f"minutes, {TITLES[t]} to the other three", "minutes", t) for t in LOCAL])


def local_memory(tools: Tools) -> Outcome:
    return on_both(tools, [_local_cost(f"peak GPU memory, {TITLES[t]} to the other three", "memory", t) for t in LOCAL])


def _local_cost(about: str, what: str, transform: str) -> Measure:
    return Measure(about, what, within((transform,), TRADITIONAL), -1, SLIGHT, unit="model")


def local_not_better(tools: Tools) -> Outcome:
    models = sorted({model for block in tools.home for model, _ in block.places})
    vetoes = [
        Measure(f"{m}: both less the other three", "top1", within(LOCAL, TRADITIONAL, (m,)), -1, veto=True)
        for m in models
    ]
    return on_both(
        tools, [Measure("DCL and LoRot-I less the other three", "top1", within(LOCAL, TRADITIONAL), -1), *vetoes]
    )


def tradeoff(tools: Tools) -> Outcome:
    measures = []
    for rival in (BARLOW, *OTHERS):
        layout = across(ALPHAS, (rival,), (*TRADITIONAL, *LOCAL))
        measures += [
            Measure(f"VICRegL less {rival}", "top1", layout, 1, group=rival),
            Measure(f"minutes, VICRegL to {rival}", "minutes", layout, -1, group=rival),
        ]
    # Best of all is more than best of those that are here: it takes every rival.
    return replace(_untested(tools, measures, "dominance"), groups=1 + len(OTHERS))


def transforms_matter(tools: Tools) -> Outcome:
    if not tools.home:
        return nothing("no cell of the first article's models is finished")
    pairs = [
        (a, b, [(block, within((a,), (b,))(set(block.places))) for block in tools.home])
        for a, b in combinations((*TRADITIONAL, *LOCAL), 2)
    ]
    found = []
    for a, b, laid in pairs:
        terms = [terms_of(columns, block.places) for block, columns in laid if columns]
        if terms:
            found.append(differs(terms, f"{TITLES[a]} less {TITLES[b]}", tools.confidence))
    theirs = [published_effect(tools, f"{TITLES[a]} less {TITLES[b]}", "top1", within((a,), (b,))) for a, b, _ in pairs]
    if not found:
        return nothing("no model ran with two of the transforms", theirs=[t for t in theirs if t])
    return scoped(tools, found, "any", [t for t in theirs if t])


def easy_sets(tools: Tools) -> Outcome:
    easy = [b for b in tools.home if b.source.startswith("imagenette")]
    hard = [b for b in tools.home if b.source.startswith(("imagewoof", "nabirds"))]
    shared = [(a, b, sorted(set(a.places) & set(b.places))) for a in easy for b in hard]
    found = []
    for a, b, keys in shared:
        if keys:
            sides = [[(2 * sign / len(keys), block.places[k].right) for k in keys] for sign, block in ((1, a), (-1, b))]
            found.append(accuracies(sides, 1, f"{a.dataset} less {b.dataset}", tools.confidence))
    return scoped(tools, found) if found else nothing("no entry ran both on an ImageNette and on a harder set")


def same_times(tools: Tools) -> Outcome:
    found = []
    for a, b in combinations(tools.home, 2):
        keys = [k for k in sorted(set(a.places) & set(b.places)) if a.places[k].minutes and b.places[k].minutes]
        if len(keys) >= 4 and len({d for k in keys for e in (a.places[k], b.places[k]) for d in e.devices}) <= 1:
            pair = [a.places[k].minutes for k in keys], [b.places[k].minutes for k in keys]
            found.append(orders([pair], f"minutes on {a.dataset} and {b.dataset}", tools.confidence))
    return (
        scoped(tools, found) if found else nothing("no two datasets have four entries in common, timed on one device")
    )
