"""Fetching a dataset: a download, a local archive, a folder used in place, or pictures that the project draws.

Nothing is believed before it is verified, and ``source.json``, written last, says what was: ``source``, ``kind``
("download", "archive", "folder" or "drawn"), ``file`` (absolute, or relative to this folder; of several ``.``, and
``files`` are their names), ``sha256`` (of a folder: over all its files, as content.py has it), ``size`` in bytes,
``official`` (its checksum is the official one) and, where it was counted, ``unpacked`` in bytes. It holds no times or
inodes, so that equal content makes it equal.
"""

import email.utils
import hashlib
import http.client
import json
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sslbench.data.sources import archives, content
from sslbench.data.spec import Archive, DatasetSettings
from sslbench.errors import UserError
from sslbench.runtime.files import DISK_FULL, alone, full_disk, one_line, require_space, write_json
from sslbench.runtime.ticker import Progress, Ticker, printer

TIMEOUT = 60.0  # seconds without a byte
SLOWEST = 1000.0  # bytes/s over TIMEOUT; a server that trickles is left like one that hangs
TRIES = 6  # in a row without PROGRESS_BYTES more
PAUSE = 1.0  # seconds before the second try, doubled before each further one
LONGEST = 600.0  # seconds that a server may ask to be left alone before the next try
PROGRESS_BYTES = 1 << 20  # a try that brought this much does not count as failed
_BLOCK = 1 << 18
_RETRY_CODES = {408, 416, 425, 429, *range(500, 600)} - {501, 505}  # also 520 to 524, a proxy's whose server is away


class _Dropped(Exception):
    """A failure that may pass; its text is the reason, ``wait`` the seconds that the server asked for."""

    wait = 0.0


def fetch(settings: DatasetSettings, folder: Path, progress: Progress = None) -> dict:
    """Make ``folder/source.json``, fetching and verifying what it speaks of, and return it.

    Raises UserError where there is nothing to fetch, or it cannot be had or believed.
    """
    say = printer(progress)
    with one_line(folder, f"fetching {settings.source()}"), alone(folder, say):
        return _fetch(settings, folder, say)


def _fetch(settings: DatasetSettings, folder: Path, say: Callable[[str], None]) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    draw = getattr(sys.modules[type(settings).__module__], "draw", None)
    if settings.path is not None:
        found = _in_place(settings, folder, say)
    elif settings.archive is not None:
        found = _local(settings, folder, say)
    elif draw is not None:
        file = folder / f"{settings.source()}.tar"
        draw(settings, file)
        found = {"kind": "drawn", "file": file.name, **_fingerprint(file), "official": True}
    elif wanted := settings.downloads():
        files = [download(one, folder, say) for one in wanted]
        found = {"kind": "download", "file": files[0].name, **_fingerprint(*files), "official": True}
        if len(files) > 1:
            found |= {"file": ".", "files": [file.name for file in files]}
    else:
        raise UserError(f"{settings.source()} has no download: {settings.how_to_get()}")
    found["source"] = settings.source()
    write_json(folder / "source.json", found)
    say(f"{settings.source()}: {found['kind']} {', '.join(found.get('files', [found['file']]))} verified")
    return found


def read_source(source_json: Path) -> tuple[dict, Path]:
    """What ``fetch`` wrote and the file or folder it speaks of. Raises UserError where that is gone or another."""
    try:
        found = json.loads(source_json.read_text(encoding="ascii"))
        file = source_json.parent / found["file"]
        expected = {key: found[key] for key in ("kind", "sha256", "size")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{source_json}: cannot be read ({error}); delete it and run again to fetch anew") from error
    if expected.pop("kind") == "folder":
        if not file.is_dir():
            raise UserError(f"{file}: the folder of pictures is gone since it was fetched; put it back or change path:")
        return found, file
    files = [file / name for name in found.get("files", [])] or [file]
    if not all(one.is_file() for one in files) or expected != _fingerprint(*files):
        raise UserError(f"{file}: is gone or has changed since it was fetched; delete {source_json} and run again")
    return found, file


def _in_place(settings: DatasetSettings, folder: Path, say: Callable[[str], None]) -> dict:
    path = settings.path
    if not path.is_dir():
        raise UserError(
            f"path: {path} is no folder; name the folder that holds the pictures, or use archive: for a file"
        )
    try:
        empty = not any(path.iterdir())
    except OSError as error:
        raise UserError(f"path: {path} cannot be read: {error.strerror}") from error
    if empty:
        raise UserError(f"path: {path} is empty; name the folder that holds the pictures")
    seen = content.look(settings, folder, say)
    content.remember(folder, seen)
    return {
        "kind": "folder",
        "file": _from(folder, path),
        "sha256": seen.sha256,
        "size": sum(entry[0] for entry in seen.files.values()),
        "official": False,
    }


def _local(settings: DatasetSettings, folder: Path, say: Callable[[str], None]) -> dict:
    archive, official = settings.archive, next(iter(settings.downloads()), None)
    if not archive.is_file():
        raise UserError(
            f"archive: there is no file {archive}; check the path, which is relative to the working directory"
        )
    say(f"{archive}: reading it through once")
    same_size = official is not None and official.size == archive.stat().st_size
    fault = mismatch(archive, official) if same_size else None
    if fault:
        raise UserError(f"archive: {archive} has the official size but {fault}: it is damaged; get it anew")
    seen = content.look(settings, folder, keep=False)  # a damaged one leaves nothing
    counted = archives.verify(archive)
    if not counted["files"]:
        raise UserError(f"archive: {archive} holds no files")
    content.remember(folder, seen)
    size, *_, sha256 = seen.files[archive.name]
    return {
        "kind": "archive",
        "file": _from(folder, archive),
        "sha256": sha256,
        "size": size,
        "official": same_size,
        "unpacked": counted["unpacked"],
    }


def _from(folder: Path, path: Path) -> str:
    """``path`` as source.json in ``folder`` names it."""
    where = content.place(path, folder)
    return str(where) if where.is_absolute() else os.path.relpath(where, folder.resolve())


def mismatch(file: Path, wanted: Archive) -> str | None:
    """How ``file`` differs from the table's size and hashes, as ``its md5 is x, not y``; None where it does not."""
    size = file.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return f"its size is {size:,} bytes, not {wanted.size:,}"
    for name in ("sha256", "md5"):
        expected = getattr(wanted, name)
        if expected is not None and (found := _hash(file, name)) != expected:
            return f"its {name} is {found}, not {expected}"
    return None


def _hash(file: Path, name: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


def _fingerprint(*files: Path) -> dict:
    """Of several files the hash is over theirs, in order."""
    hashes = [_hash(file, "sha256") for file in files]
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return {"sha256": sha256, "size": sum(file.stat().st_size for file in files)}


def download(wanted: Archive, folder: Path, say: Callable[[str], None]) -> Path:
    """``folder/<wanted.file>``, downloaded if it is not there yet, verified before it gets its name.

    An interrupted download stays as ``.part`` and is resumed. Raises UserError where the server refuses, the disk is
    full, ``TRIES`` tries in a row fail, or the file is not the one of the table (it is set aside as ``.rejected``).
    """
    target, part = folder / wanted.file, folder / f"{wanted.file}.part"
    if target.is_file() and mismatch(target, wanted) is None:
        return target
    require_space(folder, (wanted.size or 0) - _size(part), f"downloading {wanted.file}")
    failures, most = 0, _size(part)
    while True:
        try:
            _receive(wanted, part, say)
            break
        except _Dropped as error:
            failures = 1 if _size(part) >= most + PROGRESS_BYTES else failures + 1
            most = max(most, _size(part))
            if failures >= TRIES:
                raise UserError(
                    f"{wanted.url}: {error}, {TRIES} times in a row; what came is kept and resumed: run again when the "
                    "network is back, or name a local copy as archive:"
                ) from error
            if error.wait > LONGEST:
                raise UserError(
                    f"{wanted.url}: {error} and asks to be left alone for {error.wait:,.0f} s; what came is kept and "
                    "resumed: run again then, or name a local copy as archive:"
                ) from error
            wait = max(PAUSE * 2 ** (failures - 1), error.wait)
            say(f"{wanted.file}: {error}; trying again in {wait:g} s")
            time.sleep(wait)
    if (fault := mismatch(part, wanted)) is not None:
        aside = folder / f"{wanted.file}.rejected"
        _version(part).unlink(missing_ok=True)
        part.replace(aside)
        raise UserError(
            f"{wanted.url}: {fault}; the file is set aside as {aside}: run again to download it anew, and if it is so "
            "again, it was replaced or tampered with: name a good copy as archive:"
        )
    part.replace(target)
    _version(part).unlink(missing_ok=True)
    return target


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _version(part: Path) -> Path:
    """Where the server's name (ETag) of the version that ``part`` is of stands, if it gave one."""
    return part.with_name(f"{part.name}.etag")


def _receive(wanted: Archive, part: Path, say: Callable[[str], None]) -> None:
    """One try: append what ``part`` still lacks. Raises _Dropped where it remains short."""
    have = _size(part)
    if wanted.size is not None and have > wanted.size:
        have = 0
    if have and have == wanted.size:
        return
    headers = {"User-Agent": "sslbench", "Accept-Encoding": "identity"}
    known = _version(part).read_text(encoding="latin-1") if have and _version(part).exists() else ""
    if have:
        headers["Range"] = f"bytes={have}-"
        if known:
            headers["If-Range"] = known  # another version is sent whole
    try:
        with urllib.request.urlopen(urllib.request.Request(wanted.url, headers=headers), timeout=TIMEOUT) as response:
            version = response.headers.get("ETag", "")
            start = have if response.status == 206 else 0
            if start and not _continues(response, have):
                raise _Dropped("the server sends another part of the file than was asked for")
            if known and version and version != known:
                _forget(part)
                if start:
                    raise _Dropped("the file changed on the server, so what came of the other is dropped")
            _expect_an_archive(response, wanted, start)
            total = _total(response, start)
            if None not in (total, wanted.size) and total != wanted.size:
                raise UserError(
                    f"{wanted.url}: the server offers {total:,} bytes, not {wanted.size:,}: it was replaced, or a "
                    "proxy answers in its place; name a good copy as archive:"
                )
            if version.startswith('"') and version.isprintable():  # weak ones do not promise equal bytes
                _version(part).write_text(version, encoding="latin-1")
            _copy(response, wanted, part, start, total or wanted.size, say)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing stands where we wanted to go on: begin anew
            _forget(part)
        reason = f"the server answers {error.code} {error.reason}"
        if error.code in (301, 302, 303, 307, 308):
            reason = f"the server redirects in a loop, or to no address ({error.code})"
        if error.code in _RETRY_CODES:
            dropped = _Dropped(reason)
            dropped.wait = _asked_to_wait(error.headers.get("Retry-After", ""))
            raise dropped from error
        raise UserError(f"{wanted.url}: {reason}; name a local copy as archive:") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a redirect to what is no address
        raise _transient(error, wanted, part) from error


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version(part).unlink(missing_ok=True)


def _asked_to_wait(told: str) -> float:
    """Seconds of a Retry-After header, which is a number of them or a date; 0 where it is neither."""
    if _is_number(told):
        return float(told)
    try:
        until = email.utils.parsedate_to_datetime(told)
        return max(0.0, until.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def _expect_an_archive(response: http.client.HTTPResponse, wanted: Archive, start: int) -> None:
    """Raise UserError at a web page, before it costs what was downloaded: log-in pages and error pages answer 200."""
    kind = response.headers.get_content_type()
    if kind == "text/html" or (start == 0 and response.peek(1)[:1] == b"<"):
        raise UserError(
            f"{wanted.url}: the server sends a web page, not the file: a proxy or a log-in page may stand between; "
            "name a good copy as archive:"
        )


def _transient(error: Exception, wanted: Archive, part: Path) -> Exception:
    reason = getattr(error, "reason", error)
    if getattr(error, "errno", None) in DISK_FULL:
        return full_disk(part, f"downloading {wanted.file}", "what came is kept and resumed")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(
            f"{wanted.url}: the server's certificate is not trusted ({reason.verify_message}); nothing was fetched"
        )
    if isinstance(reason, TimeoutError):
        return _Dropped(f"no answer for {TIMEOUT:g} s")
    return _Dropped(f"the connection failed ({reason or type(reason).__name__})")


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    match = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if _is_number(length) else None


def _copy(
    response: http.client.HTTPResponse,
    wanted: Archive,
    part: Path,
    start: int,
    total: int | None,
    say: Callable[[str], None],
) -> None:
    """Write what comes from byte ``start`` on. Where that is 0 and ``part`` is longer, equal bytes stay as they are, so
    that a server that cannot resume costs time and nothing that was there."""
    ticker, have = Ticker(say), start
    since, then = time.monotonic(), start
    with part.open("r+b" if part.exists() else "w+b") as file:
        file.seek(have)
        while block := response.read1(_BLOCK):
            if file.read(len(block)) != block:
                file.seek(have)
                file.truncate()
                file.write(block)
            have += len(block)
            if total is not None and have > total:
                raise _Dropped(f"more than {total:,} bytes came")
            if (passed := time.monotonic() - since) >= TIMEOUT:
                if have - then < SLOWEST * passed:
                    raise _Dropped(f"fewer than {SLOWEST:g} bytes/s came for {TIMEOUT:g} s")
                since, then = time.monotonic(), have
            ticker.tick(
                lambda have=have: (
                    f"{wanted.file}: {have / 1e6:.0f} of {(total or 0) / 1e6:.0f} MB, "
                    f"{(have - start) / 1e6 / ticker.seconds:.1f} MB/s"
                )
            )
        if total is None or have == total:
            file.truncate(have)  # what was there of a longer file
    if total is not None and have < total:
        raise _Dropped(f"the connection closed after {have:,} of {total:,} bytes")
