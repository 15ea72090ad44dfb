"""Files that are whole or absent, and one line where the disk is full."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sslbench.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, over quota, over the process's file size limit


def full_disk(folder: Path, doing: str, left: str = "what was half-made is removed") -> UserError:
    """The error to raise where writing below ``folder`` failed with one of DISK_FULL."""
    return UserError(
        f"no disk space left below {folder.parent} while {doing}; {left}: "
        "free some space, or move paths.data to a larger disk, and run again"
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


def set_aside(path: Path) -> Path:
    """Rename ``path`` to the first free ``<path>.broken-<n>`` and return that."""
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
    (canonical.document refuses them)."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="ascii", newline="\n") as file:
        json.dump(value, file, sort_keys=True, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> dict:
    """Raises UserError where ``path`` is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete its folder and run again") from error
