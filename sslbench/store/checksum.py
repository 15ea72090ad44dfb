"""A result's own hash, written inside it, so that whoever reads it knows whether it is as it was made. No torch.

JSON files carry it under the key ``seal``; what has no room for a key carries it in its metadata (features, parquet).
A file without a seal is not believed.
"""

import hashlib
import json
import sys
from pathlib import Path

from sslbench.errors import UserError
from sslbench.runtime.files import set_aside

KEY = "seal"


def sealed(value: dict) -> dict:
    """``value`` with its hash."""
    return {**value, KEY: _hash(value)}


def _hash(value: dict) -> str:
    # Through JSON once, where whole-number keys become text. In ASCII, so that names that are not UTF-8 pass.
    text = json.dumps(json.loads(json.dumps(value)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def holds(value: dict) -> bool:
    """Whether a JSON object is what its seal says."""
    return value.get(KEY) == _hash({key: item for key, item in value.items() if key != KEY})


def fault(path: Path) -> str | None:
    """What is wrong with a result of its own seal, .json or .parquet, in one phrase; None where nothing is, or where
    there is no file."""
    try:
        if path.suffix == ".parquet":
            return _table_fault(path)
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            return "holds no JSON object"
        return None if holds(value) else "is not what its seal says"
    except FileNotFoundError:
        return None
    except ValueError:
        return "cannot be read"


def table_hash(table: object) -> str:
    """Of a pyarrow table of integer columns without gaps."""
    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(f"{name} {len(table)}\n".encode())
        digest.update(table[name].to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _table_fault(path: Path) -> str | None:
    import pyarrow as pa  # which the other readers do without
    import pyarrow.parquet as pq

    content = path.read_bytes()
    try:
        table = pq.read_table(pa.BufferReader(content))
        seal = (table.schema.metadata or {}).get(KEY.encode())
        return None if seal == table_hash(table).encode() else "is not what its seal says"
    except MemoryError:
        raise
    except Exception:  # of many kinds, in a table that is none of ours
        return "cannot be read"


def put_aside(path: Path, reason: str) -> str:
    """Rename a damaged result, which Snakemake then misses; the line that says so."""
    try:
        aside = set_aside(path)
    except FileNotFoundError:  # another job was faster
        return f"{path}: {reason}; it is set aside, and the next run makes it anew"
    except OSError as error:
        return f"{path}: {reason}, and cannot be renamed ({error.strerror}); delete it and run again"
    return f"{path}: {reason}; it is set aside as {aside.name}, and the next run makes it anew"


def refuse(path: Path, reason: str) -> UserError:
    """The error to raise after ``path`` was found damaged: it is set aside."""
    return UserError(put_aside(path, reason))


def warn(lines: list[str]) -> None:
    for line in lines:
        print(f"sslbench: {line}", file=sys.stderr, flush=True)
