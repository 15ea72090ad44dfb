"""Tells a Snakemake that was killed from one that runs, so that a plain re-run needs no --unlock.

Snakemake's own lock is files in .snakemake/locks, which stay when its process is killed. Beside them every run holds a
shared flock, which the kernel frees with the process: where it can be had exclusively, no run is alive. No torch, no
Snakemake.
"""

import contextlib
import fcntl
import platform
from pathlib import Path
from typing import TextIO

FLOCK = "sslbench.running"
_TURN = "sslbench.starting"  # held while the other is looked at: the step from exclusive to shared lets go in between
_held: list[TextIO] = []  # open, and so locked, until this process ends


def kernel() -> str | None:
    """One name for all processes whose locks the same kernel keeps: some file systems lock for one machine alone, and
    machines in containers may share their host names. None where there is no such name."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or None
    return None if platform.system() == "Linux" else platform.node()


def hold(folder: Path = Path(".snakemake")) -> str | None:
    """Hold the flock for the rest of this process; first remove the lock files of a run that was killed on this
    machine.

    Returns a line where there were any. On a file system that cannot lock files, or where the other run was started on
    another machine or before this one was last started, nothing is removed, and Snakemake asks for --unlock. Raises
    nothing.
    """
    if _held:
        return None
    said, here = None, kernel()
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        with (folder / _TURN).open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            file = (folder / FLOCK).open("a+")
            _held.append(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # a run is alive; one folder may have several, on different files
            else:
                file.seek(0)
                before = set(file.read().split())
                left = list((folder / "locks").glob("*.lock"))
                if left and here is not None and before == {here}:
                    for path in left:
                        path.unlink()
                    said = (
                        "the run before this one was killed; its lock is removed, and what it left unfinished is redone"
                    )
                    left = []
                if not left:
                    file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_SH)
            file.write(f"{here or 'unknown'}\n")
            file.flush()
    return said
