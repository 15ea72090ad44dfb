"""What a configuration may be made of: values that have one JSON text, and so one fingerprint."""

import math
from pathlib import PurePath
from typing import Any

from sslbench.errors import UserError

DEEPEST, MOST = 32, 100_000  # levels and values; a YAML file with anchors can stand for any number, or for itself
LARGEST = 2**63
SHOWN = 200  # characters of a value in a message


def shown(value: object) -> str:
    """``value`` as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def require_plain(raw: Any) -> None:
    """Raise UserError, naming the key, where YAML made anything but text, numbers, yes or no, lists and dicts."""
    waiting, count = [(raw, "", 0)], 0
    while waiting:
        value, where, depth = waiting.pop()
        count += 1
        if depth > DEEPEST or count > MOST:
            raise UserError(
                f"config: {where.partition('.')[0]}: is nested more than {DEEPEST} deep, or holds over {MOST:,} values"
            )
        if (fault := _fault(value)) is not None:
            raise UserError(f"config: {where or '(top level)'}: {fault}")
        dot = "." * bool(where)
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise UserError(f"config: {where}{dot}{shown(key)}: a key is text; put it in quotes")
                if (fault := _fault(key)) is not None:
                    raise UserError(f"config: {where}{dot}{shown(key)}: {fault}")
            waiting += [(child, f"{where}{dot}{key}", depth + 1) for key, child in reversed(value.items())]
        elif isinstance(value, list | tuple):
            children = [(child, f"{where}{dot}{number}", depth + 1) for number, child in enumerate(value)]
            waiting += reversed(children)


def _fault(value: object) -> str | None:
    """What is wrong with one value, its children aside."""
    if isinstance(value, str):
        broken = any("\ud800" <= character <= "\udfff" for character in value)
        return f"{shown(value)} holds half a character, which no file can" if broken else None
    if value is None or isinstance(value, bool | PurePath | dict | list | tuple):
        return None
    if isinstance(value, int):
        return None if abs(value) < LARGEST else "a whole number of more than 64 bits is not allowed"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r} is not allowed: a number is finite"
    return f"{shown(value)} is a {type(value).__name__}, which YAML made of it; put it in quotes if it is text"
