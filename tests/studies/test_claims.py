"""The articles' claims, decided on simulated cells whose truth is known."""

import os
import re
from pathlib import Path

import numpy
import pytest
from scipy import stats as scipy_stats

from sslbench.report.wording import Labels
from sslbench.stats import paired
from sslbench.studies import ledgers
from sslbench.studies.claims import claims, comparable_entries, contrasts
from sslbench.studies.claims import section as verdicts
from tests.report.conftest import right_for
from tests.studies.made_up import TEN, TRANSFORMS, World, costs, planted

SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent
SEEDS = {claims.FIRST: "article-ssl-benchmark.txt", claims.SECOND: "article-state-of-ssl.txt"}


def test_claims_are_quoted_exactly_in_25_words_or_fewer_and_have_names_of_their_own() -> None:
    assert len({c.id for c in claims.CLAIMS}) == len(claims.CLAIMS) == 24
    assert {c.article for c in claims.CLAIMS} == set(SEEDS)
    for claim in claims.CLAIMS:
        assert 3 <= len(claim.quote.split()) <= 25, claim.id
        assert claim.means.endswith(".") and claim.why.endswith("."), claim.id


@pytest.mark.parametrize("article", list(SEEDS))
def test_every_quotation_stands_in_its_article(article: str) -> None:
    stored = SHARED / "seeds" / SEEDS[article]
    if not stored.is_file():
        pytest.skip("the article is not here")
    text = " ".join(stored.read_text().split())
    missing = [c.id for c in claims.CLAIMS if c.article == article and c.quote not in text]
    assert missing == []


DECIDED = ("leaders", "local-lower", "local-not-better", "local-faster", "local-memory")
ASSUMED = ("less-time", "less-memory", "tradeoff")


def test_planted_effects_hold() -> None:
    found = costs(World().grid(planted(+1)), +1).decide()
    assert {name: found[name]["verdict"] for name in DECIDED} == dict.fromkeys(DECIDED, "holds")
    assert found["similar-accuracy"]["verdict"] == "holds"
    assert found["augmentation-key"]["verdict"] == "holds"
    assert found["leaders"]["at_home"] and "at the article's protocol" in found["leaders"]["scope"]


def test_reversed_effects_are_contradicted() -> None:
    found = costs(World().grid(planted(-1)), -1).decide()
    assert {name: found[name]["verdict"] for name in DECIDED} == dict.fromkeys(DECIDED, "contradicted")


@pytest.mark.parametrize("sign", [1, -1])
def test_what_vicregls_small_view_costs_less_by_construction_is_no_verdict_whatever_was_measured(sign: int) -> None:
    found = costs(World().grid(planted(sign)), sign).decide()
    for name in ASSUMED:
        assert found[name]["verdict"] == "by construction, not tested" and found[name]["comparisons"] == []
        assert "lightly 1.2 form" in found[name]["evidence"] and found[name]["theirs"]
    without = World().grid(planted(sign), models=("barlowtwins", "simclr")).decide()
    assert {without[name]["verdict"] for name in ASSUMED} == {"not testable"}


def test_equal_models_leave_differences_undecided_and_show_similarity() -> None:
    found = World(n=9000).grid(lambda model, transform: 0.65).decide()
    for name in ("leaders", "local-lower", "local-not-better"):
        assert found[name]["verdict"] == "undecided", name
    assert found["similar-accuracy"]["verdict"] == "holds"
    # With transforms that are alike to within the margin, the choice of transform is shown not to matter.
    assert found["augmentation-key"]["verdict"] == "contradicted"


def test_equal_memory_contradicts_that_it_is_lower() -> None:
    world = World()
    for i, entry in enumerate(world.grid(planted(+1)).report["entries"]):
        entry["peak_gb"] = 8.0 + 0.001 * (i % 3)
    assert world.decide()["local-memory"]["verdict"] == "contradicted"


def test_byol_alone_says_nothing_of_the_second_articles_teachers() -> None:
    found = World().grid(lambda model, transform: 0.9 if model == "byol" else 0.5).decide()["teachers"]
    assert found["verdict"] == "not testable" and "neither DINO nor MoCo" in found["evidence"]


def test_few_pictures_prove_no_similarity() -> None:
    assert World(n=60).grid(lambda model, transform: 0.65).decide()["similar-accuracy"]["verdict"] == "undecided"


def test_models_five_points_apart_are_not_similar() -> None:
    found = World().grid(lambda model, transform: 0.72 if model == "barlowtwins" else 0.66).decide()
    assert found["similar-accuracy"]["verdict"] == "contradicted"


def test_without_cells_nothing_is_testable_and_the_reason_is_said() -> None:
    found = World().decide()
    assert {v["verdict"] for v in found.values()} == {"not testable"}
    assert all(v["evidence"].endswith(".") and not v["comparisons"] for v in found.values())


@pytest.mark.parametrize("gone", ["nothing", "collapsed or stale", "another transform", "another option"])
def test_cells_that_do_not_match_are_left_out(gone: str) -> None:
    world = World()
    for model in ("vicregl-0.75", "barlowtwins", "simclr"):
        entry = world.add(model, "baseline", 0.65)
        if model == "barlowtwins" and gone != "nothing":
            if gone == "collapsed or stale":
                entry["ranked"] = False
            elif gone == "another transform":
                entry["name"][2] = "mine"
                world.report["transforms"]["mine"] = {"kind": "baseline", "overrides": {"blur": {"p": 0}}}
                world.correct["imagenette2-160", "barlowtwins", "mine", 0] = next(iter(world.correct.values()))
            else:
                world.report["models"][model]["options"] = {"out_dim": 17}
    assert (world.decide()["leaders"]["verdict"] == "not testable") == (gone != "nothing")


def test_one_part_alone_does_not_make_a_claim_hold() -> None:
    found = World().grid(lambda model, transform: 0.72 if model == "barlowtwins" else 0.65).decide()["leaders"]
    assert [c["says"] for c in found["comparisons"]] == ["", "for"]
    assert found["verdict"] == "undecided"


def test_entries_of_other_epochs_are_never_compared() -> None:
    world = World()
    for model in TEN:
        mine = {"epochs": 5} if model in ("barlowtwins", "vicregl-0.75") else {}
        world.add(model, "baseline", 0.8 if mine else 0.6, home=not mine, **mine)
    assert world.decide()["leaders"]["verdict"] != "holds" or "0.75" not in str(world.report["models"])
    only = [e["name"][1] for e in world.report["entries"] if e["protocols"][0]["epochs"] == 5]
    assert only == ["barlowtwins", "vicregl-0.75"]
    assert world.decide()["leaders"]["verdict"] == "not testable"  # Barlow Twins has nobody at its side


def test_the_articles_protocol_takes_precedence_and_another_is_named() -> None:
    both = World().grid(planted(-1), home=False, epochs=5, dataset="imagewoof2").grid(planted(+1)).decide()["leaders"]
    assert (both["verdict"], both["at_home"]) == ("holds", True)
    away = World().grid(planted(+1), home=False, epochs=5).decide()["leaders"]
    assert (away["verdict"], away["at_home"]) == ("holds", False)
    assert "not at the article's protocol: epochs 5 (published: 200)" in away["scope"]


def test_times_of_different_devices_are_not_compared() -> None:
    world = costs(World().grid(planted(+1)), +1)
    for entry in world.report["entries"]:
        if entry["name"][1] == "barlowtwins":
            entry["devices"] = ["NVIDIA A100"]
    assert world.decide()["local-faster"]["verdict"] != "not testable"
    for entry in world.report["entries"]:
        if entry["name"][2] in ("lorot", "dcl"):
            entry["devices"] = ["NVIDIA V100"]
    assert world.decide()["local-faster"]["verdict"] == "not testable"


def test_one_better_model_vetoes_that_local_transforms_never_help() -> None:
    def accuracy(model: str, transform: str) -> float:
        local = transform in ("lorot", "dcl")
        return 0.65 + local * (0.1 if model == "byol" else -0.1)

    found = World().grid(accuracy).decide()
    assert found["local-not-better"]["verdict"] == "contradicted"
    assert found["local-lower"]["verdict"] == "holds"


def test_comparisons_of_all_claims_share_one_correction() -> None:
    world = costs(World().grid(planted(+1)), +1)
    decided = claims.decide(world.report, world.correct, 0.95)
    shown = [c for v in decided["verdicts"] for c in v["comparisons"]]
    assert decided["comparisons"] == len(shown) > 20
    raw = numpy.array([c["p"] for c in shown])
    order = numpy.argsort(raw, kind="stable")
    steps = numpy.minimum(1, numpy.maximum.accumulate(raw[order] * (len(raw) - numpy.arange(len(raw)))))
    assert numpy.allclose([shown[i]["adjusted"] for i in order], steps)
    assert all((c["says"] != "") == (c["adjusted"] <= 0.05) for c in shown)


def test_noise_alone_decides_hardly_ever() -> None:
    wrong = 0
    for trial in range(25):
        world = World(n=300)
        world.rng = numpy.random.default_rng(trial)
        world.grid(lambda model, transform: 0.6, models=("barlowtwins", "simclr", "byol", "vicregl-0.75"),
                   transforms=("baseline", "dcl"))  # fmt: skip
        found = world.decide()
        wrong += any(found[name]["verdict"] in ("holds", "contradicted") for name in ("leaders", "local-lower"))
    assert wrong <= 4  # at 5 %, more has probability 0.007


def test_the_published_effect_is_the_same_sum_on_the_published_table() -> None:
    found = World().decide()
    rows = [f for f in ledgers.read() if f.metric == "top1" and f.value not in (0.051, 0.102)]
    gaps = []
    for dataset in ("imagenette", "imagenette2-160", "imagewoof", "nabirds"):
        columns = []
        for transform in TRANSFORMS:
            cells = [f for f in rows if (f.dataset, f.transform) == (dataset, transform)]
            if cells:
                ours = numpy.mean([f.value for f in cells if f.method == "vicregl"])
                columns.append(
                    ours - numpy.mean([f.value for f in cells if f.method not in ("vicregl", "barlowtwins")])
                )
        gaps.append(numpy.mean(columns))
    theirs = {t["about"]: t["effect"] for t in found["leaders"]["theirs"]}
    assert theirs["VICRegL less the five others"] == pytest.approx(numpy.mean(gaps))
    memory = {t["about"]: t["effect"] for t in found["local-memory"]["theirs"]}
    assert all(ratio > 1 for ratio in memory.values())  # their own table contradicts that sentence
    times = {t["about"]: t["effect"] for t in found["local-faster"]["theirs"]}
    assert all(ratio < 0.7 for ratio in times.values())


def test_a_single_pair_is_the_exact_paired_test() -> None:
    rng = numpy.random.default_rng(3)
    a, b = rng.random((1, 500)) < 0.7, rng.random((1, 500)) < 0.62
    found = contrasts.accuracies([[(1.0, a), (-1.0, b)]], 1, "a less b")
    pair = paired.compare(a, b)
    assert (found.low, found.high, found.p) == pytest.approx((pair.low, pair.high, pair.p))


def test_a_contrast_of_several_entries_is_the_paired_t_test_of_their_weighted_sum() -> None:
    rng = numpy.random.default_rng(4)
    rights = [rng.random((1, 400)) < p for p in (0.7, 0.66, 0.6)]
    weights = (0.5, 0.5, -1.0)
    found = contrasts.accuracies([list(zip(weights, rights, strict=True))], 1, "sum")
    values = sum(w * r[0] for w, r in zip(weights, rights, strict=True))
    reference = scipy_stats.ttest_1samp(values, 0)
    low, high = reference.confidence_interval(0.95)
    assert (found.effect, found.p, found.low, found.high) == pytest.approx((values.mean(), reference.pvalue, low, high))


def test_seeds_widen_a_contrast_and_its_interval_covers_at_its_rate() -> None:
    rng, covered = numpy.random.default_rng(5), 0
    for _ in range(300):
        hard = rng.random(400)
        means = [0.6 + 0.03 * rng.standard_normal((3, 1)) for _ in range(2)]
        terms = [(w, hard < m) for w, m in zip((1.0, -1.0), means, strict=True)]
        found = contrasts.accuracies([terms], 1, "equal models, lucky seeds")
        covered += found.low <= 0 <= found.high
        assert not found.once
    assert covered >= 277  # of 300 at 95 %: fewer has probability 0.02; the interval is, if anything, too wide


def test_equivalence_is_two_one_sided_tests() -> None:
    rng = numpy.random.default_rng(6)
    rights = [rng.random((1, 3000)) < p for p in (0.7, 0.7, 0.7)]
    terms = list(zip((0.5, 0.5, -1.0), rights, strict=True))
    found = contrasts.accuracies([terms], 1, "alike", margin=0.05)
    values = sum(w * r[0] for w, r in terms)
    upper = scipy_stats.ttest_1samp(values, 0.05, alternative="less").pvalue
    lower = scipy_stats.ttest_1samp(values, -0.05, alternative="greater").pvalue
    assert found.p_for == pytest.approx(max(upper, lower))


def test_ratios_and_orders_agree_with_scipy() -> None:
    logs = numpy.log([0.5, 0.6, 0.55, 0.7])
    found = contrasts.ratios(logs, -1, "ratio", "column")
    reference = scipy_stats.ttest_1samp(logs, 0)
    assert (found.effect, found.p) == pytest.approx((numpy.exp(logs.mean()), reference.pvalue))
    lower = contrasts.ratios(logs, -1, "ratio", "column", margin=0.02)
    assert lower.p_for == pytest.approx(scipy_stats.ttest_1samp(logs, numpy.log(0.98), alternative="less").pvalue)
    equal = contrasts.ratios([0.0, 0.0, 0.0], -1, "the same memory", "model", margin=0.02)
    assert equal.p_against < 0.001 < equal.p_for  # equal is not lower
    assert contrasts.ratios(logs[:1], -1, "ratio", "column") is None
    first, second = [1.0, 2, 3, 4, 5, 6], [2.0, 1, 4, 3, 6, 5]
    assert contrasts.orders([(first, second)], "order", 0.95).effect == pytest.approx(
        scipy_stats.spearmanr(first, second).statistic
    )


def test_verdicts_reach_the_page_from_results_on_disk(tree, labels) -> None:
    tree.model("bt", "barlowtwins", "non-contrastive", title="Barlow Twins")
    for method, count in (("simclr", 600), ("byol", 610), ("bt", 700)):
        tree.finish(tree.cell("nette", method, "baseline"), right_for(1000, count), labels, minutes=100)
    report = tree.report()
    kept = {v["id"]: v for v in report["claims"]["verdicts"]}
    assert kept["leaders"]["verdict"] == "not testable"  # no VICRegL
    assert "needs cells on both sides" in kept["leaders"]["evidence"]
    first, second = verdicts.parts(report)
    assert len(first.blocks[1].rows) + len(second.blocks[1].rows) == len(claims.CLAIMS)
    assert comparable_entries.may_test(report["cells"][0])
    assert Labels(report).model("bt") == "Barlow Twins"
    assert re.search(r"Of \d+ claims: ", str(first.blocks[0].text))
