"""Equivalence and verdicts: against the intervals they are defined by, statsmodels' TOST, and simulation."""

import numpy as np
import pytest

from sslbench import stats
from sslbench.equivalence import CONTRADICTED, HOLDS, UNDECIDED, alike, equivalent, higher


def pair(only_a: int, only_b: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    places = np.arange(n)
    return places >= only_b, (places >= only_a + only_b) | (places < only_b)


def test_two_networks_are_alike_exactly_where_tangos_90_percent_interval_lies_within_the_margin():
    for only_a, only_b, margin in [(10, 12, 0.03), (10, 12, 0.02), (30, 12, 0.05), (0, 0, 0.01), (3, 9, 0.012)]:
        a, b = pair(only_a, only_b, 1000)
        found = equivalent(a, b, margin)
        low, high = stats.tango(only_a, only_b, 1000, 0.9)
        assert (found.low, found.high) == pytest.approx((low, high))
        assert found.holds == (-margin < low and high < margin)
        edge = equivalent(a, b, max(-low, high))
        assert edge.p == pytest.approx(0.05, abs=1e-6)


def test_over_seeds_without_a_seed_part_it_is_statsmodels_paired_tost_of_the_pictures():
    weights = pytest.importorskip("statsmodels.stats.weightstats")
    random = np.random.default_rng(0)
    a, b = random.random(2000) < 0.7, random.random(2000) < 0.7
    ours = equivalent(np.array([a, a]), np.array([b, b]), 0.05)  # the same network twice: pictures alone vary
    theirs = weights.ttost_paired(a.astype(float), b.astype(float), -0.05, 0.05)
    assert ours.p == pytest.approx(theirs[0], rel=1e-6)


def test_models_that_differ_by_the_margin_are_called_alike_at_most_at_the_level():
    random = np.random.default_rng(1)
    counts = random.multinomial(1000, [0.08, 0.05, 0.87], size=400)
    wrong = np.mean([equivalent(*pair(a, b, 1000), 0.03).holds for a, b, _ in counts])
    assert 0.02 <= wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_verdicts_say_no_more_than_the_intervals_carry():
    assert [higher(*i) for i in [(0.01, 0.03), (-0.03, -0.01), (-0.01, 0.02), (0.0, 0.1)]] == [
        HOLDS,
        CONTRADICTED,
        UNDECIDED,
        UNDECIDED,
    ]
    assert higher(0.01, 0.03, margin=0.02) == UNDECIDED
    for counts, margin, verdict in [
        ((10, 12), 0.05, HOLDS),
        ((80, 5), 0.01, CONTRADICTED),
        ((40, 30), 0.02, UNDECIDED),
    ]:
        a, b = pair(*counts, 1000)
        found = stats.compare(a, b)
        assert alike(equivalent(a, b, margin), found.low, found.high, margin) == verdict
    with pytest.raises(ValueError, match="margin"):
        equivalent(*pair(1, 1, 10), 0)
