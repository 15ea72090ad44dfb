"""Downstream and label-free results in the collected table and on the page."""

import json

import numpy
import pandas
import pytest
from scipy import stats

from sslbench.stats.paired import over_seeds

RETRIEVE = {"recall_at": [1], "confidence": 0.95}
MODELS = {f"m{i}": 0.4 + 0.05 * i for i in range(6)}  # name -> accuracy of its probe


def share(value: float) -> dict:
    return {"value": value, "interval": [value - 0.02, value + 0.02]}


def retrieval(value: float, digest: str = "d1" * 32, settings: dict = RETRIEVE) -> dict:
    return {"digest": digest, "settings": settings, "n": 1000, "without_match": 0, "recall": {"1": share(value)},
            "map": share(value / 2), "map_at_r": share(value / 4)}  # fmt: skip


def adapted(value: float) -> dict:
    few = {"head": "linear", "share": 0.01, "n_train": 90, "draws": 3, "top1": value, "interval": [0.1, 0.2]}
    few |= {"over_draws": [0.12, 0.18], "sd": 0.01, "right": [1, 2, 3]}
    whole = {"head": "hidden", "share": 1.0, "n_train": 9000, "draws": 1, "top1": value + 0.1, "interval": [0.3, 0.4]}
    entries = [few, whole | {"over_draws": None, "sd": None, "right": [1]}]
    return {"digest": "d1" * 32, "settings": {}, "n": 1000, "classes": 10, "entries": entries}


def finish(tree, labels, cell: dict, count: int, beside: dict[str, dict], asked: dict | None = None, **more):
    """A finished cell with results ``beside``, file name -> content; ``asked``: task -> settings of the plan."""
    cell["beside"] = {"retrieve": RETRIEVE, "adapt": {}} if asked is None else asked
    folder = tree.finish(cell, numpy.arange(1000) < count, labels, **more)
    for name, content in beside.items():
        tree.write(folder / name, content)


def test_each_task_lands_in_the_tidy_table_and_in_a_table_of_its_own(tree, labels):
    finish(tree, labels, tree.cell("nette", "simclr", "baseline"), 700,
           {"retrieval.json": retrieval(0.62), "adapt.json": adapted(0.15)})  # fmt: skip
    tree.finish(tree.cell("nette", "byol", "baseline"), numpy.arange(1000) < 600, labels)
    page, text = tree.pages()
    table = pandas.read_csv(tree.out / "cells.csv")
    first, second = table.iloc[0], table.iloc[1]
    assert (first["retrieve_recall1"], first["retrieve_recall1_low"], first["retrieve_map_at_r"]) == (0.62, 0.6, 0.155)
    assert (first["adapt_linear_0.01"], first["adapt_linear_0.01_sd"], first["adapt_hidden_1"]) == (0.15, 0.01, 0.25)
    assert numpy.isnan(second["retrieve_map"])
    for told in ("recall\\@1", "linear, 1 %<br>90 labels", "3 draws: 0.120–0.180", "one hidden layer, 100 %", "0.620"):
        assert told in text
    downstream = text[text.index("## Downstream") :]
    assert "BYOL" not in downstream[: downstream.index("\n## ")]
    assert "recall@1" in page


def test_without_results_the_page_has_no_such_section(tree, labels):
    tree.finish(tree.cell("nette", "simclr", "baseline"), numpy.arange(1000) < 600, labels)
    page, text = tree.pages()
    assert "Downstream" not in text + page
    assert "Choosing without labels" not in text + page


@pytest.mark.parametrize(
    "result", [retrieval(0.62, digest="other"), retrieval(0.62, settings=RETRIEVE | {"recall_at": [2]})],
    ids=["of an older backbone", "of other settings"],
)  # fmt: skip
def test_a_result_that_is_not_todays_is_marked(tree, labels, result):
    finish(tree, labels, tree.cell("nette", "simclr", "baseline"), 700, {"retrieval.json": result})
    _, text = tree.pages()
    assert "0.620<br>0.600–0.640<br>*not today's*" in text


def test_seeds_are_joined_by_students_interval(tree, labels):
    for seed, value in enumerate((0.6, 0.7, 0.65)):
        finish(tree, labels, tree.cell("nette", "simclr", "baseline", seed), 700, {"retrieval.json": retrieval(value)})
    over = over_seeds([0.6, 0.7, 0.65])
    _, text = tree.pages()
    assert f"0.650<br>3 seeds: {over.low:.3f}–{over.high:.3f}" in text


@pytest.mark.parametrize("values", [[0.62, 0.7], [0.7, 0.7]])
def test_two_seeds_or_draws_are_shown_and_have_no_interval(tree, labels, values):
    for seed, value in enumerate(values):
        finish(tree, labels, tree.cell("nette", "simclr", "baseline", seed), 700, {"retrieval.json": retrieval(value)})
    told = adapted(0.15)
    told["entries"][0] |= {"draws": 2, "right": [1000 * v for v in values], "over_draws": None, "top1": sum(values) / 2}
    finish(tree, labels, tree.cell("nette", "byol", "baseline"), 700, {"adapt.json": told | {"runs": ["e" * 64]}})
    _, text = tree.pages()
    both = ", ".join(f"{value:.3f}" for value in values)
    assert f"{sum(values) / 2:.3f}<br>2 seeds: {both} " in text
    assert f"2 draws: {both} " in text
    assert "e" * 64 not in (tree.out / "report.json").read_text()


def label_free(tree, labels, rankme: list[float], count: int = 6) -> str:
    """The report on ``count`` models whose probes rise with their number."""
    for (name, top1), value in list(zip(MODELS.items(), rankme, strict=True))[:count]:
        tree.model(name, "simclr", title=name.upper())
        measures = {"digest": "d1" * 32, "settings": {}, "rankme": value, "alpha": 1 + value / 100, "features": 512}
        finish(tree, labels, tree.cell("nette", name, "baseline"), round(1000 * top1),
               {"labelfree.json": measures | {"lidar": None}}, asked={"labelfree": {}})  # fmt: skip
    return tree.pages()[1]


def test_agreement_with_the_probe_is_told_in_words(tree, labels):
    text = label_free(tree, labels, [10, 20, 30, 50, 40, 60])
    tau = stats.kendalltau(range(6), [10, 20, 30, 50, 40, 60])
    assert tau.pvalue < 0.025  # and so below 0.05 after Holm's correction for the two measures known
    told = next(line for line in text.splitlines() if line.startswith("- RankMe"))
    assert "orders the rows as the probe does" in told
    assert f"τ +{tau.statistic:.2f}" in told
    assert "n 6" in told
    assert "take M5 with baseline, at 0.650, which is the probe's first as well" in told
    # alpha lies ever further from 1, so that the last model is its last choice
    against = next(line for line in text.splitlines() if line.startswith("- α-ReQ"))
    assert "orders them against the probe" in against
    assert "take M0 with baseline, at 0.400, 0.250 below the best" in against
    assert "- LiDAR: undecided, too few rows (0;" in text
    found = json.loads((tree.out / "report.json").read_text())["cells"][0]["beside"]["labelfree"]
    assert (found["rankme"], found["current"]) == (10, True)


def told_of_rankme(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("- RankMe"))


def test_a_weak_association_is_undecided(tree, labels):
    told = told_of_rankme(label_free(tree, labels, [3, 1, 4, 6, 2, 5]))
    assert "undecided (Spearman's ρ" in told and "p 0." in told


@pytest.mark.parametrize("count", [2, 4])
def test_few_rows_have_no_figures_of_agreement(tree, labels, count):
    told = told_of_rankme(label_free(tree, labels, [1, 2, 3, 4, 5, 6], count))
    assert f"undecided, too few rows ({count}; a correlation takes at least 5)." in told
    assert not [mark for mark in ("ρ", "τ", " p ") if mark in told]


def test_rows_that_are_all_alike_have_no_figures_of_agreement(tree, labels):
    assert "undecided, all rows are alike." in told_of_rankme(label_free(tree, labels, [7] * 6))


def test_rows_with_another_network_are_left_out_of_the_correlation(tree, labels):
    tree.model("wide", "simclr", title="WIDE")
    measures = {"digest": "d1" * 32, "settings": {}, "rankme": 900, "alpha": 1.0, "lidar": 9, "features": 2048}
    finish(tree, labels, tree.cell("nette", "wide", "baseline", backbone="resnet50"), 300, {"labelfree.json": measures},
           asked={"labelfree": {}})  # fmt: skip
    text = label_free(tree, labels, [10, 20, 30, 40, 50, 60])
    assert "Over 6 rows with resnet18 at 224 px (1 row with other networks left out" in text
    assert "take M5" in text
