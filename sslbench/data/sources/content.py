"""What a user's own folder or archive holds, by content: a change is noticed, and a touch costs one look.

``looked.json`` beside source.json keeps the size, times, inode and SHA-256 of every image and label file, so that a
look reads only files whose size, times or inode are new. It also keeps the content that fetch last saw, and its name:
the state of all files in which that content was first seen. Snakemake records the name as a parameter of fetch, so it
has to be known before any file was read, and to stay while the content does.
"""

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sslbench.data.layouts.tree import MAX_DEPTH, entries, is_picture
from sslbench.data.spec import DatasetSettings
from sslbench.errors import UserError
from sslbench.runtime.files import file_sha256, write_whole

KEPT = "looked.json"
TOLD = 1 << 28  # bytes; reading more is announced
_THREADS = min(8, os.cpu_count() or 1)
_CHUNK = 100  # files that a thread reads before it asks for more
_SMALL = 1 << 20  # bytes that are read at once

State = list[int]  # size in bytes, times of modification and change in ns, inode


class Seen(NamedTuple):
    name: str  # of the content
    sha256: str  # over the paths and hashes of all files
    state: str  # the same over their states
    files: dict[str, list]  # path -> its State and its SHA-256, "" where it cannot be read


def place(path: Path, data: Path) -> Path:
    """Where ``path`` is: without links, and relative to the working directory if that holds ``data`` too, so that a
    checkout can be copied or moved as a whole."""
    here, found = Path.cwd().resolve(), path.resolve()
    together = found.is_relative_to(here) and data.resolve().is_relative_to(here)
    return found.relative_to(here) if together else found


def name(settings: DatasetSettings, folder: Path, say: Callable[[str], None] | None = None) -> str | None:
    """The name of what the user's own files hold now; ``folder`` is the source's. None where there are none.

    No file is read where nothing was fetched yet, or nothing changed since the last look. Files that are gone since
    they were fetched keep their name: what was packed needs them no more.
    """
    places, head = settings.read_from(), _head(folder)
    if not places or not all(path.exists() for path in places):
        return head.get("name")
    states = dict(_states(settings))
    if not head:
        return _digest(states)
    if head["state"] == _digest(states):  # spares reading looked.json, which is long
        return head["name"] if head["found"] == head["sha256"] else head["state"]
    return _look(settings, folder, states, say).name


def changed(settings: DatasetSettings, folder: Path) -> bool:
    """Whether the user's own files hold another content than was fetched into ``folder``."""
    fetched = _head(folder).get("name")
    return fetched is not None and name(settings, folder) != fetched


def look(settings: DatasetSettings, folder: Path, say: Callable[[str], None] | None = None, keep: bool = True) -> Seen:
    """Look at all files, and read those that are new or in another state than when they were last read.

    Args:
        folder: the source's, with looked.json, which is rewritten if ``keep``.
        say: gets a line before much is read.
    """
    return _look(settings, folder, dict(_states(settings)), say, keep)


def _look(
    settings: DatasetSettings,
    folder: Path,
    states: dict[str, State],
    say: Callable[[str], None] | None,
    keep: bool = True,
) -> Seen:
    head, kept, state = _head(folder), _kept(folder), _digest(states)
    known = {path: old for path, old in kept.items() if old[:4] == states.get(path) and old[4]}
    unread = [path for path in states if path not in known]
    if say and (size := sum(states[path][0] for path in unread)) > TOLD:
        say(f"{settings.read_from()[0]}: reading {len(unread):,} new or touched files ({size / 1e9:,.1f} GB)")
    hashes = dict(zip(unread, _hashes(list(_paths(settings, unread))), strict=True))
    files = {path: known.get(path) or [*state, hashes[path]] for path, state in states.items()}
    sha256 = _digest({path: entry[4] for path, entry in files.items()})
    seen = Seen(head["name"] if sha256 == head.get("sha256") else state, sha256, state, files)
    if keep and head and state != head["state"]:
        with contextlib.suppress(UserError):  # where nothing can be written, the next look reads them again
            _write(folder, seen, head)
    return seen


def remember(folder: Path, seen: Seen) -> None:
    """Keep ``seen`` as what was fetched. Raises UserError where it cannot be written."""
    _write(folder, seen, {"name": seen.name, "sha256": seen.sha256})


def require_unchanged(settings: DatasetSettings, folder: Path, sha256: str) -> None:
    """Raise UserError, naming a file, where the content is not ``sha256`` any more."""
    before, seen = _kept(folder), look(settings, folder, keep=False)
    if seen.sha256 == sha256:
        return
    paths = before.keys() | seen.files.keys()
    changed = sorted(path for path in paths if before.get(path, [""])[-1] != seen.files.get(path, [""])[-1])
    which = repr(changed[0]) if changed else "a file"
    more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
    raise UserError(
        f"{settings.read_from()[0]}: {which}{more} changed since the images were fetched; run again when nothing "
        "writes there"
    )


def _states(settings: DatasetSettings) -> Iterator[tuple[str, State]]:
    for number, path in enumerate(settings.read_from()):
        prefix = f"{number}:" if number else ""  # of the first alone, names are those below it
        if path.is_dir():
            yield from _below(path, prefix, tuple(settings.label_files), frozenset())
        else:
            yield prefix + path.name, _state(path)


def _below(folder: Path, prefix: str, labels: tuple[str, ...], above: frozenset[str]) -> Iterator[tuple[str, State]]:
    """The images and label files that a layout could read. Links are followed, cycles not."""
    real = os.path.realpath(folder)
    if real in above or len(above) > MAX_DEPTH:  # what lies deeper no layout reads
        return
    for entry in entries(folder):
        if entry.is_dir():
            yield from _below(Path(entry.path), f"{prefix}{entry.name}/", labels, above | {real})
        elif is_picture(entry.name) or entry.name.endswith(labels):
            yield prefix + entry.name, _state(entry)


def _state(entry: os.DirEntry | Path) -> State:
    try:
        found = entry.stat()
    except OSError:  # a link to nothing; packing says so
        return [0, 0, 0, 0]
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _paths(settings: DatasetSettings, names: list[str]) -> Iterator[Path]:
    places = settings.read_from()
    for name in names:
        number, colon, rest = name.partition(":")
        several = colon and number.isdecimal() and 0 < int(number) < len(places)
        top, below = (places[int(number)], rest) if several else (places[0], name)
        yield top / below if top.is_dir() else top


def _hashes(paths: list[Path]) -> list[str]:
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    if len(chunks) < 2:  # one archive, say, which may take minutes: here Ctrl-C stops it
        return [_sha256(path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            found = pool.map(lambda chunk: [_sha256(path) for path in chunk], chunks)
            return list(itertools.chain.from_iterable(found))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for no more than the chunks under way
            raise


def _sha256(path: Path) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            first = file.read(_SMALL)
            if len(first) < _SMALL:
                return hashlib.sha256(first).hexdigest()
        return file_sha256(path)
    except OSError:
        return ""


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _head(folder: Path) -> dict:
    """The first line of looked.json: ``name`` and ``sha256`` of what was fetched, ``state`` and ``found`` (the content)
    of the last look. {} where the file is missing or not as it was written."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError), (folder / KEPT).open("rb") as file:
        head = json.loads(file.readline())
        if all(isinstance(head[key], str) for key in ("name", "sha256", "state", "found")):
            return head
    return {}


def _kept(folder: Path) -> dict[str, list]:
    """Its second line: the files of the last look; {} likewise."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        kept = json.loads((folder / KEPT).read_bytes().partition(b"\n")[2])
        if all(type(entry) is list and len(entry) == 5 for entry in kept.values()):
            return kept
    return {}


def _write(folder: Path, seen: Seen, fetched: dict) -> None:
    head = {"name": fetched["name"], "sha256": fetched["sha256"], "state": seen.state, "found": seen.sha256}
    write_whole(folder / KEPT, f"{json.dumps(head)}\n{json.dumps(seen.files)}\n".encode())
