"""The articles' conclusions, each quoted, with what it means on our cells and the test that decides it.

A claim is tested on finished, current, uncollapsed cells that agree in dataset, protocol and test pictures
(comparable_entries.py), the first article's at its own protocol where such cells are there. Its comparisons
(contrasts.py) are adjusted together with those of all other claims (Holm). What each test compares stands in
first_article.py and second_article.py.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from sslbench.stats import paired
from sslbench.studies import ledgers
from sslbench.studies.claims import comparable_entries, first_article, layouts, second_article
from sslbench.studies.claims.comparable_entries import Correct
from sslbench.studies.claims.layouts import Outcome, Tools

FIRST = "SSL benchmark article, part 1"
SECOND = "The state of Self-Supervision for Vision"
_STUDIES = {FIRST: "first_article", SECOND: "second_article"}
ASSUMED = "by construction, not tested"


@dataclass(frozen=True)
class Claim:
    id: str
    article: str
    quote: str  # exact, 25 words at most
    means: str  # on our cells
    why: str  # why this test
    test: Callable[[Tools], Outcome]


@dataclass(frozen=True)
class Verdict:
    """What the cells say of one claim. ``comparisons``: as Comparison.plain, with "adjusted" and "says"."""

    id: str
    article: str
    quote: str
    means: str
    why: str
    verdict: str  # holds, contradicted, undecided, not testable, or ASSUMED
    evidence: str  # one sentence
    scope: str  # where it was tested
    at_home: bool  # at the article's own protocol
    rule: str  # all, any or dominance: how its comparisons make the verdict
    comparisons: list[dict] = field(default_factory=list)
    theirs: list[dict] = field(default_factory=list)  # {"about", "unit", "effect"} of the same sums on their table


CLAIMS = (
    Claim(
        "leaders",
        FIRST,
        "Overall, VICRegL and Barlow Twins seem to relatively outperform other models in terms of test accuracy.",
        "The mean accuracy of VICRegL's entries, and that of Barlow Twins, lies above the mean of the five others.",
        "“Overall” asks for the mean over columns and datasets; each of the two must lead by itself.",
        first_article.leaders,
    ),
    Claim(
        "similar-accuracy",
        FIRST,
        "VICRegL models achieve similar accuracy to Barlow Twins",
        "With baseline, LoRot-I and DCL, VICRegL's mean accuracy is within 2 points of Barlow Twins'.",
        "Similarity is shown by an equivalence test; 2 points are about what two runs of one recipe differ by, at the "
        "±1 % that the datasets' authors state.",
        first_article.similar,
    ),
    Claim(
        "less-time",
        FIRST,
        "with considerably less executing time as shown for the ImageNette data set",
        "With baseline, LoRot-I and DCL, VICRegL's minutes are below Barlow Twins' by 2 % or more.",
        "The weakest reading: what fails it fails “considerably”, too. The ratio stands beside it.",
        first_article.less_time,
    ),
    Claim(
        "less-memory",
        FIRST,
        "we observe a lower peak GPU usage for VICRegL models compared to others",
        "VICRegL's peak GPU memory is 2 % or more below the geometric mean of the others' in its column.",
        "Only memory that torch allocated on a GPU counts; columns are the unit, since each is measured once.",
        first_article.less_memory,
    ),
    Claim(
        "same-times-elsewhere",
        FIRST,
        "Results are similar for the other data set.",
        "Entries take the same order in minutes on every pair of datasets (rank correlation above 0).",
        "Sets differ in size, so only the order of times can be alike. The article prints no time but ImageNette's.",
        first_article.same_times,
    ),
    Claim(
        "local-lower",
        FIRST,
        "the test accuracy seems to be lower for results using the transformations that focus on some local parts",
        "For the same models, DCL and LoRot-I each score below the mean of baseline, SimCLR and orthogonality.",
        "Within a model, so that no model's presence decides; each of the two transforms must be lower by itself.",
        first_article.local_lower,
    ),
    Claim(
        "local-faster",
        FIRST,
        "the running time along with the peak GPU usage is lower for the latter transformations",
        "Minutes with DCL, and with LoRot-I, are 2 % or more below those of the other three, for the same model.",
        "Ratios within a model on one kind of device; models are the unit.",
        first_article.local_faster,
    ),
    Claim(
        "local-memory",
        FIRST,
        "the peak GPU usage is lower for the latter transformations",
        "Peak GPU memory with DCL, and with LoRot-I, is 2 % or more below the other three's, for the same model.",
        "The sentence's other half, tested apart: a view's size does not depend on what was done to it.",
        first_article.local_memory,
    ),
    Claim(
        "augmentation-key",
        FIRST,
        "The choice of data augmentation is key to improving classification in computer vision problems.",
        "Some two of the five transforms differ in accuracy, over the same models.",
        "The weakest reading; against it would speak that every two are within 2 points of each other.",
        first_article.transforms_matter,
    ),
    Claim(
        "tradeoff",
        FIRST,
        "VICRegL model seems to give the best tradeoff between accuracy and computer capability",
        "Against every other model, VICRegL is more accurate or faster, and is neither less accurate nor slower.",
        "A best trade-off is dominated by nobody: contradicted as soon as one model is both more accurate and faster.",
        first_article.tradeoff,
    ),
    Claim(
        "local-not-better",
        FIRST,
        "Doing only pure SSL using LoRot-I and DCL transformations does not outperform traditional transformations.",
        "DCL and LoRot-I together score below the other three, and for no single model above them.",
        "One model for which they score higher would contradict it, so each model is tested and may veto.",
        first_article.local_not_better,
    ),
    Claim(
        "easy-sets",
        FIRST,
        "while ImageNette and ImageNette v2-160 are easy to classify, ImageWoof and NABirds are not.",
        "The same models with the same transforms score higher on the ImageNettes than on ImageWoof or NABirds.",
        "Only entries run on both sides count; the sets are independent samples.",
        first_article.easy_sets,
    ),
    Claim(
        "supervised",
        SECOND,
        "SSL + classification has kept pace with full supervised learning.",
        "Some self-supervised entry scores no more than 2 points below the supervised row of its transform.",
        "Non-inferiority of any entry, adjusted for their number; contradicted where all are inferior.",
        second_article.supervised,
    ),
    Claim(
        "teachers",
        SECOND,
        "The Teacher+Student paradigm works stunningly well as an SSL technique.",
        "DINO and MoCo, with BYOL, learn from a moving average: they score above the others in their column.",
        "The mean over columns, so that no single column is picked.",
        second_article.teachers,
    ),
    Claim(
        "momentum",
        SECOND,
        "Momentum encoders, used as a teacher in Moco and Dino, are a simple yet useful construct",
        "A method scores higher than itself with `recipe: {ema_start: 0}`, which leaves it no momentum encoder.",
        "All else equal: methods with and without a teacher differ in far more than the teacher.",
        second_article.momentum,
    ),
    Claim(
        "teacher-edge",
        SECOND,
        "the Teacher always keeps an edge on the student",
        "DINO probed by its teacher scores above DINO probed by its student (`publish: student`).",
        "The last epoch stands for “always”: only it is probed.",
        second_article.teacher_edge,
    ),
    Claim(
        "no-collapse",
        SECOND,
        "Avoiding collapse without using contrastive loss.",
        "No entry of DINO at its defaults is judged collapsed, and each is above chance.",
        "Exact binomial test against chance; a collapsed verdict of the health check contradicts.",
        second_article.no_collapse,
    ),
    Claim(
        "simclr-ahead",
        SECOND,
        "SimCLR delivers a substantial performance improvement — almost 10 percentage points over previous contrastive "
        "methods",
        "SimCLR scores above MoCo of version 1 (`head: linear`) with the same transform.",
        "MoCo's version 2, the default here, came after SimCLR and took its head, so it does not count.",
        second_article.simclr_ahead,
    ),
    Claim(
        "moco-large-batch",
        SECOND,
        "MoCo replicates and exceeds the performance of large-batch end-to-end contrastive learning",
        "MoCo scores above SimCLR trained in batches four times as large or more, all else equal.",
        "SimCLR is the end-to-end contrastive method here, and the claim is about batches larger than MoCo's.",
        second_article.moco_large_batch,
    ),
    Claim(
        "projection-head",
        SECOND,
        "This architectural tweak significantly boosts linear evaluation performance",
        "SimCLR scores higher than SimCLR with `head: none`, with the same transform.",
        "The head alone differs.",
        second_article.projection_head,
    ),
    Claim(
        "crop-and-colour",
        SECOND,
        "combinations like random cropping plus color jittering dramatically outperform others",
        "In the study of pairs (configs/composition.yaml), crop+color scores above the mean of all other pairs.",
        "The mean of the others is the weakest reading; which pair is best is for the study's own table.",
        second_article.crop_and_colour,
    ),
    Claim(
        "augmentation-critical",
        SECOND,
        "This aspect is critical to creating good visual representation.",
        "Some two of the registered transforms differ in accuracy, over all models that ran with both.",
        "As for the first article's sentence, over every model of the grid.",
        second_article.transforms_matter_to_all,
    ),
    Claim(
        "mid-level",
        SECOND,
        "the model, despite having no semantic information about the photos or patches, learns mid-level semantic "
        "structures",
        "Context prediction scores above its own network as it is initialised.",
        "What a frozen backbone knows beyond its architecture is what it learned.",
        second_article.mid_level,
    ),
    Claim(
        "better-backbone",
        SECOND,
        "The better the backbone, the better the performance on these tasks.",
        "Entries that score higher by linear probe also do by nearest neighbours (rank correlation above 0).",
        "Retrieval and classification are two of the tasks that it names, and every cell has both.",
        second_article.better_backbone,
    ),
)


def fields(report: dict, correct: Correct, confidence: float) -> dict:
    """What report.json holds of the claims."""
    return {"claims": decide(report, correct, confidence)}


def tables(report: dict) -> dict[str, tuple[list[dict], str]]:
    """The claims' table to download."""
    return {"claims": (rows(report), "a row per comparison that decides what the articles conclude")}


def rows(report: dict) -> list[dict]:
    """One row per comparison that decides a claim of the articles, or one without figures where there is none."""
    found = []
    for claim in (report.get("claims") or {}).get("verdicts", []):
        head = {key: claim.get(key) for key in ("id", "article", "quote", "scope", "verdict")}
        for one in claim.get("comparisons") or [{}]:
            keys = ("about", "effect", "unit", "low", "high", "p", "adjusted", "says", "of")
            found.append(head | {key: one.get(key) for key in keys})
    return found


def decide(report: dict, correct: Correct, confidence: float) -> dict:
    """All verdicts on the articles among the report's studies, ready for report.json: {"verdicts": [...],
    "comparisons": their number, "confidence"}; of a report whose note warns of its figures none, and "why" instead.

    ``report``: studies, entries, cells, datasets, models, transforms and plan as collect has them; ``correct``: per
    cell whether each test picture was classified rightly.
    """
    if report["plan"].get("note"):
        why = "The note above limits what these figures say, so no sentence of the articles is tested on them."
        return {"verdicts": [], "comparisons": 0, "confidence": confidence, "why": why}
    found = comparable_entries.blocks(report, correct)
    tools = Tools(
        home=comparable_entries.of_article(found),
        every=comparable_entries.of_any(found),
        blocks=found,
        theirs=layouts.published_places(ledgers.read()),
        report=report,
        confidence=confidence,
    )
    asked = [claim for claim in CLAIMS if _STUDIES[claim.article] in report["studies"]]
    outcomes = [claim.test(tools) for claim in asked]
    adjusted = iter(paired.holm([c.p for outcome in outcomes for c in outcome.comparisons]).tolist())
    verdicts = []
    for claim, outcome in zip(asked, outcomes, strict=True):
        shown = []
        for comparison in outcome.comparisons:
            p = next(adjusted)
            says = ("for" if comparison.p_for < comparison.p_against else "against") if p <= 1 - confidence else ""
            shown.append(comparison.plain() | {"adjusted": p, "says": says})
        told = {key: value for key, value in asdict(claim).items() if key != "test"}
        verdict = settle(outcome, shown)
        sentence = outcome.reason or _sentence(shown)
        theirs = outcome.theirs if claim.article == FIRST else []
        verdicts.append(
            asdict(
                Verdict(
                    **told,
                    verdict=verdict,
                    evidence=sentence,
                    scope=outcome.scope,
                    at_home=outcome.at_home,
                    rule=outcome.rule,
                    comparisons=shown,
                    theirs=theirs,
                )
            )
        )
    return {"verdicts": verdicts, "comparisons": sum(len(o.comparisons) for o in outcomes), "confidence": confidence}


def settle(outcome: Outcome, shown: list[dict]) -> str:
    """One word from the comparisons' verdicts, by the claim's rule."""
    if outcome.assumed:
        return ASSUMED
    needed = [c["says"] for c in shown if not c["veto"]]
    if not needed:
        return "not testable"
    vetoed = any(c["says"] == "against" for c in shown if c["veto"])
    if outcome.rule == "any":
        against = all(says == "against" for says in needed)
        return "holds" if "for" in needed else "contradicted" if against else "undecided"
    if outcome.rule == "dominance":
        groups: dict[str, list[str]] = {}
        for c in shown:
            groups.setdefault(c["group"], []).append(c["says"])
        if any(len(group) > 1 and set(group) == {"against"} for group in groups.values()):
            return "contradicted"
        safe = len(groups) == outcome.groups and all(
            len(group) > 1 and "for" in group and "against" not in group for group in groups.values()
        )
        return "holds" if safe else "undecided"
    if vetoed or "against" in needed:
        return "contradicted"
    return "holds" if set(needed) == {"for"} else "undecided"


def _sentence(shown: list[dict]) -> str:
    words = {"for": "for it", "against": "against it", "": "neither way"}
    counts = {word: sum(c["says"] == says for c in shown) for says, word in words.items()}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    once = " Each network was trained once: another training's luck is not covered." if _once(shown) else ""
    return f"Of {len(shown)} comparison{'s' if len(shown) != 1 else ''}: {told}.{once}"


def _once(shown: list[dict]) -> bool:
    return any(c["once"] for c in shown)
