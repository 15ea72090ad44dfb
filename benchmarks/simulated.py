"""A project with a grid of any size, and finished results for every cell of it that no network ever made.

The files are the project's own formats, as small as they come; their figures are drawn from a seed. Settings, code
digests and hashes are today's, so the workflow has nothing left to do and the report finds every cell current.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import yaml
from safetensors.numpy import save_file

from benchmarks.startup import copied
from sslbench.data import doctor
from sslbench.grid import downstream_tasks
from sslbench.grid.cell import Cell, Dataset
from sslbench.grid.expand import load
from sslbench.grid.plan import PRETRAIN_SCRIPT, Plan
from sslbench.store.canonical_json import document
from sslbench.store.code_fingerprint import code_digest

ARTICLE = 170  # cells of config.yaml as it stands
DATASETS, TRANSFORMS = 4, ("baseline", "simclr", "orthogonality", "lorot", "dcl")
METHODS = ("barlowtwins", "simclr", "simsiam", "swav", "byol", "vicreg", "moco", "dino", "rotation", "vicregl")
PICTURES = {"nabirds": (38_655, 9907, 555)}  # by kind: training, test, classes
FEW = (5000, 3925, 10)  # of the others: ImageNette's test set
SEVERAL = 5  # seeds
EPOCHS_DRAWN = 200  # rows of a learning curve
FAKED = (
    *("fetch", "pack", "leaks", "pretrain", "embed", "evaluate", "labelfree", "look", "gallery"),
    *("collect", "album", "report"),
)
FAKE = """from pathlib import Path

if __name__ == "__main__":
    for file in snakemake.output:
        Path(file).write_text("{}")
"""


def overlay(cells: int, by: str, seeds: int = 1) -> dict:
    """A grid of ``cells`` pretrainings, references apart. ``by`` seeds: 200 combinations; by models: one seed; by both:
    as many models as that takes with SEVERAL seeds each.

    ``seeds``: of each of the article's cells; any other number of cells says by itself how many it takes.
    """
    compute = {"allow_cpu": True, "device": "cpu", "threads": 1}
    if cells == ARTICLE:
        found = {"nabirds": {"archive": __file__}}  # any file: its pictures are found
        return {"datasets": found, "compute": compute, "seeds": list(range(seeds))}
    datasets = {f"dataset{i}": {"kind": "shapes", "train_per_class": 500 + i} for i in range(DATASETS)}
    share = len(datasets) * len(TRANSFORMS)
    each = SEVERAL if by == "both" else 1
    models = len(METHODS) if by == "seeds" else max(cells // (share * each), 1)
    entries = {f"model{i:04}": {"method": METHODS[i % len(METHODS)]} for i in range(models)}
    for i, entry in enumerate(entries.values()):
        entry["recipe"] = {"base_lr": 0.01 * (1 + i // len(METHODS))}  # no two models alike
    return {
        "name": "scale",
        "datasets": datasets,
        "models": entries,
        "grid": [{"datasets": list(datasets), "models": list(entries), "transforms": list(TRANSFORMS)}],
        "seeds": list(range(max(cells // (share * models), 1))),
        "compute": compute,
    }


def project(folder: Path, cells: int, by: str, seeds: int = 1) -> Plan:
    """A copy of the project in ``folder`` with the grid as its config.yaml."""
    copied(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in overlay(cells, by, seeds).items():
        if cells == ARTICLE and key == "datasets":
            config[key]["nabirds"] |= value["nabirds"]
        else:
            config[key] = value
    (folder / "config.yaml").write_text(json.dumps(config))
    return Plan(load(config))


def fake_scripts(folder: Path) -> None:
    """Jobs that are processes as the real ones are, and write a few bytes."""
    for name in FAKED:
        (folder / "workflow" / "scripts" / f"{name}.py").write_text(FAKE)


def finish(folder: Path, plan: Plan) -> int:
    """Write packs and every cell's results below ``folder``; the number of files."""
    count = 0
    rng = np.random.default_rng(0)
    for dataset in {d.pack: d for d in plan.datasets.values()}.values():
        count += put(folder, pictures(plan, dataset))
    skill = {name: rng.uniform(0.4, 0.8) for name in dict.fromkeys(cell.names[:3] for cell in plan.cells)}
    shared = {}  # a curve's text and a features file are alike in size, whatever is in them
    for cell in plan.cells:
        _, test, classes = PICTURES.get(cell.dataset.kind, FEW)
        labels = np.arange(test) % classes
        right = rng.random(test) < skill[cell.names[:3]] + rng.normal(0, 0.01)
        count += put(folder, results(plan, cell, float(right.mean())))
        target = folder / cell.folder
        guess = np.where(right, labels, (labels + 1) % classes)
        table = {"index": np.arange(test), "label": labels, "top1": guess}
        table |= {f"top{k}": (guess + k) % classes for k in range(2, 6)}
        pyarrow.parquet.write_table(pyarrow.table(table), target / "predictions.parquet")
        for part in ("train", "test"):
            split = {"content_sha256": "ab" * 32, "split": cell.evaluated_data["split"]}
            save_file({"labels": labels[:8]}, target / f"features-{part}.safetensors", {"sslbench": json.dumps(split)})
        (target / "backbone.safetensors").write_bytes(b"\0" * 8)
        (target / "look.json").write_bytes(document({}))
        epochs = bool(cell.transform) * EPOCHS_DRAWN
        if epochs not in shared:
            shared[epochs] = curve(epochs)
        (target / "curve.csv").write_text(shared[epochs])
        count += 6
    return count


def put(folder: Path, files: Iterator[tuple[Path, dict]]) -> int:
    number = 0
    for number, (path, value) in enumerate(files, 1):  # noqa: B007
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(document(value))
    return number


def pictures(plan: Plan, dataset: Dataset) -> Iterator[tuple[Path, dict]]:
    """What fetch and pack leave, less the pixels."""
    data = plan.config.paths.data
    pack = data / "packed" / dataset.pack
    train, test, classes = PICTURES.get(dataset.kind, FEW)
    labels = np.arange(train + test) % classes
    split, names = dataset.settings.split_name(), [f"class{i}" for i in range(classes)]
    split = "official" if split.startswith("own-or-") else split
    yield data / "sources" / dataset.source / "source.json", {"source": dataset.settings.source(), "size": 1}
    manifest = {"source": dataset.settings.source(), "pack_size": dataset.pack_size, "count": len(labels)}
    manifest |= {"classes": names, "content_sha256": "ab" * 32, "bytes": 1}
    counts = {"train": train, "test": test, "sha256": "cd" * 32}
    yield pack / "manifest.json", manifest | {"splits": {split: counts}}
    sizes, digests = np.full(len(labels), 160), np.arange(len(labels) * 4, dtype="<u4").view(np.uint8).reshape(-1, 16)
    positions = {"train": np.arange(train), "test": np.arange(train, len(labels))}
    files = [f"{i}.jpg" for i in range(len(labels))]
    found = {"classes": names, "titles": names, "labels": labels, "names": files, "heights": sizes, "widths": sizes}
    found |= {"grey": 0, "digests": digests, "unreadable": [], "split_sets": {split: positions}}
    yield pack / "doctor.json", doctor.examine(**found)


def results(plan: Plan, cell: Cell, top1: float) -> Iterator[tuple[Path, dict]]:
    """The JSON files of one finished cell."""
    digest = "d1" * 32
    versions = {"python": "3.12.4", "torch": "2.12.0", "timm": "1.0.31"}
    yield (
        cell.folder / "run.json",
        {
            "settings": cell.settings,
            "code": code_digest(*cell.code_roots, PRETRAIN_SCRIPT),
            "digest": digest,
            "data": {"content_sha256": "ab" * 32},
            "versions": versions,
            "parameters": 11_000_000,
        },
    )
    seconds = {"total": 3600.0, "data": 20.0, "augment": 300.0, "step": 3000.0, "evaluate": 60.0}
    memory = {"allocated_bytes": 8_000_000_000, "reserved_bytes": 9_000_000_000, "rss_bytes": 4_000_000_000}
    made = {"host": "somewhere", "device": "a GPU", "threads": 2, "commit": "0123456789abcdef", "clean": True}
    yield (
        cell.folder / "ledger.json",
        {"seconds": seconds, "peak_memory": memory, "images_per_second": 1000.0, "energy_joules": None, **made},
    )
    share = {"top1": top1, "top5": min(1.0, top1 + 0.2)}
    _, test, classes = PICTURES.get(cell.dataset.kind, FEW)
    yield cell.folder / "linear.json", share | {"n": test, "classes": classes, "penalty": 0.01}
    yield cell.folder / "knn.json", {"20": share, "200": share, "n": test}
    health = {"channel_std": 0.5, "effective_rank": 123.4, "rank_share": 0.24, "features": 512, "chance": 0.1}
    yield cell.folder / "health.json", health | {"verdict": "healthy", "evidence": ["probes above chance"]}
    for task in downstream_tasks.tasks(plan.config, cell):
        beside = {"settings": downstream_tasks.settings(plan.config, cell, task), "digest": digest, "features": 512}
        measured = {"rankme": 100 * top1, "alpha": 1 + top1, "lidar": 50 * top1}
        yield cell.folder / downstream_tasks.FILES[task], beside | measured


def curve(epochs: int) -> str:
    """A curve.csv as the engine writes it: a row an epoch, the online accuracy in every tenth."""
    lines = ["epoch,step,lr,loss,invariance,variance,online_top1"]
    for epoch in range(1, epochs + 1):
        online = f"{0.5 - 0.4 / epoch:.6f}" if epoch % 10 == 0 else ""
        values = ",".join(f"{value / epoch:.8f}" for value in (0.06, 3, 1, 2))
        lines.append(f"{epoch},{epoch * 37},{values},{online}")
    return "\n".join(lines) + "\n"
