"""Reads one cell's folder: what state it is in, and what its files say. No file here is trusted to exist."""

import csv
import json
import re
from pathlib import Path

from sslbench.report.files import read_json

CURVE_POINTS = 60  # of a learning curve on the page
_RESULT_FILES = ("linear.json", "predictions.parquet", "knn.json", "health.json")
_ERROR = re.compile(r"^sslbench: |\b\w*(Error|Exception|Interrupt)\b|^Killed|out of memory|Segmentation fault", re.I)
_NOT_COLUMNS = {"epoch", "step", "lr", "loss", "ema", "online_top1"}


def read_cell(cell: dict, folder: Path, logs: list[Path], data: dict) -> dict:
    """State and contents of one cell of the plan.

    ``cell``: the plan's entry; ``folder``: where its results stand; ``logs``: its log files, latest rule last;
    ``data``: manifest of the pictures that it trains on, {} where they are not packed. Returns a plain dict; ``status``
    is one of done, stale, missing, failed, set aside, and ``why`` is one sentence for all but done.
    """
    run, files = read_json(folder / "run.json"), {name: folder / name for name in _RESULT_FILES}
    found = {
        "status": "done",
        "why": "",
        "changed": [],
        "log": last_line(logs),
        "run": run,
        "ledger": read_json(folder / "ledger.json"),
        "linear": read_json(files["linear.json"]),
        "knn": read_json(files["knn.json"]),
        "health": read_json(files["health.json"]),
        "curve": read_curve(folder / "curve.csv"),
        "predictions": files["predictions.parquet"] if files["predictions.parquet"].is_file() else None,
    }
    if cell.get("set_aside"):
        return found | {"status": "set aside", "why": str(cell["set_aside"])}
    absent = [name for name, path in files.items() if not path.is_file()]
    if not run or absent:
        stage = "not trained" if not run else f"trained, not evaluated ({', '.join(absent)} missing)"
        if error := error_line(folder, logs):
            return found | {"status": "failed", "why": f"{stage}: {error}", "log": error}
        return found | {"status": "missing", "why": stage}
    found["changed"] = changed_keys(cell["expected"], found, data)
    if found["changed"]:
        found |= {"status": "stale", "why": f"not today's: {', '.join(found['changed'])} changed since"}
    return found


def changed_keys(expected: dict, found: dict, data: dict) -> list[str]:
    """Dotted keys in which a finished cell differs from what the plan asks today, and both values if short."""
    run, linear = found["run"], found["linear"] or {}
    keys = _differences(run.get("settings", {}), expected.get("settings", {}))
    if "code" in expected and run.get("code") != expected["code"]:
        keys.append("code")
    known, used = data.get("content_sha256"), (run.get("data") or {}).get("content_sha256")
    if known and used and known != used:
        keys.append("data")
    if "evaluation" in expected and "evaluation" in linear:
        keys += [f"evaluation.{key}" for key in _differences(linear["evaluation"], expected["evaluation"])]
    return keys


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
    return [name for name in curve if name not in _NOT_COLUMNS]


def last_line(logs: list[Path]) -> str:
    """The last line that is not blank in the latest log that has one, cut to 300 characters; "" where there is none."""
    for path in reversed(logs):
        lines = _tail(path)
        if lines:
            return lines[-1][:300]
    return ""


def error_line(folder: Path, logs: list[Path]) -> str:
    """The line that says why a cell failed, or "" where nothing says that it did."""
    for name in ("failed.json", "failed"):
        marker = folder / name
        if marker.is_file():
            content = read_json(marker)
            text = content.get("error") if content else None
            return str(text or next(iter(_tail(marker)), "") or last_line(logs) or "failed, without a word")[:300]
    for path in reversed(logs):
        lines = _tail(path)
        for line in reversed(lines[-5:]):
            if _ERROR.search(line):
                return line[:300]
        if lines:
            return ""  # the latest rule that wrote anything did not end in an error
    return ""


def _tail(path: Path, size: int = 16_384) -> list[str]:
    """The lines in the last ``size`` bytes that are not blank, stripped of control characters."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(stream.tell() - size, 0))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    # A progress bar rewrites its line with carriage returns and colours it with escape sequences.
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r", "\n")
    lines = ("".join(c for c in line if c.isprintable()).strip() for line in text.split("\n"))
    return [line for line in lines if line]


def _differences(then: object, today: object, prefix: str = "") -> list[str]:
    """Dotted keys of the leaves in which two nested dicts differ."""
    if isinstance(then, dict) and isinstance(today, dict):
        keys = sorted(then.keys() | today.keys())
        nested = (
            _differences(then.get(k), today.get(k), f"{prefix}{k}.") if k in then and k in today else [f"{prefix}{k}"]
            for k in keys
        )
        return [key for found in nested for key in found]
    return [] if then == today else [_described(prefix.removesuffix("."), then, today)]


def _described(key: str, then: object, today: object) -> str:
    texts = [json.dumps(value, ensure_ascii=False) for value in (then, today)]
    return f"{key} ({texts[0]} then, {texts[1]} today)" if max(map(len, texts)) <= 24 else key


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value - value == 0 else None
