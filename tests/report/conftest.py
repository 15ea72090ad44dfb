"""A results tree made up by schema: run.json and its neighbours for any number of cells, with simulated predictions."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy
import pandas
import pytest
from safetensors.numpy import save_file

from sslbench import registry
from tests.by_hand import resealed

GIB = 2**30


def method_settings(method: str, options: dict) -> tuple[dict, dict]:
    """Options and recipe of a method as a cell's settings hold them."""
    known = registry.METHODS | registry.REFERENCES
    settings = registry.load(f"{known[method]}.settings").Settings(**options)
    return settings.model_dump(mode="json", exclude={"recipe"}), settings.recipe.model_dump(mode="json")


class Tree:
    """A plan and its results under ``root``; every method writes files and adds to ``plan``."""

    def __init__(self, root: Path, title: str = "A made-up benchmark", note: str = "") -> None:
        self.root, self.results, self.out = root, root / "results", root / "out"
        self.plan = {
            "name": "made-up",
            "title": title,
            "note": note,
            "confidence": 0.95,
            "cells": [],
            "datasets": {},
            "models": {},
            "transforms": {},
            "sweep": None,
            "config_text": "name: made-up\n",
        }
        self.results.mkdir(parents=True)

    def dataset(
        self, name: str, source: str, pictures: int, classes: int, split: str = "official", packed: bool = True
    ) -> None:
        pack = self.root / "data" / "packed" / name
        kind = re.match("[a-z]+", source)[0]  # of imagenette2-160: imagenette
        self.plan["datasets"][name] = {"pack": str(pack), "kind": kind, "source": source, "split": split}
        self.plan["datasets"][name]["source_folder"] = source
        if packed:
            pack.mkdir(parents=True)
            manifest = {
                "source": source,
                "pack_size": 256,
                "count": pictures,
                "classes": classes,
                "content_sha256": "ab" * 32,
            }
            manifest["splits"] = {split: {"train": pictures - 100, "test": 100, "sha256": "cd" * 32}}
            self.write(pack / "manifest.json", manifest)

    def model(self, name: str, method: str, family: str = "contrastive", title: str = "", **options: object) -> None:
        self.plan["models"][name] = {"method": method, "family": family, "title": title or name, "options": options}

    def transform(self, name: str, kind: str = "", **overrides: object) -> None:
        self.plan["transforms"][name] = {"kind": kind or name, "overrides": overrides}

    def cell(self, dataset: str, model: str, transform: str, seed: int = 0, **train: object) -> dict:
        """One entry of the plan, nothing on disk yet. ``train`` overrides the article's protocol."""
        entry, protocol = (
            self.plan["models"][model],
            {"epochs": 200, "batch_size": 256, "accumulate": 1, "precision": "fp32"},
        )
        options, recipe = method_settings(entry["method"], entry["options"])
        data = self.plan["datasets"][dataset]
        settings = {
            "dataset": {"source": data["source"], "split": data["split"], "identity": {}},
            "backbone": {"name": train.pop("backbone", "resnet18"), "options": {}},
            "input_size": train.pop("input_size", 224),
            "method": {"name": entry["method"], "options": options},
            "recipe": recipe,
            "train": protocol | train,
            "seed": seed,
        }
        folder = f"results/{dataset}/{model}/{transform}/seed{seed}"
        cell = {
            "dataset": dataset,
            "model": model,
            "transform": transform,
            "seed": seed,
            "folder": folder,
            "set_aside": None,
        }
        cell["evaluated_on"] = dataset
        cell["kind"] = "reference" if entry["method"] in registry.REFERENCES else "grid"
        cell["expected"] = {"settings": settings, "code": "c0de"}
        self.plan["cells"].append(cell)
        return cell

    def finish(
        self,
        cell: dict,
        right: numpy.ndarray,
        labels: numpy.ndarray,
        top5: float | None = None,
        minutes: float = 60.0,
        gigabytes: float = 8.0,
        gpu: bool = True,
        verdict: str = "healthy",
        evidence: tuple[str, ...] = ("probes above chance",),
        knn: tuple[float, float] = (0.5, 0.6),
        classes: int = 10,
        torch: str = "2.12.0",
        device: str = "NVIDIA H100",
    ) -> Path:
        """Write a finished cell whose predictions are right where ``right`` is."""
        folder = self.root / cell["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        guess = numpy.where(right, labels, (labels + 1) % classes)
        columns = {"index": numpy.arange(len(labels)), "label": labels, "top1": guess}
        pandas.DataFrame(columns).to_parquet(folder / "predictions.parquet", index=False)
        versions = {"python": "3.12.4", "torch": torch, "timm": "1.0.31"}
        run = {"settings": cell["expected"]["settings"], "code": cell["expected"]["code"], "digest": "d1" * 32}
        run |= {"versions": versions, "parameters": 11_000_000, "data": {"content_sha256": "ab" * 32}}
        self.write(folder / "run.json", run)
        memory = {"allocated_bytes": int(gigabytes * 1e9) if gpu else None, "rss_bytes": int(gigabytes * 1e9)}
        ledger = {"seconds": {"total": 60 * minutes, "step": 40 * minutes}, "peak_memory": memory, "device": device}
        ledger |= {"commit": "0123456789abcdef", "clean": True, "host": "somewhere", "images_per_second": 1234.5}
        self.write(folder / "ledger.json", ledger)
        top1 = float(numpy.mean(right))
        linear = {
            "top1": top1,
            "top5": min(1.0, top1 + 0.2) if top5 is None else top5,
            "n": len(labels),
            "classes": classes,
        }
        self.write(folder / "linear.json", linear)
        self.write(
            folder / "knn.json",
            {"20": {"top1": knn[0], "top5": 0.9}, "200": {"top1": knn[1], "top5": 0.9}, "n": len(labels)},
        )
        health = {"channel_std": 0.5, "effective_rank": 123.4, "rank_share": 0.24, "features": 512}
        self.write(folder / "health.json", health | {"verdict": verdict, "evidence": list(evidence)})
        judge = self.plan["datasets"][cell["evaluated_on"]]
        origin = {"content_sha256": "ab" * 32, "split": judge["split"], "source": judge["source"]}
        for part in ("train", "test"):
            path = folder / f"features-{part}.safetensors"
            save_file({"labels": labels}, path, {"sslbench": json.dumps(origin)})
        epochs = cell["expected"]["settings"]["train"]["epochs"]
        if epochs:
            steps = numpy.arange(1, epochs + 1)
            table = {"epoch": steps, "step": steps * 10, "lr": 0.06 / steps, "loss": 3 / steps, "part": 1 / steps}
            table["online_top1"] = [
                0.1 + (top1 - 0.1) * s / epochs if s % 10 == 0 or s == epochs else None for s in steps
            ]
            pandas.DataFrame(table).to_csv(folder / "curve.csv", index=False)
        return folder

    @staticmethod
    def write(path: Path, value: dict) -> None:
        path.write_text(json.dumps(resealed(value) if path.name == "manifest.json" else value, sort_keys=True))

    def log(self, cell: dict, text: str, rule: str = "pretrain") -> None:
        self.log_at(f"{rule}/{cell['dataset']}/{cell['model']}/{cell['transform']}/seed{cell['seed']}.log", text)

    def log_at(self, where: str, text: str) -> None:
        path = self.root / "logs" / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def report(self) -> dict:
        """Collect, and return report.json."""
        from sslbench.report.collect.collect import collect

        collect(self.plan, self.results, self.out)
        return json.loads((self.out / "report.json").read_text())

    def pages(self, gallery: dict | None = None) -> tuple[str, str]:
        """Collect and render: (HTML, Markdown)."""
        from sslbench.report.page import render

        self.report()
        path = None
        if gallery is not None:
            path = self.out / "gallery.json"
            self.write(path, gallery)
        render(self.out / "report.json", path, self.out / "report.html", self.out / "report.md")
        return (self.out / "report.html").read_text(), (self.out / "report.md").read_text()


def right_for(n: int, count: int) -> numpy.ndarray:
    """``count`` of n pictures right: the first ones, so that two cells differ in exactly the pictures between."""
    return numpy.arange(n) < count


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two methods, two transforms, one dataset of 1,000 test pictures, nothing finished."""
    return plain_tree(tmp_path)


@pytest.fixture(scope="session")
def new_tree():
    """Makes the same tree elsewhere, for what is made once for many tests."""
    return plain_tree


def plain_tree(root: Path) -> Tree:
    made = Tree(root)
    made.dataset("nette", "imagenette2-160", 13_394, 10)
    made.model("simclr", "simclr", title="SimCLR")
    made.model("byol", "byol", "distillation", title="BYOL")
    made.transform("baseline")
    made.transform("simclr")
    return made


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium: $SSLBENCH_CHROMIUM, or the first that is installed. Skips where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("SSLBENCH_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium is installed, and $SSLBENCH_CHROMIUM names none")
    quiet = ("disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync")
    with sync.sync_playwright() as playwright:
        switches = ["--no-sandbox", "--no-first-run", *(f"--{name}" for name in quiet)]
        browser = playwright.chromium.launch(executable_path=found, args=switches)
        yield browser
        browser.close()


@pytest.fixture
def labels() -> numpy.ndarray:
    return numpy.arange(1000) % 10
