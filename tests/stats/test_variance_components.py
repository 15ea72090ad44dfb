"""Several seeds: the variance split against an analysis of variance and against known truths; intervals that cover."""

import math

import numpy as np
import pytest
from scipy import stats

from sslbench.stats import variance_components
from sslbench.stats.paired import wilson

ALONE = variance_components.Table(0.5, 1, 1000, 0.2, None, None)
HARD, LUCK = 1.0, 0.7  # standard deviations, on the probit scale, of pictures and of what a training gets by luck


def trained(random, count: int, n: int, sd: float, base: float = 0.5) -> np.ndarray:
    """Correct [count, n] of trainings whose skill varies by ``sd``."""
    skill = random.normal(0, sd, (count, 1))
    return base + skill + random.normal(0, HARD, n) + random.normal(0, LUCK, (count, n)) > 0


def true_mean(sd: float, base: float = 0.5) -> float:
    return float(stats.norm.cdf(base / math.sqrt(sd**2 + HARD**2 + LUCK**2)))


def true_seed_variance(sd: float, base: float = 0.5) -> float:
    """Variance over trainings of the accuracy on all pictures there are, by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    accuracy = stats.norm.cdf((base + sd * points) / math.hypot(HARD, LUCK))
    weights = weights / weights.sum()
    return float((weights * accuracy**2).sum() - (weights * accuracy).sum() ** 2)


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance():
    models = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    import pandas

    y = trained(np.random.default_rng(0), 4, 30, 0.3)
    table = pandas.DataFrame([(s, i, float(y[s, i])) for s in range(4) for i in range(30)], columns=["s", "i", "y"])
    theirs = anova.anova_lm(models.ols("y ~ C(s) + C(i)", table).fit())["mean_sq"]
    ours = variance_components.tabulate(y)
    assert ours.between * 30 == pytest.approx(theirs["C(s)"])
    assert ours.pictures * 4 == pytest.approx(theirs["C(i)"])
    assert ours.rest == pytest.approx(theirs["Residual"])


@pytest.mark.parametrize("sd", [0.0, 0.1])
def test_the_seed_part_is_the_variance_of_true_accuracies_and_not_that_of_luck(sd):
    """Mean over draws of between - rest / n; the binomial variance in its stead would go below zero."""
    random = np.random.default_rng(1)
    tables = [variance_components.tabulate(trained(random, 4, 300, sd)) for _ in range(1500)]
    found = np.array([table.between - table.floor for table in tables])
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - true_seed_variance(sd)) < 3 * error
    binomial = np.mean([table.mean * (1 - table.mean) / 300 for table in tables])
    naive = np.mean([table.between for table in tables]) - binomial
    assert naive < true_seed_variance(sd) - 3 * error


def test_the_picture_part_is_that_of_one_training_on_one_test_set():
    random = np.random.default_rng(2)
    parts = [variance_components.split(trained(random, 4, 300, 0.0)) for _ in range(300)]
    found = np.mean([part.sd_pictures**2 for part in parts])
    p = true_mean(0.0)
    assert found == pytest.approx(p * (1 - p) / 300, rel=0.01)  # without a seed part it is binomial


@pytest.mark.parametrize(("count", "n", "sd"), [(3, 200, 0.05), (3, 1000, 0.2), (5, 400, 0.1)])
def test_the_interval_covers_the_mean_over_other_seeds_and_other_pictures(count, n, sd):
    random, truth, trials = np.random.default_rng(3), true_mean(sd), 600
    found = [variance_components.split(trained(random, count, n, sd)) for _ in range(trials)]
    covered = np.mean([part.low <= truth <= part.high for part in found])
    assert 0.93 <= covered <= 0.985  # 0.95 less two standard errors of the simulation; cautious where luck is the floor
    of_seeds_alone = np.mean(
        [abs(p.mean - truth) <= stats.t.ppf(0.975, count - 1) * p.sd / math.sqrt(count) for p in found]
    )
    assert of_seeds_alone <= covered


def test_one_seed_has_its_picture_part_alone_and_no_interval_over_seeds():
    y = trained(np.random.default_rng(4), 1, 500, 0.1)
    part = variance_components.split(y)
    assert (part.sd, part.sd_seeds, part.low, part.high, part.seeds) == (None, None, None, None, 1)
    low, high = wilson(int(y.sum()), 500)
    assert 2 * 1.96 * part.sd_pictures == pytest.approx(high - low, rel=0.01)
    with pytest.raises(ValueError, match="no test pictures"):
        variance_components.split(np.zeros((3, 0), bool))


def test_seeds_of_equal_accuracy_are_not_taken_for_certain():
    """Three trainings that happen to agree in the figure, but not in the pictures, still vary by luck."""
    y = np.ones((3, 90), bool)
    for seed in range(3):
        y[seed, 10 * seed : 10 * seed + 10] = False
    part = variance_components.split(y)
    assert part.sd == part.sd_seeds == 0
    assert part.high - part.low > 0.02


def drawn_tables(variances: np.ndarray, freedom: int = 2) -> dict[str, variance_components.Table]:
    return {f"m{i}": variance_components.Table(0.5, freedom + 1, 1000, 0.2, v, 1e-9) for i, v in enumerate(variances)}


def test_few_models_say_nothing_of_each_other_and_many_alike_say_much():
    random = np.random.default_rng(6)
    few = drawn_tables(random.chisquare(2, variance_components.FEWEST - 1))
    assert variance_components.priors(few) == {}
    same = variance_components.priors(drawn_tables(np.full(20, 1e-4)) | {"alone": ALONE})
    assert len(same) == 21 and {prior[1:] for prior in same.values()} == {(math.inf, 40.0)}


def test_a_loud_model_is_left_to_its_own_seeds_and_the_others_are_not():
    random = np.random.default_rng(7)
    found = variance_components.priors(drawn_tables(np.r_[1e-4 * random.chisquare(2, 20) / 2, 0.05]))
    assert found["m20"].freedom < 0.1 * found["m0"].freedom


def test_the_prior_widens_a_model_but_never_below_its_own_seeds():
    prior = variance_components.Prior(1e-4, 6.0, 100.0)
    quiet, loud = drawn_tables(np.array([1e-6, 9e-4])).values()
    assert variance_components.seed_part(quiet, prior) == pytest.approx(((6e-4 + 2e-6) / 8 / 3, 8))
    assert variance_components.seed_part(loud, prior) == pytest.approx((9e-4 / 3, 8))
    assert variance_components.seed_part(ALONE, prior) == pytest.approx((1e-4, 6))
    assert variance_components.seed_part(ALONE).variance == 0
