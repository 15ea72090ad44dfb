"""What a person sees while a cell trains: one moving line in a terminal, plain lines now and then in a log."""

import sys
import time
from typing import TextIO

BAR_SECONDS = 1.0  # between refreshes; each one fetches the loss, which waits for the device
LINE_SECONDS = 30.0
BAR_WIDTH = 20


def clock(seconds: float) -> str:
    """``75`` -> ``1:15``, ``3700`` -> ``1:01:40``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Progress of one cell: a bar where ``terminal`` is one, lines in ``log`` (by default the same stream).

    ``due()`` says whether it is time to show something; only then need the loss be fetched for ``show()``.
    """

    def __init__(self, title: str, log: TextIO | None = None, terminal: TextIO | None = None) -> None:
        self.title = title
        terminal = terminal or sys.stderr
        self.bar = terminal if terminal.isatty() else None
        self.log = log or terminal
        self.drawn = False
        self.start(0, 1, 1, 1)

    def start(self, step: int, total_steps: int, epochs: int, batch_size: int) -> None:
        """Training begins, or goes on, after ``step`` steps; rates count from here."""
        self.first, self.total_steps, self.epochs, self.batch_size = step, total_steps, epochs, batch_size
        self.began = self.lined = self.shown = time.monotonic()

    def due(self) -> bool:
        time_now = time.monotonic()
        return time_now - self.lined >= LINE_SECONDS or (bool(self.bar) and time_now - self.shown >= BAR_SECONDS)

    def show(self, step: int, loss: float) -> None:
        """``step`` optimiser steps are made; ``loss`` is the mean of the epoch so far."""
        self.shown = time.monotonic()
        rate = (step - self.first) / max(self.shown - self.began, 1e-9)
        left = clock((self.total_steps - step) / rate) if rate > 0 else "?"
        epoch = min(self.epochs, step * self.epochs // self.total_steps + 1)
        figures = f"epoch {epoch}/{self.epochs}  loss {loss:.4f}  {rate * self.batch_size:,.0f} images/s  {left} left"
        if self.shown - self.lined >= LINE_SECONDS or step == self.total_steps:
            self.say(figures)
        if self.bar:
            filled = BAR_WIDTH * step // self.total_steps
            self.bar.write(f"\r\033[K{self.title} {'█' * filled}{'·' * (BAR_WIDTH - filled)} {figures}")
            self.bar.flush()
            self.drawn = True

    def say(self, text: str) -> None:
        """A line in the log."""
        self.clear()
        self.lined = time.monotonic()
        self.log.write(f"{self.title}: {text}\n")
        self.log.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self.drawn:
            self.bar.write("\r\033[K")
            self.bar.flush()
            self.drawn = False
