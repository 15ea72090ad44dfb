"""Statistics of accuracies: intervals, paired comparisons, and what a test set can show. No torch here.

All of it speaks of the test pictures as a sample, and of the trained networks as they are. What another seed would
have given is covered only where several seeds are handed in (sslbench/stats/variance_components.py). Ranks:
sslbench/stats/ranking.py.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import signal, stats

from sslbench.stats import variance_components


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927; method 3 of Newcombe 1998, Stat. Med. 17:857-872).

    n = 0 gives (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    z = two_sided(confidence)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def above_chance(successes: int, n: int, chance: float) -> float:
    """One-sided exact binomial p-value for an accuracy above ``chance``."""
    return float(stats.binom.sf(successes - 1, n, chance))


class Difference(NamedTuple):
    """Accuracy of a less that of b, with its interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that two models are equally accurate on the same pictures (McNemar 1947).

    ``only_a`` and ``only_b`` count the pictures that one model alone gets right; given their sum, each is
    binomial(1/2) under the hypothesis. The pictures on which both agree say nothing.
    """
    discordant = only_a + only_b
    return 1.0 if discordant == 0 else min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), discordant, 0.5)))


def tango(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired proportions (Tango 1998, Stat. Med. 17:891-908).

    It keeps its coverage where the discordant pictures are few, and does not shrink to a point where there are none.
    """
    low, high = tango_all(np.array([only_a]), np.array([only_b]), n, confidence)
    return float(low[0]), float(high[0])


def tango_all(
    only_a: np.ndarray, only_b: np.ndarray, n: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """``tango`` for many pairs of counts [m] at once, by bisection to 1e-12."""
    a, b = np.asarray(only_a, float), np.asarray(only_b, float)
    if n == 0 or (a < 0).any() or (b < 0).any() or (a + b > n).any():
        raise ValueError(f"{only_a} and {only_b} discordant pictures of {n}")
    z, difference = two_sided(confidence), (a - b) / n

    def bound(end: float) -> np.ndarray:
        inner, outer = difference, np.full_like(difference, end)
        for _ in range(44):
            middle = (inner + outer) / 2
            inside = np.abs(tango_score(a, b, n, middle)) < z
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return np.where(outer == end, end, (inner + outer) / 2)

    return bound(-1.0), bound(1.0)


def tango_score(a: np.ndarray, b: np.ndarray, n: int, delta: np.ndarray) -> np.ndarray:
    """Standard normal under the hypothesis that the true difference is ``delta``; a, b: pictures that one alone has."""
    # q: likeliest probability of "only b is right" among those with difference delta
    linear = (2 * n - a + b) * delta - a - b
    q = (np.sqrt(np.maximum(linear**2 + 8 * n * b * delta * (1 - delta), 0)) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    return (a - b - n * delta) / np.sqrt(np.maximum(variance, 1e-300))


def sign_flip(a: np.ndarray, b: np.ndarray) -> float:
    """Exact two-sided p-value that these networks, of one or several seeds a side, are equally accurate on average.

    Each picture is kept whole: its difference of the two means over seeds, d[i], would as likely have come with the
    other sign (Fisher 1935, The Design of Experiments, section 21). With a and b of k seeds, k d[i] is an integer, so
    the null distribution of the sum is a convolution of stretched binomials, and nothing is drawn at random. For one
    seed a side it is McNemar's exact test. It says nothing of other trainings. Below 1e-12 it gives 1e-12.
    """
    a, b = np.atleast_2d(np.asarray(a, bool)), np.atleast_2d(np.asarray(b, bool))
    return flip_sums(len(b) * a.sum(0, dtype=np.int64) - len(a) * b.sum(0, dtype=np.int64))


def flip_sums(differences: np.ndarray) -> float:
    """P(|sum of +-d[i] with random signs| >= |sum of d|), exactly; d: integers [n]."""
    counts = np.bincount(np.abs(differences))
    sizes = [size for size in range(1, len(counts)) if counts[size]]
    if not sizes:
        return 1.0
    unit = math.gcd(*sizes)
    weights = np.ones(1)
    for size in sizes:  # the sum of `count` signed units is 2 B - count, B binomial; shifted to start at 0, step 2
        count, step = int(counts[size]), size // unit
        stretched = np.zeros(count * step + 1)
        stretched[::step] = _halves(count)
        weights = (
            signal.fftconvolve(weights, stretched) if min(len(weights), count) > 64 else np.convolve(weights, stretched)
        )
    most = len(weights) - 1  # sum / unit = 2 place - most
    extreme = abs(int(differences.sum())) // unit
    low, high = (most - extreme) // 2, (most + extreme + 1) // 2
    p = weights[: low + 1].sum() + weights[high:].sum() if extreme else 1.0
    return float(min(max(p, 1e-12), 1.0))


def flip_bound(differences: np.ndarray) -> float:
    """No less than ``flip_sums`` of the same: Hoeffding's inequality (1963, J. Am. Stat. Assoc. 58:13)."""
    whole = np.asarray(differences, np.int64)
    squares = int((whole**2).sum())
    return max(2 * math.exp(-(int(whole.sum()) ** 2) / (2 * squares)), 1e-12) if squares else 2.0


@functools.lru_cache(maxsize=4096)
def _halves(count: int) -> np.ndarray:
    return stats.binom.pmf(np.arange(count + 1), count, 0.5)


def compare(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Difference:
    """Two models on the same test pictures.

    Args:
        a, b: whether each picture was classified rightly, bool [n]; or [seeds, n], one row per trained network.

    One network each: Tango's interval and McNemar's exact test; the two may disagree on a borderline case, since only
    the test is exact. They speak of these two networks.

    Two or more seeds each: of another training of either and another test set. The mean difference, with a t-interval
    whose variance adds that of each model's seeds and that of the pictures (the model and its sources:
    ``variance_components.split``), pictures paired, seeds not: equal numbers make no pair of trainings of two
    methods. The p-value is the larger of the t-test's and ``sign_flip``'s, since the former trusts few discordant
    pictures too far. Where only one model has several seeds, the first of each is compared.
    """
    a, b = np.atleast_2d(np.asarray(a, bool)), np.atleast_2d(np.asarray(b, bool))
    n = a.shape[1]
    if b.shape[1] != n or n == 0:
        raise ValueError(f"models were tested on {n} and {b.shape[1]} pictures")
    if min(len(a), len(b)) == 1:
        only_a, only_b = int((a[0] & ~b[0]).sum()), int((~a[0] & b[0]).sum())
        return Difference((only_a - only_b) / n, *tango(only_a, only_b, n, confidence), mcnemar(only_a, only_b))
    first, second = variance_components.tabulate(a), variance_components.tabulate(b)
    error, freedom = error_of(first, second, a.mean(0) - b.mean(0))
    return from_error(first.mean - second.mean, error, freedom, confidence, sign_flip(a, b))


def error_of(
    a: variance_components.Table,
    b: variance_components.Table,
    differences: np.ndarray,
    priors: tuple[variance_components.Prior | None, variance_components.Prior | None] = (None, None),
) -> tuple[float, float]:
    """Standard error and degrees of freedom of a's mean less b's, for other seeds and other pictures.

    ``differences``: of the means over seeds, [n]. The picture part is what varies over them beyond seeds' luck.

    The degrees of freedom are the fewest of any part (Hsu 1938; Mickey & Brown 1966, Ann. Math. Stat. 37:639).
    Satterthwaite's are more, and too many where a variance of few seeds comes out small by luck. Two seeds without a
    prior have one, which shows next to nothing.
    """
    n = len(differences)
    luck = sum(table.rest / table.seeds for table in (a, b) if table.rest is not None)
    pictures = max(float(differences.var(ddof=1)) - luck, 0.0) if n > 1 else 0.0
    seeds = [variance_components.seed_part(table, prior) for table, prior in zip((a, b), priors, strict=True)]
    parts = [*seeds, variance_components.Part(pictures / n, max(n - 1, 1))]
    variance = sum(part.variance for part in parts)
    there = [part.freedom for part in parts if part.variance > 1e-9 * variance]  # the rest is rounding
    return math.sqrt(variance), min(there, default=1.0)


def from_error(difference: float, error: float, freedom: float, confidence: float, least: float = 0.0) -> Difference:
    """A t-interval and two-sided p-value, the latter not below ``least``."""
    if error == 0:
        return Difference(difference, difference, difference, 1.0 if difference == 0 else least)
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = max(2 * float(stats.t.sf(abs(difference) / error, freedom)), least)
    return Difference(difference, difference - half, difference + half, min(p, 1.0))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number: rejecting those <= level keeps P(any false one) <= level (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def smallest_detectable(
    n: int, accuracy: float, discordant: float | None = None, level: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest true difference that a paired test on n pictures finds with probability ``power``.

    Args:
        accuracy: about where the two models lie.
        discordant: share of pictures that exactly one model gets right; None: 2 p (1 - p), that of models whose errors
            are independent, which is the cautious choice, since real models err on the same pictures more often.
        power: 0.5 gives the observed difference at which the test begins to reject.

    Solves delta sqrt(n) = z_level sqrt(d) + z_power sqrt(d - delta^2) (Miettinen 1968, Biometrics 24:339-352;
    Connor 1987, Biometrics 43:207-211). None where no such pair of models could show it: d is the largest difference,
    and n d pictures that all speak for one model may still be too few for McNemar's exact test.
    """
    d = 2 * accuracy * (1 - accuracy) if discordant is None else discordant
    if n <= 0 or not 0 <= d <= 1 or not 0.5 <= power < 1:
        raise ValueError(f"n {n}, discordant share {d}, power {power}")
    z_level, z_power = two_sided(1 - level), float(stats.norm.ppf(power))
    # squared and solved for delta: (n + z_power^2) delta^2 - 2 sqrt(n d) z_level delta + d (z_level^2 - z_power^2) = 0
    half = math.sqrt(n * d) * z_level
    square = n + z_power**2
    root = math.sqrt(max(half**2 - square * d * (z_level**2 - z_power**2), 0))
    found = (half + root) / square
    return None if found > d or mcnemar(round(n * d), 0) > level else found


def detectable(error: float, freedom: float, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a t-test with this standard error finds with probability ``power``."""
    if not 0.5 <= power < 1 or not 0 < level < 1:
        raise ValueError(f"level {level}, power {power}")
    return error * float(stats.t.isf(level / 2, freedom) + stats.t.ppf(power, freedom))


class Summary(NamedTuple):
    """Several seeds of one model. ``sd`` (n - 1) and the interval are None for a single seed."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


def over_seeds(values: Sequence[float], confidence: float = 0.95, overlap: float = 0.0) -> Summary:
    """Mean, sample standard deviation and t-interval (Student 1908) of one figure over seeds.

    The interval is about the mean over seeds on these test pictures, not about other pictures.

    ``overlap``: for figures of repeated random splits, test images / training images of one: what such splits share
    makes the mean less sure than independent figures would (Nadeau & Bengio 2003, Machine Learning 52:239, the
    corrected resampled t).
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) == 0:
        raise ValueError("no values")
    mean = float(x.mean())
    if len(x) == 1:
        return Summary(mean, None, None, None, 1)
    sd = float(x.std(ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(x) - 1)) * sd * math.sqrt(1 / len(x) + overlap)
    return Summary(mean, sd, mean - half, mean + half, len(x))


def two_sided(confidence: float) -> float:
    """The normal quantile that leaves (1 - confidence) / 2 on either side: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1")
    return float(stats.norm.ppf(0.5 + confidence / 2))
