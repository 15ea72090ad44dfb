"""How long it takes to see whether a folder of many images changed: the first look, an unchanged one, one file changed.

    python -m benchmarks.looking                          # 100,000 files of 1 kB; --files, --bytes, --repeats, --folder

`snakemake -n` looks once a run. The first time it only lists the files ("listed"); fetch then reads and hashes them
("first"; reading them once without hashing is "read", for comparison). Wall and CPU seconds, medians of the repeats.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sslbench.data.layouts.folder import Settings
from sslbench.data.sources import content

CLASSES = 100


def made(root: Path, files: int, size: int) -> list[Path]:
    """So many files below ``root``, which are images by name alone."""
    paths = [root / f"class{i % CLASSES:03}" / f"{i:07}.jpg" for i in range(files)]
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True)
    for i, path in enumerate(paths):
        path.write_bytes(i.to_bytes(8) + bytes(size - 8))
    return paths


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU."""
    begun = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, value in (("--files", 100_000), ("--bytes", 1000), ("--repeats", 5)):
        parser.add_argument(option, type=int, default=value)
    parser.add_argument("--folder", type=Path, help="made below it, and removed (default: the system's)")
    options = parser.parse_args()
    top = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        paths = made(top / "images", options.files, options.bytes)
        settings, source = Settings(path=top / "images"), top / "source"
        times: dict[str, list[tuple[float, float]]] = {}
        for number in range(options.repeats):
            shutil.rmtree(source, ignore_errors=True)
            looks = {
                "read": lambda: [path.read_bytes() for path in paths],
                "listed": lambda: content.name(settings, source),
                "first": lambda: content.remember(source, content.look(settings, source)),
                "unchanged": lambda: content.name(settings, source),
            }
            for label, work in looks.items():
                times.setdefault(label, []).append(seconds(work))
            before = content.name(settings, source)
            paths[number].write_bytes(os.urandom(options.bytes))
            times.setdefault("one changed", []).append(seconds(lambda: content.name(settings, source)))
            assert content.name(settings, source) != before
    finally:
        shutil.rmtree(top)
    load = os.getloadavg()[0]
    print(f"{options.files:,} files, median of {options.repeats}, {os.cpu_count()} cores, load {load:.1f}")
    for label, found in times.items():
        wall, cpu = map(statistics.median, zip(*found, strict=True))
        print(f"{label:12} {wall:7.2f} s wall {cpu:7.2f} s CPU")


if __name__ == "__main__":
    main()
