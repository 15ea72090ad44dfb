"""What the variances of many models say of each one's: empirical Bayes, robust against a few that vary far more.

Variances are taken to be s0^2 F(d, d0), with d their own degrees of freedom (Smyth 2004, Stat. Appl. Genet. Mol.
Biol. 3:3, section 6.2). A few unstable models would make d0 small, and every model would stand on its own seeds again.
So s0^2 and d0 are fitted to winsorised logarithms, and d0 is lowered for those models alone that lie further out than
the fit allows (Phipson et al. 2016, Ann. Appl. Stat. 10:946; limma's `squeezeVar(robust=TRUE)`).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

TAILS = (0.05, 0.1)  # winsorised, lower and upper: the paper's
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


class Fit(NamedTuple):
    """``variance`` s0^2; ``freedom`` d0, infinite where all vary alike; ``each`` [n]: d0, lowered for outliers."""

    variance: float
    freedom: float
    each: np.ndarray


def fit(variances: np.ndarray, freedom: np.ndarray) -> Fit:
    """By the mean and variance of the logarithms of ``variances`` [n], known to ``freedom`` [n] degrees. n >= 2."""
    logs = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)
    scatter = float(logs.var(ddof=1) - special.polygamma(1, freedom / 2).mean())
    if scatter <= 0:
        return Fit(float(np.mean(variances)), math.inf, np.full(len(variances), math.inf))
    d0 = 2 * trigamma_inverse(scatter)
    s0 = float(np.exp(logs.mean() + special.digamma(d0 / 2) - np.log(d0 / 2)))
    return Fit(s0, d0, np.full(len(variances), d0))


def fit_robustly(variances: np.ndarray, freedom: np.ndarray, tails: tuple[float, float] = TAILS) -> Fit:
    """The same of winsorised logarithms, with ``each`` lowered where a model varies more than the fit explains."""
    variances = np.asarray(variances, float)
    freedom = np.broadcast_to(np.asarray(freedom, float), variances.shape)
    variances = np.maximum(variances, 1e-12 * np.median(variances))
    plain, n = fit(variances, freedom), len(variances)
    if n < 3 or max(tails) < 1 / n:
        return plain
    if freedom.min() < freedom.max():
        variances = _as_of(variances, freedom, plain)
    d, logs = float(freedom.max()), np.log(variances)
    centre = float(stats.trim_mean(logs, tails[1]))
    low, high = np.quantile(logs - centre, [tails[0], 1 - tails[1]])
    clipped = np.clip(logs - centre, low, high)
    scatter = float(clipped.var(ddof=1))

    def excess(share: float) -> float:  # of d0 / (1 + d0)
        return math.log(scatter / _moments(d, share / (1 - share), tails)[1])

    if scatter <= _moments(d, math.inf, tails)[1]:
        d0 = math.inf
    elif math.isinf(plain.freedom):
        return plain
    elif excess(start := plain.freedom / (1 + plain.freedom)) >= 0:
        d0 = plain.freedom
    else:
        share = optimize.brentq(excess, start, 1 - 1e-9, xtol=1e-10) if excess(1 - 1e-9) > 0 else 1 - 1e-9
        d0 = share / (1 - share)
    s0 = math.exp(centre + float(clipped.mean()) - _moments(d, d0, tails)[0])
    return Fit(s0, d0, _lowered(variances / s0, d, d0))


def trigamma_inverse(y: float) -> float:
    """x with trigamma(x) = y > 0; trigamma falls and is convex, so Newton's steps on 1 / trigamma settle."""
    if y > 1e7:
        return 1 / math.sqrt(y)
    if y < 1e-6:
        return 1 / y
    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / y) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x


def _ratio(d: float, d0: float) -> stats.rv_continuous:
    """The distribution of a model's variance over s0^2."""
    return stats.chi2(d, scale=1 / d) if math.isinf(d0) else stats.f(d, d0)


def _moments(d: float, d0: float, tails: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance of log F(d, d0), winsorised; by quadrature over F / (1 + F)."""
    ratio = _ratio(d, d0)
    ends = ratio.ppf([tails[0], 1 - tails[1]])
    low, high = ends / (1 + ends)
    nodes = low + (high - low) * (_NODES + 1) / 2
    values = nodes / (1 - nodes)
    density = ratio.pdf(values) / (1 - nodes) ** 2 * _WEIGHTS * (high - low) / 2
    logs, outside = np.log(values), np.log(ends)
    mean = float(density @ logs + outside @ tails)
    return mean, float(density @ (logs - mean) ** 2 + (outside - mean) ** 2 @ np.array(tails))


def _as_of(variances: np.ndarray, freedom: np.ndarray, plain: Fit) -> np.ndarray:
    """The variances that models of the most degrees of freedom would have shown at the same tail probability."""
    most, found = freedom.max(), variances.copy()
    for i in np.flatnonzero(freedom < most):
        own, asked = _ratio(freedom[i], plain.freedom), _ratio(most, plain.freedom)
        value = variances[i] / plain.variance
        upper = own.sf(value)
        found[i] = plain.variance * (asked.isf(upper) if upper < 0.5 else asked.ppf(own.cdf(value)))
    return found


def _lowered(ratios: np.ndarray, d: float, d0: float) -> np.ndarray:
    """d0 for each model: lowered by how much less likely it is to vary so than its place among all explains."""
    n = len(ratios)
    tail = _ratio(d, d0).sf(ratios)
    explained = np.minimum(tail / ((n - stats.rankdata(ratios) + 0.5) / n), 1)
    each, order = np.full(n, d0), np.argsort(tail, kind="stable")
    if (explained == 1).all():
        return each
    if math.isinf(d0):
        each[explained < 1] = explained[explained < 1] * n * d
        each[order] = np.maximum.accumulate(each[order])
        return each
    least = 0.0  # d0 at which the furthest model is of median size
    if tail.min() > 0:
        least = math.log(0.5) / math.log(tail.min()) * d0
        least *= math.log(0.5) / float(stats.f(d, least).logsf(ratios.max()))
    each = explained * d0 + (1 - explained) * least
    ordered = each[order]
    means = ordered.cumsum() / np.arange(1, n + 1)
    first = int(means.argmin())
    ordered[: first + 1] = means[first]
    each[order] = np.maximum.accumulate(ordered)
    return each
