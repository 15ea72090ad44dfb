"""Pictures for the benchmarks: a sample of real JPEGs, or drawn ones, as files, in memory and packed."""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from sslbench.data.layouts import folder as layout
from sslbench.data.pack.read import PackedSet
from sslbench.data.pack.write import pack
from sslbench.data.sources import archives
from sslbench.data.sources.fetch import fetch

CLASSES = 4
SHORTEST = 256  # px, of drawn pictures


def add_flags(parser: argparse.ArgumentParser, pictures: int = 256) -> None:
    """--archive, --folder, --pictures."""
    parser.add_argument("--archive", type=Path, help="take JPEGs of this archive; without it pictures are drawn")
    parser.add_argument("--folder", type=Path, help="take JPEGs below this folder")
    parser.add_argument("--pictures", type=int, default=pictures, help=f"how many different ones, default {pictures}")


@contextmanager
def gathered(options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """A temporary folder of ``options.pictures`` JPEGs, <class>/<number>.jpg, and one sentence on what they are."""
    with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        root = Path(scratch) / "pictures"
        if options.archive or options.folder:
            source = options.folder
            if options.archive:
                source = Path(scratch) / "archive"
                archives.extract(options.archive, source)
            _sample(source, options.pictures, root)
            shutil.rmtree(Path(scratch) / "archive", ignore_errors=True)
        else:
            draw(options.pictures, root)
        yield root, described(root, "drawn" if not (options.archive or options.folder) else "real")


def _sample(source: Path, count: int, root: Path) -> None:
    found = sorted(file for file in source.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    if not found:
        raise SystemExit(f"{source}: no JPEGs found")
    for number, position in enumerate(np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)):
        target = root / str(number % CLASSES) / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[position], target)


def draw(count: int, root: Path) -> None:
    """Draw ``count`` JPEGs: noise whose amplitude falls with frequency, about as photographs' does, and a few shapes.

    Shortest side 256 px, ratios 1:1, 4:3 and 3:4, quality 80: about 20 KB each, like photographs of that size.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = [(SHORTEST, SHORTEST), (SHORTEST, SHORTEST * 4 // 3), (SHORTEST * 4 // 3, SHORTEST)][number % 3]
        target = root / str(number % CLASSES) / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_drawn(height, width, rng)).save(target, quality=80)


def _drawn(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    falling = np.maximum(np.hypot(y, x), 1 / width) ** -1.4
    noise = rng.normal(size=(4, *falling.shape)) + 1j * rng.normal(size=(4, *falling.shape))
    planes = np.fft.irfft2(noise * falling, s=(height, width))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    pixels = 120 + 50 * planes[:1] + 14 * planes[1:]  # mostly grey contrast, some colour
    down, right = np.mgrid[:height, :width]
    for _ in range(6):
        top, left, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(8, SHORTEST / 4)
        inside = np.hypot((down - top) * rng.uniform(0.5, 2), right - left) < size
        pixels[:, inside] = 0.4 * pixels[:, inside] + 0.6 * rng.uniform(0, 255, size=(3, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def described(root: Path, kind: str) -> str:
    files = sorted(root.rglob("*.jpg"))
    sizes = []
    for file in files:
        with Image.open(file) as image:
            sizes.append(image.size)
    shortest = sorted(min(size) for size in sizes)
    kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1e3
    side = f"{shortest[0]}" if shortest[0] == shortest[-1] else f"{shortest[0]} to {shortest[-1]}"
    return f"{len(files)} {kind} JPEGs, shortest side {side} px, {kilobytes:.1f} KB each on average"


def in_memory(root: Path) -> list[Image.Image]:
    """The decoded pictures, RGB."""
    opened = [Image.open(file) for file in sorted(root.rglob("*.jpg"))]
    return [image.convert("RGB") for image in opened]


def packed(root: Path, scratch: Path, pack_size: int) -> PackedSet:
    """The pictures packed by sslbench at ``pack_size`` px, into a folder below ``scratch``."""
    settings = layout.Settings(path=root)
    source = scratch / f"source-{pack_size}"
    fetch(settings, source)
    pack(settings, source / "source.json", scratch / f"pack-{pack_size}", pack_size)
    return PackedSet.open(scratch / f"pack-{pack_size}")
