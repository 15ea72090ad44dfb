"""Reading .tar, .tar.gz and .zip archives without trusting them.

A member may not have an absolute path, climb out with ``..``, be a device, or be a link to anything but a regular file
of the same archive; no two members may have one path, and none may lie deeper than ``MAX_DEPTH`` folders. All links
become hard links, at the end, so no symbolic link is ever made or followed. Unpacked bytes are counted while they are
read, a .tar's headers and padding and a disk block per member too, and may not pass ``MAX_RATIO`` times the archive's
size. What operating systems leave beside images is passed over.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import posixpath
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from sslbench.data.litter import is_litter
from sslbench.errors import UserError
from sslbench.runtime.files import DISK_FULL, full_disk

MAX_RATIO = 100  # unpacked bytes over archive bytes; pictures hardly shrink, text files shrink tenfold
FREE_BYTES = 64 << 20  # so many unpacked bytes are never called a bomb
MAX_MEMBERS = 5_000_000  # files and folders; ImageNet has 1.4 million
MAX_DEPTH = 100  # folders
DISK_BLOCK = 4096  # bytes that a member takes on a disk, however small it is
_BLOCK = 1 << 20
_MAX_HEADER = 1 << 22  # bytes; tarfile reads a long name or a list of attributes whole
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
_WINDOWS = (0, 10, 14)  # systems that a .zip may name as its maker's: FAT, NTFS, VFAT
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class Member(NamedTuple):
    """One member as its archive states it; nothing is checked yet."""

    name: str
    kind: str  # "file", "folder", "symbolic link", "hard link", or what else it is
    target: str  # of a link
    open: Callable[[], IO[bytes]]


class _Watched:
    """An unpacked .tar that remembers its last read, since tarfile ends alike at a good end, a cut and a damaged
    header, and that nobody reads or jumps beyond ``limit`` bytes of."""

    def __init__(self, archive: Path, file: IO[bytes], limit: int) -> None:
        self._archive, self._file, self._limit, self.last = archive, file, limit, b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self.last = self._file.read(size)
        if self._file.tell() > self._limit:
            raise _bomb(self._archive)
        return self.last

    def seek(self, position: int) -> int:
        if position > self._limit:
            raise _bomb(self._archive)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _bomb(archive: Path, member: str | None = None) -> UserError:
    where = f" (at member {member!r})" if member is not None else ""
    return UserError(
        f"{archive}: unpacks to over {MAX_RATIO} times its own size{where}: refused as a decompression bomb; unpack it "
        "yourself and name the folder as path:"
    )


def extract(archive: Path, into: Path, empty: Callable[[str], bool] = lambda path: False) -> None:
    """Unpack ``archive`` into the new folder ``into``, wholly or not at all; of what is to be ``empty`` the name alone.

    Raises UserError, naming the member, where the archive is damaged, unsafe or fills the disk.
    """
    part = into.with_name(into.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with _one_line(archive):
            _unpack(archive, part, empty)
        part.replace(into)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def verify(archive: Path) -> dict[str, int]:
    """Read all of ``archive`` as ``extract`` would, writing nothing. Returns {"files": n, "unpacked": bytes}."""
    files = unpacked = 0
    with _one_line(archive):
        for _, kind, _, blocks in _checked(archive):
            files += kind == "file"
            unpacked += sum(len(block) for block in blocks)
    return {"files": files, "unpacked": unpacked}


def _unpack(archive: Path, root: Path, empty: Callable[[str], bool]) -> None:
    links: list[tuple[str, str]] = []  # (path, path of the file it stands for)
    for path, kind, target, blocks in _checked(archive):
        place = root / path
        try:
            if kind == "folder":
                place.mkdir(parents=True, exist_ok=True)
            elif kind == "file":
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as file:
                    for block in () if empty(path) else blocks:
                        file.write(block)
            else:
                links.append((path, target))
        except _DAMAGED:
            raise
        except FileExistsError as error:
            raise _twice(archive, path) from error
        except OSError as error:
            if error.errno is None:  # bz2's way of saying damaged
                raise
            if error.errno in DISK_FULL:
                raise full_disk(root.parent, f"unpacking {archive.name}") from error
            raise UserError(f"{archive}: member {path!r} cannot be written: {error.strerror or error}") from error
    _link(archive, root, links)


def _link(archive: Path, root: Path, links: list[tuple[str, str]]) -> None:
    """Make all links hard links between regular files, in rounds, since a link may stand for a link."""
    while links:
        waiting = []
        for path, target in links:
            if (root / target).is_file():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                try:
                    (root / path).hardlink_to(root / target)
                except FileExistsError as error:
                    raise _twice(archive, path) from error
            else:
                waiting.append((path, target))
        if len(waiting) == len(links):
            path, target = links[0]
            raise UserError(f"{archive}: member {path!r} is a link to {target!r}, which is no file of this archive")
        links = waiting


def _twice(archive: Path, path: str) -> UserError:
    return UserError(
        f"{archive}: member {path!r} is in it twice, or differs from another in upper and lower case alone; unpack it "
        "yourself, keep the right one, and name the folder as path:"
    )


def _checked(archive: Path) -> Iterator[tuple[str, str, str, Iterator[bytes]]]:
    """(path, kind, link target, content in blocks) of every member that is safe and of use."""
    limit = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    counted = members = 0

    def blocks(member: Member) -> Iterator[bytes]:
        nonlocal counted
        with member.open() as file:
            while block := file.read(_BLOCK):
                counted += len(block)
                if counted > limit:
                    raise _bomb(archive, member.name)
                yield block

    with _members(archive, limit) as found:
        for member in found:
            members += 1
            counted += DISK_BLOCK
            if counted > limit:
                raise _bomb(archive, member.name)
            if members > MAX_MEMBERS:
                raise UserError(
                    f"{archive}: has over {MAX_MEMBERS:,} members; unpack it yourself and name the folder as path:"
                )
            path = _safe_path(archive, member.name, "has an unsafe path")
            if path is None or any(map(is_litter, path.split("/"))):
                continue
            if path.count("/") > MAX_DEPTH:
                raise UserError(
                    f"{archive}: member {path[:60]!r}... lies deeper than {MAX_DEPTH} folders; pack it anew"
                )
            target = ""
            if member.kind in ("symbolic link", "hard link"):
                told = member.target
                if member.kind == "symbolic link" and not told.startswith("/"):
                    told = posixpath.normpath(posixpath.join(posixpath.dirname(path), told))
                target = _safe_path(archive, told, f"is a {member.kind} out of the archive", member.name) or ""
            elif member.kind not in ("file", "folder"):
                raise UserError(
                    f"{archive}: member {member.name!r} is a {member.kind}; only files and folders are unpacked"
                )
            yield path, member.kind, target, blocks(member) if member.kind == "file" else iter(())


def _safe_path(archive: Path, name: str, fault: str, member: str | None = None) -> str | None:
    """``name`` without ``.`` parts, or None for the root itself; UserError where it leads outside."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    climbs = any(part == ".." for part in re.split(r"[/\\]", name))
    if name.startswith(("/", "\\")) or climbs or "\0" in name or re.match(r"[A-Za-z]:[/\\]", name):
        what = repr(member) if member else repr(name)
        raise UserError(f"{archive}: member {what} {fault} ({name!r}); nothing was unpacked: get the archive anew")
    return "/".join(parts) or None


@contextlib.contextmanager
def _one_line(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise UserError(f"{archive}: is damaged or cut short ({error}); get it anew") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's way of saying encrypted or unknown compression
        raise UserError(f"{archive}: cannot be unpacked ({error})") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot be read: {error.strerror or error}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, struct.error) as error:
        # What tarfile and zipfile raise at headers that make no sense depends on the version of Python.
        reason = str(error) or type(error).__name__
        raise UserError(f"{archive}: is damaged: its headers make no sense ({reason}); get it anew") from error


@contextlib.contextmanager
def _members(archive: Path, limit: int) -> Iterator[Iterator[Member]]:
    with archive.open("rb") as file:
        start = file.read(512)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(opened)
        return
    opener = next((way for magic, way in _OPENERS.items() if start.startswith(magic)), open)
    if opener is open and not _tar_header(start):
        raise UserError(f"{archive}: is no .tar, .tar.gz or .zip archive (it begins with {start[:24]!r})")
    with opener(archive, "rb") as raw:
        tail = _Watched(archive, raw, limit)
        with tarfile.open(fileobj=tail, mode="r:", errorlevel=2) as opened:
            yield _tar_members(opened, tail)


def _tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return isinstance(error, tarfile.EOFHeaderError)  # an empty archive is an archive
    return True


def _tar_members(opened: tarfile.TarFile, tail: _Watched) -> Iterator[Member]:
    last = -1
    while (info := opened.next()) is not None:
        opened.members = []  # tarfile would keep every header in memory
        if info.size < 0 or info.offset <= last:
            raise tarfile.ReadError("a member that ends before it begins")  # and would be read for ever
        last = info.offset
        yield Member(info.name, _tar_kind(info), info.linkname, lambda info=info: opened.extractfile(info))
    if len(tail.last) != tarfile.BLOCKSIZE or any(tail.last):
        raise tarfile.ReadError("its end is missing, or a header is damaged")
    while tail.read(_BLOCK):  # to the end of the compressed stream, where its checksum stands
        pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return "file"
    if info.isdir():
        return "folder"
    if info.issym():
        return "symbolic link"
    return "hard link" if info.islnk() else "device, pipe or other special file"


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    infos = opened.infolist()
    slashes = any("/" in info.filename for info in infos)
    for info in infos:
        name = info.filename
        if info.create_system in _WINDOWS or not slashes:  # elsewhere a backslash may be part of a name
            name = name.replace("\\", "/")
        mode = info.external_attr >> 16
        kind = "folder" if name.endswith("/") else "file"
        target = ""
        if stat.S_ISLNK(mode):
            kind, target = "symbolic link", os.fsdecode(opened.read(info)) if info.file_size < 4096 else "/"
        elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "device, pipe or other special file"
        yield Member(name, kind, target, lambda info=info: opened.open(info))
