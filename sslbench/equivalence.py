"""What a comparison says of a claim: holds, contradicted or undecided. No torch here.

A difference that is not significant is no evidence of equality. "As good as" is therefore tested in its own right, by
two one-sided tests against a margin (TOST: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

from sslbench import seeds, stats

HOLDS, CONTRADICTED, UNDECIDED = "holds", "contradicted", "undecided"


class Equivalence(NamedTuple):
    """Whether a difference lies within +-margin. ``low`` to ``high`` has confidence 1 - 2 level, as TOST asks."""

    difference: float
    low: float
    high: float
    p: float  # that it does not: the larger of the two one-sided p-values
    holds: bool


def higher(low: float, high: float, margin: float = 0.0) -> str:
    """Of the claim that a lies above b by more than ``margin``, given the interval of a - b."""
    return HOLDS if low > margin else CONTRADICTED if high < margin else UNDECIDED


def alike(equivalence: Equivalence, low: float, high: float, margin: float) -> str:
    """Of the claim that a and b differ by at most ``margin``, given also the (1 - level) interval of a - b."""
    if equivalence.holds:
        return HOLDS
    return CONTRADICTED if low > margin or high < -margin else UNDECIDED


def equivalent(a: np.ndarray, b: np.ndarray, margin: float, level: float = 0.05) -> Equivalence:
    """Are two models equally accurate to within ``margin`` (a share, 0.01 for a point)?

    Args:
        a, b: bool [n] or [seeds, n], as ``stats.compare`` takes them.

    One seed each: Tango's score tests (1998, made for this question). Several: t-tests with the same standard error
    as ``stats.compare``.
    """
    if not 0 < margin < 1 or not 0 < level < 0.5:
        raise ValueError(f"margin {margin}, level {level}")
    found = stats.compare(a, b, 1 - 2 * level)  # also refuses different pictures
    a, b = np.atleast_2d(np.asarray(a, bool)), np.atleast_2d(np.asarray(b, bool))
    if min(len(a), len(b)) == 1:
        counts = np.array([(a[0] & ~b[0]).sum()], float), np.array([(~a[0] & b[0]).sum()], float)
        below, above = (float(stats.tango_score(*counts, a.shape[1], np.array([end]))[0]) for end in (-margin, margin))
        p = float(max(distributions.norm.sf(below), distributions.norm.cdf(above)))
    else:
        error, freedom = stats.error_of(seeds.tabulate(a), seeds.tabulate(b), a.mean(0) - b.mean(0))
        t = (
            (margin - abs(found.difference)) / error
            if error
            else math.copysign(math.inf, margin - abs(found.difference))
        )
        p = float(distributions.t.sf(t, freedom))
    return Equivalence(found.difference, found.low, found.high, p, p <= level)
