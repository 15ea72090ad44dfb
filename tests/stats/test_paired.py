"""Statistics against published examples, scipy, numerical maximum likelihood and simulation."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy import optimize, stats

from sslbench.stats.paired import (
    above_chance,
    compare,
    detectable,
    holm,
    mcnemar,
    over_seeds,
    sign_flip,
    smallest_detectable,
    tango,
    tango_all,
    wilson,
)
from sslbench.stats.ranking import tie_groups


def test_stats_import_no_torch():
    code = "import sys, sslbench.stats.paired; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, Stat. Med. 17:857-872, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_scipy_at_every_count_and_level():
    for n, confidence in itertools.product((1, 7, 50), (0.9, 0.95, 0.99)):
        for successes in range(n + 1):
            theirs = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
            assert wilson(successes, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_rejects_what_is_no_count_and_knows_nothing_of_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="5 successes of 4"):
        wilson(5, 4)


def test_mcnemar_is_the_two_sided_binomial_test_of_the_discordant_pictures():
    for only_a, only_b in itertools.product(range(12), repeat=2):
        theirs = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
        assert mcnemar(only_a, only_b) == pytest.approx(theirs, abs=1e-12)


def test_tango_gives_the_published_interval_of_bentur_2009():
    # Fagerland, Lydersen & Laake 2014, Stat. Med. 33:2850-2875: airway hyper-responsiveness, 1 and 7 discordant of 21
    low, high = tango(1, 7, 21)
    assert (low, high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def likelihood_ratio_free_score(only_a: int, only_b: int, n: int, delta: float) -> float:
    """The score statistic at ``delta``, its nuisance parameter found by numerical maximisation instead of algebra."""

    def negative(q: float) -> float:
        p = q + delta
        rest = 1 - p - q
        return -(stats.multinomial.logpmf([only_a, only_b, n - only_a - only_b], n, [p, q, rest]))

    low, high = max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9
    q = optimize.minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
    return (only_a - only_b - n * delta) / np.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(40, 20, 160), (3, 9, 60), (150, 86, 1600), (1, 2, 12)])
def test_tango_ends_where_the_score_test_begins_to_reject(only_a, only_b, n):
    low, high = tango(only_a, only_b, n)
    assert likelihood_ratio_free_score(only_a, only_b, n, low) == pytest.approx(1.959964, abs=1e-3)
    assert likelihood_ratio_free_score(only_a, only_b, n, high) == pytest.approx(-1.959964, abs=1e-3)


def test_tango_keeps_its_width_without_discordant_pictures_and_stays_within_one():
    low, high = tango(0, 0, 100)
    assert low == pytest.approx(-high) and 0.03 < high < 0.05
    for n in (1, 2, 5):
        for only_a in range(n + 1):
            for only_b in range(n - only_a + 1):
                low, high = tango(only_a, only_b, n)
                assert -1 <= low <= (only_a - only_b) / n <= high <= 1
                assert tango(only_b, only_a, n) == pytest.approx((-high, -low), abs=1e-9)


def test_tango_covers_the_true_difference_at_its_rate():
    random = np.random.default_rng(0)
    counts = random.multinomial(200, [0.12, 0.06, 0.82], size=1500)
    unique, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    inside = sum(
        t for (a, b), t in zip(unique, times, strict=True) if tango(a, b, 200)[0] <= 0.06 <= tango(a, b, 200)[1]
    )
    assert 0.935 <= inside / 1500 <= 0.965


def test_compare_reads_the_pictures_that_one_model_alone_gets_right():
    a = np.array([1, 1, 1, 0, 1, 0, 1, 1, 1, 1], bool)
    b = np.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 0], bool)
    found = compare(a, b)
    assert found.difference == pytest.approx(0.3)
    assert (found.low, found.high) == tango(4, 1, 10)
    assert found.p == mcnemar(4, 1)
    assert compare(b, a).difference == pytest.approx(-0.3)
    with pytest.raises(ValueError, match="10 and 9 pictures"):
        compare(a, b[:9])


def simulated_seeds(random, count: int, n: int, shift: float = 0.0) -> np.ndarray:
    """Correct [2, count, n] of two equal models whose seeds and pictures both vary (shift is added to the first)."""
    hard = random.normal(0, 1, n)
    skill = random.normal(0, 0.15, (2, count, 1)) + np.array([shift, 0.0])[:, None, None]
    return 0.3 + skill + hard + random.normal(0, 1, (2, count, n)) > 0


def test_comparison_over_seeds_rejects_equal_models_at_most_at_its_level():
    random = np.random.default_rng(1)
    found = [compare(*simulated_seeds(random, 4, 400)).p for _ in range(600)]
    assert np.mean(np.array(found) <= 0.05) <= 0.065


def test_comparison_of_single_seeds_would_reject_far_more_often():
    """The reason for seeds: the test set alone does not carry the variation between trainings."""
    random = np.random.default_rng(1)
    found = [compare(*simulated_seeds(random, 1, 2000)).p for _ in range(300)]
    assert np.mean(np.array(found) <= 0.05) > 0.25


def test_comparison_over_seeds_finds_a_real_difference():
    random = np.random.default_rng(2)
    found = compare(*simulated_seeds(random, 5, 2000, shift=0.8))
    assert found.low > 0 and found.p < 0.05


def test_holm_gives_the_worked_example_and_the_textbook_rule():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    random = np.random.default_rng(3)
    for _ in range(50):
        p = random.uniform(0, 0.1, 7)
        rejected = np.zeros(7, bool)
        for step, place in enumerate(np.argsort(p)):  # step down until one p exceeds level / (m - step)
            if p[place] > 0.05 / (7 - step):
                break
            rejected[place] = True
        assert ((holm(p) <= 0.05) == rejected).all()
    assert holm([]).shape == (0,)


def model(n: int, wrong: range) -> np.ndarray:
    correct = np.ones(n, bool)
    correct[list(wrong)] = False
    return correct


def test_tie_groups_join_what_cannot_be_told_apart_and_part_what_can():
    ranks = tie_groups(
        {"worst": model(1000, range(600)), "b": model(1000, range(105)), "a": model(1000, range(100))}, level=0.05
    )
    assert [(r.name, r.rank, r.leader) for r in ranks] == [("a", 1, "a"), ("b", 1, "a"), ("worst", 3, "worst")]
    assert [(r.lowest, r.highest) for r in ranks] == [(1, 2), (1, 2), (3, 3)]


def test_tie_groups_say_what_the_chain_of_neighbours_shows():
    """b differs neither from a nor from c, but a differs from c: c leads its own group, its rank range overlaps b's."""
    correct = {"a": model(1000, range(100)), "b": model(1000, range(105)), "c": model(1000, range(110))}
    ranks = {r.name: r for r in tie_groups(correct)}
    assert [ranks[name].rank for name in "abc"] == [1, 1, 3]
    assert (ranks["b"].lowest, ranks["b"].highest) == (1, 3)
    assert (ranks["c"].lowest, ranks["c"].highest) == (2, 3)


def test_a_hundred_pictures_do_not_part_what_ten_thousand_do():
    def pair(n):
        return {"a": model(n, range(n // 10)), "b": model(n, range(n // 10, n // 10 + n * 12 // 100))}

    assert {r.rank for r in tie_groups(pair(100))} == {1}
    assert {r.rank for r in tie_groups(pair(10000))} == {1, 2}


def test_tie_groups_split_equal_models_no_more_often_than_their_level():
    random = np.random.default_rng(4)
    level, trials, split = 0.1, 250, 0
    for _ in range(trials):
        hard = random.normal(0, 1, 200)  # models err on the same pictures, as real ones do
        correct = {f"m{i}": hard + random.normal(0, 1, 200) > -0.3 for i in range(6)}
        split += len({r.rank for r in tie_groups(correct, level)}) > 1
    assert split / trials <= level + 2 * np.sqrt(level * (1 - level) / trials)


def test_comparing_only_with_the_leader_would_split_equal_models_too_often():
    """Why all pairs enter the correction: the leader is picked from the same data."""
    random = np.random.default_rng(5)
    level, split = 0.1, 0
    for _ in range(200):
        correct = random.random((20, 1000)) < 0.5
        order = correct.mean(1).argsort()[::-1]
        best, others = correct[order[0]], correct[order[1:]]
        p = [mcnemar(int((best & ~other).sum()), int((other & ~best).sum())) for other in others]
        split += (holm(p) <= level).any()
    assert split / 200 > 1.6 * level


def test_smallest_detectable_difference_is_found_at_its_power():
    random = np.random.default_rng(6)
    n, d = 4000, 0.2
    delta = smallest_detectable(n, 0.7, discordant=d, power=0.8)
    counts = random.multinomial(n, [(d + delta) / 2, (d - delta) / 2, 1 - d], size=2000)
    found = np.mean([mcnemar(a, b) <= 0.05 for a, b, _ in counts])
    assert 0.76 <= found <= 0.83  # McNemar's exact test is slightly conservative


def test_smallest_detectable_difference_gives_the_known_figures_of_the_test_sets():
    # 1.96 sqrt(2 p (1 - p) / n): 5.7 points for 500 pictures at 70 %, 2.0 for 3,925, 1.3 for 9,907 at 33 %
    for n, p, points in [(500, 0.7, 0.0568), (3925, 0.7, 0.0203), (9907, 0.33, 0.0131)]:
        assert smallest_detectable(n, p, power=0.5) == pytest.approx(points, abs=5e-5)
    assert smallest_detectable(10, 0.5, discordant=0.1) is None  # more than all discordant pictures cannot differ
    assert smallest_detectable(60, 0.5, discordant=0.1, level=0.05 / 45) is None  # 6 of 6: p = 0.03


def test_over_seeds_gives_scipys_t_interval_and_none_for_one_seed():
    values = [0.71, 0.74, 0.705, 0.72, 0.731]
    found = over_seeds(values, 0.95)
    theirs = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs)
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert over_seeds([0.5]) == (0.5, None, None, None, 1)


def test_above_chance_is_scipys_one_sided_binomial_test():
    for right in (0, 40, 60, 100):
        theirs = stats.binomtest(right, 400, 0.102, alternative="greater").pvalue
        assert above_chance(right, 400, 0.102) == pytest.approx(theirs, rel=1e-9)


def test_peers_in_statsmodels_agree():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    multiple = pytest.importorskip("statsmodels.stats.multitest")
    assert wilson(81, 263, 0.9) == pytest.approx(proportion.proportion_confint(81, 263, 0.1, "wilson"))
    for only_a, only_b in [(3, 11), (40, 40), (0, 6), (150, 120)]:
        theirs = tables.mcnemar([[50, only_a], [only_b, 9]], exact=True).pvalue
        assert mcnemar(only_a, only_b) == pytest.approx(theirs)
    p = np.random.default_rng(7).uniform(0, 0.2, 30)
    assert holm(p) == pytest.approx(multiple.multipletests(p, method="holm")[1])


def test_sign_flip_is_mcnemars_test_for_one_seed_and_all_sign_changes_for_several():
    random = np.random.default_rng(8)
    for n in (5, 60, 900):
        a, b = random.random(n) < 0.7, random.random(n) < 0.5
        expected = mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))
        assert sign_flip(a, b) == pytest.approx(max(expected, 1e-12), rel=1e-6)
    for count_a, count_b in [(2, 2), (3, 3), (2, 3), (1, 3)]:
        a, b = random.random((count_a, 12)) < 0.8, random.random((count_b, 12)) < 0.4
        d = count_b * a.sum(0) - count_a * b.sum(0)
        sums = np.abs((np.array(list(itertools.product((-1, 1), repeat=12))) * d).sum(1))
        assert sign_flip(a, b) == pytest.approx(np.mean(sums >= abs(d.sum())))


def test_sign_flip_of_many_pictures_is_the_normal_law_in_the_limit():
    random = np.random.default_rng(9)
    a, b = random.random((3, 9907)) < 0.50, random.random((3, 9907)) < 0.49
    d = a.mean(0) - b.mean(0)
    z = abs(d.sum()) / np.sqrt((d**2).sum())
    assert sign_flip(a, b) == pytest.approx(2 * stats.norm.sf(z), rel=0.03)


def test_a_few_discordant_pictures_prove_nothing_whatever_the_t_test_says():
    a = np.ones((3, 400), bool)
    b = a.copy()
    b[:, :5] = False  # five pictures that all of b's trainings miss: 2 / 2^5
    assert compare(a, b).p == pytest.approx(1 / 16)


def test_many_tango_intervals_at_once_are_the_single_ones():
    only_a, only_b = np.array([0, 3, 40, 100]), np.array([0, 9, 20, 0])
    low, high = tango_all(only_a, only_b, 160, 0.9)
    for i in range(4):
        assert (low[i], high[i]) == pytest.approx(tango(int(only_a[i]), int(only_b[i]), 160, 0.9), abs=1e-10)


def test_a_t_test_finds_its_detectable_difference_with_the_stated_power():
    for freedom in (4, 20, 1000):
        size = detectable(0.01, freedom)
        exact = stats.nct.sf(stats.t.isf(0.025, freedom), freedom, size / 0.01)
        assert exact == pytest.approx(0.8, abs=0.02)
