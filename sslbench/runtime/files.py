"""Files that are whole or absent, and one line where the disk is full."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from sslbench.errors import UserError
from sslbench.runtime.interrupts import stop_if_interrupted

WAIT_SECONDS = 0.2  # between two looks at a folder that another process holds
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, over quota, over the process's file size limit


def user_cache() -> Path:
    """For what a user's checkouts share and can be made again. Raises RuntimeError for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "sslbench"


def full_disk(folder: Path, doing: str, left: str = "what was half-made is removed") -> UserError:
    """The error to raise where writing below ``folder`` failed with one of DISK_FULL."""
    lacking, cure = "disk space", "free some space"
    with contextlib.suppress(OSError):
        disk = os.statvfs(next(place for place in (folder, *folder.parents) if place.exists()))
        if disk.f_files and not disk.f_favail and disk.f_bavail:
            lacking, cure = "inodes", "remove some files, however small"
    return UserError(
        f"no {lacking} left below {folder.parent} while {doing}; {left}: "
        f"{cure}, or move paths.data to a larger disk, and run again"
    )


@contextlib.contextmanager
def one_line(folder: Path, doing: str) -> Iterator[None]:
    """Turn what the file system refuses in the body into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise full_disk(folder, doing) from error
        where = error.filename or folder
        raise UserError(
            f"{where}: {error.strerror or error} while {doing}; check the permissions and the disk"
        ) from error


def from_others(path: Path) -> str | None:
    """Why another user may have written what is at ``path``, or None; root is trusted. OSError where nothing is there.

    Of a file both it and its folder have to be asked about: who may write the folder may replace the file.
    """
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    return f"{path} may be written by other users (chmod go-w)" if found.st_mode & 0o022 else None


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def set_aside(path: Path) -> Path:
    """Rename ``path`` to the first free ``<path>.broken-<n>`` and return that. KeyboardInterrupt where Ctrl-C came."""
    stop_if_interrupted()
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    return path.rename(aside)


def require_space(folder: Path, needed: float, doing: str) -> None:
    """Raise UserError before the work where the disk of ``folder`` has fewer than ``needed`` bytes free."""
    nearest = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    if free < needed:
        raise UserError(
            f"no disk space for {doing}: about {needed / 1e9:.2g} GB are needed below {nearest} and {free / 1e9:.2g} "
            "GB are free; free some space, or move paths.data to a larger disk"
        )


def write_json(path: Path, value: object) -> None:
    """Write ``value`` with sorted keys, atomically; in ASCII, so that names that are not UTF-8 survive the round trip
    (canonical.document refuses them). OSError where that fails."""
    _replace(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode("ascii"))


def write_whole(path: Path, content: bytes) -> None:
    """Make the file ``path`` hold ``content``, or leave it as it was.

    Two processes may do so at once: each writes all, and the last one stays. Raises UserError where the disk is full or
    the file system refuses; it names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        raise UserError(refused(path, error)) from error


def refused(path: Path | str, error: OSError) -> str:
    """The line for a file that could not be written."""
    if error.errno in DISK_FULL:
        return f"no disk space left to write {path}; nothing half-written stands there: free some space and run again"
    return (
        f"cannot write {path}: {error.strerror or error}; what stands there is as it was: check the permissions of the "
        "file, its folder and its disk, and run again"
    )


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")  # one name, so that killed runs do not pile up their halves
    while True:
        with beside.open("ab") as file:
            _wait_for_lock(file.fileno())
            if not stands(file, beside):
                continue  # another process has put it in place, or away, since
            try:
                file.truncate(0)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                beside.replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    beside.unlink()
                with contextlib.suppress(OSError):
                    file.truncate(0)  # drops what is buffered, which closing would try to write again
                raise
            return


def drop_half(beside: Path) -> None:
    """Remove the half that a killed write_whole left, unless a process is writing it now."""
    with contextlib.suppress(OSError), beside.open("r+b") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            pass  # a file system without locks, as below
        if stands(file, beside):
            beside.unlink()


def _wait_for_lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: two runs at once are then the user's risk
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Make ``folder`` and hold it against other processes that come here for it; the kernel lets go when one dies.

    What is locked is a file beside it, open for writing: NFS locks nothing else between machines. Yields whether
    another process had to be waited for. The body may remove the folder.
    """
    waited = False
    lock = folder.with_name(f".{folder.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    say(f"another process is at work in {folder}; waiting for it")
                waited = True
                time.sleep(WAIT_SECONDS)
                continue
            except OSError:  # this file system locks no files: two runs at once are then the user's risk
                pass
            if not stands(file, lock):
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True)
                yield waited
            finally:
                with contextlib.suppress(OSError):
                    lock.unlink()  # while it is held: who waits for it sees that it is gone
            return


def stands(file: TextIO | BinaryIO, path: Path) -> bool:
    """Whether the open ``file`` is still the one at ``path``: a lock on one that was unlinked guards nothing."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def read_object(path: Path) -> dict:
    """The JSON object at ``path``, or {} where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_json(path: Path) -> dict:
    """Raises UserError where ``path`` is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete its folder and run again") from error
