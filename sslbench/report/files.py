"""Reading what may not be there, writing so that nobody sees half of it, and names that any file system takes."""

import hashlib
import json
import re
from pathlib import Path

from sslbench.errors import UserError
from sslbench.runtime.files import write_whole
from sslbench.runtime.text import visible

_KEYS = {"collect": {"format", "cells", "datasets"}, "album": {"format", "packs", "datasets"}}  # of what rules write


def read_written(path: Path, rule: str) -> dict:
    """The JSON object that ``rule`` wrote to ``path``. Raises UserError where it is not there, or not that."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not there; run the rule {rule} first") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); delete it and run the rule {rule} again") from None
    if not isinstance(value, dict) or not _KEYS.get(rule, set()) <= value.keys():
        raise UserError(f"{path}: not what the rule {rule} writes; delete it and run again")
    return value


def write_text(path: Path, text: str) -> None:
    """Write beside, then replace. Raises UserError where the disk refuses."""
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def drawable(text: str) -> str:
    """``text`` as XML and UTF-8 can hold it: vl-convert ends the process where a label has anything else."""
    return re.sub("[\ufffe\uffff]", "\ufffd", visible(text))


def slug(*names: str) -> str:
    """An id and file name for ``names``: readable, and different for different names."""
    if all(re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)*", name) for name in names):
        return "--".join(names)
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    plain = ["-".join(re.findall(r"[a-z0-9]+", name.lower()))[:40] for name in names]
    return "--".join([*filter(None, plain), digest])
