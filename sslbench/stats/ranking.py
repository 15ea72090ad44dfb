"""All pairs of models on one test set, and what follows from them: ranks that are shared, and critical differences.

No torch here. The tests of a pair are those of sslbench/stats/paired.py; several datasets:
sslbench/stats/multi_dataset.py.

Pairs grow with the square of the models. Beyond MOST models, each is compared with the leaders of its rank and of the
better ones only, which grows with the models: 2,500 of them have 3.1 million pairs. The correction is then Bonferroni's
for all pairs that there are, so no fewer than before count as tied by the choice of what is compared.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

from sslbench.stats import paired, variance_components

MOST = 200  # models of which every pair is compared


class Pair(NamedTuple):
    """Accuracy of the first model less that of the second."""

    difference: float
    low: float  # this pair's own interval, at the confidence asked for
    high: float
    p: float
    adjusted: float  # p after Holm, over the pairs that stand together; after Bonferroni where not all are compared
    error: float  # standard error of the difference
    freedom: float  # its degrees of freedom; infinite for one seed each
    discordant: float  # share of pictures on which the two differ (in any seed)


class Pairs(NamedTuple):
    """The pairs of ``names``, which stand by falling accuracy, then name; (earlier, later) -> Pair.

    Of more than MOST names, those with the leaders of ranks alone.
    """

    names: list
    accuracy: dict
    n: int  # test pictures
    found: dict
    priors: dict  # name -> what the seeds of all models say of its own; empty where too few have several
    level: float  # 1 - confidence: who leads, and so which pairs were compared, is decided at it
    complete: bool  # whether every pair was to be compared, and Holm's correction made

    @property
    def possible(self) -> int:
        return len(self.names) * (len(self.names) - 1) // 2

    def between(self, a: Hashable, b: Hashable) -> Pair:
        """a against b, whichever of them is the more accurate."""
        if (a, b) in self.found:
            return self.found[a, b]
        pair = self.found[b, a]
        return pair._replace(difference=-pair.difference, low=-pair.high, high=-pair.low)

    def among(self, names: Iterable[Hashable]) -> "Pairs":
        """The pairs of some of the models, Holm's correction made for these alone. Only of complete pairs."""
        wanted = set(names)
        kept = [name for name in self.names if name in wanted]
        found = {pair: self.found[pair] for pair in itertools.combinations(kept, 2)}
        accuracy = {name: self.accuracy[name] for name in kept}
        return self._replace(names=kept, accuracy=accuracy, found=_adjusted(found))

    def apart(self, level: float = 0.05) -> set:
        """(better, worse) for the pairs that differ."""
        return {pair for pair, each in self.found.items() if _is_apart(each, level)}

    def smallest_detectable(self, level: float = 0.05, power: float = 0.8) -> float | None:
        """The smallest true difference that a typical one of these pairs shows with probability ``power``; None for
        fewer than two models.

        Typical: of median error. At the level that is left to one pair when all share ``level``, which is cautious
        next to Holm's steps.
        """
        if not self.found:
            return None
        share = level / self.possible
        if all(np.isinf(pair.freedom) for pair in self.found.values()):
            typical = float(np.median([pair.discordant for pair in self.found.values()]))
            return paired.smallest_detectable(self.n, 0.5, typical, share, power)
        return float(
            np.median([paired.detectable(pair.error, pair.freedom, share, power) for pair in self.found.values()])
        )


def all_pairs(correct: Mapping[Hashable, np.ndarray], confidence: float = 0.95, priors: Mapping | None = None) -> Pairs:
    """Every pair of models on the same test pictures; of more than MOST models, those that ``tie_groups`` asks for.

    Args:
        correct: model -> bool [n] or [seeds, n]. Leave collapsed runs out.
        priors: what the seeds say of how each model varies, where more models than these are known.

    ``paired.compare`` on every pair, but for one thing: how much a model varies between seeds is told by its own seeds
    and the other models' together (``priors`` in variance_components.py), where at least FEWEST models have three or
    more. A model of fewer seeds is then taken to vary as the others do. Where fewer have three, a pair in which one
    has a single seed is compared by the first seed of each.
    """
    tables = {name: variance_components.tabulate(values) for name, values in correct.items()}
    sizes = {table.n for table in tables.values()}
    if len(sizes) > 1:
        raise ValueError(f"models were tested on {' and '.join(map(str, sorted(sizes)))} pictures")
    right = {name: np.atleast_2d(np.asarray(values, bool)) for name, values in correct.items()}
    names = sorted(correct, key=lambda name: (-tables[name].mean, name))
    priors = variance_components.priors(tables) if priors is None else dict(priors)
    sums = {name: values.sum(0, dtype=np.int64) for name, values in right.items()}

    def compared(pairs: Iterable[tuple]) -> dict:
        return _compared(pairs, tables, right, sums, priors, confidence)

    possible = len(names) * (len(names) - 1) // 2
    complete = len(names) <= MOST
    if complete:
        found = _adjusted(compared(itertools.combinations(names, 2)))
    else:
        found = _with_leaders(names, compared, possible, 1 - confidence)
    accuracy = {name: tables[name].mean for name in names}
    return Pairs(names, accuracy, max(sizes, default=0), found, priors, 1 - confidence, complete)


def _with_leaders(names: list, compared: Callable, possible: int, level: float) -> dict:
    """Each leader against all that no better one leads: as many comparisons as models, times ranks."""
    found, remaining = {}, names
    while remaining:
        leader, *others = remaining
        told = compared((leader, name) for name in others)
        told = {pair: each._replace(adjusted=min(each.p * possible, 1.0)) for pair, each in told.items()}
        found |= told
        remaining = [name for name in others if _is_apart(told[leader, name], level)]
    return found


def _compared(pairs: Iterable[tuple], tables: dict, right: dict, sums: dict, priors: dict, confidence: float) -> dict:
    """(a, b) -> Pair, not yet adjusted for their number."""
    found, single = {}, []
    several = {name for name, table in tables.items() if table.seeds > 1}
    for a, b in pairs:
        if not ({a, b} <= several or (priors and several & {a, b})):
            single.append((a, b))
            found[a, b] = None  # in its place; filled below, all at once
            continue
        whole = tables[b].seeds * sums[a] - tables[a].seeds * sums[b]
        per_picture = whole / (tables[a].seeds * tables[b].seeds)
        error, freedom = paired.error_of(tables[a], tables[b], per_picture, (priors.get(a), priors.get(b)))
        difference = tables[a].mean - tables[b].mean
        told = paired.from_error(difference, error, freedom, confidence)
        if told.p < paired.flip_bound(whole):  # else the exact test, the dearest part, cannot be the larger of the two
            told = paired.from_error(difference, error, freedom, confidence, paired.flip_sums(whole))
        found[a, b] = Pair(*told, told.p, error, freedom, float((whole != 0).mean()))
    return found | _single(single, right, confidence)


def _single(pairs: list, right: dict, confidence: float) -> dict:
    """McNemar's test and Tango's interval for many pairs of single networks."""
    if not pairs:
        return {}
    n = right[pairs[0][0]].shape[1]
    only = np.array([[(right[a][0] & ~right[b][0]).sum(), (right[b][0] & ~right[a][0]).sum()] for a, b in pairs])
    low, high = paired.tango_all(only[:, 0], only[:, 1], n, confidence)
    both = only.sum(1)
    p = np.minimum(2 * distributions.binom.cdf(only.min(1), both, 0.5), 1.0)  # 1 where nothing is discordant
    share, difference = both / n, (only[:, 0] - only[:, 1]) / n
    error = np.sqrt(np.maximum(share - difference**2, 0) / n)
    columns = zip(difference, low, high, p, p, error, np.full(len(p), np.inf), share, strict=True)
    return {pair: Pair(*map(float, values)) for pair, values in zip(pairs, columns, strict=True)}


def _adjusted(found: dict) -> dict:
    adjusted = paired.holm([pair.p for pair in found.values()])
    return {names: pair._replace(adjusted=float(p)) for (names, pair), p in zip(found.items(), adjusted, strict=True)}


class Rank(NamedTuple):
    """A model's place. ``lowest`` to ``highest`` hold its true rank, for all models at once, at the stated level."""

    name: Hashable
    accuracy: float
    rank: int  # shared within a tie group: 1 + the number of models in better groups
    leader: Hashable  # the group's most accurate model
    lowest: int | None  # 1 + the number of models significantly better; None where not every pair was compared
    highest: int | None  # the number of models not significantly worse, itself included


def tie_groups(correct: Mapping[Hashable, np.ndarray] | Pairs, level: float = 0.05) -> list[Rank]:
    """Rank models on the same test pictures so that those which cannot be told apart from a group's best share a rank.

    All pairs are compared and their p-values adjusted together (Holm); of more than MOST models, those with leaders
    alone, adjusted for all pairs (Bonferroni). The most accurate model leads the first group; its members are the
    models that do not differ significantly from it. The best of the remaining models leads the next group, and so on.

    All pairs enter the correction, not only those with the leader: who leads is seen from the same data, so the pairs
    in question are the most extreme of all. P(equal models are split anywhere) is thus at most ``level``, with either
    correction. Bonferroni's parts no more from a leader, so the first group holds all that Holm's does, and may hold
    more; later groups may then have other leaders, and so other members.

    "Cannot be told apart" is not transitive. Two models of different groups may be indistinguishable from each other;
    and a group may hold a model less accurate than a later group's leader, where its predictions overlap less with its
    own leader's. ``lowest`` and ``highest`` state all that the pairs show, free of the grouping (Mogstad et al. 2024,
    Rev. Econ. Stud. 91:476-518); a difference between two named models is read off ``Pairs.between``.

    Args:
        correct: model -> bool [n] or [seeds, n], collapsed runs left out; or their pairs.

    Returns:
        By rank, then falling accuracy, then name.

    Raises ValueError for pairs that are not complete and were chosen at another level: theirs has other leaders.
    """
    pairs = correct if isinstance(correct, Pairs) else all_pairs(correct, 1 - level)
    if not pairs.complete:
        if not math.isclose(level, pairs.level, rel_tol=1e-9):
            raise ValueError(f"pairs were compared with the leaders at level {pairs.level:g}, not {level:g}")
        level = pairs.level
    apart = pairs.apart(level)
    ranks, remaining = [], pairs.names
    while remaining:
        leader, place = remaining[0], 1 + len(ranks)
        group = [name for name in remaining if (leader, name) not in apart]
        for name in group:
            if not pairs.complete:
                ranks.append(Rank(name, pairs.accuracy[name], place, leader, None, None))
                continue
            better = sum((other, name) in apart for other in pairs.names)
            worse = sum((name, other) in apart for other in pairs.names)
            ranks.append(Rank(name, pairs.accuracy[name], place, leader, 1 + better, len(pairs.names) - worse))
        remaining = [name for name in remaining if (leader, name) in apart]
    return ranks


def bars(names: list, apart: set) -> list[tuple]:
    """The bars of a critical-difference diagram: longest runs of neighbours of which no two differ.

    ``names``: in the order of the axis; ``apart``: pairs that differ, in either order. Single models have no bar.
    """
    found: list[tuple] = []
    end = 0  # of the run before: a run that ends no later lies within it
    for start in range(len(names)):
        stop = start + 1
        while stop < len(names) and not any(_differ(one, names[stop], apart) for one in names[start:stop]):
            stop += 1
        if stop > end and stop - start > 1:
            found.append(tuple(names[start:stop]))
        end = max(end, stop)
    return found


def _is_apart(pair: Pair, level: float) -> bool:
    """Whether the first of a pair is better."""
    return pair.adjusted <= level and pair.difference > 0


def _differ(a: Hashable, b: Hashable, apart: set) -> bool:
    return (a, b) in apart or (b, a) in apart
