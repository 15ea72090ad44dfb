"""Reads one cell's folder: what state it is in, and what its files say. No file here is trusted to exist."""

import csv
import json
from pathlib import Path

from sslbench.config.evaluation import FILES
from sslbench.grid.finished import changed_keys
from sslbench.report.collect.job_logs import FEATURES, RESULTS, Stage, error_line, last_line
from sslbench.runtime.files import read_object

CURVE_POINTS = 60  # of a learning curve on the page
_MOST_HEADER = 10_000_000  # bytes of a features file's header
_NOT_PARTS = {"epoch", "step", "lr", "loss", "ema", "images"}
_MEASURED = ("online_", "effective_", "knn")  # columns that begin so measure the features


def read_cell(cell: dict, folder: Path, waits_for: Stage | None, data: dict, judged: dict) -> dict:
    """State and contents of one cell of the plan.

    ``cell``: the plan's entry; ``folder``: where its results stand; ``waits_for``: its first job that is not done;
    ``data``: manifest of the pictures that it trains on, {} where they are not packed; ``judged``: content_sha256 and
    split, as the plan names it, of those that it is probed on. Returns a plain dict; ``status`` is one of done, stale,
    missing, failed, set aside, and ``why`` is one sentence for all but done.
    """
    files = {name: folder / name for name in RESULTS}
    found = {
        "status": "done",
        "why": "",
        "changed": [],
        "log": last_line(waits_for.log) if waits_for else "",
        "run": read_object(folder / "run.json"),
        "ledger": read_object(folder / "ledger.json"),
        "linear": read_object(files["linear.json"]),
        "knn": read_object(files["knn.json"]),
        "health": read_object(files["health.json"]),
        "curve": read_curve(folder / "curve.csv"),
        "predictions": files["predictions.parquet"] if files["predictions.parquet"].is_file() else None,
    }
    if not cell.get("probed", True):
        found["health"] = read_object(folder / FILES["labelfree"]).get("health") or {}
    if cell.get("set_aside"):
        return found | {"status": "set aside", "why": str(cell["set_aside"])}
    if waits_for:
        if error := error_line(waits_for.log):
            return found | {"status": "failed", "why": f"{waits_for.undone}: {error}", "log": error}
        return found | {"status": "missing", "why": waits_for.undone}
    found["changed"] = changed_keys(cell["expected"], found["run"], found["linear"] or {}, data.get("content_sha256"))
    found["changed"] += _judged_otherwise(features_origin(folder / FEATURES[1]), judged)
    if found["changed"]:
        found |= {"status": "stale", "why": f"not today's: {', '.join(found['changed'])} changed since"}
    return found


def _judged_otherwise(origin: dict, judged: dict) -> list[str]:
    """Dotted keys in which the pictures behind the features differ from those to be probed on today, where known."""
    pairs = (("data", "content_sha256"), ("split", "split"))
    return [
        f"evaluation.{key}"
        for key, name in pairs
        if origin.get(name) and judged.get(name) and origin[name] != judged[name]
    ]


def features_origin(path: Path) -> dict:
    """What a features file says of where it comes from; {} where there is none. Reads the header alone."""
    try:
        with path.open("rb") as stream:
            # safetensors: the header's length in 8 bytes, little-endian, then the header in JSON
            header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), _MOST_HEADER)))
        origin = json.loads(header["__metadata__"]["sslbench"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return origin if isinstance(origin, dict) else {}


def read_curve(path: Path) -> dict[str, list[float | None]]:
    """Columns of a curve.csv by name, thinned to at most CURVE_POINTS rows and always with the last; {} without a file.

    Cells that are empty or no finite number become None.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        return {}
    if not rows:
        return {}
    count = min(len(rows), CURVE_POINTS)
    kept = sorted({round(i * (len(rows) - 1) / max(count - 1, 1)) for i in range(count)})
    # The online accuracy is measured only every few epochs: those rows must not be thinned away.
    measured = [i for i, row in enumerate(rows) if row.get("online_top1")]
    step = max(len(measured) // CURVE_POINTS, 1)
    kept = sorted({*kept, *measured[::-1][::step]})
    return {name: [_number(rows[i].get(name)) for i in kept] for name in rows[0] if name}


def loss_parts(curve: dict) -> list[str]:
    """Names of the loss parts among a curve's columns."""
    return [name for name in curve if name not in _NOT_PARTS and not name.startswith(_MEASURED)]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value - value == 0 else None
