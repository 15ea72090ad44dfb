"""Tables of the finished runs: ours less lightly's, and trained less random-init."""

from collections.abc import Iterator

import numpy as np
import scipy.stats

from benchmarks.quality_against_lightly.records import find, unpacked
from sslbench.stats import paired as stats

MARGIN = 0.02  # of accuracy: ours is non-inferior where the interval's lower end is above -MARGIN
LENGTH = ("epochs", "local_views", "size", "batch", "images")


def tables(records: list[dict]) -> Iterator[str]:
    """Markdown, one table for each length of run."""
    trained = [record for record in records if record["method"] != "random-init"]
    for length in sorted({tuple(record[name] for name in LENGTH) for record in trained}):
        shared = dict(zip(LENGTH, length, strict=True))
        yield (
            "\n{epochs} epochs of {images} images, batch {batch}, {size} px, {local_views} local views for SwAV and "
            "DINO; kNN-200 on the validation images\n"
        ).format(**shared)
        yield from against_lightly(records, find(trained, **shared))
        yield from against_start(records, find(trained, **shared))


def against_lightly(records: list[dict], trained: list[dict]) -> Iterator[str]:
    found = []
    for preset, method in sorted({(r["preset"], r["method"]) for r in trained if r["arm"] == "ours"}):
        mine = {r["seed"]: r for r in find(trained, arm="ours", preset=preset, method=method)}
        theirs = {r["seed"]: r for r in find(trained, arm="lightly", method=method)}
        if seeds := sorted(mine.keys() & theirs.keys()):
            a, b = (np.stack([unpacked(arm[seed]) for seed in seeds]) for arm in (mine, theirs))
            starts = [[start_of(records, arm[seed]) for seed in seeds] for arm in (mine, theirs)]
            found.append((method, preset, seeds, a, b, *starts))
    if not found:
        return
    yield "| method | preset | seeds | sslbench (start) | lightly (start) | points | 95 % interval | verdict |"
    yield "|---|---|---|---|---|---|---|---|"
    for method, preset, seeds, a, b, start_a, start_b in found:
        d = stats.compare(a, b)
        over = "seeds and images" if len(seeds) > 1 else "images"
        yield (
            f"| {method} | {preset} | {', '.join(map(str, seeds))} | {a.mean():.3f} ({mean(start_a)}) | {b.mean():.3f} "
            f"({mean(start_b)}) | {100 * d.difference:+.1f} | {100 * d.low:+.1f} to {100 * d.high:+.1f}, over {over} | "
            f"{verdict(d.low, d.high)} |"
        )


def verdict(low: float, high: float) -> str:
    if low > -MARGIN:
        return "better" if low > 0 else "non-inferior"
    return "worse" if high < 0 else "undecided"


def against_start(records: list[dict], trained: list[dict]) -> Iterator[str]:
    yield "\n| method | arm | preset | seeds | trained | random-init | difference, points | 95 % interval |"
    yield "|---|---|---|---|---|---|---|---|"
    for method, arm, preset in sorted({(r["method"], r["arm"], r["preset"]) for r in trained}):
        runs = find(trained, method=method, arm=arm, preset=preset)
        pairs = [(run, start_of(records, run)) for run in runs]
        pairs = [pair for pair in pairs if pair[1] is not None]
        if not pairs:
            continue
        a, b = (np.stack([unpacked(pair[side]) for pair in pairs]) for side in (0, 1))
        low, high = paired(a, b)
        seeds = ", ".join(str(run["seed"]) for run, _ in pairs)
        yield (
            f"| {method} | {arm} | {preset} | {seeds} | {a.mean():.3f} | {b.mean():.3f} | "
            f"{100 * (a.mean() - b.mean()):+.1f} | {100 * low:+.1f} to {100 * high:+.1f} |"
        )


def start_of(records: list[dict], run: dict) -> dict | None:
    """The record of the random-init network that ``run`` began from."""
    same = {name: run[name] for name in ("arm", "seed", "size", "images", "residual_gain")}
    return next(iter(find(records, method="random-init", **same)), None)


def mean(starts: list[dict | None]) -> str:
    known = [record["right"] / record["n"] for record in starts if record]
    return f"{np.mean(known):.3f}" if known else "not measured"


def paired(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of mean(a - b), bool [seeds, n] each, where row s of both is one seed and column i one image.

    Variances over seeds and over images add up. Student's t with seeds - 1 degrees of freedom, the fewest of the two
    parts, keeps the level whichever part is larger (Mickey and Brown 1966, Ann. Math. Stat. 37:639). One seed: Tango's
    interval over images alone.
    """
    d = a.astype(float) - b
    seeds, n = d.shape
    if seeds == 1:
        return stats.tango(int((a & ~b).sum()), int((~a & b).sum()), n, confidence)
    error = np.sqrt(d.mean(1).var(ddof=1) / seeds + d.mean(0).var(ddof=1) / n)
    half = scipy.stats.t.ppf(0.5 + confidence / 2, seeds - 1) * error
    return float(d.mean() - half), float(d.mean() + half)
