"""One line for a user's mistake: what is wrong, where, and what to do."""

import contextlib
import errno
import os
import signal
import sys
import threading
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
    errno.ETIMEDOUT: "the network disk does not answer: check it, and run again",
    errno.ENOTCONN: "the network disk is not connected: mount it anew, and run again",
    getattr(errno, "EREMOTEIO", errno.EIO): "the disk or the network behind it fails: check it, and run again",
    errno.ENOLCK: "this file system cannot lock files: move paths in config.yaml to one that can, and run again",
    errno.ENAMETOOLONG: "shorten the names or the paths in config.yaml, and run again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run again",
    errno.ENFILE: "the machine has too many files open: run again when it is less busy",
    errno.ENOMEM: "give the job more memory, and run again",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)  # what stands there, not how it was read


def raise_if_passing(error: BaseException) -> None:
    """Raise ``error`` where it says nothing of the file that was read: the disk, the network, a limit or the memory
    failed, and the file may be whole. Libraries raise OSErrors without a number for what they cannot parse.
    """
    while error is not None:
        numbered = isinstance(error, OSError) and error.errno is not None
        if isinstance(error, MemoryError) or (numbered and error.errno not in _ABSENT):
            raise error
        error = error.__cause__


_INTERRUPTS: list[int] = []  # that came while a job runs
_WHOSE: list[int] = []  # the process that runs it


class Terminated(KeyboardInterrupt):
    """SIGTERM came: a scheduler's time limit, or somebody's kill."""


def _interrupt(number: int, _: object) -> None:
    if os.getpid() != _WHOSE[0]:  # a forked worker, which has no job_log to end
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    _INTERRUPTS.append(number)
    stop_if_interrupted()


@contextlib.contextmanager
def _interrupts_remembered() -> Iterator[None]:
    """Signals stay known where a library takes the exception for an error of its own, as safetensors does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    plain = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = {number: handler for number, handler in plain.items() if signal.getsignal(number) is handler}
    _INTERRUPTS.clear()
    _WHOSE[:] = [os.getpid()]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        _INTERRUPTS.clear()


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt where Ctrl-C or SIGTERM came: what then looks like a damaged file need not be one."""
    if _INTERRUPTS:
        raise Terminated if _INTERRUPTS[0] == signal.SIGTERM else KeyboardInterrupt


def cure(error: OSError) -> str:
    """What the user can do about what the machine refused."""
    return _REFUSED.get(error.errno or 0, "mend that and run again")


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """A job's log file, open for writing line by line, that also tells how the job failed.

    A UserError ends the process with exit code 1 and one ``sslbench:`` line, in the log and on stderr; so does what the
    disk or the GPU's memory refuses, Ctrl-C (exit code 130) and SIGTERM (143). Any other exception is a defect of ours:
    its traceback goes to the log too, and on its way.
    """
    log = None
    try:
        with _interrupts_remembered():
            try:
                log = _opened(Path(path))
                yield log
            except Exception as error:
                if _INTERRUPTS:
                    raise (Terminated if _INTERRUPTS[0] == signal.SIGTERM else KeyboardInterrupt) from error
                raise
    except UserError as error:
        raise _ended(log, str(error), 1) from error
    except Terminated as error:
        limit = "" if (rule := _rule(path)) in _NOT_SUBMITTED else f"raise compute.jobs.{rule}.minutes or "
        raise _ended(log, f"stopped by SIGTERM, of a time limit or a kill; {limit}run again", 143) from error
    except KeyboardInterrupt as error:
        raise _ended(log, "stopped by SIGINT; the same command does this job again", 130) from error
    except MemoryError as error:
        traceback.print_exc(file=log)
        raise _ended(log, "this job found no more memory; give it more (compute.jobs), and run again", 1) from error
    except OSError as error:
        if error.errno not in _REFUSED:
            traceback.print_exc(file=log)
            raise
        what = f"{error.filename or 'a file of this job'}: {error.strerror}; {cure(error)}"
        raise _ended(log, what, 1) from error
    except Exception as error:
        if _out_of_gpu_memory(error):
            raise _ended(log, f"out of GPU memory: {_SMALLER.get(_rule(path), _SMALLER[''])}", 1) from error
        traceback.print_exc(file=log)
        raise
    finally:
        if log is not None:
            log.close()


_NOT_SUBMITTED = ("", "fetch", "collect", "album", "report", "report_now")  # rules that have no entry in compute.jobs

# By rule, what takes less of a GPU's memory
_SMALLER = {
    "": "see whether other programs compute on this GPU (nvidia-smi), or take a larger one",
    "pretrain": "lower training.batch_size, or raise training.accumulate or compute.devices",
    "finetune": "lower evaluation.finetune.batch_size",
}


def _out_of_gpu_memory(error: Exception) -> bool:
    """Known by the name of torch's exception: this module imports nothing of it."""
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("CUDA error: out of memory" in text or "STATUS_ALLOC_FAILED" in text)


def _rule(path: str | Path) -> str:
    """Whose log it is: logs/<rule>/..., as all rules' are; empty where it is elsewhere."""
    parts = Path(path).parts
    return Path(parts[parts.index("logs") + 1]).stem if "logs" in parts[:-1] else ""


def _ended(log: TextIO | None, text: str, code: int) -> SystemExit:
    if log is not None:
        print(f"sslbench: {text}", file=log)
    print(f"sslbench: {text}", file=sys.stderr, flush=True)
    return SystemExit(code)
