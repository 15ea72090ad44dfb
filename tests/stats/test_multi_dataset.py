"""Several datasets: against scipy's Friedman test, Demsar's printed figures, and all pairs of mean ranks."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sslbench.stats.multi_dataset import across
from sslbench.stats.ranking import bars


def test_friedman_is_scipys_in_the_form_of_iman_and_davenport():
    random = np.random.default_rng(0)
    for ties in (False, True):
        table = random.normal(size=(4, 12)) + np.arange(4)[:, None] / 2
        table = np.round(table) if ties else table
        chi = stats.friedmanchisquare(*table).statistic
        found = across({f"m{i}": row for i, row in enumerate(table)})
        assert found.friedman == pytest.approx(11 * chi / (12 * 3 - chi))
        assert found.p == pytest.approx(stats.f.sf(found.friedman, 3, 33))


@pytest.mark.parametrize(
    ("k", "q"),  # Demsar 2006, table 5a, level 0.05
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_difference_has_demsars_printed_quantiles(k, q):
    scores = {f"m{i}": np.random.default_rng(i).normal(size=14) for i in range(k)}
    found = across(scores).critical_difference
    assert found == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), abs=1e-3)
    if k == 4:
        assert found == pytest.approx(1.25, abs=5e-3)  # his worked example


def test_four_datasets_can_tell_no_two_models_apart_and_the_result_says_so():
    found = across({"a": [0.9, 0.8, 0.9, 0.7], "b": [0.5, 0.4, 0.3, 0.2], "c": [0.1, 0.1, 0.2, 0.1]})
    assert found.least_p == pytest.approx(3 / 8)
    assert found.p < 0.05 and found.nemenyi == [("a", "b"), ("b", "c")]


def test_models_that_differ_on_many_datasets_are_told_apart():
    random = np.random.default_rng(2)
    base = random.normal(size=17)
    found = across(
        {name: base + shift + random.normal(0, 0.1, 17) for name, shift in [("z", 1), ("b", 0.5), ("c", 0.5)]}
    )
    assert found.names[0] == "z"
    assert found.nemenyi == [tuple(found.names[1:])]


def test_equal_models_are_told_apart_no_more_often_than_the_level():
    random, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        found = across({i: random.normal(size=12) for i in range(5)})
        wrong += len(found.nemenyi[0]) < 5
    assert wrong / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_what_cannot_be_compared_is_refused():
    for scores in ({"a": [1, 2]}, {"a": [1, 2], "b": [1]}, {"a": [1], "b": [2]}):
        with pytest.raises(ValueError, match="blocks"):
            across(scores)
    assert across({"a": [1, 1], "b": [1, 1]}).p == 1


def test_runs_of_models_are_those_of_all_pairs():
    for spread in (0.0, 0.3, 3.0):
        random = np.random.default_rng(4)
        scores = {i: random.normal(size=9) + spread * i for i in range(14)}
        whole = across(scores)
        mean, limit = whole.mean_ranks, whole.critical_difference
        far = {(a, b) for a in mean for b in mean if mean[b] - mean[a] > limit} if whole.p <= 0.05 else set()
        assert whole.nemenyi == bars(whole.names, far)


@pytest.mark.parametrize(("models", "blocks"), [(2, 2), (3, 2), (3, 3), (2, 4)])
def test_blocks_that_agree_are_as_likely_as_among_all_rankings(models, blocks):
    scores = {i: [float(i)] * blocks for i in range(models)}
    rankings = list(itertools.permutations(range(models)))
    alike = sum(len(set(drawn)) == 1 for drawn in itertools.product(rankings, repeat=blocks))
    assert across(scores).p == pytest.approx(alike / len(rankings) ** blocks)


def test_versions_of_one_set_are_one_block_by_their_mean_rank():
    """Ranks of b on the two versions: 1 and 2, so 1.5; of a: 2 and 1; of c: 3 and 3."""
    scores = {"a": [0.5, 0.7, 0.9], "b": [0.6, 0.6, 0.5], "c": [0.1, 0.1, 0.6]}
    found = across(scores, versions=[[0, 1], [2]])
    assert found.blocks == 2
    assert found.mean_ranks == {"a": (1.5 + 1) / 2, "b": (1.5 + 3) / 2, "c": (3 + 2) / 2}
    twice = across({name: values * 2 for name, values in scores.items()}, versions=[[0, 1, 3, 4], [2, 5]])
    assert twice == found  # copies of the same images add no evidence
    assert across(scores) == across(scores, versions=[[0], [1], [2]])
    with pytest.raises(ValueError, match="one block"):
        across(scores, versions=[[0, 1, 2]])
