"""The articles' claims, decided on simulated cells whose truth is known."""

import os
import re
from pathlib import Path

import numpy
import pandas
import pytest
from scipy import stats as scipy_stats

from sslbench import published, stats
from sslbench.report import claims, contrasts, evidence, verdicts
from sslbench.report.wording import Labels
from tests.report.conftest import right_for
from tests.unit.test_config_second_article import planned

SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent
SEEDS = {claims.FIRST: "article-ssl-benchmark.txt", claims.SECOND: "article-state-of-ssl.txt"}
MODELS = {
    "barlowtwins": ("barlowtwins", {}), "simclr": ("simclr", {}), "simsiam": ("simsiam", {}), "swav": ("swav", {}),
    "byol": ("byol", {}), "vicreg": ("vicreg", {}), "moco": ("moco", {}), "dino": ("dino", {}),
    "vicregl-0.95": ("vicregl", {"alpha": 0.95}), "vicregl-0.75": ("vicregl", {"alpha": 0.75}),
    "vicregl-0.50": ("vicregl", {"alpha": 0.5}), "vicregl-0.25": ("vicregl", {"alpha": 0.25}),
}  # fmt: skip
TEN = [name for name in MODELS if name not in ("moco", "dino")]
TRANSFORMS = ("baseline", "simclr", "orthogonality", "lorot", "dcl")
HOME = {"backbone": "resnet18", "backbone_options": "", "input_size": 224, "epochs": 200, "batch_size": 256}
HOME |= {"precision": "fp32"}


class World:
    """Cells made up in memory: report and predictions as collect would hand them to claims.decide."""

    def __init__(self, n: int = 2000, seeds: int = 1) -> None:
        self.n, self.seeds, self.rng = n, seeds, numpy.random.default_rng(7)
        self.hard: dict[str, numpy.ndarray] = {}
        self.correct: dict = {}
        self.report = {"entries": [], "cells": [], "datasets": {}, "transforms": {}, "plan": {"composition": None},
                       "models": {m: {"method": k, "options": dict(o)} for m, (k, o) in MODELS.items()}}  # fmt: skip

    def add(self, model: str, transform: str, accuracy: float, dataset: str = "imagenette2-160", *, minutes: float = 60.0,
            memory: float = 8.0, home: bool = True, ranked: bool = True, kind: str = "grid", knn: float | None = None,
            device: str = "NVIDIA H100", **protocol: object) -> dict:  # fmt: skip
        """One entry; its pictures are hard for all alike, with some luck of its own."""
        hard = self.hard.setdefault(dataset, self.rng.random(self.n))
        values = []
        for seed in range(self.seeds):
            noisy = numpy.where(self.rng.random(self.n) < 0.3, self.rng.random(self.n), hard)
            right = pandas.Series(noisy < accuracy)
            right.index = pandas.MultiIndex.from_arrays([range(self.n), range(self.n)], names=["index", "label"])
            self.correct[dataset, model, transform, seed] = right
            values.append(right.mean())
        beside = {"value": 0.7} if home else {"reason": "epochs 5 (published: 200)"}
        entry = {
            "name": [dataset, model, transform], "kind": kind, "states": {"done": self.seeds}, "ranked": ranked,
            "used": list(range(self.seeds)), "top1": {"value": float(numpy.mean(values))}, "protocols": [HOME | protocol],
            "published": {"top1": beside}, "knn": {"20": {"top1": accuracy if knn is None else knn}}, "minutes": minutes,
            "peak_gb": memory, "memory": "GPU", "devices": [device], "classes": 10,
        }  # fmt: skip
        self.report["entries"].append(entry)
        self.report["datasets"].setdefault(dataset, {"source": dataset})
        self.report["transforms"].setdefault(transform, {"kind": transform, "overrides": {}})
        self.report["cells"].append(
            {"dataset": dataset, "evaluated_on": dataset, "model": model, "method": self.report["models"].get(
                model, {"method": model})["method"], "transform": transform, "seed": 0, "status": "done", "n": self.n,
             "top1": entry["top1"], "classes": 10, "health": {"verdict": "healthy"}})  # fmt: skip
        return entry

    def grid(self, accuracy, models=TEN, transforms=TRANSFORMS, **more) -> "World":
        for model in models:
            for transform in transforms:
                self.add(model, transform, accuracy(model, transform), **more)
        return self

    def decide(self) -> dict[str, dict]:
        return {v["id"]: v for v in claims.decide(self.report, self.correct, 0.95)["verdicts"]}


def planted(sign: int):
    """The first article's world, or its mirror image."""

    def accuracy(model: str, transform: str) -> float:
        value = 0.65 + sign * 0.05 * (model.startswith("vicregl") or model == "barlowtwins")
        return value - sign * 0.06 * (transform in ("lorot", "dcl"))

    return accuracy


def costs(world: World, sign: int) -> World:
    """Minutes and memory as the first article says (+1), or the other way round."""
    for i, entry in enumerate(world.report["entries"]):
        _, model, transform = entry["name"]
        ours, local = model.startswith("vicregl"), transform in ("lorot", "dcl")
        jitter = 1 + 0.02 * ((i * 7) % 5)
        entry["minutes"] = 100 * jitter * 2.0 ** (-sign * (ours + local))
        entry["peak_gb"] = 10 * jitter * 1.5 ** (-sign * (ours + local))
    return world


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


DECIDED = ("leaders", "local-lower", "local-not-better", "less-time", "less-memory", "local-faster", "local-memory")


def test_planted_effects_hold() -> None:
    found = costs(World().grid(planted(+1)), +1).decide()
    assert {name: found[name]["verdict"] for name in DECIDED} == dict.fromkeys(DECIDED, "holds")
    assert found["similar-accuracy"]["verdict"] == found["tradeoff"]["verdict"] == "holds"
    assert found["augmentation-key"]["verdict"] == "holds"
    assert found["leaders"]["at_home"] and "at the article's protocol" in found["leaders"]["scope"]


def test_reversed_effects_are_contradicted() -> None:
    found = costs(World().grid(planted(-1)), -1).decide()
    assert {name: found[name]["verdict"] for name in DECIDED} == dict.fromkeys(DECIDED, "contradicted")
    assert found["tradeoff"]["verdict"] == "contradicted"


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
    assert world.decide()["less-time"]["verdict"] == "not testable"


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
    rows = [f for f in published.read() if f.metric == "top1" and f.value not in (0.051, 0.102)]
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


def test_the_second_articles_claims_on_planted_cells() -> None:
    world = World()
    world.report["models"] |= {
        "random": {"method": "random", "options": {}}, "supervised": {"method": "supervised", "options": {}},
        "context": {"method": "contextprediction", "options": {}}, "mocov1": {"method": "moco", "options": {"head": "linear"}},
        "headless": {"method": "simclr", "options": {"head": "none"}}, "student": {"method": "dino", "options": {"publish": "student"}},
        "still": {"method": "byol", "options": {"recipe": {"ema_start": 0.0}}},
    }  # fmt: skip
    accuracy = {"simclr": 0.66, "byol": 0.74, "dino": 0.75, "moco": 0.73, "context": 0.5, "mocov1": 0.6, "headless": 0.55,
                "student": 0.68, "still": 0.5}  # fmt: skip
    for transform, less in (("baseline", 0.0), ("dcl", 0.08)):
        for model, value in accuracy.items():
            world.add(model, transform, value - less, home=False)
    world.add("supervised", "baseline", 0.74, home=False, kind="reference")
    world.add("random", "none", 0.25, home=False, kind="reference", epochs=0, batch_size=0)
    world.add("simclr", "baseline", 0.62, "big", home=False)
    found = world.decide()
    for name in ("supervised", "teachers", "momentum", "teacher-edge", "no-collapse", "simclr-ahead", "projection-head",
                 "augmentation-critical", "mid-level", "better-backbone"):  # fmt: skip
        assert found[name]["verdict"] == "holds", (name, found[name]["evidence"])
    for name in ("moco-large-batch", "crop-and-colour"):
        assert found[name]["verdict"] == "not testable", name
    world.report["cells"][[c["model"] for c in world.report["cells"]].index("dino")]["health"] = {
        "verdict": "collapsed"
    }
    assert world.decide()["no-collapse"]["verdict"] == "contradicted"


def test_a_method_with_a_part_taken_out_is_not_held_against_supervised_training() -> None:
    world = World(n=400)
    world.report["models"] |= {
        "supervised": {"method": "supervised", "options": {}}, "student": {"method": "dino", "options": {"publish": "student"}},
        "headless": {"method": "simclr", "options": {"head": "none"}},
        "still": {"method": "byol", "options": {"recipe": {"ema_start": 0.0}}},
        "mocov1": {"method": "moco", "options": {"head": "linear"}},
    }  # fmt: skip
    for model in ("simclr", "mocov1", "headless", "student", "still"):
        world.add(model, "baseline", 0.7, home=False)
    world.add("supervised", "baseline", 0.7, home=False, kind="reference")
    compared = [c["about"] for c in world.decide()["supervised"]["comparisons"]]
    assert sorted(about.partition(": ")[2] for about in compared) == [
        "mocov1 less supervised",
        "simclr less supervised",
    ]


def test_the_claims_grid_has_what_every_claim_of_the_second_article_compares() -> None:
    plan, world = planned("second-article-claims.yaml"), World(n=400)
    report = plan.report()
    world.report["models"], world.report["transforms"] = report["models"], report["transforms"]
    for cell in plan.cells:
        dataset, model, transform, _ = cell.names
        train = {key: cell.settings["train"][key] for key in ("epochs", "batch_size")}
        world.add(model, transform, 0.5, dataset, kind="reference" if cell.reference else "grid", home=False, **train)
    untested = {v["id"] for v in world.decide().values() if v["verdict"] == "not testable"}
    firsts = {claim.id for claim in claims.CLAIMS if claim.article == claims.FIRST}
    assert untested - firsts == {"crop-and-colour"}  # which is configs/composition.yaml's
    compared = [c["about"] for c in world.decide()["moco-large-batch"]["comparisons"]]
    assert compared == ["imagenette2-160, simclr: MoCo less SimCLR at batch 1,024"]
    named = Labels(report).model
    assert named("simclr-large") == "SimCLR, batch_size 1024" and named("byol-no-momentum") == "BYOL, ema_start 0.0"


@pytest.mark.parametrize(("own", "verdict"), [(0.25, "holds"), (0.75, "contradicted"), (None, "not testable")])
def test_context_prediction_is_held_against_the_start_of_its_own_network(own: float | None, verdict: str) -> None:
    """Same backbone, other options: the row of training's own network is not its start."""
    world, patches = World(), {"backbone": "vit", "backbone_options": "patch_size=8"}
    world.report["models"] |= {name: {"method": "random", "options": {}} for name in ("random", "random-vit")}
    world.report["models"]["context"] = {"method": "contextprediction", "options": {"training": {"backbone": "vit"}}}
    world.add("context", "baseline", 0.5, home=False, **patches)
    world.add("random", "none", 1.0 - (own or 0.5), home=False, kind="reference", epochs=0, backbone="vit")
    if own is not None:
        world.add("random-vit", "none", own, home=False, kind="reference", epochs=0, **patches)
    assert world.decide()["mid-level"]["verdict"] == verdict


def test_a_part_taken_out_stands_for_its_method_nowhere_else() -> None:
    world, ruined = World(), {"recipe": {"ema_start": 0.0, "ema_end": None}}
    world.report["models"] |= {
        "dino-still": {"method": "dino", "options": ruined},
        "dino-student": {"method": "dino", "options": {"publish": "student"}},
        "headless": {"method": "simclr", "options": {"head": "none"}},
    }
    for model, value in {"dino": 0.7, "simclr": 0.6, "dino-still": 0.1, "dino-student": 0.1, "headless": 0.95}.items():
        world.add(model, "baseline", value, home=False)
    found = world.decide()["teachers"]["comparisons"][0]
    assert found["effect"] == pytest.approx(0.1, abs=0.03)


def test_large_batches_and_pairs_of_operations_are_found_where_the_grid_has_them() -> None:
    world = World()
    world.add("moco", "baseline", 0.7, home=False)
    world.add("simclr", "baseline", 0.6, home=False, batch_size=1024)
    names = ["crop", "color", "sobel"]
    places = [[a if a == b else f"{a}+{b}" for b in names] for a in names]
    world.report["plan"]["composition"] = {"rows": names, "columns": names, "places": places}
    for name in {n for row in places for n in row}:
        world.add("simclr", name, 0.7 if name == "crop+color" else 0.5, "pairs", home=False)
    found = world.decide()
    assert found["moco-large-batch"]["verdict"] == "holds"
    assert found["crop-and-colour"]["verdict"] == "holds"
    assert "batch 1,024" in found["moco-large-batch"]["comparisons"][0]["about"]


def test_a_single_pair_is_the_exact_paired_test() -> None:
    rng = numpy.random.default_rng(3)
    a, b = rng.random((1, 500)) < 0.7, rng.random((1, 500)) < 0.62
    found = contrasts.accuracies([[(1.0, a), (-1.0, b)]], 1, "a less b")
    pair = stats.compare(a, b)
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
    assert evidence.may_test(report["cells"][0])
    assert Labels(report).model("bt") == "Barlow Twins"
    assert re.search(r"Of \d+ claims: ", str(first.blocks[0].text))
