"""How often equal models are called different, by simulation: at most at the level, whatever their seeds do; and how
often unequal ones are."""

import numpy as np
import pytest
from scipy import stats

from sslbench.stats import ranking

LEVEL = 0.05
QUICK, MANY = 120, 2000
MOST = 0.06  # of the rate of false differences: the upper 95 % bound that its simulation leaves
LOUD_AND_QUIET = np.r_[np.full(8, 0.02), 0.15, 0.15]


def equal_models(random, count: int, trainings: int, n: int, sd: object, better: float = 0.0) -> dict:
    """Models of one true accuracy (1/2: skill moves it as often up as down), with tastes of their own for images; the
    first is ``better`` by so much on the probit scale."""
    hard = random.normal(0, 1.5, n)
    own = random.normal(0, 0.7, (count, 1, n))
    skill = random.normal(0, 1, (count, trainings, 1)) * np.broadcast_to(sd, count)[:, None, None]
    skill[0] += better
    right = skill + own + hard + random.normal(0, 0.7, (count, trainings, n)) > 0
    return {f"m{i}": right[i] for i in range(count)}


def split_rate(trials: int, *case: object) -> float:
    """Share of the trials in which any two of the equal models get different ranks or a pair is called apart."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(trials):
        pairs = ranking.all_pairs(equal_models(random, *case))
        ranks = {rank.rank for rank in ranking.tie_groups(pairs, LEVEL)}
        assert len(ranks) == 1 or pairs.apart(LEVEL)
        wrong += bool(pairs.apart(LEVEL))
    return wrong / trials


def bound(trials: int) -> float:
    return LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / trials)


@pytest.mark.parametrize(
    "case",
    [(10, 1, 400, 0.0), (10, 3, 400, 0.05), (10, 2, 400, 0.1), (10, 3, 400, LOUD_AND_QUIET), (4, 3, 400, 0.1)],
    ids=["one-seed", "three-seeds", "two-seeds", "two-models-vary-more", "few-models"],
)
def test_equal_models_are_split_no_more_often_than_the_level(case):
    assert split_rate(QUICK, *case) <= bound(QUICK)


@pytest.mark.long
@pytest.mark.parametrize("trainings", [1, 2, 3, 5])
@pytest.mark.parametrize("sd", [0.0, 0.03, 0.15, "two loud"], ids=str)
@pytest.mark.parametrize(("count", "n"), [(3, 500), (10, 500), (10, 3925), (20, 500)])
def test_equal_models_are_split_no_more_often_than_the_level_at_any_number_of_seeds(count, n, trainings, sd):
    spread = np.r_[np.full(count - 2, 0.02), 0.14, 0.14] if isinstance(sd, str) else sd
    if trainings == 1 and np.max(spread) > 0:
        spread = 0.0  # one seed each: the test speaks of networks, which are equal only where seeds do not vary
    wrong = round(MANY * split_rate(MANY, count, trainings, n, spread))
    assert stats.binomtest(wrong, MANY).proportion_ci(0.9, "exact").high <= MOST


@pytest.mark.long
@pytest.mark.parametrize(("sd", "least"), [(0.02, 0.86), (LOUD_AND_QUIET, 0.45)], ids=["alike", "two-loud"])
def test_three_seeds_find_a_gain_of_five_points_as_often_as_the_protocol_says(sd, least):
    random, found, gain = np.random.default_rng(14), 0, 0.24  # 5.3 points on the probit scale of equal_models
    for _ in range(MANY // 4):
        correct = equal_models(random, 10, 3, 3925, sd, better=gain)
        found += ("m0", "m1") in ranking.all_pairs(correct).apart(LEVEL)
    assert found / (MANY // 4) >= least
