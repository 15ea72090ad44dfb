"""Statistics of accuracies: intervals, paired comparisons, and ranks that models share. No torch here.

All of it speaks of the test pictures as a sample, and of the trained networks as they are. What another seed would
have given is covered only where several seeds are handed in.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927; method 3 of Newcombe 1998, Stat. Med. 17:857-872).

    n = 0 gives (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    z = _two_sided(confidence)
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
    if only_a < 0 or only_b < 0 or only_a + only_b > n or n == 0:
        raise ValueError(f"{only_a} and {only_b} discordant pictures of {n}")
    z = _two_sided(confidence)
    difference = (only_a - only_b) / n

    def score(delta: float) -> float:
        # q: likeliest probability of "only b is right" among those with difference delta
        linear = (2 * n - only_a + only_b) * delta - only_a - only_b
        q = (math.sqrt(max(linear**2 + 8 * n * only_b * delta * (1 - delta), 0)) - linear) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return (only_a - only_b - n * delta) / math.sqrt(max(variance, 1e-300))

    def bound(end: float) -> float:
        inner = difference + (end - difference) * 1e-9
        outer = end * (1 - 1e-12)
        if abs(difference - end) < 1e-9 or abs(score(outer)) < z:
            return end
        return float(optimize.brentq(lambda delta: score(delta) + math.copysign(z, end), inner, outer, xtol=1e-12))

    return bound(-1.0), bound(1.0)


def compare(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Difference:
    """Two models on the same test pictures.

    Args:
        a, b: whether each picture was classified rightly, bool [n]; or [seeds, n], one row per trained network.

    One network each: Tango's interval and McNemar's exact test; the two may disagree on a borderline case, since only
    the test is exact. Two or more seeds each: the mean difference with a t-interval whose variance adds that of the
    pictures and that of each model's seeds, with Welch's degrees of freedom. Pictures and seeds are crossed, so the
    sum counts their interaction twice and the interval is, if anything, too wide (Owen 2007, arXiv 0712.1111).
    Where only one model has several seeds, the first of each is compared.
    """
    a, b = np.atleast_2d(np.asarray(a, bool)), np.atleast_2d(np.asarray(b, bool))
    n = a.shape[1]
    if b.shape[1] != n or n == 0:
        raise ValueError(f"models were tested on {n} and {b.shape[1]} pictures")
    if min(len(a), len(b)) == 1:
        only_a, only_b = int((a[0] & ~b[0]).sum()), int((~a[0] & b[0]).sum())
        return Difference((only_a - only_b) / n, *tango(only_a, only_b, n, confidence), mcnemar(only_a, only_b))
    difference = float(a.mean() - b.mean())
    sources = [  # (variance of a mean, its degrees of freedom)
        (float((a.mean(0) - b.mean(0)).var(ddof=1)) / n if n > 1 else 0.0, max(n - 1, 1)),
        (float(a.mean(1).var(ddof=1)) / len(a), len(a) - 1),
        (float(b.mean(1).var(ddof=1)) / len(b), len(b) - 1),
    ]
    variance = sum(v for v, _ in sources)
    if variance == 0:
        return Difference(difference, difference, difference, 1.0 if difference == 0 else 0.0)
    freedom = variance**2 / sum(v * v / f for v, f in sources)
    error = math.sqrt(variance)
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return Difference(difference, difference - half, difference + half, p)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number: rejecting those <= level keeps P(any false one) <= level (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


class Rank(NamedTuple):
    """A model's place. ``lowest`` to ``highest`` hold its true rank, for all models at once, at the stated level."""

    name: str
    accuracy: float
    rank: int  # shared within a tie group: 1 + the number of models in better groups
    leader: str  # the group's most accurate model
    lowest: int  # 1 + the number of models significantly better
    highest: int  # the number of models not significantly worse, itself included


def tie_groups(correct: Mapping[str, np.ndarray], level: float = 0.05) -> list[Rank]:
    """Rank models on the same test pictures so that those which cannot be told apart from a group's best share a rank.

    All pairs are compared (see ``compare``) and their p-values adjusted together (Holm). The most accurate model leads
    the first group; its members are the models that do not differ significantly from it. The best of the remaining
    models leads the next group, and so on.

    All pairs enter the correction, not only those with the leader: who leads is seen from the same data, so the pairs
    in question are the most extreme of all. P(equal models are split anywhere) is thus at most ``level``.

    "Cannot be told apart" is not transitive. Two models of different groups may be indistinguishable from each other;
    and a group may hold a model less accurate than a later group's leader, where its predictions overlap less with its
    own leader's. ``lowest`` and ``highest`` state all that the pairs show, free of the grouping (Mogstad et al. 2024,
    Rev. Econ. Stud. 91:476-518); a difference between two named models is read off ``compare``.

    Args:
        correct: model -> bool [n] or [seeds, n]. Leave collapsed runs out.

    Returns:
        By rank, then falling accuracy, then name.
    """
    accuracy = {name: float(np.mean(values)) for name, values in correct.items()}
    names = sorted(correct, key=lambda name: (-accuracy[name], name))
    pairs = list(itertools.combinations(names, 2))  # (the more accurate, the other)
    found = [compare(correct[a], correct[b]) for a, b in pairs]
    adjusted = holm([each.p for each in found])
    # With unequal numbers of seeds the pair compared may point the other way than the means: no verdict then.
    apart = {pair for pair, p, each in zip(pairs, adjusted, found, strict=True) if p <= level and each.difference > 0}
    ranks, remaining = [], names
    while remaining:
        leader, place = remaining[0], 1 + len(ranks)
        group = [name for name in remaining if (leader, name) not in apart]
        for name in group:
            better = sum((other, name) in apart for other in names)
            worse = sum((name, other) in apart for other in names)
            ranks.append(Rank(name, accuracy[name], place, leader, 1 + better, len(names) - worse))
        remaining = [name for name in remaining if name not in group]
    return ranks


def smallest_detectable(
    n: int, accuracy: float, discordant: float | None = None, level: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference that a paired test on n pictures finds with probability ``power``.

    Args:
        accuracy: about where the two models lie.
        discordant: share of pictures that exactly one model gets right; None: 2 p (1 - p), that of models whose errors
            are independent, which is the cautious choice, since real models err on the same pictures more often.
        power: 0.5 gives the observed difference at which the test begins to reject.

    Solves delta sqrt(n) = z_level sqrt(d) + z_power sqrt(d - delta^2) (Miettinen 1968, Biometrics 24:339-352;
    Connor 1987, Biometrics 43:207-211). Capped at d, beyond which no such pair of models exists.
    """
    d = 2 * accuracy * (1 - accuracy) if discordant is None else discordant
    if n <= 0 or not 0 <= d <= 1 or not 0.5 <= power < 1:
        raise ValueError(f"n {n}, discordant share {d}, power {power}")
    z_level, z_power = _two_sided(1 - level), float(stats.norm.ppf(power))
    # squared and solved for delta: (n + z_power^2) delta^2 - 2 sqrt(n d) z_level delta + d (z_level^2 - z_power^2) = 0
    half = math.sqrt(n * d) * z_level
    square = n + z_power**2
    root = math.sqrt(max(half**2 - square * d * (z_level**2 - z_power**2), 0))
    return min((half + root) / square, d)


class Summary(NamedTuple):
    """Several seeds of one model. ``sd`` (n - 1) and the interval are None for a single seed."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Mean, sample standard deviation and t-interval (Student 1908) of one figure over seeds.

    The interval is about the mean over seeds on these test pictures, not about other pictures.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) == 0:
        raise ValueError("no values")
    mean = float(x.mean())
    if len(x) == 1:
        return Summary(mean, None, None, None, 1)
    sd = float(x.std(ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(x) - 1)) * sd / math.sqrt(len(x))
    return Summary(mean, sd, mean - half, mean + half, len(x))


def _two_sided(confidence: float) -> float:
    """The normal quantile that leaves (1 - confidence) / 2 on either side: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1")
    return float(stats.norm.ppf(0.5 + confidence / 2))
