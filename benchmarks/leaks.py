"""How long it takes to compare every image of one set with every image of another, and which copies are found.

    python -m benchmarks.leaks                            # 100,000 against 100,000; --images, --copies, --seed
    python -m benchmarks.leaks --folder imagenette2-160   # its changed copies, and its false pairs; --worst FILE

The images are drawn: frequencies that fall as 1/f around one of 50 prototypes, so that a hash's bits depend on each
other as those of photographs do (of ImageNette's pairs 1.0 % are candidates by one of their bands; here, the printed
share is). Some of the second set are copies of the first's, with noise. Wall and CPU seconds of the comparison, and
the process's peak resident set.

With ``--folder`` every image below it is changed and looked for among all unchanged ones; then pairs among these are
counted. ``--worst`` writes the 20 that come nearest to being taken for copies, to be looked at.
"""

import argparse
import io
import itertools
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from sslbench.data import near_duplicates
from sslbench.data.near_duplicates import SIDE, Prints

PROTOTYPES, BLOCK = 50, 2000


def drawn(count: int, some: np.random.Generator, prototypes: np.ndarray) -> np.ndarray:
    """uint8 [count, SIDE, SIDE]."""
    falling = 1 / np.maximum(1, np.add.outer(np.arange(SIDE), np.arange(SIDE)))
    waves = np.cos(np.pi * np.outer(np.arange(SIDE), 2 * np.arange(SIDE) + 1) / (2 * SIDE))
    greys = []
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        amplitudes = (some.normal(size=(n, SIDE, SIDE)) + prototypes[some.integers(PROTOTYPES, size=n)]) * falling
        image = waves.T @ amplitudes.astype(np.float32) @ waves
        greys.append(np.clip(128 + 20 * image, 0, 255).astype(np.uint8))
    return np.concatenate(greys)


def encoded(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def cropped(image: Image.Image) -> Image.Image:
    x, y = round(0.02 * image.width), round(0.02 * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES = {
    "JPEG of quality 50": encoded,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "2 % cropped away on each side": cropped,
}


def measure(folder: Path, worst: Path | None) -> None:
    """Print the recall of every change and how many pairs of different images are taken for copies."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))

    def plain(row: int) -> Image.Image:
        return Image.open(files[row]).convert("RGB")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        own = near_duplicates.prints(plain, len(files), pool)
        for name, change in CHANGES.items():

            def changed(row: int, change: Callable[[Image.Image], Image.Image] = change) -> Image.Image:
                return change(plain(row))

            pairs = near_duplicates.near(near_duplicates.prints(changed, len(files), pool), own)
            pairs = pairs[near_duplicates.confirmed(pairs, changed, plain, pool)]
            right = pairs[:, 0] == pairs[:, 1]
            print(f"{name}: {right.sum():,} of {len(files):,} found, {(~right).sum():,} false pairs", flush=True)
        pairs = near_duplicates.near(own, own, lambda i, j: i < j)
        same = near_duplicates.confirmed(pairs, plain, plain, pool)
    print(f"{same.sum():,} of {len(files) * (len(files) - 1) // 2:,} pairs among the unchanged are taken for copies")
    if worst is not None:
        rows = np.concatenate([found[found[:, 0] < found[:, 1]] for found in near_duplicates._candidates(own, own)])
        rows = rows[np.argsort(-near_duplicates.likeness(own, own, rows), kind="stable")[:20]]
        sheet = Image.new("RGB", (5 * 260, 4 * 130), "white")
        for place, (row, side) in enumerate(itertools.product(rows, (0, 1))):
            x, y = divmod(place // 2, 5)[::-1]
            sheet.paste(plain(row[side]).resize((125, 125)), (260 * x + 126 * side, 130 * y))
        sheet.save(worst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, value in (("--images", 100_000), ("--copies", 1000), ("--seed", 0)):
        parser.add_argument(option, type=int, default=value)
    parser.add_argument("--folder", type=Path, help="of images, to be changed and found again")
    parser.add_argument("--worst", type=Path, help="an image to write")
    options = parser.parse_args()
    if options.folder:
        return measure(options.folder, options.worst)
    some = np.random.default_rng(options.seed)
    prototypes = some.normal(size=(PROTOTYPES, SIDE, SIDE))
    greys = [drawn(options.images, some, prototypes) for _ in range(2)]
    noise = some.integers(-3, 4, size=(options.copies, SIDE, SIDE))
    greys[1][: options.copies] = np.clip(greys[0][: options.copies] + noise, 0, 255)
    blocks = [[own[start : start + BLOCK] for start in range(0, options.images, BLOCK)] for own in greys]
    first, second = (near_duplicates.joined(list(map(near_duplicates.printed, own))) for own in blocks)
    del greys, blocks
    few = Prints(*(values[-5000:] for values in second))  # whose candidates are counted
    shared = sum(
        np.bincount(near_duplicates._band(few.hashes, band), minlength=1 << near_duplicates.WIDE)[
            near_duplicates._band(few.hashes, band) ^ difference
        ].sum()
        for difference in near_duplicates._DIFFERENCES
        for band in range(near_duplicates.BANDS)
    )
    begun = time.perf_counter(), time.process_time()
    pairs = near_duplicates.near(first, second)
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    copies = np.unique(pairs[(pairs[:, 0] == pairs[:, 1]) & (pairs[:, 0] < options.copies), 0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # Linux counts in KiB
    print(f"{options.images:,} against {options.images:,}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{100 * shared / len(few.hashes) ** 2:.1f} % of pairs are candidates")
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, peak {peak:.2f} GiB")
    print(f"{len(copies):,} of {options.copies:,} copies found, {len(pairs) - len(copies):,} other pairs")


if __name__ == "__main__":
    main()
