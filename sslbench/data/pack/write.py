"""Packing: an archive or folder of pictures becomes one buffer of decoded pictures, once.

The bytes of a pack depend on the pictures and the pack size alone: not on the number of jobs, the time, or which of
the datasets that share it was asked for.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from sslbench.data import doctor, splits
from sslbench.data.layouts.tree import passed_over, top_folder
from sslbench.data.pack import format as packformat
from sslbench.data.pack.decode import FORMATS
from sslbench.data.pack.workers import decoded
from sslbench.data.sources import archives, content
from sslbench.data.sources.fetch import read_source
from sslbench.data.spec import JPEG_BYTES_PER_PIXEL, DatasetSettings, Listing
from sslbench.errors import UserError, about
from sslbench.runtime.files import alone, file_sha256, one_line, require_space, write_json
from sslbench.runtime.ticker import Progress, Ticker, printer
from sslbench.store.checksum import sealed

_SAMPLED = 100  # pictures looked at to estimate the pack's size
_MARGIN = 1.1  # on estimates of disk space


def pack(
    settings: DatasetSettings, source_json: Path, out: Path, pack_size: int, jobs: int = 1, progress: Progress = None
) -> None:
    """Make the folder ``out`` (format.py says what is in it) of what ``source_json`` speaks of.

    Args:
        pack_size: px, the shortest side of packed pictures; smaller ones are kept as they are.
        jobs: processes that decode.

    Raises UserError where pictures, classes or disk space are missing, a folder changed since it was fetched, or more
    than ``settings.unreadable_share`` of the pictures cannot be read. ``out`` is replaced as a whole, at the end;
    scratch files go whatever happens.
    """
    say = printer(progress)
    source, file = read_source(source_json)

    def check() -> None:
        if source["kind"] == "folder":
            content.require_unchanged(settings, source_json.parent, source["sha256"])

    scratch = out.with_name(out.name + ".part")
    with one_line(out, "packing"), alone(scratch, say) as waited:
        if waited and _same(out, source_json.parent.name, settings, pack_size):
            say("packed by another process meanwhile")
            shutil.rmtree(scratch, ignore_errors=True)
            return
        try:
            _empty(scratch)  # of a run that was killed
            check()
            unpacked = _unpacked(settings, source, file, scratch, say)
            root = _base(settings, unpacked)
            listing, _ = _scan(settings, root, scratch / "unpacked", file)
            for note in listing.notes:
                say(note.replace(str(scratch / "unpacked"), str(file)))
            needed = _MARGIN * _pack_bytes(root, listing, pack_size, settings.encoding)
            require_space(scratch, needed, f"packing {len(listing.records):,} pictures")
            made = scratch / "pack"
            made.mkdir()
            _write(settings, file, root, listing, made, source_json.parent.name, pack_size, jobs, say)
            check()
            _publish(made, out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _same(out: Path, source: str, settings: DatasetSettings, pack_size: int) -> bool:
    """Whether ``out`` is the pack that is asked for."""
    try:
        manifest = {"encoding": "pixels", "scale": "full"} | packformat.read_manifest(out)
    except UserError:
        return False
    asked = {"source": source, "identity": settings.identity(), "pack_size": pack_size, "encoding": settings.encoding}
    asked["scale"] = settings.scale
    return asked == {key: manifest[key] for key in asked}


def _unpacked(settings: DatasetSettings, source: dict, file: Path, scratch: Path, say: Callable[[str], None]) -> Path:
    """Where the images are: the folder itself, or what an archive is unpacked into. A layout may have its own way."""
    unpack = getattr(sys.modules[type(settings).__module__], "unpack", None)
    into = scratch / "unpacked"
    if source["kind"] == "folder" and unpack is None:
        return file
    if source["kind"] != "folder":
        require_space(scratch, _MARGIN * (source.get("unpacked") or source["size"]), f"unpacking {file.name}")
        say(f"unpacking {file.name}")
    if unpack is not None:
        return unpack(settings, file, into)
    archives.extract(file, into)
    return into


def listed(settings: DatasetSettings, unpacked: Path, file: Path) -> tuple[Listing, dict[str, splits.Split]]:
    """The images of an unpacked ``file``, or of a folder, by their names alone, and the splits that are asked for.

    Raises UserError where ``pack`` would, as far as that can be known without decoding.
    """
    return _scan(settings, _base(settings, unpacked), unpacked, file)


def _base(settings: DatasetSettings, unpacked: Path) -> Path:
    layout = sys.modules[type(settings).__module__]
    return layout.base(unpacked, settings) if hasattr(layout, "base") else top_folder(unpacked)


def _scan(settings: DatasetSettings, root: Path, unpacked: Path, file: Path) -> tuple[Listing, dict[str, splits.Split]]:
    """The images below ``root``, and the splits that the settings ask for."""
    try:
        listing = sys.modules[type(settings).__module__].scan(root, settings)
    except UserError as error:  # speak of the archive: the scratch folder is about to go
        raise UserError(str(error).replace(str(unpacked), str(file))) from error
    if not listing.records:
        raise UserError(f"{file}: no pictures were found; check archive: or path:")
    everything = list(range(len(listing.records)))
    labels, groups = listing.labels(everything), listing.group_numbers(everything)
    names = [record.path for record in listing.records]
    split_sets = _remap(listing, everything, labels, names, groups)
    # Before hours of decoding, and again after it, for what was left out.
    return listing, _check(settings, file, listing, labels, names, groups, split_sets)


def _pack_bytes(root: Path, listing: Listing, pack_size: int, encoding: str) -> float:
    """Estimated bytes of the packed pictures, from the headers of pictures spread over the listing."""
    sizes = []
    for record in listing.records[:: max(1, len(listing.records) // _SAMPLED)]:
        try:
            with Image.open(root / record.path, formats=FORMATS) as image:
                factor = min(1.0, pack_size / min(image.size))
                per_pixel = 3 if encoding == "pixels" else JPEG_BYTES_PER_PIXEL
                sizes.append(per_pixel * image.width * image.height * factor**2)
        except Exception:  # the unreadable are dealt with where they are decoded
            continue
    return len(listing.records) * float(np.mean(sizes or [0]))


@dataclass
class _Found:
    """What decoding leaves beside the pixels. Lists run over the pictures that could be read."""

    kept: list[int] = field(default_factory=list)  # positions in the listing
    lengths: list[int] = field(default_factory=list)  # bytes in the pack
    shapes: list[tuple[int, int]] = field(default_factory=list)  # height, width as packed
    sizes: list[tuple[int, int]] = field(default_factory=list)  # height, width as found
    digests: list[bytes] = field(default_factory=list)
    grey: int = 0
    dark: list[str] = field(default_factory=list)  # names
    flat: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # name, reason
    sha256: "hashlib._Hash" = field(default_factory=packformat.begin)


def _write(
    settings: DatasetSettings,
    file: Path,
    root: Path,
    listing: Listing,
    made: Path,
    source: str,
    pack_size: int,
    jobs: int,
    say: Callable[[str], None],
) -> None:
    names = [record.path for record in listing.records]
    ticker = Ticker(say)
    found = _write_pixels(made / "pixels.bin", root, names, pack_size, jobs, ticker, settings)
    _judge(found.unreadable, names, settings, file)
    labels, groups = listing.labels(found.kept), listing.group_numbers(found.kept)
    names = [names[position] for position in found.kept]
    split_sets = _remap(listing, found.kept, labels, names, groups)
    _check(settings, file, listing, labels, names, groups, split_sets)
    heights, widths = np.array(found.shapes, dtype=np.int64).T
    lengths = np.array(found.lengths, dtype=np.int64)
    arrays = {
        "offsets": np.cumsum(lengths) - lengths,
        "heights": heights,
        "widths": widths,
        "labels": labels,
        "digests": np.frombuffer(b"".join(found.digests), dtype=np.uint8).reshape(-1, 16),
    }
    if settings.encoding != "pixels":
        arrays["lengths"] = lengths
    if groups is not None:
        arrays["groups"] = groups
    packformat.write_index(made, arrays, split_sets)
    write_json(made / "names.json", names)
    findings = doctor.examine(
        classes=listing.classes,
        titles=listing.titles,
        labels=labels,
        names=names,
        heights=np.array(found.sizes)[:, 0],
        widths=np.array(found.sizes)[:, 1],
        grey=found.grey,
        digests=arrays["digests"],
        unreadable=found.unreadable,
        split_sets=split_sets,
        dark=found.dark,
        flat=found.flat,
        passed_over=passed_over(root, [record.path for record in listing.records]),
        groups=groups,
    )
    write_json(made / "doctor.json", findings)
    beside = (*packformat.BESIDE, *([packformat.GROUPS] if groups is not None else []))
    manifest = {
        "format": packformat.FORMAT,
        "source": source,
        "identity": settings.identity(),
        "pack_size": pack_size,
        "count": len(names),
        "bytes": int(lengths.sum()),
        "max_height": int(heights.max()),
        "max_width": int(widths.max()),
        "classes": listing.classes,
        "titles": listing.titles,
        "content_sha256": packformat.finish(
            found.sha256, heights, widths, labels, listing.classes, arrays.get("lengths")
        ),
        "names_sha256": packformat.names_sha256(made),
        "files": {name: file_sha256(made / name) for name in beside},
        "splits": {
            name: {part: len(split[part]) for part in split} | {"sha256": splits.sha256(split)}
            for name, split in split_sets.items()
        },
        "pillow": PIL.__version__,
    }
    if settings.encoding != "pixels":
        manifest["encoding"] = settings.encoding
    if settings.scale != "full":
        manifest["scale"] = settings.scale
    write_json(made / "manifest.json", sealed(manifest))
    for line in doctor.describe(findings):
        say(line)
    say(
        f"packed {len(names):,} pictures, {manifest['bytes'] / 1e6:,.0f} MB, "
        f"{len(names) / ticker.seconds:,.0f} pictures/s"
    )


def _write_pixels(
    file: Path, root: Path, names: list[str], pack_size: int, jobs: int, ticker: Ticker, settings: DatasetSettings
) -> _Found:
    found, done = _Found(), 0
    # Hashing and writing are what one process must do: side by side, and both without Python's lock.
    with file.open("wb") as pixels, ThreadPoolExecutor(1) as writer:
        for chunk in decoded(root, names, pack_size, jobs, settings.encoding, settings.scale):
            blocks = []
            for position, one in enumerate(chunk, done):
                if isinstance(one, str):
                    found.unreadable.append((names[position], one))
                    ticker.say(f"{names[position]!r}: {one}")
                    continue
                found.kept.append(position)
                found.lengths.append(one.pixels.size)
                found.shapes.append(one.shape)
                found.sizes.append((one.height, one.width))
                found.digests.append(one.digest)
                found.grey += one.grey
                found.dark += [names[position]] * one.dark
                found.flat += [names[position]] * one.flat
                blocks.append(np.ascontiguousarray(one.pixels).data)
            written = writer.submit(pixels.writelines, blocks)
            for block in blocks:
                found.sha256.update(block)
            written.result()
            done += len(chunk)
            ticker.tick(lambda done=done: _progress(done, len(names), ticker.seconds))
        pixels.flush()
        os.fsync(pixels.fileno())
    return found


def _progress(done: int, count: int, seconds: float) -> str:
    rate = done / seconds
    return f"packed {done:,} of {count:,}, {rate:,.0f} pictures/s, about {(count - done) / rate:,.0f} s left"


def _judge(unreadable: list[tuple[str, str]], names: list[str], settings: DatasetSettings, file: Path) -> None:
    share = len(unreadable) / len(names)
    if share <= settings.unreadable_share:
        return
    listed = "; ".join(f"{name!r} {reason}" for name, reason in unreadable[:5])
    more = f"; and {len(unreadable) - 5} more (all in the log)" if len(unreadable) > 5 else ""
    allowed = np.ceil(share * 10_000) / 10_000
    leave_out = f", or leave them out with unreadable_share: {allowed:g}" if allowed < 1 else ""
    raise UserError(
        f"{len(unreadable)} of {len(names):,} pictures of {file} cannot be read: {listed}{more}. Replace or remove "
        f"them{leave_out}"
    )


def _remap(
    listing: Listing, kept: list[int], labels: np.ndarray, names: list[str], groups: np.ndarray | None
) -> dict[str, splits.Split]:
    """The listing's splits as positions among the pictures that were kept; derived ones are those of what was kept."""
    place = np.full(len(listing.records), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    remapped = {}
    for name, split in listing.splits.items():
        if splits.is_derived(name):
            remapped[name] = splits.resolve(name, {}, labels, names, groups)
            continue
        parts = {part: place[np.array(sorted(split[part]), dtype=np.int64)] for part in split}
        remapped[name] = {part: positions[positions >= 0] for part, positions in parts.items()}
    return remapped


def _check(
    settings: DatasetSettings,
    file: Path,
    listing: Listing,
    labels: np.ndarray,
    names: list[str],
    groups: np.ndarray | None,
    split_sets: dict[str, splits.Split],
) -> dict[str, splits.Split]:
    """The splits that the settings ask for. Raises UserError where one of them, or a class, cannot be used."""
    for label, name in enumerate(listing.classes):
        if not (labels == label).any():
            raise UserError(f"{file}: class {name!r} has no readable pictures; add some, or remove the class")
    judged, found = settings.labelled and settings.evaluate_on is None, {}
    with about(str(file)):
        for part, wanted in settings.split_names().items():
            split = found[part] = splits.resolve(wanted, split_sets, labels, names, groups)
            if fault := splits.fault(split, labels, listing.classes):
                cure = f"; {_MORE_OF_IT}" if part else ""
                raise UserError(f"split {wanted!r} cannot be used: {fault}{_alike(listing.classes)}{cure}")
            if judged and (fault := splits.too_few_classes(split, labels, listing.classes)):
                cure = f"this is {part}; {_MORE_OF_IT}" if part else _NOT_ONE_CLASS
                if groups is not None and wanted not in listing.splits:
                    cure = "a group stays on one side, and classes have too few of them: look at what says the group"
                raise UserError(f"{fault}, and a probe tells classes apart: {cure}")
    return found


_NOT_ONE_CLASS = (
    "give every class a folder of its own, name a table of labels (kind: table), or set labelled: false to be measured "
    "without any (docs/your-own-images.md)"
)
_MORE_OF_IT = "write fewer folds:, or give its classes more images, in more groups where they have groups"


def _alike(classes: list[str]) -> str:
    found = doctor.look_alikes(classes)
    return f" ({' and '.join(map(ascii, found[0]))} look alike)" if found else ""


def _publish(made: Path, out: Path) -> None:
    """Put the finished folder in place; an older one goes only then."""
    if out.exists():
        out.replace(made.parent / "old")
    made.replace(out)
