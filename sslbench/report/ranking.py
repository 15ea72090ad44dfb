"""From cells to entries (one per dataset, model and transform, over its seeds), and which of them tie.

Only finished, current, uncollapsed cells of the grid are ranked. Entries are compared in pairs on the same test
pictures, with Holm's correction over all pairs compared; entries that cannot be told apart from the best share rank 1.
"""

from pathlib import Path
from statistics import fmean

import pandas

from sslbench import stats

Name = tuple[str, str, str, int]  # dataset, model, transform, seed


def may_rank(cell: dict) -> bool:
    """Whether a cell's accuracy counts in a ranking: in the grid, current, and with features that carry something."""
    sound = cell["status"] == "done" and cell["health"].get("verdict") != "collapsed"
    return sound and cell["kind"] == "grid" and cell["top1"]["value"] is not None


def read_correct(predictions: Path) -> pandas.Series:
    """Per test picture (index and label), whether the first guess is right."""
    table = pandas.read_parquet(predictions, columns=["index", "label", "top1"])
    right = table["label"] == table["top1"]
    right.index = pandas.MultiIndex.from_frame(table[["index", "label"]])
    return right.sort_index()


def entries(cells: list[dict], correct: dict[Name, pandas.Series], confidence: float) -> list[dict]:
    """Cells joined over seeds, in the plan's order, with their ranks in the dataset and in the dataset's transform."""
    joined: dict[tuple[str, str, str], list[dict]] = {}
    for cell in cells:
        joined.setdefault((cell["dataset"], cell["model"], cell["transform"]), []).append(cell)
    found = {name: _entry(name, group, confidence) for name, group in joined.items()}
    rights = {name: _right(joined[name], correct) for name, entry in found.items() if entry["ranked"]}
    for dataset in dict.fromkeys(name[0] for name in found):
        inside = {name: right for name, right in rights.items() if name[0] == dataset}
        _rank(found, inside, "dataset", confidence)
        for transform in dict.fromkeys(name[2] for name in inside):
            column = {name: right for name, right in inside.items() if name[2] == transform}
            _rank(found, column, "column", confidence)
    return list(found.values())


def _entry(name: tuple[str, str, str], cells: list[dict], confidence: float) -> dict:
    """One entry. Its figures are means over its current cells, or over its stale ones where it has no others."""
    current = [c for c in cells if c["status"] == "done"]
    used = current or [c for c in cells if c["status"] == "stale"]
    measured = [c for c in used if c["top1"]["value"] is not None]
    verdicts = [c["health"].get("verdict") for c in used]
    states = [c["status"] for c in cells]
    return {
        "name": list(name),
        "kind": cells[0]["kind"],
        "family": cells[0]["family"],
        "seeds": [c["seed"] for c in cells],
        "used": [c["seed"] for c in measured],
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "why": next((c["why"] for c in cells if c["why"]), ""),
        "ranked": bool(measured) and all(map(may_rank, measured)),
        "collapsed": verdicts.count("collapsed"),
        "suspicious": verdicts.count("suspicious"),
        "evidence": [line for c in used for line in c["health"].get("evidence") or []],
        "protocols": _distinct([c["protocol"] for c in used or cells]),
        "top1": _joined([c["top1"] for c in measured], confidence),
        "top5": _joined([c["top5"] for c in measured if c["top5"]["value"] is not None], confidence),
        "n": measured[0]["n"] if measured else None,
        "classes": measured[0]["classes"] if measured else None,
        "knn": _mean_knn(measured),
        "health": {
            key: _mean([c["health"].get(key) for c in used]) for key in ("channel_std", "effective_rank", "rank_share")
        }
        | {"features": next((c["health"].get("features") for c in used if c["health"].get("features")), None)},
        "minutes": _mean([c["cost"]["minutes"] for c in measured]),
        "peak_gb": max((c["cost"]["peak_gb"] for c in measured if c["cost"]["peak_gb"]), default=None),
        "memory": next((c["cost"]["memory"] for c in measured if c["cost"]["memory"]), None),
        "devices": sorted({str(c["made"]["device"]) for c in measured if c["made"]["device"]}),
        "published": {
            metric: _published([c["published"][metric] for c in measured or cells]) for metric in ("top1", "top5")
        },
        "column_rank": None,
        "column_tied": None,
        "dataset_rank": None,
        "dataset_tied": None,
    }


def smallest_difference(entries: list[dict], dataset: str, confidence: float) -> float | None:
    """The smallest true difference that the ranking of a dataset finds with probability 0.8; None below two entries.

    At the level that is left to one pair when all pairs share 1 - confidence, which is cautious next to Holm's steps.
    """
    ranked = [e for e in entries if e["name"][0] == dataset and e["dataset_rank"] is not None]
    if len(ranked) < 2:
        return None
    pairs = len(ranked) * (len(ranked) - 1) // 2
    level = (1 - confidence) / pairs
    return stats.smallest_detectable(ranked[0]["n"], fmean(e["top1"]["value"] for e in ranked), level=level)


def _rank(found: dict, rights: dict, scope: str, confidence: float) -> None:
    """Write rank and number of entries that share it into ``found``; entries on other test pictures stay without."""
    if not rights:
        return
    # A pack made anew with other pictures gives predictions that cannot be paired with the rest: the largest set stays.
    sets: dict[tuple, list] = {}
    for name, right in rights.items():
        sets.setdefault(tuple(right.index), []).append(name)
    names = max(sets.values(), key=len)
    ranks = stats.tie_groups({name: rights[name].to_numpy().T for name in names}, 1 - confidence)
    for rank in ranks:
        found[rank.name][f"{scope}_rank"] = rank.rank
        found[rank.name][f"{scope}_tied"] = sum(other.rank == rank.rank for other in ranks)


def _right(cells: list[dict], correct: dict[Name, pandas.Series]) -> pandas.DataFrame:
    """Per test picture (rows) and seed (columns), whether the first guess is right."""
    names = [(c["dataset"], c["model"], c["transform"], c["seed"]) for c in cells]
    return pandas.concat([correct[name] for name in names if name in correct], axis=1, join="inner")


def _joined(shares: list[dict], confidence: float) -> dict:
    """One seed: its share and Wilson interval. Several: their mean with the t interval over seeds."""
    if len(shares) <= 1:
        return dict(shares[0], seeds=1) if shares else {"value": None, "low": None, "high": None, "seeds": 0}
    over = stats.over_seeds([share["value"] for share in shares], confidence)
    return {"value": over.mean, "low": max(over.low, 0.0), "high": min(over.high, 1.0), "seeds": over.n}


def _mean_knn(cells: list[dict]) -> dict:
    ks = sorted({k for c in cells for k in c["knn"]}, key=int)
    return {k: {m: _mean([c["knn"].get(k, {}).get(m) for c in cells]) for m in ("top1", "top5")} for k in ks}


def _published(found: list[dict]) -> dict:
    """What stands beside an entry: its seeds' mean difference, where the protocol matches for all of them."""
    if any("reason" in figure for figure in found):
        return next(figure for figure in found if "reason" in figure)
    return found[0] | {"difference": _mean([figure["difference"] for figure in found])}


def _distinct(protocols: list[dict]) -> list[dict]:
    return [one for i, one in enumerate(protocols) if one not in protocols[:i]]


def _mean(values: list) -> float | None:
    numbers = [v for v in values if isinstance(v, int | float) and v == v]
    return fmean(numbers) if numbers else None
