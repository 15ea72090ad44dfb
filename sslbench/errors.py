"""One line for a user's mistake: what is wrong, where, and what to do."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line, without the leading ``sslbench:``."""

    def __init__(self, text: str) -> None:
        line = " ".join(str(text).split())
        # A file's name may hold what moves a terminal's cursor, turns text round, or cannot be written at all.
        escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        super().__init__("".join(escaped))


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
    """Put ``what`` in front of a UserError from code that does not know whose mistake it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


class _Log:
    """A text stream that goes on where its disk is full: what a job says of itself is not worth the job."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.file.write(text)
            self.file.flush()
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()

    def isatty(self) -> bool:
        return False


def _opened(path: Path) -> _Log:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Log(path.open("w", encoding="utf-8"))
    except OSError as error:
        print(f"{path}: no log is kept ({error.strerror})", file=sys.stderr)
        return _Log(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - closed by job_log


# What the machine refuses, and what the user can do about it
_REFUSED = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run again",
    errno.EACCES: "check the permissions of the file and its folder, and run again",
    errno.EPERM: "check the permissions and attributes of the file and its folder, and run again",
    errno.EROFS: "the disk is read-only: mount it for writing, or move paths in config.yaml, and run again",
    errno.EIO: "the disk or the network behind it fails: check it, and run again",
    errno.ESTALE: "the network disk has lost the file: run again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run again",
}


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """A job's log file, open for writing line by line, that also tells how the job failed.

    A UserError ends the process with exit code 1 and one ``sslbench:`` line, in the log and on stderr; so does what the
    disk refuses, and Ctrl-C (exit code 130). Any other exception is a defect of ours: its traceback goes to the log
    too, and on its way.
    """
    log = None
    try:
        log = _opened(Path(path))
        yield log
    except UserError as error:
        raise _ended(log, str(error), 1) from error
    except KeyboardInterrupt as error:
        raise _ended(log, "stopped by SIGINT; the same command does this job again", 130) from error
    except OSError as error:
        if error.errno not in _REFUSED:
            traceback.print_exc(file=log)
            raise
        what = f"{error.filename or 'a file of this job'}: {error.strerror}; {_REFUSED[error.errno]}"
        raise _ended(log, what, 1) from error
    except Exception:
        traceback.print_exc(file=log)
        raise
    finally:
        if log is not None:
            log.close()


def _ended(log: TextIO | None, text: str, code: int) -> SystemExit:
    if log is not None:
        print(f"sslbench: {text}", file=log)
    print(f"sslbench: {text}", file=sys.stderr, flush=True)
    return SystemExit(code)
