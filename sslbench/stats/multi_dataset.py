"""Models over several datasets: mean ranks, the Friedman test, and what may be told apart after it. No torch here."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions


class Across(NamedTuple):
    """Models over blocks. ``bars``: longest runs of models, by mean rank, of which no two differ at the level."""

    names: list  # best mean rank first
    mean_ranks: dict
    blocks: int
    friedman: float  # Iman and Davenport's F; infinite where all blocks agree, 0 where nothing varies
    p: float
    critical_difference: float  # Nemenyi's, in mean ranks
    nemenyi: list  # bars by the critical difference; one bar of all where the Friedman test finds nothing
    least_p: float  # the smallest p, after Holm, that Wilcoxon's test of a pair could give with so few blocks


def across(
    scores: Mapping[Hashable, Sequence[float]], level: float = 0.05, versions: Sequence[Sequence[int]] | None = None
) -> Across:
    """Do models differ over several datasets (Demsar 2006, J. Mach. Learn. Res. 7:1-30)?

    Args:
        scores: model -> one accuracy per dataset, the same in the same order for all. Two models or more.
        versions: places in ``scores`` of the datasets that make up each block, which ranks models by their mean rank on
            these; None: each dataset is a block.

    The Friedman test in Iman & Davenport's form (1980, Commun. Stat. A 9:571-595), then Nemenyi's critical difference
    q sqrt(k (k + 1) / (6 N)). Blocks are taken to be independent: datasets are, the transforms of one dataset are not.
    Nemenyi's verdict on two models moves with the others' ranks. Wilcoxon's signed-rank test of one pair does not
    (Benavoli, Corani & Mangili 2016, J. Mach. Learn. Res. 17:1-10), but with N blocks its p is at least 2^(1 - N): four
    datasets can tell no two models apart, and ``least_p`` says so.

    Raises ValueError for unequal numbers of blocks, or fewer than two models or blocks.
    """
    names = list(scores)
    counts = {len(values) for values in scores.values()}
    if len(names) < 2 or len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"{len(names)} models over {sorted(counts)} blocks")
    table = np.array([scores[name] for name in names], float).T  # [datasets, models]
    ranks = distributions.rankdata(-table, axis=1)  # ties share the mean rank
    if versions is not None:
        ranks = distributions.rankdata([ranks[list(of)].mean(0) for of in versions], axis=1)
    blocks, k = ranks.shape
    if blocks < 2:
        raise ValueError("one block tells nothing of others")
    mean = ranks.mean(0)
    order = sorted(range(k), key=lambda i: (mean[i], str(names[i])))
    ordered = [names[i] for i in order]
    place = dict(zip(names, mean.tolist(), strict=True))
    spread = float(((ranks - (k + 1) / 2) ** 2).sum()) / (blocks * (k - 1))  # with ties below k (k + 1) / 12
    chi = blocks * float(((mean - (k + 1) / 2) ** 2).sum()) / spread if spread else 0.0
    rest = blocks * (k - 1) - chi
    f = (blocks - 1) * chi / rest if rest > 1e-9 else math.inf
    p = float(distributions.f.sf(f, k - 1, (k - 1) * (blocks - 1))) if spread else 1.0
    # Few blocks often agree by chance, where F is infinite: of rankings at random, that many do.
    p = max(p, math.exp((1 - blocks) * math.lgamma(k + 1)))
    q = float(distributions.studentized_range.ppf(1 - level, k, np.inf)) / math.sqrt(2)
    critical = q * math.sqrt(k * (k + 1) / (6 * blocks))
    nemenyi = _runs(ordered, place, critical if p <= level else math.inf)
    least = min(2.0 ** (1 - blocks) * k * (k - 1) / 2, 1.0)
    return Across(ordered, place, blocks, f, p, critical, nemenyi, least)


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
