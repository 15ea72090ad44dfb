"""Cells made up in memory, whose truth is known, for the articles' claims."""

import numpy
import pandas

from sslbench.studies.claims import claims

MODELS = {
    "barlowtwins": ("barlowtwins", {}), "simclr": ("simclr", {}), "simsiam": ("simsiam", {}), "swav": ("swav", {}),
    "byol": ("byol", {}), "vicreg": ("vicreg", {}), "moco": ("moco", {}), "dino": ("dino", {}),
    "vicregl-0.95": ("vicregl", {"form": "lightly-1.2", "alpha": 0.95}), "vicregl-0.75": ("vicregl", {"form": "lightly-1.2", "alpha": 0.75}),
    "vicregl-0.50": ("vicregl", {"form": "lightly-1.2", "alpha": 0.5}), "vicregl-0.25": ("vicregl", {"form": "lightly-1.2", "alpha": 0.25}),
}  # fmt: skip
TEN = [name for name in MODELS if name not in ("moco", "dino")]
TRANSFORMS = ("baseline", "simclr", "orthogonality", "lorot", "dcl")
HOME = {"backbone": "resnet18", "backbone_options": "", "input_size": 224, "epochs": 200, "batch_size": 256}
HOME |= {"precision": "fp32"}


class World:
    """Cells made up in memory: report and predictions as collect would hand them to claims.decide."""

    def __init__(self, n: int = 2000, seeds: int = 1) -> None:
        self.n, self.seeds, self.rng = n, seeds, numpy.random.default_rng(7)
        self.hard: dict[str, numpy.ndarray] = {}
        self.correct: dict = {}
        self.report = {"entries": [], "cells": [], "datasets": {}, "transforms": {}, "plan": {"composition": None},
                       "studies": ["first_article", "second_article"],
                       "models": {m: {"method": k, "options": dict(o)} for m, (k, o) in MODELS.items()}}  # fmt: skip

    def add(self, model: str, transform: str, accuracy: float, dataset: str = "imagenette2-160", *, minutes: float = 60.0,
            memory: float = 8.0, home: bool = True, ranked: bool = True, kind: str = "grid", knn: float | None = None,
            device: str = "NVIDIA H100", **protocol: object) -> dict:  # fmt: skip
        """One entry; its pictures are hard for all alike, with some luck of its own."""
        hard = self.hard.setdefault(dataset, self.rng.random(self.n))
        values = []
        for seed in range(self.seeds):
            noisy = numpy.where(self.rng.random(self.n) < 0.3, self.rng.random(self.n), hard)
            right = pandas.Series(noisy < accuracy)
            right.index = pandas.MultiIndex.from_arrays([range(self.n), range(self.n)], names=["index", "label"])
            self.correct[dataset, model, transform, seed] = right
            values.append(right.mean())
        beside = {"value": 0.7} if home else {"reason": "epochs 5 (published: 200)"}
        entry = {
            "name": [dataset, model, transform], "kind": kind, "states": {"done": self.seeds}, "ranked": ranked,
            "used": list(range(self.seeds)), "top1": {"value": float(numpy.mean(values))}, "protocols": [HOME | protocol],
            "published": {"top1": beside}, "knn": {"20": {"top1": accuracy if knn is None else knn}}, "minutes": minutes,
            "peak_gb": memory, "memory": "GPU", "devices": [device], "classes": 10,
        }  # fmt: skip
        self.report["entries"].append(entry)
        self.report["datasets"].setdefault(dataset, {"source": dataset})
        self.report["transforms"].setdefault(transform, {"kind": transform, "overrides": {}})
        self.report["cells"].append(
            {"dataset": dataset, "evaluated_on": dataset, "model": model, "method": self.report["models"].get(
                model, {"method": model})["method"], "transform": transform, "seed": 0, "status": "done", "n": self.n,
             "top1": entry["top1"], "classes": 10, "health": {"verdict": "healthy"}})  # fmt: skip
        return entry

    def grid(self, accuracy, models=TEN, transforms=TRANSFORMS, **more) -> "World":
        for model in models:
            for transform in transforms:
                self.add(model, transform, accuracy(model, transform), **more)
        return self

    def decide(self) -> dict[str, dict]:
        return {v["id"]: v for v in claims.decide(self.report, self.correct, 0.95)["verdicts"]}


def planted(sign: int):
    """The first article's world, or its mirror image."""

    def accuracy(model: str, transform: str) -> float:
        value = 0.65 + sign * 0.05 * (model.startswith("vicregl") or model == "barlowtwins")
        return value - sign * 0.06 * (transform in ("lorot", "dcl"))

    return accuracy


def costs(world: World, sign: int) -> World:
    """Minutes and memory as the first article says (+1), or the other way round."""
    for i, entry in enumerate(world.report["entries"]):
        _, model, transform = entry["name"]
        ours, local = model.startswith("vicregl"), transform in ("lorot", "dcl")
        jitter = 1 + 0.02 * ((i * 7) % 5)
        entry["minutes"] = 100 * jitter * 2.0 ** (-sign * (ours + local))
        entry["peak_gb"] = 10 * jitter * 1.5 ** (-sign * (ours + local))
    return world
