"""One record for each finished run, in a JSON file that several processes may add to."""

import base64
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("results.json")
KEY = ("arm", "preset", "method", "seed", "epochs", "local_views", "size", "batch", "images")  # what names a run


def load(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def find(records: list[dict], **wanted: Any) -> list[dict]:
    return [record for record in records if all(record[name] == value for name, value in wanted.items())]


def keep(file: Path, record: dict[str, Any]) -> None:
    """Add ``record``, or replace the one of the same run. Atomic; a reader never sees half of it."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        own = {name: record[name] for name in KEY}
        kept = [other for other in load(file) if {name: other[name] for name in KEY} != own]
        kept = sorted([*kept, record], key=lambda r: json.dumps([r[name] for name in KEY]))
        lines = ",\n".join(json.dumps(each) for each in kept)
        fresh = file.with_suffix(".tmp")
        fresh.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        fresh.replace(file)
    finally:
        os.close(folder)  # and with it the lock


def packed(correct: np.ndarray) -> str:
    """bool [n] as base64 of its bits."""
    return base64.b64encode(np.packbits(correct)).decode()


def unpacked(record: dict[str, Any]) -> np.ndarray:
    return np.unpackbits(np.frombuffer(base64.b64decode(record["correct"]), np.uint8), count=record["n"]).astype(bool)
