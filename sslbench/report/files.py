"""Reading what may not be there, and writing so that nobody sees half of it."""

import json
from pathlib import Path

from sslbench.data.storage import write_whole


def read_json(path: Path) -> dict:
    """The JSON object at ``path``, or {} where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_text(path: Path, text: str) -> None:
    """Write beside, then replace. Raises UserError where the disk refuses."""
    write_whole(path, text.encode("utf-8", "backslashreplace"))
