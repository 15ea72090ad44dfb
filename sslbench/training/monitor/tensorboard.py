"""Learning curves for TensorBoard, where the config's compute.tensorboard asks for them.

    tensorboard --logdir logs/tensorboard
    python -m sslbench.training.monitor.tensorboard results   # the same from the curve.csv of cells that are finished

One event file per run, in TensorBoard's own format (records of protobuf messages, see below), written here: training
needs no package for it, starts no thread and draws no random number. A resumed run writes its whole curve anew and
tells readers to drop what they hold, so that no epoch stands there twice or not at all, whatever the run before it had
written; the times at which its earlier epochs ended are then those of the resumption. Files of runs before stay:
TensorBoard reads no further where the one that it is reading has gone.
"""

import csv
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

NOT_CURVES = ("epoch", "step", "images")  # columns of curve.csv that only count
_START = 1  # SessionLog.START: readers drop what they had read at this step and after it


class Board:
    """Follows one run's curve into ``folder``; the tags are curve.csv's columns, the steps its optimiser steps.

    A disk that refuses ends the curve with one line to ``say``, and nothing else.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.written = 0  # rows
        self.path: Path | None = None

    def follow(self, rows: list[dict]) -> None:
        """Write those of ``rows``, one per finished epoch, that are not written yet."""
        if self.written == len(rows):
            return
        try:
            self._append(rows[self.written :])
            self.written = len(rows)
        except OSError as error:
            self.say(f"cannot write TensorBoard's curves ({error}); going on without them")
            self.follow = lambda rows: None

    def _append(self, rows: list[dict]) -> None:
        head = b""
        if self.path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.path = self.folder / f"events.out.tfevents.{time.time_ns()}.sslbench"  # readers go by name
            head = record(event(0, 3, b"brain.Event:2")) + record(event(0, 7, varint(1 << 3) + varint(_START)))
        with self.path.open("ab") as stream:
            stream.write(head + b"".join(record(event(int(row["step"]), 5, summary(row))) for row in rows))


def summary(row: dict) -> bytes:
    """Summary of what was measured: repeated Value value = 1, each with string tag = 1 and float simple_value = 2."""
    values = {tag: value for tag, value in row.items() if tag not in NOT_CURVES and value not in (None, "")}
    return b"".join(
        field(1, field(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", float(value)))
        for tag, value in values.items()
    )


def event(step: int, what: int, payload: bytes) -> bytes:
    """Event: double wall_time = 1, int64 step = 2, and one of string file_version = 3, Summary = 5, SessionLog = 7."""
    return varint(1 << 3 | 1) + struct.pack("<d", time.time()) + varint(2 << 3) + varint(step) + field(what, payload)


def field(number: int, payload: bytes) -> bytes:
    """A protobuf field of a string or a message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their high bit set."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def record(data: bytes) -> bytes:
    """A TFRecord: length and data, each with its masked CRC-32C."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def masked(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> list[int]:
    """Of CRC-32C: Castagnoli's polynomial 0x1EDC6F41, its bits reversed."""
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


def convert(results: Path, into: Path) -> int:
    """The curves of all finished cells below ``results``; how many there were."""
    count = 0
    for path in sorted(results.glob("*/*/*/seed*/curve.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        if rows:
            Board(into.joinpath(*path.parent.parts[-4:]), lambda line: print(f"sslbench: {line}")).follow(rows)
            count += 1
    return count


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    print(f"{convert(folder, Path('logs/tensorboard'))} curves in logs/tensorboard")
