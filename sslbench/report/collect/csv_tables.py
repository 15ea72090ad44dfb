"""The report's figures as plain tables: a row per cell, per entry. docs/tables.md says what each column holds.

Made from report.json alone, so that the page can offer the very bytes that collect wrote.
"""

import csv
import io

from sslbench.report import studies
from sslbench.report.protocols import PROTOCOL
from sslbench.report.sections import downstream
from sslbench.runtime.text import csv_value

_NAMES = ("dataset", "evaluated_on", "model", "method", "family", "transform", "seed", "kind")
_HEALTH = ("verdict", "channel_std", "effective_rank", "rank_share", "features")
_COST = ("minutes", "peak_gb", "memory", "images_per_second", "energy_joules")
_MADE = ("device", "threads", "commit", "clean")
_SPREAD = ("sd", "sd_seeds", "sd_pictures")
_FROZEN = ("difference", "low", "high")
_BEHIND = ("difference", "low", "high", "p", "adjusted", "discordant")


def cells(report: dict) -> list[dict]:
    """One row per cell of the plan; shares in [0, 1], minutes, gigabytes (10^9 bytes)."""
    entries = {tuple(entry["name"]): entry for entry in report["entries"]}
    return [_cell(cell, entries, report) for cell in report["cells"]]


def _cell(cell: dict, entries: dict, report: dict) -> dict:
    entry = entries.get((cell["dataset"], cell["model"], cell["transform"]), {})
    row = {key: cell[key] for key in _NAMES}
    for columns in studies.asked(report, "cell_names"):
        row |= columns(cell, report)
    row |= {"status": cell["status"], "why": cell["why"]} | {key: cell["protocol"][key] for key in PROTOCOL}
    for metric in ("top1", "top5"):
        row |= _interval(metric, cell[metric])
    row |= {"test_pictures": cell["n"], "classes": cell["classes"]}
    row |= _neighbours(cell["knn"]) | {key: cell["health"].get(key) for key in _HEALTH} | downstream.columns(cell)
    row |= {"rank_in_column": entry.get("column_rank"), "rank_in_dataset": entry.get("dataset_rank")}
    row |= _beside_frozen(entry, report) | _of_weights(cell, report) | _inference(cell, report)
    row |= {key: cell["cost"].get(key) for key in _COST}
    row |= {f"seconds_{key}": value for key, value in sorted(cell["cost"]["seconds"].items())}
    for columns in studies.asked(report, "cell_columns"):
        row |= columns(cell)
    row |= {"digest": cell["run"].get("digest")}
    row |= {"parameters": cell["run"].get("parameters")} | {key: cell["made"].get(key) for key in _MADE}
    return row | dict(sorted((cell["run"].get("versions") or {}).items()))


def entries(report: dict) -> list[dict]:
    """One row per dataset, model and transform, over its seeds: what the ranks are made of."""
    rows = []
    for entry in (*report["entries"], *(report.get("divided") or {}).get("entries", ())):
        row = dict(zip(("dataset", "model", "transform"), entry["name"], strict=True))
        row |= {"family": entry["family"], "kind": entry["kind"], "seeds": len(entry["seeds"])}
        row |= {"used": len(entry["used"]), "collapsed": entry["collapsed"], "suspicious": entry["suspicious"]}
        for metric in ("top1", "top5"):
            row |= _interval(metric, entry[metric])
        row |= {key: (entry["spread"] or {}).get(key) for key in _SPREAD}
        row |= {"test_pictures": entry["n"], "classes": entry["classes"]} | _neighbours(entry["knn"])
        for scope, word in (("column", "column"), ("dataset", "dataset")):
            low, high = entry[f"{scope}_range"] or (None, None)
            row |= {f"rank_in_{word}": entry[f"{scope}_rank"], f"tied_in_{word}": entry[f"{scope}_tied"]}
            row |= {f"rank_in_{word}_low": low, f"rank_in_{word}_high": high}
        behind = entry["behind"] or {}
        row |= {
            "best_model": (behind.get("name") or [None] * 3)[1],
            "best_transform": (behind.get("name") or [None] * 3)[2],
        }
        row |= {f"behind_{key}": behind.get(key) for key in _BEHIND}
        random, against = entry.get("against_random") or {}, entry.get("against_frozen") or {}
        row |= {f"random_{key}": random.get(key) for key in (*_FROZEN, "p", "adjusted")}
        row |= _beside_frozen(entry, report)
        if has_frozen(report):
            row |= {f"frozen_{key}": against.get(key) for key in ("p", "adjusted")}
            row |= {"best_frozen": (against.get("name") or [None] * 2)[1]}
        row |= _of_weights(entry, report) | _inference(entry, report)
        row |= {key: entry[key] for key in ("minutes", "peak_gb", "memory")}
        for columns in studies.asked(report, "entry_columns"):
            row |= columns(entry)
        rows.append(row)
    return rows


def has_frozen(report: dict) -> bool:
    """Whether the page has rows of pretrained backbones, and so the columns that are about them."""
    return any(entry.get("weights") for entry in report["entries"])


def _beside_frozen(entry: dict, report: dict) -> dict:
    """The paired difference to the dataset's best frozen backbone."""
    against = entry.get("against_frozen") or {}
    keys = _FROZEN if has_frozen(report) else ()
    return {f"frozen_{key}": against.get(key) for key in keys}


def _of_weights(of: dict, report: dict) -> dict:
    """What a cell's or an entry's weights have seen of its test images, and their licence."""
    weights = of.get("weights") or {}
    if not has_frozen(report):
        return {}
    return {
        "seen_level": weights.get("level"),
        "has_seen": weights.get("has_seen"),
        "licence": (weights.get("licence") or {}).get("title"),
    }


def _inference(of: dict, report: dict) -> dict:
    """Milliseconds an image, by batch."""
    batches = dict.fromkeys(batch for cell in report["cells"] for batch in (cell.get("speed") or {}).get("batches", ()))
    measured = (of.get("speed") or {}).get("batches", {})
    return {f"inference_ms_batch{batch}": (measured.get(batch) or {}).get("ms") for batch in batches}


def text(rows: list[dict]) -> str:
    """Comma-separated values with a header. What is not known is empty; numbers round-trip exactly; a text that a
    spreadsheet would compute begins with an apostrophe."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value != value else csv_value(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _interval(name: str, share: dict) -> dict:
    return {name: share["value"], f"{name}_low": share["low"], f"{name}_high": share["high"]}


def _neighbours(knn: dict) -> dict:
    ordered = sorted(knn.items(), key=lambda item: int(item[0]))
    return {f"knn{k}_{metric}": values.get(metric) for k, values in ordered for metric in ("top1", "top5")}
