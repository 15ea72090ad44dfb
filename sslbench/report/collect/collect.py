"""Gathers every cell of a plan into one tidy table (cells.csv) and all that the page shows (report.json).

Reads run.json, ledger.json, linear.json, predictions.parquet, knn.json, health.json, curve.csv, the packs' manifests
and doctors, and what the studies of its datasets read (studies.py). Never reads checkpoints or features, and never
asks the clock.
"""

import io
import json
from functools import cache
from pathlib import Path

from sslbench.data import doctor
from sslbench.errors import UserError
from sslbench.grid.deduplicate import unfold
from sslbench.report import studies
from sslbench.report.collect import csv_tables, folds, frozen_rows
from sslbench.report.collect import entries as ranking
from sslbench.report.collect.cell_results import loss_parts, read_cell
from sslbench.report.collect.job_logs import error_line, first_missing, no_pictures, source_folder
from sslbench.report.files import write_text
from sslbench.report.sections import downstream
from sslbench.runtime.files import read_object
from sslbench.stats import paired
from sslbench.store import checksum

FORMAT = 1  # of report.json
_MADE_KEYS = ("commit", "clean", "device", "devices", "threads", "platform", "resumed", "notes")
_RUN_KEYS = ("parameters", "digest", "code", "versions", "data", "pooling")


def collect(plan: dict, results: Path, out_dir: Path) -> None:
    """Write ``out_dir``/cells.csv (one row per cell of ``plan``) and ``out_dir``/report.json.

    Raises UserError where a study's file cannot be read; a cell's broken or missing files only change its status.
    """
    plan = unfold(json.loads(json.dumps(plan)))
    confidence = float(plan.get("confidence") or 0.95)
    about = {"studies": studies.of_run({plan["datasets"][entry["dataset"]]["kind"] for entry in plan["cells"]})}
    beside = [make(plan, confidence) for make in studies.asked(about, "cells")]
    tested = studies.asked(about, "tested")
    datasets = {name: _dataset(name, entry, results) for name, entry in sorted(plan["datasets"].items())}
    leaked = {name: _leaks(dataset, datasets) for name, dataset in datasets.items()}
    for name, found in leaked.items():
        datasets[name]["leaks"] = found
    cells, correct, known = [], {}, {}
    content_of = cache(lambda pack: read_object(Path(pack) / "manifest.json").get("content_sha256"))
    moved_to = cache(lambda own, other: frozen_rows.positions(Path(own), Path(other)))
    beside_frozen = {entry["dataset"] for entry in plan["cells"] if "packs" in entry}
    for entry in plan["cells"]:
        folder, judge = cell_folder(entry, results), entry.get("evaluated_on") or entry["dataset"]
        waits_for = first_missing(entry, folder, plan["datasets"], results)
        own, judged = (datasets[name]["manifest"] for name in (entry["dataset"], judge))
        if "packs" in entry:  # a pretrained row's own
            own, judged = ({"content_sha256": content_of(pack)} for pack in entry["packs"])
        judged = {"split": plan["datasets"][judge].get("split")} | judged
        found = read_cell(entry, folder, waits_for, own, judged)
        cell = _cell(entry, found, plan, confidence)
        settings = _settings(entry, found)
        pictures = {"all": datasets[entry["dataset"]]["manifest"].get("count"), "test": cell["n"]}
        for fields in beside:
            cell |= fields(cell, entry, settings, pictures)
        cell["beside"] = downstream.read(entry, folder, cell)
        moved, shown = None, found["predictions"] and cell["status"] in ("done", "stale")
        if "packs" in entry and shown:
            judges = plan["datasets"][judge] | {"name": judge, "row": entry["dataset"]}
            images = frozen_rows.tested(found["predictions"], Path(entry["packs"][1]))
            cell["weights"] = frozen_rows.weights(found["run"], judges, entry.get("seen"), images, cell["n"] or 0)
            moved = moved_to(entry["packs"][1], judges["pack"])
        cells.append(cell)
        held_against = entry["dataset"] in beside_frozen or ranking.is_start(entry["model"])
        compared = ranking.is_sound(cell) and held_against
        if shown and (compared or ranking.may_rank(cell) or any(test(cell) for test in tested)):
            correct[_name(cell)] = ranking.read_correct(found["predictions"], known, moved)
    entries = ranking.entries(cells, correct, confidence)
    counts = {name: dataset["manifest"].get("count") for name, dataset in datasets.items()}
    divided = folds.together(cells, correct, counts, confidence)
    joined = ranking.joined([cell | {"dataset": folds.whole(cell["dataset"])} for cell in cells] if divided else [])
    joined |= ranking.joined(cells)
    for entry in (*entries, *divided.get("entries", ())):
        of = joined[tuple(entry["name"])]
        for fields in studies.asked(about, "entries"):
            entry |= fields([c for c in of if c["seed"] in entry["used"]] or of)
    for name, dataset in datasets.items():
        dataset["smallest_difference"] = ranking.smallest_difference(entries, name, confidence)
    report = {
        "format": FORMAT,
        "plan": {
            key: plan.get(key) for key in ("name", "title", "note", "command", "config_text", "sweep", "composition")
        },
        "confidence": confidence,
        "datasets": datasets,
        "models": plan["models"],
        "transforms": plan["transforms"],
        "cells": cells,
        "entries": entries,
    } | {key: found for key, found in (about | {"divided": divided}).items() if found}
    for fields in studies.asked(report, "fields"):
        report |= fields(report, correct, confidence)
    report = _finite(report)
    write_text(out_dir / "cells.csv", csv_tables.text(csv_tables.cells(report)))
    text = io.StringIO()  # json.dumps would hold every number's own text at once: 1 GB for 10,000 cells
    json.dump(report, text, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    write_text(out_dir / "report.json", text.getvalue() + "\n")


def _cell(entry: dict, found: dict, plan: dict, confidence: float) -> dict:
    """One cell as the page needs it."""
    settings, model = _settings(entry, found), plan["models"][entry["model"]]
    linear, ledger = found["linear"], found["ledger"]
    shown = found["status"] in ("done", "stale")
    n = int(linear.get("n") or 0) if shown else 0
    train, backbone = settings["train"], settings["backbone"]
    return {
        "dataset": entry["dataset"],
        "evaluated_on": entry.get("evaluated_on") or entry["dataset"],
        "model": entry["model"],
        "method": settings["method"]["name"],
        "family": model["family"],
        "transform": entry["transform"],
        "seed": entry["seed"],
        "kind": entry["kind"],
        "probed": entry.get("probed", True),
        "folder": entry["folder"],
        "status": found["status"],
        "why": found["why"],
        "changed": found["changed"],
        "log": found["log"] if found["status"] in ("failed", "missing") else "",
        "protocol": {
            "backbone": backbone["name"],
            "backbone_options": _written(backbone.get("options") or {}),
            "input_size": settings["input_size"],
            "epochs": train["epochs"],
            "batch_size": train["batch_size"],
            "precision": train.get("precision"),
        },
        "top1": _share(linear.get("top1"), n, confidence),
        "top5": _share(linear.get("top5"), n, confidence),
        "n": n or None,
        "classes": linear.get("classes") if shown else None,
        "penalty": linear.get("penalty") if shown else None,
        "knn": _neighbours(found["knn"]) if shown else {},
        "health": found["health"] if shown else {},
        "cost": _cost(ledger, "packs" in entry) if shown else _cost({}),
        "weights": None,
        "speed": frozen_rows.read_speed(entry.get("speed")),
        "made": {key: ledger.get(key) for key in _MADE_KEYS},
        "run": {key: found["run"].get(key) for key in _RUN_KEYS},
        "curve": found["curve"],
        "loss_parts": loss_parts(found["curve"]),
    } | {key: entry[key] for key in ("trained_as",) if key in entry}


def _written(options: dict) -> str:
    """`global_pool="avg", patch_size=4`: equal texts are equal options; "" where there are none."""
    return ", ".join(f"{key}={json.dumps(value, sort_keys=True)}" for key, value in sorted(options.items()))


def _settings(entry: dict, found: dict) -> dict:
    """What a cell that is shown was made with, by its run.json; what the plan asks of any other."""
    expected, used = entry["expected"]["settings"], found["run"].get("settings")
    if found["status"] not in ("done", "stale") or not isinstance(used, dict):
        return expected
    return expected | used | {"train": dict.fromkeys(expected["train"]) | (used.get("train") or {})}


def _share(value: float | None, n: int, confidence: float) -> dict:
    """A share of n test pictures with its Wilson interval; all None where there is none."""
    if value is None or not n:
        return {"value": None, "low": None, "high": None}
    low, high = paired.wilson(round(value * n), n, confidence)
    return {"value": float(value), "low": float(low), "high": float(high)}


def _neighbours(knn: dict) -> dict:
    return {k: v for k, v in knn.items() if k.isdigit() and isinstance(v, dict)}


def _cost(ledger: dict, frozen: bool = False) -> dict:
    """Minutes of pretraining, which a ``frozen`` row needs none of, gigabytes and throughput. On a CPU the memory is
    the process's resident set, and is called so."""
    seconds = {k: v for k, v in (ledger.get("seconds") or {}).items() if isinstance(v, int | float)}
    memory = ledger.get("peak_memory") or {}
    on_gpu = bool(memory.get("allocated_bytes"))
    peak = memory.get("allocated_bytes") if on_gpu else memory.get("rss_bytes")
    return {
        "minutes": 0.0 if frozen else seconds["total"] / 60 if seconds.get("total") is not None else None,
        "peak_gb": peak / 1e9 if peak else None,
        "memory": ("GPU" if on_gpu else "RSS") if peak else None,
        "images_per_second": None if frozen else ledger.get("images_per_second"),  # of training
        "energy_joules": ledger.get("energy_joules"),
        "seconds": seconds,
    }


def _dataset(name: str, entry: dict, results: Path) -> dict:
    """A dataset's entry with the manifest and the doctor's findings of its pack, {} where it is not packed.

    ``failed`` is the line that says why it could not be packed, if anything does.
    """
    pack = Path(entry["pack"])
    manifest = read_object(pack / "manifest.json")
    kept = ("format", "source", "pack_size", "count", "classes", "content_sha256", "splits", "bytes")
    small = {key: manifest[key] for key in kept if key in manifest}
    if isinstance(small.get("classes"), list):
        small["classes"] = len(small["classes"])
    fetched, waits_for = read_object(source_folder(entry) / "source.json"), no_pictures(entry, results)
    archive = {key: fetched[key] for key in ("source", "sha256", "size") if key in fetched}
    split = _stored_name(entry.get("split"), small.get("splits"))
    more = {"doctor": _findings(pack, split), "archive": archive, "split": split}
    failed = error_line(waits_for.log) if waits_for else ""
    return {**entry, "name": name, "manifest": small, "failed": failed, **more}


def _leaks(entry: dict, datasets: dict) -> dict:
    """Which test images are among the pretraining images, with the first pairs; {} where nobody has compared them."""
    asked = entry.get("leaks")
    if not asked:
        return {}
    found, packs = read_object(Path(asked["file"])), (entry, datasets[asked["judge"]])
    if not checksum.holds(found) or found["of"] != [pack["manifest"].get("content_sha256") for pack in packs]:
        return {}
    kept = ("pretraining", "test", "found", "identical", "copies")
    return {key: found[key] for key in kept} | asked | _first(found) | {"two_labels": _first(found["two_labels"])}


def _first(of: dict) -> dict:
    """As many pairs as have thumbnails, and how many there are."""
    return {"count": len(of["pairs"]), "pairs": of["pairs"][: len(of["shown"])], "shown": of["shown"]}


def _stored_name(split: str | None, stored: dict | None) -> str | None:
    """`own-or-...` as the pack resolves it, so that one split has one name; as it is where there is no pack."""
    if split is None or stored is None or not split.startswith("own-or-"):
        return split
    derived = split.removeprefix("own-or-")
    return next((name for name in ("official", derived.partition("-")[0]) if name in stored), derived)


def _findings(pack: Path, split: str | None) -> dict:
    """What the data doctor found, shortened to what a page can hold; {} where it has not been there."""
    if not (pack / "doctor.json").is_file():
        return {}
    try:
        # A derived split is not stored with the pack: its findings are worked out here.
        found = doctor.read(pack, split) if split else read_object(pack / "doctor.json")
    except (UserError, OSError, KeyError, ValueError):
        found = read_object(
            pack / "doctor.json"
        )  # a damaged pack still has its findings; packing says what is wrong with it
    splits = found.get("splits") or {}
    shown = {name: {**value, "in_both": _some(value.get("in_both"), 5)} for name, value in splits.items()}
    return {**found, "splits": shown, "unreadable": _some(found.get("unreadable"), 10)}


def _some(items: list | None, most: int) -> dict:
    """A list's length and its first items: 10,000 unreadable names are nobody's reading."""
    return {"count": len(items or []), "first": (items or [])[:most]}


def cell_folder(entry: dict, results: Path) -> Path:
    """Where a cell's results stand: as the plan says, or below ``results`` where the plan's path is relative to it."""
    folder = Path(entry["folder"])
    if folder.is_absolute() or folder.is_relative_to(results):
        return folder
    return results.parent / folder if folder.parts[0] == results.name else results / folder


def _name(cell: dict) -> tuple[str, str, str, int]:
    return cell["dataset"], cell["model"], cell["transform"], cell["seed"]


def _finite(value: object) -> object:
    """The same value without NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
