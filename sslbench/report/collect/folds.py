"""What the folds, or repeats, of one dataset say together.

Test sets of folds are disjoint and make up all images, so per-image results of the k networks of a cross-validation are
laid together, as if one network had been tested on every image; pairs of entries are then compared as anywhere else.
Repeats test some images several times: of these there is a mean, with an interval that allows for it.
"""

from statistics import fmean, stdev

import pandas

from sslbench.report.collect import entries as ranking
from sslbench.stats import paired


def together(cells: list[dict], correct: dict[ranking.Name, pandas.Series], counts: dict, confidence: float) -> dict:
    """``entries`` over all folds, as ``ranking.entries`` has them, ``datasets`` (name -> its parts and smallest
    difference) and ``rows``, one per entry of a divided dataset; {} where none is divided.

    ``counts``: images by dataset, where known.
    """
    groups: dict[ranking.Name, list[dict]] = {}
    for cell in cells:
        if divided(cell["dataset"], cell["evaluated_on"]):
            groups.setdefault((whole(cell["dataset"]), cell["model"], cell["transform"], cell["seed"]), []).append(cell)
    if not groups:
        return {}
    pooled, right = [], {}
    for name, parts in groups.items():
        part = parts[0]["dataset"].partition("@")[2]
        if not part.startswith("fold") or not part.endswith(f"of{len(parts)}"):  # or not every fold is in the grid
            continue
        cell, series = _pool(name[0], parts), [correct.get((c["dataset"], *name[1:])) for c in parts]
        pooled.append(cell)
        if all(one is not None for one in series) and not (joined := pandas.concat(series)).index.has_duplicates:
            right[name] = joined
    entries = ranking.entries(pooled, right, confidence)
    for entry in entries:
        if entry["spread"]:  # its seeds are of means over folds, not of one training: rows have those of one
            entry["spread"]["sd_seeds"] = None
    parts_of = {base: sorted({c["dataset"] for c in cells if whole(c["dataset"]) == base}) for base, *_ in groups}
    datasets = {
        base: {"parts": parts, "smallest_difference": ranking.smallest_difference(entries, base, confidence)}
        for base, parts in parts_of.items()
    }
    return {"entries": entries, "datasets": datasets, "rows": _rows(groups, entries, counts, confidence)}


def whole(dataset: str) -> str:
    """The name of which a dataset is a part: parts of ``parts@fold1of5``."""
    return dataset.partition("@")[0]


def divided(dataset: str, judge: str) -> bool:
    """Whether it is a fold or repeat, by its name and its judge's: no user's name holds an @. What follows that in one
    that is judged on several sets is which of them: dump@birds."""
    return "@" in dataset and dataset.partition("@")[2] != judge


def _pool(base: str, parts: list[dict]) -> dict:
    """One cell for the folds of a model, transform and seed: shares over all images, minutes of the mean training."""
    odd = next((c for c in parts if c["status"] != "done"), None)
    told = [line for c in parts for line in c["health"].get("evidence") or []]
    verdicts = [c["health"].get("verdict") for c in parts]
    verdict = next((v for v in ("collapsed", "suspicious") if v in verdicts), verdicts[0])
    numbers = {key: ranking.mean([c["health"].get(key) for c in parts]) for key in ("channel_std", "effective_rank")}
    numbers["rank_share"] = ranking.mean([c["health"].get("rank_share") for c in parts])
    n = [c["n"] or 0 for c in parts]
    means = ("minutes", "images_per_second", "energy_joules")
    return (
        parts[0]
        | {
            "dataset": base,
            "evaluated_on": whole(parts[0]["evaluated_on"]),
            "status": odd["status"] if odd else "done",
            "why": f"{odd['dataset']}: {odd['why']}" if odd else "",
            "n": sum(n) or None,
            "weights": next((w for c in parts if (w := c.get("weights")) and not w["ranked"]), parts[0].get("weights")),
            "knn": _neighbours(parts, n),
            "health": parts[0]["health"] | numbers | {"verdict": verdict, "evidence": told},
            "cost": parts[0]["cost"]
            | {key: ranking.mean([c["cost"].get(key) for c in parts]) for key in means}
            | {"peak_gb": max((c["cost"]["peak_gb"] for c in parts if c["cost"]["peak_gb"]), default=None)},
        }
        | {metric: _share([c[metric]["value"] for c in parts], n) for metric in ("top1", "top5")}
    )


def _share(values: list[float | None], n: list[int]) -> dict:
    """The share of all images; ``entries`` gives intervals to what it ranks."""
    if None in values or not sum(n):
        return {"value": None, "low": None, "high": None}
    successes = round(sum(value * of for value, of in zip(values, n, strict=True)))
    low, high = paired.wilson(successes, sum(n))
    return {"value": successes / sum(n), "low": low, "high": high}


def _neighbours(parts: list[dict], n: list[int]) -> dict:
    shared = set.intersection(*(set(c["knn"]) for c in parts))
    return {k: {m: _share([c["knn"][k].get(m) for c in parts], n)["value"] for m in ("top1", "top5")} for k in shared}


def _rows(groups: dict, entries: list[dict], counts: dict, confidence: float) -> list[dict]:
    """Per entry: the mean over parts, by how much parts differ (of their means over seeds), and seeds within them."""
    of: dict[tuple, dict[str, dict[int, float]]] = {}  # (dataset, model, transform) -> part -> seed -> top-1
    kinds, overlap, collapsed = {}, {}, set()
    for (*name, seed), parts in groups.items():
        for cell in parts:
            kinds[tuple(name)] = cell["kind"]
            if cell["health"].get("verdict") == "collapsed":
                collapsed.add(tuple(name))
            found = of.setdefault(tuple(name), {}).setdefault(cell["dataset"], {})
            if cell["status"] == "done" and cell["top1"]["value"] is not None:
                found[seed] = cell["top1"]["value"]
                count = counts.get(cell["evaluated_on"]) or 0
                overlap[name[0]] = cell["n"] / (count - cell["n"]) if count > cell["n"] else None
    pooled = {tuple(e["name"]): (e["spread"] if (e["spread"] or {}).get("low") else e["top1"]) for e in entries}
    rows = []
    for name, parts in of.items():
        means = {part: fmean(seeds.values()) for part, seeds in parts.items() if seeds}
        variances = [stdev(seeds.values()) ** 2 for seeds in parts.values() if len(seeds) > 1]
        row = {
            "name": list(name),
            "kind": kinds[name],
            "parts": len(parts),
            "folds": "@fold" in next(iter(parts)),
            "means": means,
            "collapsed": name in collapsed,
            "seeds": max(map(len, parts.values())),
            "mean": fmean(means.values()) if len(means) == len(parts) else None,
            "sd_parts": stdev(means.values()) if len(means) > 1 else None,
            "sd_seeds": fmean(variances) ** 0.5 if variances else None,
            "low": pooled.get(name, {}).get("low"),
            "high": pooled.get(name, {}).get("high"),
            "behind": None,
        }
        if not row["folds"] and row["mean"] is not None and overlap.get(name[0]):
            over = paired.over_seeds(list(means.values()), confidence, overlap[name[0]])
            row |= {"low": max(over.low, 0.0), "high": min(over.high, 1.0)}
        rows.append(row)
    for dataset in {row["name"][0] for row in rows if not row["folds"] and overlap.get(row["name"][0])}:
        mine = [r for r in rows if r["name"][0] == dataset and r["kind"] == "grid" and r["mean"] is not None]
        best = max((r for r in mine if not r["collapsed"]), key=lambda row: row["mean"], default=None)
        for row in mine:
            if best and row is not best:
                differences = [row["means"][part] - best["means"][part] for part in row["means"]]
                over = paired.over_seeds(differences, confidence, overlap[dataset])
                row["behind"] = {"name": best["name"], "difference": over.mean, "low": over.low, "high": over.high}
    return rows
