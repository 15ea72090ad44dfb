"""How long it takes to compare every image of one set with every image of another, by hashes and thumbnails.

    python -m benchmarks.leaks                            # 100,000 against 100,000; --images, --copies, --seed

The images are drawn: frequencies that fall as 1/f around one of 50 prototypes, so that a hash's bits depend on each
other as those of photographs do (of ImageNette's pairs 1.0 % are candidates by one of their bands; here, the printed
share is). Some of the second set are copies of the first's, with noise. Wall and CPU seconds of the comparison, and
the process's peak resident set.
"""

import argparse
import os
import resource
import time

import numpy as np

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, value in (("--images", 100_000), ("--copies", 1000), ("--seed", 0)):
        parser.add_argument(option, type=int, default=value)
    options = parser.parse_args()
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
