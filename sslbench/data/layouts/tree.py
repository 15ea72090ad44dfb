"""Pictures in a folder tree, as every layout finds them."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sslbench.data.litter import is_litter
from sslbench.data.spec import Listing, Record
from sslbench.errors import UserError

# Of file names, in any case. A version of Pillow that lacks a format calls its pictures unreadable.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2"),
)
ARCHIVES = (".tar", ".tgz", ".tar.gz", ".zip")

MAX_FOLDERS = 1_000_000  # that are looked through for files that are no pictures
MAX_DEPTH = 100  # folders below the one that is looked through


def left_out(name: str) -> bool:
    """Whether a file or folder is not looked at: hidden, or litter of some system."""
    return name.startswith(".") or is_litter(name)


def is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not left_out(name)


def entries(folder: Path) -> list[os.DirEntry]:
    """What a folder holds, bar what is left out, sorted by name. Raises UserError where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not left_out(e.name)), key=lambda e: e.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}; check its permissions") from error


def pictures_below(folder: Path) -> list[str]:
    """Paths of all pictures below ``folder``, relative to it and with ``/``, sorted. Links are followed, cycles not."""
    return sorted(_walk(folder, "", frozenset()))


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    if len(above) > MAX_DEPTH:
        raise UserError(f"{folder}: lies deeper than {MAX_DEPTH} folders below its class; move its pictures up")
    for entry in entries(folder):
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
        elif is_picture(entry.name):
            yield prefix + entry.name


def top_folder(root: Path, parts: Collection[str] = ()) -> Path:
    """``root``, or where it holds one folder and nothing else, that folder, and so on down, but into none of ``parts``,
    which are casefolded names.

    So pictures have the same names whether the archive's top folder was kept, renamed or stripped.
    """
    while len(found := entries(root)) == 1 and found[0].is_dir() and found[0].name.casefold() not in parts:
        root = Path(found[0].path)
    return root


def archives_hint(folder: Path) -> str:
    """What to do with a folder of archives, as ImageNet's comes; empty where it holds none."""
    count = sum(entry.name.lower().endswith(ARCHIVES) and entry.is_file() for entry in entries(folder))
    if not count:
        return ""
    what = "an archive" if count == 1 else f"{count:,} archives"
    return f"it holds {what} (.tar or alike): unpack first, then name the folder as path: (docs/your-own-images.md)"


def passed_over(root: Path, listed: Collection[str]) -> dict[str, int]:
    """How many files below ``root``, bar what is left out, are not ``listed`` (paths relative to it), by suffix."""
    listed, found, seen = frozenset(listed), Counter(), set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or len(seen) > MAX_FOLDERS:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not left_out(name)]
        prefix = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        prefix = "" if prefix == "./" else prefix
        for name in names:
            if not left_out(name) and prefix + name not in listed:
                suffix = Path(name).suffix.lower()
                found[suffix if re.fullmatch(r"\.[a-z0-9]{1,10}", suffix) else "other"] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def listing_of(
    records: list[Record],
    classes: list[str],
    titles: Mapping[str, str],
    test_paths: Mapping[str, Collection[str]],
    val_paths: Collection[str] = (),
) -> Listing:
    """A listing sorted by path, with one split per entry of ``test_paths`` (split name -> paths that test).

    ``val_paths`` are val in each of them; without any, splits have two parts.
    """
    records = sorted(records)
    splits = {}
    for name, tests in test_paths.items():
        split: dict[str, list[int]] = {"train": [], "test": []} | ({"val": []} if val_paths else {})
        for position, record in enumerate(records):
            part = "test" if record.path in tests else "val" if record.path in val_paths else "train"
            split[part].append(position)
        splits[name] = split
    return Listing(records, classes, [titles.get(name, name) for name in classes], splits)
