"""From cells to entries (one per dataset, model and transform, over its seeds), and which of them tie.

Only finished, current, uncollapsed cells of the grid are ranked. Entries are compared in pairs on the same test
pictures, with Holm's correction over all pairs (Bonferroni's, and no range of ranks, where entries are too many for all
pairs: sslbench/stats/ranking.py, whose the tests are); entries that cannot be told apart from the best share rank 1.
"""

import hashlib
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy
import pandas

from sslbench.grid import random_init
from sslbench.report.protocols import network
from sslbench.stats import paired, ranking, variance_components

Name = tuple[str, str, str, int]  # dataset, model, transform, seed


def may_rank(cell: dict) -> bool:
    """Whether a cell's accuracy counts in a ranking: in the grid, sound, and of no weights that saw the test images."""
    return is_sound(cell) and cell["kind"] == "grid" and (cell.get("weights") or {}).get("ranked", True)


def is_sound(cell: dict) -> bool:
    """Whether a cell's accuracy may be compared: current, and with features that carry something."""
    sound = cell["status"] == "done" and cell["health"].get("verdict") != "collapsed"
    return sound and cell["top1"]["value"] is not None


def read_correct(
    predictions: Path, known: dict[bytes, pandas.MultiIndex] | None = None, moved: numpy.ndarray | None = None
) -> pandas.Series:
    """Per test picture (index and label), whether the first guess is right, in ascending order.

    ``known``: pictures read so far; cells that were tested on the same hold one list of them, not one each.
    ``moved``: the position in the dataset's pack of each image of the cell's own (frozen_rows.positions); what has
    none gets a negative index, so that it is no other's image.
    """
    table = pandas.read_parquet(predictions, columns=["index", "label", "top1"])
    if moved is not None:
        at = table["index"].to_numpy()
        found = numpy.append(moved, -1)[numpy.minimum(at, len(moved))]
        table["index"] = numpy.where(found < 0, -1 - at, found)
    table = table.sort_values(["index", "label"])
    known = {} if known is None else known
    named = hashlib.sha256(table[["index", "label"]].to_numpy(numpy.int64).tobytes()).digest()
    if named not in known:
        known[named] = pandas.MultiIndex.from_frame(table[["index", "label"]])
    return pandas.Series((table["label"] == table["top1"]).to_numpy(), known[named])


def joined(cells: list[dict]) -> dict[tuple[str, str, str], list[dict]]:
    """The cells of each entry, over its seeds, in the plan's order."""
    found: dict[tuple[str, str, str], list[dict]] = {}
    for cell in cells:
        found.setdefault((cell["dataset"], cell["model"], cell["transform"]), []).append(cell)
    return found


def entries(cells: list[dict], correct: dict[Name, pandas.Series], confidence: float) -> list[dict]:
    """Cells joined over seeds, in the plan's order, with their ranks in the dataset and in the dataset's transform.

    A ranked entry with several seeds is ranked on their mean, and its comparisons speak of other seeds and pictures.
    """
    groups = joined(cells)
    found = {name: _entry(name, group, confidence) for name, group in groups.items()}
    sets = {name: right_of(groups[name], correct) for name, entry in found.items() if entry["ranked"]}
    sets = {name: pictures for name, pictures in sets.items() if pictures[1].size}
    for name, (_, right) in sets.items():
        parts = variance_components.split(right, confidence)
        found[name]["spread"] = {key: getattr(parts, key) for key in ("sd", "sd_seeds", "sd_pictures", "low", "high")}
    for dataset in dict.fromkeys(name[0] for name in found):
        ranked = {name: pictures for name, pictures in sets.items() if name[0] == dataset}
        rights = _on_same_pictures(ranked)
        _against_frozen(
            found, {name: groups[name] for name in found if name[0] == dataset}, correct, rights, confidence
        )
        _against_random(found, {name: groups[name] for name in found if name[0] == dataset}, correct, confidence)
        if not rights:
            continue
        pairs = ranking.all_pairs(rights, confidence)
        _rank(found, pairs, "dataset", confidence)
        _against_best(found, pairs, confidence)
        for transform in dict.fromkeys(name[2] for name in rights):
            column = [name for name in pairs.names if name[2] == transform]
            if pairs.complete:
                among = pairs.among(column)
            else:
                among = ranking.all_pairs({name: rights[name] for name in column}, confidence, pairs.priors)
            _rank(found, among, "column", confidence)
    return list(found.values())


def _pooling(cells: list[dict]) -> dict[str, str]:
    """What was chosen to be the features of a network that has several to give."""
    found = next(filter(None, ((c.get("run") or {}).get("pooling") for c in cells)), {})
    return {"pooling": found["chosen"]} if found.get("tried") else {}


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
        "probed": cells[0].get("probed", True),
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
            key: mean([c["health"].get(key) for c in used]) for key in ("channel_std", "effective_rank", "rank_share")
        }
        | {"features": next((c["health"].get("features") for c in used if c["health"].get("features")), None)},
        "minutes": mean([c["cost"]["minutes"] for c in measured]),
        "peak_gb": max((c["cost"]["peak_gb"] for c in measured if c["cost"]["peak_gb"]), default=None),
        "memory": next((c["cost"]["memory"] for c in measured if c["cost"]["memory"]), None),
        "images_per_second": mean([c["cost"].get("images_per_second") for c in measured]),
        "energy_joules": mean([c["cost"].get("energy_joules") for c in measured]),
        "devices": sorted({str(c["made"]["device"]) for c in measured if c["made"]["device"]}),
        **_pooling(used),
        "weights": next((c["weights"] for c in used if c.get("weights")), None),
        "parameters": next((p for c in used if (p := (c.get("run") or {}).get("parameters"))), None),
        "speed": next((c["speed"] for c in cells if c.get("speed")), None),
        "column_rank": None,
        "column_tied": None,
        "column_of": 0,
        "dataset_rank": None,
        "dataset_tied": None,
        "column_range": None,
        "dataset_range": None,
        "column_bars": [],
        "dataset_bars": [],
        "spread": None,
        "behind": None,
        "best_frozen": False,
        "against_frozen": None,
        "against_random": None,
        "other_images": False,
        "detectable": None,
    }


def smallest_difference(entries: list[dict], dataset: str, confidence: float) -> float | None:
    """The smallest true difference that the ranking of a dataset finds with probability 0.8; None below two entries.

    Of a pair that is typical of those compared, at the level that is left to one when all share 1 - confidence.
    """
    mine = (e["detectable"] for e in entries if e["name"][0] == dataset and e["dataset_rank"] is not None)
    return next(mine, None)


def right_of(cells: list[dict], correct: dict[Name, pandas.Series]) -> tuple[str, numpy.ndarray]:
    """The test pictures' digest and, per seed (rows) and picture, whether the first guess is right.

    Seeds that were tested on other pictures are joined on those which all of them have.
    """
    names = [(c["dataset"], c["model"], c["transform"], c["seed"]) for c in cells]
    rows = [correct[name] for name in names if name in correct]
    if any(not row.index.equals(rows[0].index) for row in rows[1:]):
        table = pandas.concat(rows, axis=1, join="inner")
        return _digest(table.index), table.to_numpy(bool).T
    return _digest(rows[0].index), numpy.array([row.to_numpy() for row in rows])


def _digest(pictures: pandas.MultiIndex) -> str:
    columns = [numpy.ascontiguousarray(pictures.get_level_values(i), numpy.int64) for i in (0, 1)]
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


def _on_same_pictures(sets: dict[tuple, tuple[str, numpy.ndarray]]) -> dict[tuple, numpy.ndarray]:
    """A pack made anew with other pictures gives predictions that cannot be paired with the rest: most entries win."""
    digests = [digest for digest, _ in sets.values()]
    if not digests:
        return {}
    kept = max(dict.fromkeys(digests), key=digests.count)
    return {name: right for name, (digest, right) in sets.items() if digest == kept}


def _rank(found: dict, pairs: ranking.Pairs, scope: str, confidence: float) -> None:
    """Write rank, the number of entries that share it, the range of ranks that the pairs allow, and critical-difference
    bars (by number) into ``found``; entries on other test pictures stay without. Where not every pair was compared,
    there is neither a range nor a bar."""
    level = 1 - confidence
    ranks = ranking.tie_groups(pairs, level)
    runs = ranking.bars(pairs.names, pairs.apart(level)) if pairs.complete else []
    held = Counter(rank.rank for rank in ranks)
    for rank in ranks:
        entry = found[rank.name]
        entry[f"{scope}_rank"] = rank.rank
        entry[f"{scope}_tied"] = held[rank.rank]
        entry[f"{scope}_of"] = len(ranks)
        entry[f"{scope}_range"] = [rank.lowest, rank.highest] if pairs.complete else None
        entry[f"{scope}_bars"] = [number for number, run in enumerate(runs) if rank.name in run]


def _against_best(found: dict, pairs: ranking.Pairs, confidence: float) -> None:
    """Each entry's paired difference to the dataset's most accurate one, and what a typical pair could show.

    ``low`` and ``high`` are that pair's own interval; ``adjusted`` is its p-value among all pairs of the dataset.
    """
    best, detectable = pairs.names[0], pairs.smallest_detectable(1 - confidence)
    for name in pairs.names:
        found[name]["detectable"] = detectable
        if name != best:
            pair = pairs.between(name, best)
            told = {key: getattr(pair, key) for key in ("difference", "low", "high", "p", "adjusted", "discordant")}
            found[name]["behind"] = {"name": list(best), **told}


def _against_frozen(found: dict, groups: dict, correct: dict, rights: dict, confidence: float) -> None:
    """Each entry's paired difference to the dataset's best frozen backbone whose weights have not seen its test images.

    Nothing where there is none. A frozen backbone has no seeds: its one row stands beside each of an entry's.
    ``adjusted``: Holm's over the entries, times the number of backbones among which the best was chosen by these
    figures.
    """
    if not any(found[name]["weights"] for name in groups):
        return
    sets = {name: right_of(cells, correct) for name, cells in groups.items() if _is_measured(cells, correct)}
    # Those that are ranked decide which images count; where none is, most do.
    same = _on_same_pictures({name: sets[name] for name in rights} or sets)
    kept = {sets[name][0] for name in same}
    sound = {name: right for name, (digest, right) in sets.items() if digest in kept}
    for name in sets.keys() - sound.keys():
        found[name]["other_images"] = True
    backbones = [name for name in sound if (found[name]["weights"] or {}).get("ranked")]
    if not backbones:
        return
    best = min(backbones, key=lambda name: (-sound[name].mean(), name))
    found[best]["best_frozen"] = True
    others = [name for name in sound if name != best]
    told = [paired.compare(sound[name], sound[best].repeat(len(sound[name]), 0), confidence) for name in others]
    adjusted = numpy.minimum(paired.holm([one.p for one in told]) * len(backbones), 1.0)
    for name, one, p in zip(others, told, adjusted, strict=True):
        found[name]["against_frozen"] = {"name": list(best), **one._asdict(), "adjusted": float(p)}


def _against_random(found: dict, groups: dict, correct: dict, confidence: float) -> None:
    """Each trained entry's paired difference to the random initialisation that it began from, where that is measured on
    the same images. ``adjusted``: Holm's over the entries."""
    sets = {name: right_of(cells, correct) for name, cells in groups.items() if _is_measured(cells, correct)}
    starts = {network(one): name for name in sets if is_start(name[1]) for one in found[name]["protocols"]}
    told = {}
    for name, (digest, right) in sets.items() if starts else ():
        begun = {starts.get(network(one)) for one in found[name]["protocols"]} if name not in starts.values() else set()
        if len(begun) == 1 and (start := begun.pop()) and sets[start][0] == digest:
            told[name] = start, paired.compare(right, sets[start][1], confidence)
    adjusted = paired.holm([one.p for _, one in told.values()])
    for (name, (start, one)), p in zip(told.items(), adjusted, strict=True):
        found[name]["against_random"] = {"name": list(start), **one._asdict(), "adjusted": float(p)}


def is_start(model: str) -> bool:
    """Whether a model's name is that of a random initialisation."""
    return model == random_init.RANDOM or model.startswith(random_init.PREFIX)


def _is_measured(cells: list[dict], correct: dict) -> bool:
    """Whether what is current of an entry is sound throughout, and its predictions are there."""
    done = [c for c in cells if c["status"] == "done" and c["top1"]["value"] is not None]
    names = [(c["dataset"], c["model"], c["transform"], c["seed"]) for c in cells]
    return bool(done) and all(map(is_sound, done)) and any(len(correct.get(name, ())) for name in names)


def _joined(shares: list[dict], confidence: float) -> dict:
    """One seed: its share and Wilson interval. Several: their mean with the t interval over seeds."""
    if len(shares) <= 1:
        return dict(shares[0], seeds=1) if shares else {"value": None, "low": None, "high": None, "seeds": 0}
    over = paired.over_seeds([share["value"] for share in shares], confidence)
    return {"value": over.mean, "low": max(over.low, 0.0), "high": min(over.high, 1.0), "seeds": over.n}


def _mean_knn(cells: list[dict]) -> dict:
    ks = sorted({k for c in cells for k in c["knn"]}, key=int)
    return {k: {m: mean([c["knn"].get(k, {}).get(m) for c in cells]) for m in ("top1", "top5")} for k in ks}


def _distinct(protocols: list[dict]) -> list[dict]:
    return [one for i, one in enumerate(protocols) if one not in protocols[:i]]


def mean(values: list) -> float | None:
    """Of the finite numbers among ``values``; None where there are none."""
    numbers = [v for v in values if isinstance(v, int | float) and v == v]
    return fmean(numbers) if numbers else None
