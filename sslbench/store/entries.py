"""The content-addressed store of finished cells: ``<state_root>/<digest>/``.

    lock          held by the one process that trains this cell; the kernel frees it when that process dies
    state/        checkpoints (checkpoint.py); gone once the cell is finished
    done/         the finished files and files.json with their hashes; renamed into place as a whole

The outputs that the workflow declares are hard links to done/, so that deleting them loses nothing. No torch here.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from sslbench.errors import UserError, cure, raise_if_passing
from sslbench.runtime.files import file_sha256, set_aside, stands
from sslbench.store.canonical_json import canonical
from sslbench.store.checksum import refuse

WAIT_SECONDS = 0.5  # between two looks at a lock that another process holds


def digest(settings: dict, code: str, data: dict) -> str:
    """Name of a cell in the store, 64 hexadecimal digits over everything that decides its result.

    ``data`` holds ``content_sha256`` and ``split_sha256`` of the packed set.
    """
    return hashlib.sha256(canonical({"settings": settings, "code": code, "data": data}).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames within ``folder`` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Entry:
    """One cell's place in the store. Use it only inside ``locked``."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.done = folder / "done"
        self.log = log

    def finished(self) -> bool:
        """Whether done/ is whole. One that fails its hashes is set aside, with a line in the log."""
        if not self.done.is_dir():
            return False
        problem = self._problem()
        if problem is None:
            return True
        aside = set_aside(self.done)
        self.log(f"{self.done}: {problem}; set aside as {aside.name}, the cell is trained anew")
        return False

    def _problem(self) -> str | None:
        try:
            expected = json.loads((self.done / "files.json").read_text())
            for name, entry in expected.items():
                path = self.done / name
                if path.stat().st_size != entry["size"] or file_sha256(path) != entry["sha256"]:
                    return f"{name} is not what was stored (was an output edited in place?)"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise_if_passing(error)
            return f"unreadable ({error})"
        return None

    def publish(self, files: dict[str, bytes]) -> None:
        """Store the finished files under their names, all or nothing, and drop the training state."""
        staging = self.folder / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir()
            listing = {n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in files.items()}
            for name, content in (files | {"files.json": (canonical(listing) + "\n").encode()}).items():
                with (staging / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            sync_folder(staging)
            staging.rename(self.done)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise UserError(
                f"cannot store the finished cell in {self.folder}: {error.strerror}; the last checkpoint is kept; "
                f"{cure(error)}"
            ) from error
        shutil.rmtree(self.state, ignore_errors=True)

    def link(self, outputs: list[Path]) -> None:
        """Put the stored file of the same name at each output, as a hard link, or as a copy across file systems."""
        for output in outputs:
            source = self.done / output.name
            if not source.is_file():
                held = ", ".join(sorted(path.name for path in self.done.iterdir()))
                raise UserError(f"{output}: the store holds no {output.name}; it holds {held}")
            try:
                put(source, output)
            except OSError as error:
                raise UserError(
                    f"cannot write {output}: {error.strerror}; the finished cell is kept in {self.done}; {cure(error)}"
                ) from error


def check(path: Path) -> None:
    """Compare a finished cell's output with what the store says of it; nothing happens where no store speaks of it.

    Raises UserError where it differs: it is then set aside, and the next run makes it anew.
    """
    if reason := fault(path):
        raise refuse(path, reason)


def fault(path: Path) -> str | None:
    """What is wrong with an output of a finished cell, in one phrase; None where nothing is known to be.

    ``path`` is <results>/<dataset>/<model>/<transform>/seed<n>/<name>, beside its run.json.
    """
    run = path.with_name("run.json")
    try:
        found = json.loads(run.read_text(encoding="utf-8"))
        stated = {key: found[key] for key in ("settings", "code", "data", "digest") if key in found}
        named = stated.pop("digest")
        itself = len(stated) == 3 and digest(**stated) == named
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise_if_passing(error)
        return "cannot be read" if path == run else None
    if not itself:
        return "does not match its own digest" if path == run else None
    try:
        listing = json.loads((path.absolute().parents[4] / ".store" / named / "done" / "files.json").read_text())
        expected = listing[path.name]
        same = path.stat().st_size == expected["size"] and file_sha256(path) == expected["sha256"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise_if_passing(error)
        return None  # copied from elsewhere, or pruned
    return None if same else "is not what was stored"


def put(source: Path, output: Path) -> None:
    """Make ``output`` the file ``source``: a hard link, or a copy across file systems. OSError where that fails."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists() and output.samefile(source):
        os.utime(output)
        return
    beside = output.with_name(f".{output.name}.tmp")  # the same every time: a killed run's is taken away here
    beside.unlink(missing_ok=True)
    try:
        try:
            os.link(source, beside)
        except OSError as error:
            # Another file system, or one without hard links, which some network and FUSE mounts say in odd ways.
            no_links = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
            if error.errno not in no_links:
                raise
            shutil.copyfile(source, beside)
        os.utime(beside)  # an output older than its inputs would be made again and again
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(
    state_root: Path, key: str, log: Callable[[str], None], waiting: Callable[[], None] | None = None
) -> Iterator[Entry]:
    """The entry of cell ``key`` while no other process can use it. One that holds nothing afterwards is removed.

    Args:
        log: gets one line that names the process which holds the cell now, if any.
        waiting: called between two looks at a held cell; may raise to give up. None: do not wait.

    Raises:
        UserError: it is held and ``waiting`` is None, or nothing can be written or locked there.
    """
    folder = state_root / key
    told = False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("a+")
        except FileNotFoundError:  # removed since the line before
            continue
        except OSError as error:
            if isinstance(error, FileExistsError) and not os.path.lexists(folder):  # mkdir found it, and it went
                continue
            raise UserError(f"cannot write in the store {state_root}: {error.strerror}; {cure(error)}") from error
        with file:
            if not _try_lock(file):
                file.seek(0)
                holder = " ".join(file.read().split()) or "another process"
                if waiting is None:
                    raise UserError(f"cell {key[:12]} is being trained by {holder}; wait for it, or stop it")
                if not told:
                    log(f"cell {key[:12]} is being trained by {holder}; waiting for it")
                    told = True
                waiting()
                time.sleep(WAIT_SECONDS)
                continue
            if not stands(file, folder / "lock"):
                continue
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            try:
                yield Entry(folder, log)
            finally:
                _tidy(folder)
            return


def _tidy(folder: Path) -> None:
    """Remove an entry that holds its lock alone, as a run leaves it that was refused. Its lock is held here."""
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == ["lock"]:
            (folder / "lock").unlink()  # who waits for it sees that it is gone
            folder.rmdir()  # refused where somebody has made a new lock meanwhile, whose entry it then is


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{file.name}: this file system cannot lock files ({error.strerror}), so two processes could train "
            "one cell at once; put paths.results on one that can"
        ) from error
    return True


class Examined(NamedTuple):
    """One entry that ``prune`` removed, would remove, or kept."""

    digest: str
    bytes: int  # in the store; outputs that still link to its files keep their share
    finished: bool
    kept: str | None  # why; None: removed


USED, RECENT, HELD = "used", "recent", "held"  # by a result; worth something and young; by a running process


def prune(state_root: Path, keep: set[str], days: float = 0, dry_run: bool = False) -> list[Examined]:
    """Remove every entry that nobody can want.

    Kept are those whose digest is in ``keep``, those whose checkpoints or finished files were written, or finished
    files last linked, within ``days``, and whatever a process holds. Only folders named like a digest are touched.

    Returns what became of each entry (``dry_run``: would become), sorted by digest.
    """
    examined = []
    for left in [] if dry_run else state_root.glob(".pruned-*"):  # a prune was killed here
        shutil.rmtree(left)
    for folder in sorted(state_root.glob("[0-9a-f]" * 64)):
        if folder.is_dir():
            size, finished = _size(folder), (folder / "done").is_dir()
            if folder.name in keep:
                kept = USED
            elif _recent(folder, days):
                kept = RECENT
            else:
                kept = None if _remove(folder, dry_run) else HELD
            examined.append(Examined(folder.name, size, finished, kept))
    return examined


def _files(folder: Path) -> list[os.stat_result]:
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # its process goes on meanwhile
            found.append(path.lstat())
    return [status for status in found if stat.S_ISREG(status.st_mode)]


def _size(folder: Path) -> int:
    return sum(status.st_size for status in _files(folder))


def _recent(folder: Path, days: float) -> bool:
    if days <= 0 or not ((folder / "state").is_dir() or (folder / "done").is_dir()):
        return False
    # An empty file tells nothing: looking for a holder makes a lock where there is none.
    newest = max((status.st_mtime for status in _files(folder) if status.st_size), default=0)
    return time.time() - newest < days * 86_400


def _remove(folder: Path, dry_run: bool) -> bool:
    """Remove an entry, unless a process holds it. Returns whether it is (``dry_run``: can be) removed."""
    try:
        file = (folder / "lock").open("a+")
    except FileNotFoundError:  # its process has removed it since
        return True
    with file:
        if not _try_lock(file) or not stands(file, folder / "lock"):
            return False
        if not dry_run:
            doomed = folder.with_name(f".pruned-{folder.name}")  # at once, so that nobody moves in meanwhile
            folder.rename(doomed)
            shutil.rmtree(doomed)
    return True
