"""Progress as plain lines, at most one every few seconds."""

import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str], None] | TextIO | None

SECONDS = 10.0  # between two lines of one piece of work


def printer(progress: Progress) -> Callable[[str], None]:
    """A function that writes one line to ``progress``: a text stream, a callable, or None for silence."""
    if progress is None:
        return lambda line: None
    if callable(progress):
        return progress
    return lambda line: print(line, file=progress, flush=True)


class Ticker:
    """Says how far a piece of work is, when some seconds have passed since it last did."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.started = self.last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the work began; never 0, so that rates can be taken."""
        return max(time.monotonic() - self.started, 1e-9)

    def tick(self, line: Callable[[], str]) -> None:
        if time.monotonic() - self.last >= SECONDS:
            self.last = time.monotonic()
            self.say(line())
