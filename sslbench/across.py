"""Models over several datasets: mean ranks, the Friedman test, and what may be told apart after it. No torch here."""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

from sslbench.stats import holm
from sslbench.ties import MOST, bars


class Across(NamedTuple):
    """Models over blocks. ``bars``: longest runs of models, by mean rank, of which no two differ at the level."""

    names: list  # best mean rank first
    mean_ranks: dict
    blocks: int
    friedman: float  # Iman and Davenport's F; infinite where all blocks agree, 0 where nothing varies
    p: float
    critical_difference: float  # Nemenyi's, in mean ranks
    nemenyi: list  # bars by the critical difference; one bar of all where the Friedman test finds nothing
    wilcoxon: dict  # (better, worse) -> p after Holm, exact; empty for more than ties.MOST models, as is the next
    wilcoxon_bars: list
    least_p: float  # the smallest adjusted p that Wilcoxon's test could have given with so few blocks


def across(scores: Mapping[Hashable, Sequence[float]], level: float = 0.05) -> Across:
    """Do models differ over several datasets (Demsar 2006, J. Mach. Learn. Res. 7:1-30)?

    Args:
        scores: model -> one accuracy per block, the same blocks in the same order for all. Two models or more.

    The Friedman test in Iman & Davenport's form (1980, Commun. Stat. A 9:571-595), then Nemenyi's critical difference
    q sqrt(k (k + 1) / (6 N)). Nemenyi's verdict on two models moves with the others' ranks, and so Wilcoxon's
    signed-rank test of each pair with Holm's correction is given too (Benavoli, Corani & Mangili 2016, J. Mach. Learn.
    Res. 17:1-10). Blocks are taken to be independent: datasets are, the transforms of one dataset are not. With N
    blocks Wilcoxon's p is at least 2^(1 - N): four datasets can tell no two models apart, and ``least_p`` says so.

    Raises ValueError for unequal numbers of blocks, or fewer than two models or blocks.
    """
    names = list(scores)
    counts = {len(values) for values in scores.values()}
    if len(names) < 2 or len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"{len(names)} models over {sorted(counts)} blocks")
    table = np.array([scores[name] for name in names], float).T  # [blocks, models]
    blocks, k = table.shape
    ranks = distributions.rankdata(-table, axis=1)  # ties share the mean rank
    mean = ranks.mean(0)
    order = sorted(range(k), key=lambda i: (mean[i], str(names[i])))
    ordered = [names[i] for i in order]
    place = dict(zip(names, mean.tolist(), strict=True))
    spread = float(((ranks - (k + 1) / 2) ** 2).sum()) / (blocks * (k - 1))  # with ties below k (k + 1) / 12
    chi = blocks * float(((mean - (k + 1) / 2) ** 2).sum()) / spread if spread else 0.0
    rest = blocks * (k - 1) - chi
    f = (blocks - 1) * chi / rest if rest > 1e-9 else math.inf
    p = float(distributions.f.sf(f, k - 1, (k - 1) * (blocks - 1))) if spread else 1.0
    q = float(distributions.studentized_range.ppf(1 - level, k, np.inf)) / math.sqrt(2)
    critical = q * math.sqrt(k * (k + 1) / (6 * blocks))
    nemenyi = _runs(ordered, place, critical if p <= level else math.inf)
    least = min(2.0 ** (1 - blocks) * k * (k - 1) / 2, 1.0)
    if k > MOST:  # pairs grow with the square
        return Across(ordered, place, blocks, f, p, critical, nemenyi, {}, [], least)
    pairs = list(itertools.combinations(ordered, 2))
    raw = [_signed_rank(np.subtract(scores[a], scores[b])) for a, b in pairs]
    tested = dict(zip(pairs, holm(raw).tolist(), strict=True))
    apart = {pair for pair, each in tested.items() if each <= level}
    return Across(ordered, place, blocks, f, p, critical, nemenyi, tested, bars(ordered, apart), least)


def _runs(names: list, place: dict, distance: float) -> list[tuple]:
    """``ties.bars`` of names whose places, rising, lie no more than ``distance`` apart."""
    found, stop, end = [], 0, 0
    for start in range(len(names)):
        while stop < len(names) and place[names[stop]] - place[names[start]] <= distance:
            stop += 1
        if stop > end and stop - start > 1:
            found.append(tuple(names[start:stop]))
        end = max(end, stop)
    return found


def _signed_rank(differences: np.ndarray) -> float:
    """Wilcoxon's two-sided p: exact over all signs, ties and zeros included (Pratt 1959), as doubled ranks are whole.

    ``differences`` [N]; zeros are ranked with the rest, then left out.
    """
    rounded = np.round(np.asarray(differences, float), 12)
    doubled = np.round(2 * distributions.rankdata(np.abs(rounded))).astype(np.int64)[rounded != 0]
    signs = np.sign(rounded[rounded != 0])
    weights = np.ones(1)
    for rank in doubled:
        longer = np.zeros(len(weights) + rank)
        longer[: len(weights)] += weights / 2
        longer[rank:] += weights / 2
        weights = longer
    sums = 2 * np.arange(len(weights)) - (len(weights) - 1)
    return float(min(weights[np.abs(sums) >= abs(int((signs * doubled).sum()))].sum(), 1.0))
