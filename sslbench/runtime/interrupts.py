"""Ctrl-C and SIGTERM, remembered while a job runs."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

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
def interrupts_remembered() -> Iterator[None]:
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
