"""What the top of the page says of entries beside their references."""

import re

import numpy
import pytest
from scipy import stats as scipy_stats

from sslbench.report.blocks import Verdict, spans
from sslbench.report.sections.summary import answer
from sslbench.report.wording import Labels
from tests.report.conftest import right_for

LABELS = numpy.arange(1000) % 10


def told(scores: list[tuple[str, float, int, float]]) -> tuple[str, str]:
    """Claim and advice on entries given by (model, score, rank, minutes)."""
    entries = [
        {
            "name": ["nette", model, "simclr"], "kind": "grid", "dataset_rank": rank, "minutes": spent, "probed": True,
            "top1": {"value": score, "low": score - 0.02, "high": score + 0.02}, "n": 500, "collapsed": 0,
            "states": {"done": 1}, "protocols": [], "spread": None, "devices": ["a CPU"],
            "behind": {"difference": score - 0.9, "low": score - 0.92, "high": score - 0.88} if score < 0.9 else None,
        }
        for model, score, rank, spent in scores
    ]  # fmt: skip
    models = {model: {"method": model, "title": model, "options": {}} for model, *_ in scores}
    report = {"entries": entries, "cells": [], "models": models, "datasets": {}, "plan": {}, "confidence": 0.95}
    verdict = next(block for block in answer(report, Labels(report)) if isinstance(block, Verdict))
    return tuple("".join(getattr(p, "text", p) for p in spans(text)) for text in (verdict.claim, verdict.advice))


def test_among_a_few_that_tie_the_highest_score_is_advised_whatever_the_minutes_and_names() -> None:
    claim, advice = told([("b", 0.90, 1, 90.0), ("a", 0.89, 1, 1.0), *((m, 0.5, 3, 1.0) for m in "cd")])
    assert claim.startswith("b with simclr and a with simclr: 2 of 4 combinations tie for the best.")
    assert advice.startswith("Take b with simclr: it has the highest score.") and "min" not in claim + advice


def test_entries_that_share_the_highest_score_are_advised_together() -> None:
    advice = told([("b", 0.90, 1, 90.0), ("a", 0.90, 1, 1.0), *((m, 0.5, 3, 1.0) for m in "cd")])[1]
    assert advice.startswith("Take a with simclr or b with simclr: they share the highest score.")


@pytest.mark.parametrize(("ranked", "tied", "share"), [(2, 2, "all 2"), (4, 3, "3 of 4"), (5, 3, "3 of 5")])
def test_where_most_entries_tie_there_is_no_winner(ranked: int, tied: int, share: str) -> None:
    scores = [(f"m{i}", 0.90 - 0.01 * i, 1 if i < tied else tied + 1, 1.0) for i in range(ranked)]
    claim, advice = told(scores)
    assert claim.startswith(f"No winner: {share} combinations tie for the best.") and "0.900" in claim
    assert "Take" not in advice and "by other needs than the score" in advice


@pytest.mark.parametrize(("right", "backbone", "said"), [(300, "resnet18", "Worse than"), (390, "resnet18", "Worse than"),
                                                         (396, "resnet18", "Not significantly above"),
                                                         (300, "resnet50", "")])  # fmt: skip
def test_an_entry_is_held_against_its_own_start_by_the_paired_test(tree, right, backbone, said):
    """1,000 images, of which the start has 400 right, and the entry some of these: 10 on one side differ, 4 do not."""
    p = {10: scipy_stats.binomtest(10, 10).pvalue, 4: scipy_stats.binomtest(4, 4).pvalue}
    assert p[10] * 2 < 0.05 < p[4]  # Holm over two entries
    tree.model("random", "random", "reference", title="Random initialisation")
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 400), LABELS)
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 600), LABELS)
    tree.finish(tree.cell("nette", "byol", "baseline", backbone=backbone), right_for(1000, right), LABELS)
    _, text = tree.pages()
    assert re.findall(
        "(Worse than|Not significantly above) the random initialisation[^:]*: BYOL with baseline", text
    ) == ([said] if said else [])


@pytest.mark.parametrize(("low", "said"), [("resnet18", "SimCLR"), ("vit", "BYOL"), ("vit of other patches", "")])
def test_an_entry_is_held_against_the_start_of_its_own_network(tree, low, said):
    """Both have 500 right. Untrained, one of three networks has 600, the others 100."""
    networks = {"resnet18": {}, "vit": {"patch_size": 16}, "vit of other patches": {"patch_size": 8}}
    for network, options in networks.items():
        name = f"random-{len(tree.plan['models'])}"
        tree.model(name, "random", "reference", title=f"Random initialisation of {network}")
        start = tree.cell("nette", name, "none", epochs=0, backbone=network.split()[0])
        start["expected"]["settings"]["backbone"]["options"] = options
        tree.finish(start, right_for(1000, 600 if network == low else 100), LABELS)
    for model, network in (("simclr", "resnet18"), ("byol", "vit")):
        cell = tree.cell("nette", model, "baseline", backbone=network)
        cell["expected"]["settings"]["backbone"]["options"] = networks[network]
        tree.finish(cell, right_for(1000, 500), LABELS)
    _, text = tree.pages()
    found = re.search("Worse than the random initialisation that it began from: (.*) with baseline", text)
    assert (found[1] if found else "") == said
    assert f"random initialisation of {low} 0.600" in text


def test_with_several_seeds_the_page_says_what_the_luck_of_training_and_of_pictures_make(tree):
    """Accuracies .50, .56 and .62 of 1,000 pictures: 6 points between seeds, of which the pictures' choice explains
    sqrt(.56 * .44 / 1000) = 1.6 points at most, and nothing here, as each seed adds to the same pictures."""
    for seed, right in enumerate((500, 560, 620)):
        tree.finish(tree.cell("nette", "simclr", "baseline", seed), right_for(1000, right), LABELS)
    _, text = tree.pages()
    found = re.search(r"by ([\d.]+) points from seed to seed, and by ([\d.]+) points with the choice", text)
    assert 5.5 < float(found[1]) <= 6.0 and 1.4 < float(found[2]) < 1.7


@pytest.mark.parametrize(("networks", "said"), [(("resnet18", "resnet50"), False), (("resnet18", "resnet18"), True)])
def test_an_entry_of_two_networks_is_below_its_start_only_if_each_starts_are_known(tree, networks, said):
    tree.model("random", "random", "reference", title="Random initialisation")
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 500), LABELS)
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 600), LABELS)
    for seed, network in enumerate(networks):
        tree.finish(tree.cell("nette", "byol", "baseline", seed, backbone=network), right_for(1000, 300 + seed), LABELS)
    assert ("Worse than the random initialisation" in tree.pages()[1]) == said
