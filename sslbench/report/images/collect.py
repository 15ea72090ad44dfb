"""The pictures that the report shows beside its figures: neighbours, maps and confusions, with thumbnails of them all.

Reads report.json, the cells' look.json and predictions.parquet, and the packs. Without torch.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas

from sslbench.data.pack.images import PackedImages
from sslbench.report.collect.cell_results import features_origin
from sslbench.report.collect.collect import cell_folder
from sslbench.report.files import read_written
from sslbench.report.images import confusions
from sslbench.report.images.contact_sheets import sheets
from sslbench.report.truncate import place
from sslbench.runtime.files import read_object, write_whole
from sslbench.store import checksum

FORMAT = 1  # of album.json
LOOKED = "look.json"
LARGEST = 240_000  # bytes of one pack's thumbnails, as text
TOGETHER = 2_000_000  # of all packs'
ROWS = 14  # entries of a dataset up to which all are shown; else each model's best
MODELS = 24  # of them at most, those of the best rank


class Shown(NamedTuple):
    """An entry of report.json, its cell that stands for it, and what that saw."""

    entry: dict
    cell: dict
    folder: Path
    look: dict


def album(report_json: Path, results: Path, out_json: Path) -> None:
    """Write ``out_json`` of every finished, current cell whose look.json is there; the others are left out.

    Keys: format; packs: {name: sheets.sheets()}, whose tiles are numbered from 0, the large ones first; datasets:
    {name: {pack, titles, queries: [{tile, label}], strips: [{model, transform, seed, tiles [queries, k], labels}],
    points: {tiles, labels}, maps: [{model, transform, seed, xy, explained, alike}], confusion}}, where confusion is
    {model, transform, seed, n, matrix or null, pairs: [{true, guess, count, of, example, like}]}, its last two tiles.
    A dataset whose entries are not all shown also has cut: {of: entries, models, shown: models}, references apart.
    Equal inputs write equal bytes. Raises UserError where a pack contradicts itself or a file is damaged.
    """
    report = read_written(Path(report_json), "collect")
    found = {name: _dataset(report, name, results) for name in report["datasets"]}
    found = {name: dataset for name, dataset in found.items() if dataset}
    packs, numbers = {}, {}
    folders = dict.fromkeys(dataset["pack"] for dataset in found.values())
    for folder in folders:
        those = [dataset for dataset in found.values() if dataset["pack"] == folder]
        large = sorted({picture for dataset in those for picture in dataset["large"]})
        small = sorted({picture for dataset in those for picture in dataset["small"]} - set(large))
        numbers[folder] = {picture: tile for tile, picture in enumerate([*large, *small])}
        most = min(LARGEST, TOGETHER // len(folders))
        packs[folder.name] = sheets(those[0]["opened"], large, small, most)
    datasets = {name: _numbered(dataset, numbers[dataset["pack"]]) for name, dataset in found.items()}
    text = json.dumps({"format": FORMAT, "packs": packs, "datasets": datasets}, sort_keys=True, ensure_ascii=False)
    write_whole(Path(out_json), (text + "\n").encode("utf-8", "backslashreplace"))


def _dataset(report: dict, name: str, results: Path) -> dict:
    """One dataset's pictures by their positions in the pack; {} where there is nothing to show."""
    judges = [cell["evaluated_on"] for cell in report["cells"] if cell["dataset"] == name]
    judge = report["datasets"].get(judges[0]) if judges else None
    if judge is None or not (Path(judge["pack"]) / "manifest.json").is_file():
        return {}
    shown, cut = _shown(report, name, results, judge["manifest"].get("content_sha256", ""))
    if not shown:
        return {}
    pack = PackedImages(Path(judge["pack"]))
    first = shown[0].look
    confusion = _confusion(shown, len(pack.manifest["classes"]))
    large = [query["index"] for query in first["queries"]]
    large += [i for one in shown for query in one.look["queries"] for i in query["neighbours"]]
    large += [picture for pair in confusion["pairs"] for picture in (pair["example"], pair["like"]) if picture >= 0]
    return {
        "pack": Path(judge["pack"]),
        "opened": pack,
        "titles": pack.manifest["titles"],
        "large": large,
        "small": first["map"]["indices"],
        "shown": shown,
        "cut": cut,
        "confusion": confusion,
    }


def _shown(report: dict, name: str, results: Path, content: str) -> tuple[list[Shown], dict]:
    """The entries that are shown, the most accurate first and the references last, with looks at the same pictures.

    Of many, those of each model's best; of many models, those of the best rank, in that order. Second: what album()
    calls cut, {} where nothing is left out.
    """
    cells = {(c["model"], c["transform"], c["seed"]): c for c in report["cells"] if c["dataset"] == name}
    found = []
    for entry in report["entries"]:
        if entry["name"][0] != name or entry["top1"]["value"] is None:
            continue
        for seed in entry["used"]:
            cell = cells[*entry["name"][1:], seed]
            folder = cell_folder(cell, results)
            look = _look(folder, content) if cell["status"] == "done" else {}
            if look:
                found.append(Shown(entry, cell, folder, look))
                break
    grid = sorted((one for one in found if one.entry["kind"] == "grid"), key=lambda one: -one.cell["top1"]["value"])
    models, entries = {one.cell["model"] for one in grid}, len(grid)
    if entries > ROWS:
        if len(models) > MODELS:
            grid.sort(key=lambda one: place(one.entry))
        firsts: dict[str, Shown] = {}
        for one in grid:
            firsts.setdefault(one.cell["model"], one)
        grid = [*firsts.values()][:MODELS]
    cut = {"of": entries, "models": len(models), "shown": len(grid)} if len(grid) < entries else {}
    found = [*grid, *(one for one in found if one.entry["kind"] != "grid")]
    return [one for one in found if _pictures(one.look) == _pictures(found[0].look)], cut


def _pictures(look: dict) -> tuple:
    return [query["index"] for query in look["queries"]], look["map"]["indices"]


def _look(folder: Path, content: str) -> dict:
    """A cell's look.json where it is of the pack and of the features beside it, which may be gone; else {}."""
    look = read_object(folder / LOOKED)
    if look.get("format") != 1 or not checksum.holds(look) or look["of"]["content_sha256"] != content:
        return {}
    for part, known in look["features"].items():
        there = features_origin(folder / f"features-{part}.safetensors").get(checksum.KEY)
        if None not in (there, known) and there != known:
            return {}
    return look


def _confusion(shown: list[Shown], classes: int) -> dict:
    """What the most accurate ranked entry takes for what; the first entry where none is ranked."""
    best = max(shown, key=lambda one: (one.entry["ranked"], one.entry["kind"] == "grid", one.cell["top1"]["value"]))
    table = pandas.read_parquet(best.folder / "predictions.parquet", columns=["index", "label", "top1"])
    indices, labels, guesses = (table[column].to_numpy() for column in ("index", "label", "top1"))
    few = classes <= confusions.WHOLE
    pairs = confusions.worst(labels, guesses, indices, classes, confusions.FEW if few else confusions.PAIRS)
    return {
        **{key: best.cell[key] for key in ("model", "transform", "seed")},
        "n": len(table),
        "wrong": int(np.sum(labels != guesses)),
        "matrix": confusions.matrix(labels, guesses, classes).tolist() if few else None,
        "pairs": [pair._asdict() for pair in pairs],
    }


def _numbered(dataset: dict, tiles: dict[int, int]) -> dict:
    """The dataset's part of the album, with tiles for positions."""
    shown: list[Shown] = dataset["shown"]
    first, confusion = shown[0].look, dataset["confusion"]
    named = [{key: one.cell[key] for key in ("model", "transform", "seed")} for one in shown]
    for pair in confusion["pairs"]:
        pair |= {key: tiles.get(pair[key]) for key in ("example", "like")}
    return {
        "pack": dataset["pack"].name,
        "titles": dataset["titles"],
        "queries": [{"tile": tiles[query["index"]], "label": query["label"]} for query in first["queries"]],
        "strips": [
            name
            | {
                "tiles": [[tiles[i] for i in query["neighbours"]] for query in one.look["queries"]],
                "labels": [query["labels"] for query in one.look["queries"]],
            }
            for name, one in zip(named, shown, strict=True)
        ],
        "points": {
            "tiles": [tiles[i] for i in first["map"]["indices"]],
            "labels": first["map"]["labels"],
        },
        "maps": [
            name | {key: one.look["map"][key] for key in ("xy", "explained", "alike")}
            for name, one in zip(named, shown, strict=True)
        ],
        "confusion": confusion,
    } | ({"cut": dataset["cut"]} if dataset["cut"] else {})
