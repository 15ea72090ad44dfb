"""Comparisons that decide an article's claim: weighted sums of accuracies on shared pictures, ratios of costs, orders.

Every comparison has two one-sided p-values: ``p_for``, of what the claim says, and ``p_against``, of its opposite. No
torch here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy
from scipy import stats as distributions

from sslbench.stats import paired

Weights = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Comparison:
    """One effect with its interval, and how well it speaks for the claim and against it."""

    about: str
    unit: str  # points (a difference of shares), ratio, order (a rank correlation)
    effect: float
    low: float
    high: float
    p_for: float
    p_against: float
    of: str  # what it was measured on, in words
    once: bool = False  # each network trained once: another training's luck is not in the interval
    veto: bool = False  # counts only against the claim
    group: str = ""  # comparisons that are read together

    @property
    def p(self) -> float:
        """Two-sided: the probability of so much in either direction where there is nothing."""
        return min(1.0, 2 * min(self.p_for, self.p_against))

    def named(self, **changes: object) -> "Comparison":
        return replace(self, **changes)

    def plain(self) -> dict:
        return asdict(self) | {"p": self.p}


def mean_gap(plus: Sequence[tuple[str, str]], minus: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Weights of the mean over ``plus`` less the mean over ``minus``."""
    weights: dict[tuple[str, str], float] = {}
    for side, sign in ((plus, 1.0), (minus, -1.0)):
        for key in side:
            weights[key] = weights.get(key, 0.0) + sign / len(side)
    return weights


def averaged(parts: Sequence[Weights]) -> dict[tuple[str, str], float]:
    """The mean of several sets of weights, e.g. of one per transform."""
    joined: dict[tuple[str, str], float] = {}
    for part in parts:
        for key, weight in part.items():
            joined[key] = joined.get(key, 0.0) + weight / len(parts)
    return joined


def accuracies(
    sets: Sequence[Sequence[tuple[float, numpy.ndarray]]],
    sign: int,
    about: str,
    confidence: float = 0.95,
    margin: float | None = None,
) -> Comparison:
    """A weighted sum of accuracies, averaged over test sets.

    Args:
        sets: per test set the terms (weight, whether each picture was classified rightly: bool [seeds, n]). The terms
            of one set are paired picture by picture; sets are taken as independent of each other.
        sign: +1 where the claim says that the sum is above 0, -1 for below. With ``margin`` (a share, above 0) the
            claim says that it lies within plus or minus the margin (two one-sided tests, Schuirmann 1987, J.
            Pharmacokinet. Biopharm. 15:657-680); against it speaks a sum beyond the margin. With ``margin`` below 0,
            the claim says that the sum is above ``margin`` (non-inferiority).

    One pair on one set, each trained once: Tango's interval and McNemar's exact test, as in stats.compare. Otherwise a
    t-interval whose variance adds that of the pictures and, where every network has two or more seeds, that of the
    seeds, with Welch's degrees of freedom.
    """
    once = any(len(right) < 2 for terms in sets for _, right in terms)
    used = [[(weight, right[:1] if once else right) for weight, right in terms] for terms in sets]
    effect, variance, freedom = 0.0, 0.0, 0.0
    for terms in used:
        n = terms[0][1].shape[1]
        per_picture = sum(weight * right.mean(0) for weight, right in terms)
        effect += float(per_picture.mean()) / len(sets)
        # Never less than what one picture more or less would make.
        sources = [(max(float(per_picture.var(ddof=1)) / n if n > 1 else 1.0, 1 / n**2), max(n - 1, 1))]
        if not once:
            sources += [(w * w * float(r.mean(1).var(ddof=1)) / len(r), len(r) - 1) for w, r in terms]
        scaled = [(v / len(sets) ** 2, f) for v, f in sources]
        variance += sum(v for v, _ in scaled)
        freedom += sum(v * v / f for v, f in scaled)
    law = distributions.t(variance**2 / freedom)
    error = math.sqrt(variance)
    half = float(law.ppf(0.5 + confidence / 2)) * error
    low, high = effect - half, effect + half
    below = lambda bound: float(law.cdf((effect - bound) / error))  # noqa: E731 - P(less | the truth is the bound)
    above = lambda bound: float(law.sf((effect - bound) / error))  # noqa: E731
    if margin is not None and margin > 0:
        p_for, p_against = max(below(margin), above(-margin)), min(above(margin), below(-margin))
    else:
        bound = margin or 0.0
        p_for, p_against = (above(bound), below(bound)) if sign > 0 else (below(bound), above(bound))
    if margin is None and once and len(used) == 1 and sorted(w for w, _ in used[0]) == [-1, 1]:
        (_, minus), (_, plus) = sorted(used[0], key=lambda term: term[0])
        pair = paired.compare(plus, minus, confidence)
        low, high = pair.low, pair.high
        towards = pair.p / 2 if pair.difference * sign >= 0 else 1 - pair.p / 2
        p_for, p_against = (towards, 1 - towards) if pair.difference else (1.0, 1.0)
    pictures = sum(terms[0][1].shape[1] for terms in used)
    cells = sum(len(terms) for terms in used)
    of = f"{cells} entries, {pictures:,} test pictures"
    return Comparison(about, "points", effect, low, high, p_for, p_against, of, once)


def ratios(
    logs: Sequence[float], sign: int, about: str, what: str, confidence: float = 0.95, margin: float = 0.0
) -> Comparison | None:
    """The geometric mean of ratios, given as logarithms, one per ``what`` (e.g. column); None below two of them.

    The claim says that the ratio is above 1 + ``margin`` (sign +1) or below 1 - ``margin`` (-1): equal costs then speak
    against it, as they should. A time is measured once per cell, so its interval comes from the columns: a t-interval
    of the mean logarithm.
    """
    values = numpy.asarray(logs, float)
    if len(values) < 2:
        return None
    mean, error = float(values.mean()), max(float(values.std(ddof=1)) / math.sqrt(len(values)), 1e-6)
    law = distributions.t(len(values) - 1)
    half = float(law.ppf(0.5 + confidence / 2)) * error
    distance = (mean - math.log1p(sign * margin)) / error
    up, down = float(law.sf(distance)), float(law.cdf(distance))
    p_for, p_against = (up, down) if sign > 0 else (down, up)
    low, high = math.exp(mean - half), math.exp(mean + half)
    return Comparison(about, "ratio", math.exp(mean), low, high, p_for, p_against, f"{len(values)} {what}s")


def orders(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], about: str, confidence: float) -> Comparison:
    """Spearman's rank correlation of two measures, pooled over groups of at least four pairs; the claim: above 0.

    By Fisher's z with the variance 1.06 / (n - 3) (Fieller, Hartley and Pearson 1957, Biometrika 44:470-481).
    """
    total, weight = 0.0, 0.0
    for first, second in pairs:
        flat = len(set(first)) == 1 or len(set(second)) == 1  # all ties: no order, so no agreement
        rho = 0.0 if flat else float(distributions.spearmanr(first, second).statistic)
        rho, share = max(-0.9999, min(0.9999, rho)), (len(first) - 3) / 1.06
        total, weight = total + share * math.atanh(rho), weight + share
    z, error = total / weight, 1 / math.sqrt(weight)
    half = float(distributions.norm.ppf(0.5 + confidence / 2)) * error
    up, down = float(distributions.norm.sf(z / error)), float(distributions.norm.cdf(z / error))
    count = sum(len(first) for first, _ in pairs)
    ends = math.tanh(z - half), math.tanh(z + half)
    return Comparison(about, "order", math.tanh(z), *ends, up, down, f"{count} entries")
