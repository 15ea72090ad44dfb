"""One line for a user's mistake: what is wrong, where, and what to do."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line, without the leading ``sslbench:``."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(str(text).split()))


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
    """Put ``what`` in front of a UserError from code that does not know whose mistake it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """A job's log file, open for writing line by line, that also tells how the job failed.

    A UserError ends the process with exit code 1 and one ``sslbench:`` line, in the log and on stderr. Any other
    exception is a defect of ours: its traceback goes to the log too, and on its way.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", encoding="utf-8", buffering=1) as log:
        try:
            yield log
        except UserError as error:
            print(f"sslbench: {error}", file=log)
            print(f"sslbench: {error}", file=sys.stderr, flush=True)
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=log)
            raise
