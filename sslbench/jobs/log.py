"""A job's log, and the one line with which a job ends that failed."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sslbench.errors import REFUSED, UserError, cure
from sslbench.runtime.interrupts import Terminated, interrupts_remembered, stop_if_interrupted
from sslbench.runtime.text import visible


class _Log:
    """A text stream that goes on where its disk is full: what a job says of itself is not worth the job."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.file.write(visible(text))
            self.file.flush()
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()

    def isatty(self) -> bool:
        return False


def _hold_streams() -> None:
    """Where a standard stream was closed (``2>&-``), have it lead nowhere: else the next file that is opened takes its
    number, and what libraries write there stands in it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good


def _opened(path: Path) -> _Log:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Log(path.open("w", encoding="utf-8"))
    except OSError as error:
        print(f"{path}: no log is kept ({error.strerror})", file=sys.stderr)
        return _Log(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - closed by job_log


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """A job's log file, open for writing line by line, that also tells how the job failed.

    A UserError ends the process with exit code 1 and one ``sslbench:`` line, in the log and on stderr; so does what the
    disk or the GPU's memory refuses, Ctrl-C (exit code 130) and SIGTERM (143). Any other exception is a defect of ours:
    its traceback goes to the log too, and on its way.
    """
    log = None
    _hold_streams()
    try:
        with interrupts_remembered():
            try:
                log = _opened(Path(path))
                yield log
            except Exception:
                stop_if_interrupted()
                raise
            stop_if_interrupted()  # where a library swallowed it
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
        if error.errno not in REFUSED:
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


_NOT_SUBMITTED = (
    "",
    "fetch",
    "weights",
    "exclude",
    "frozen",
    "speed",
    "collect",
    "album",
    "report",
    "report_now",
)  # rules that have no entry in compute.jobs

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
