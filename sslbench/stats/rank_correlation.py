"""Does one measure order things as another does? Rank correlations with what can be said of them. No torch."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

FEWEST = 5  # below it even perfect agreement has p > 0.05: 2 / n! with n = 4 is 0.083


class Agreement(NamedTuple):
    """``low`` and ``high`` bound ``spearman``; None where it is 1 or -1, or there are fewer than FEWEST pairs."""

    spearman: float
    low: float | None
    high: float | None
    kendall: float
    p: float  # two-sided, that there is no association
    n: int


def agree(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Agreement | None:
    """Of n pairs; None for fewer than 2, or where one side does not vary.

    Spearman's rho with the interval of Bonett & Wright 2000 (Psychometrika 65:23-28, equation 7), Kendall's tau-b with
    its exact p-value (Kendall 1938) where there are no ties, else the normal one. Both take pairs to be independent.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    n = len(x)
    if n < 2 or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    rho, tau = float(stats.spearmanr(x, y).statistic), stats.kendalltau(x, y)
    low = high = None
    if n >= FEWEST and abs(rho) < 1 - 1e-12:
        half = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt((1 + rho * rho / 2) / (n - 3))
        low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    return Agreement(rho, low, high, float(tau.statistic), float(tau.pvalue), n)
