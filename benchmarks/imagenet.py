"""What packing ImageNet-1K takes, in core hours and gigabytes, from a measured sample of pictures of its sizes.

    python -m benchmarks.imagenet --archive imagenette2-160.tgz --json imagenet.json

ImageNet's own pictures stand behind its terms, so the sample is made to its mean size, 469 x 387 px, of real ones:

    mosaic    six 160 px pictures side by side, 480 x 320 px
    enlarged  one 160 px picture, 500 x 375 px

Their files have ImageNet's mean bytes per pixel, by the quality they are saved at, so that reading them costs the same.
What the 160 px pictures lost in their own compression does not come back: JPEGs that are packed of them are smaller
than ImageNet's will be. Each is packed as the imagenet layout does it, with one process, as pixels and as JPEGs, in
batches whose spread is the spread of the sample. CPU seconds are those of pack() from scan to sync.
"""

import io
import statistics
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks import bench, pictures
from sslbench.data.layouts import imagenet
from sslbench.data.pack import format as packformat
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch

TRAIN, VAL = 1_281_167, 50_000
MEAN_BYTES = (147_897_477_120 + 6_744_924_160) / (TRAIN + VAL)  # its two archives over its pictures
MEAN_PIXELS = 469 * 387  # its mean size
ASPECT = 4 / 3  # of ImageNet's longer side to its shorter, about; cost.py takes the same
SIZE = 256  # px, shortest side of what is kept
BATCHES = 5
ENCODINGS = ("pixels", "jpeg")


def main(arguments: list[str] | None = None) -> None:
    parser = bench.parser(__doc__)
    pictures.add_flags(parser, 1800)
    options = parser.parse_args(arguments)
    with pictures.gathered(options) as (root, described), tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        files = sorted(file for file in root.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
        tables = []
        for kind, make in (("mosaic", mosaics), ("enlarged", enlarged)):
            batches = [made(Path(scratch) / kind / str(i), make(files[i::BATCHES])) for i in range(BATCHES)]
            table = bench.Table(f"ImageNet-1K packed at {SIZE} px, by a sample of {kind} pictures", "picture")
            for encoding in ENCODINGS:
                add(table, encoding, [measure(batch, encoding) for batch in batches])
            table.notes.append(described)
            tables.append(table)
    bench.finish(options, tables, packages=["pillow", "numpy"])


def mosaics(files: list[Path]) -> list[Image.Image]:
    """Six pictures each, 3 x 2."""
    whole = []
    for start in range(0, len(files) - 5, 6):
        canvas = Image.new("RGB", (480, 320))
        for place, file in enumerate(files[start : start + 6]):
            with Image.open(file) as image:
                one = image.convert("RGB").resize((160, 160))
            canvas.paste(one, (160 * (place % 3), 160 * (place // 3)))
        whole.append(canvas)
    return whole


def enlarged(files: list[Path]) -> list[Image.Image]:
    whole = []
    for file in files[: len(files) // 6]:
        with Image.open(file) as image:
            whole.append(image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC))
    return whole


def made(root: Path, images: list[Image.Image]) -> Path:
    """The images as an ImageNet of one class, a tenth of them for validation, in files as large as ImageNet's."""
    quality = min(range(80, 101), key=lambda q: abs(_bytes_per_pixel(images[:3], q) - MEAN_BYTES / MEAN_PIXELS))
    for number, image in enumerate(images):
        folder = root / ("val" if number % 10 == 0 else "train") / "n00000001"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number}.JPEG", quality=quality)
    return root


def _bytes_per_pixel(images: list[Image.Image], quality: int) -> float:
    total = 0
    for image in images:
        image.save(file := io.BytesIO(), "JPEG", quality=quality)
        total += file.tell()
    return total / sum(image.width * image.height for image in images)


def measure(root: Path, encoding: str) -> dict[str, float]:
    """Per picture: CPU seconds, bytes read, bytes and pixels kept."""
    settings = imagenet.Settings(path=root, encoding=encoding)
    files = list(root.rglob("*.JPEG"))
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        source, out = Path(scratch) / "source", Path(scratch) / "pack"
        fetch(settings, source)
        before = bench.cpu_seconds()
        pack(settings, source / "source.json", out, SIZE, 1)
        seconds = bench.cpu_seconds() - before
        manifest = packformat.read_manifest(out)
        index = packformat.read_index(out, manifest)
    kept = float((index["heights"].astype(float) * index["widths"]).mean())
    count = manifest["count"]
    read = sum(file.stat().st_size for file in files) / count
    return {"cpu": seconds / count, "bytes": manifest["bytes"] / count, "kept": kept, "read": read}


def add(table: bench.Table, encoding: str, found: list[dict[str, float]]) -> None:
    """A row with the sample's costs, and a note with what they make of the whole of ImageNet."""
    table.add(encoding, {"cpu": [one["cpu"] for one in found]})
    count, kept = TRAIN + VAL, SIZE**2 * ASPECT
    hours = [one["cpu"] * count / 3600 for one in found]
    per_pixel = [one["bytes"] / one["kept"] for one in found]
    gigabytes = [count * kept * value / 1e9 for value in per_pixel]
    read = statistics.fmean(one["read"] for one in found)
    table.notes.append(
        f"{encoding}: {count:,} pictures x {1000 * statistics.fmean(one['cpu'] for one in found):.2f} ms = "
        f"{statistics.fmean(hours):.1f} core hours ({min(hours):.1f} to {max(hours):.1f} over {len(found)} batches); "
        f"x {SIZE}^2 x 4/3 px x {statistics.fmean(per_pixel):.3f} bytes = {statistics.fmean(gigabytes):,.0f} GB "
        f"({min(gigabytes):,.0f} to {max(gigabytes):,.0f}); files read: {read / 1000:.0f} kB each, "
        f"ImageNet's {MEAN_BYTES / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
