"""Axes that are chosen here and not by the reader's browser: round ticks, and when an axis is logarithmic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CROWDED = 8  # above this ratio of largest to smallest, a linear axis crowds the small ones into a corner


@dataclass(frozen=True)
class Axis:
    """``ticks`` span the data: the first and the last are the axis' ends."""

    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value stands: 0 at the first tick, 1 at the last."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def linear(values: Sequence[float], about: int) -> Axis:
    """Round ticks around ``values`` (not empty), at least two of them."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) * 0.2 or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(tuple(round(i * step, 10) for i in range(first, max(last, first + 1) + 1)))


def cost(values: Sequence[float]) -> Axis:
    """As ``linear`` for costs above 0, but logarithmic (1, 2, 5, 10, ...) where they span more than CROWDED."""
    low, high = min(values), max(values)
    if high / low <= CROWDED:
        return linear(values, 6)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    first = max(i for i, mark in enumerate(marks) if mark <= low * 1.001)
    last = min((i for i, mark in enumerate(marks) if mark >= high * 0.999), default=len(marks) - 1)
    return Axis(tuple(round(mark, 10) for mark in marks[first : max(last, first + 1) + 1]), logarithmic=True)


def digits(ticks: Sequence[float], scale: float = 1.0) -> int:
    """The fewest decimals that write all ticks apart."""
    wanted = [scale * tick for tick in ticks]
    return next((d for d in range(4) if all(abs(round(w, d) - w) < 1e-6 * max(abs(w), 1e-3) for w in wanted)), 4)
