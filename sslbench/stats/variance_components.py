"""Several seeds of one model on the same test pictures: what varies between trainings, and what between pictures.

A model's results are a table, right or wrong by seed and picture. Both are samples: of the trainings that could have
been, and of the pictures that could have been taken. With y[s, i] = mean + seed[s] + picture[i] + rest[s, i], where
`rest` is what a training gets right by luck, the three variances come from the table's mean squares (the method of
moments for a crossed layout: Searle, Casella & McCulloch 1992, Variance Components, section 4.5; for right and wrong
answers of several readers on the same cases: Gallas, Pennello & Myers 2007, J. Opt. Soc. Am. A 24:B70). No torch here.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from sslbench.stats import empirical_bayes


class Table(NamedTuple):
    """Sums of one model's table [seeds, n]. ``rest`` is None for one seed, ``between`` too."""

    mean: float
    seeds: int
    n: int
    pictures: float  # variance over pictures (n - 1) of their mean over seeds
    between: float | None  # variance over seeds (seeds - 1) of their accuracies
    rest: float | None  # mean square of what is left, (seeds - 1) (n - 1)

    @property
    def floor(self) -> float:
        """What ``between`` would be if all trainings were alike in their true accuracy: luck on these pictures."""
        return 0.0 if self.rest is None else self.rest / self.n


class Part(NamedTuple):
    """One summand of the variance of a mean, and the degrees of freedom that it is known with."""

    variance: float
    freedom: float


class Split(NamedTuple):
    """What an accuracy varies by, as standard deviations of one training's accuracy on one test set of n pictures."""

    mean: float
    seeds: int
    n: int
    sd: float | None  # as seen, between seeds on these pictures; None for one seed
    sd_seeds: (
        float | None
    )  # of the true accuracy of trainings, with luck on these pictures taken out; 0 if none is left
    sd_pictures: float  # by the choice of n pictures, for one training
    low: float | None  # interval of the mean for another seed and another test set; None for one seed
    high: float | None


def tabulate(correct: np.ndarray) -> Table:
    """Mean squares of right or wrong, [n] or [seeds, n]."""
    y = np.atleast_2d(np.asarray(correct, float))
    seeds, n = y.shape
    if n == 0 or seeds == 0:
        raise ValueError("no test pictures")
    means = y.mean(0)
    pictures = float(means.var(ddof=1)) if n > 1 else 0.0
    if seeds == 1:
        return Table(float(y.mean()), 1, n, pictures, None, None)
    accuracies = y.mean(1)
    left = y - accuracies[:, None] - means + y.mean()
    rest = float((left**2).sum()) / ((seeds - 1) * max(n - 1, 1))
    return Table(float(y.mean()), seeds, n, pictures, float(accuracies.var(ddof=1)), rest)


def split(correct: np.ndarray, confidence: float = 0.95) -> Split:
    """The variance of a model's accuracy in its two parts, and the interval of its mean that allows for both.

    Args:
        correct: bool [seeds, n]; [n] or one seed leaves the seeds' part and the interval None.

    A single training on a single test set has variance S + (P + R) / n: S between the true accuracies of trainings, P
    between pictures, R the rest. Expected mean squares give S = between - R / n, and R / n is not the binomial
    p (1 - p) / n: the seeds share their pictures, so that part of it does not show between them (Jordan 2024, ICLR,
    arXiv 2304.01910, finds most of what shows to be R). The mean over k seeds has variance S / k + P / n + R / (k n),
    estimated by max(between, R / n) / k + (P + R / k - R / k) / n; its interval is Student's, with the degrees of
    freedom of Satterthwaite (1946, Biometrics Bull. 2:110), and no narrower than the one over seeds alone.
    """
    table = tabulate(correct)
    if table.between is None:
        return Split(table.mean, 1, table.n, None, None, math.sqrt(table.pictures / table.n), None, None)
    picture = max(table.pictures - table.rest / table.seeds, 0.0)
    own = math.sqrt(max(table.between - table.floor, 0.0))
    parts = [seed_part(table), Part(picture / table.n, max(table.n - 1, 1))]
    error, freedom = combine(parts)
    # Few seeds may look alike by chance, and then Satterthwaite's degrees of freedom are too many: allowing for
    # pictures as well never narrows the interval over seeds alone.
    widths = [(error, freedom), (math.sqrt(table.between / table.seeds), table.seeds - 1)]
    half = max(float(stats.t.ppf(0.5 + confidence / 2, f)) * e for e, f in widths)
    low, high = max(table.mean - half, 0.0), min(table.mean + half, 1.0)
    sd_pictures = math.sqrt((picture + table.rest) / table.n)
    return Split(table.mean, table.seeds, table.n, math.sqrt(table.between), own, sd_pictures, low, high)


def seed_part(table: Table, prior: "Prior | None" = None) -> Part:
    """Variance of a model's mean by its seeds, luck included; never below what luck alone makes, which is well known.

    ``prior``: what the other models' seeds say of it (``priors``); it may widen a model's variance, not narrow it below
    what its own seeds show. One seed without a prior has no such part: (0, 1).
    """
    own, freedom = table.between or 0.0, table.seeds - 1
    variance = own
    if prior is not None and prior.freedom:
        share = 1.0 if math.isinf(prior.freedom) else prior.freedom / (prior.freedom + freedom)
        variance = share * prior.variance + (1 - share) * own
        freedom = min(prior.freedom + freedom, prior.most)
    return Part(max(variance, own, table.floor) / table.seeds, max(freedom, 1))


class Prior(NamedTuple):
    """What the seeds of many models say of one's: a variance, worth so many degrees of freedom.

    ``most``: the degrees of freedom in all models together; no variance is known better.
    """

    variance: float
    freedom: float  # 0: nothing; infinite: all models vary alike
    most: float


FEWEST = 5  # models of three or more seeds, below which nothing is said of the others


def priors(tables: Mapping[Hashable, Table]) -> dict[Hashable, Prior]:
    """How the variances between seeds are spread over models, for each (empirical_bayes.py); {} for too few models.

    Three seeds know a variance to two degrees of freedom; a test at the level that 1,225 pairs leave would ask for
    ten standard errors and more. Taken together, models know how variable trainings are, and a model that varies far
    more than they explain is left to its own seeds. Two seeds cannot tell which those are, and so say nothing here.
    """
    known = {name: table for name, table in tables.items() if table.seeds > 2}
    if len(known) < FEWEST:
        return {}
    freedom = np.array([table.seeds - 1 for table in known.values()], float)
    # equal accuracies of few seeds have no logarithm; luck alone makes them differ by `floor`
    variances = np.array([max(table.between, 0.01 * table.floor, 1e-12) for table in known.values()])
    fit, most = empirical_bayes.fit_robustly(variances, freedom), float(freedom.sum())
    found = {name: Prior(fit.variance, float(d0), most) for name, d0 in zip(known, fit.each, strict=True)}
    return {name: found.get(name, Prior(fit.variance, fit.freedom, most)) for name in tables}


def combine(parts: Sequence[Part]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent parts (Satterthwaite 1946)."""
    variance = sum(part.variance for part in parts)
    if variance == 0:
        return 0.0, 1.0
    return math.sqrt(variance), variance**2 / sum(part.variance**2 / part.freedom for part in parts)
