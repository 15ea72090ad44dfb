"""Our arm: sslbench's Training under a preset, on the views that lightly's transform makes."""

import argparse
from copy import deepcopy
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from benchmarks.quality_against_lightly.images import Batches
from sslbench.data.pack.read import PackedSet
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch
from sslbench.grid.cell import Cell
from sslbench.grid.expand import load
from sslbench.nn.backbone import Backbone
from sslbench.training.device import computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training, build_method
from sslbench.transforms.pipeline import View

RUN = 200  # epochs of the run whose warm-up's share is kept


def planned(method: str, preset: str, seed: int, options: argparse.Namespace, bank: int, root: Path) -> Cell:
    """The cell of one run; of 200 epochs' warm-up and frozen parts it has the same share."""
    local = {"local_views": options.local_views, "local_size_share": 0.5}
    own = {"dino": local | {"publish": "student"}, "swav": local, "moco": {"queue": bank}, "vicregl": {"form": "paper"}}
    document = {
        "name": "quality",
        "title": "",
        "grid": [{"datasets": ["nette"], "models": [method], "transforms": ["any"]}],
        "seeds": [seed],
        "datasets": {"nette": {"kind": "imagenette", "size": 160, "pack_size": 160, "path": str(root)}},
        "models": {method: {"method": method, "preset": preset, **own.get(method, {})}},
        "transforms": {"any": {"kind": "simclr"}},
        "references": {"random": False, "supervised": []},
        "training": {
            "input_size": options.size,
            "batch_size": options.batch,
            "epochs": options.epochs,
            "precision": "fp32",
            "holdout": 0,
        },
    }
    (cell,) = load(document).cells()
    return cell


def settings(cell: Cell, epochs: int) -> dict:
    """The cell's settings, its schedules by steps and its durations in epochs cut as the run is."""
    settings = deepcopy(cell.settings)
    recipe = settings["recipe"]
    recipe["schedule"] = "step"
    recipe["warmup_epochs"] *= epochs / RUN
    recipe["frozen_epochs"] = {part: n * epochs / RUN for part, n in recipe["frozen_epochs"].items()}
    return settings


def packed(cell: Cell, scratch: Path) -> PackedSet:
    """What Training reads labels, split and the number of images from; the pixels come from lightly's views."""
    if not (scratch / "pack").exists():
        dataset = cell.dataset.settings
        fetch(dataset, scratch / "source")
        pack(dataset, scratch / "source" / "source.json", scratch / "pack", 160, 1)
    return PackedSet.open(scratch / "pack")


def start(settings: dict) -> nn.Module:
    """The network that this run starts from."""
    return plain(build_method(settings, 10).evaluated)


def train(settings: dict, pack: PackedSet, batches: Batches) -> tuple[nn.Module, list[float]]:
    """The trained network that sslbench would publish, and the loss of each epoch."""
    with computing("cpu", torch.get_num_threads(), settings["train"]) as device:
        training = Training(settings, pack, device, Ledger(device, 1))
        training.stream = Views(batches, settings["views"])
        while training.step < training.total_steps:
            training.advance()
    return plain(training.method.evaluated), [row["loss"] for row in training.rows]


def plain(backbone: Backbone) -> nn.Module:
    """timm's own network with the same weights: nothing of sslbench is left for the evaluation."""
    network = timm.create_model(backbone.name, num_classes=0)
    network.load_state_dict(backbone.timm_state())
    return network.to(memory_format=torch.channels_last)


class Views:
    """Takes the place of the engine's stream: lightly's views, in lightly's order of the images."""

    def __init__(self, batches: Batches, specs: list[dict]) -> None:
        self.batches, self.specs = iter(batches), specs

    def indices(self, epoch: int, step: int) -> Tensor:
        drawn_for, views = next(self.batches)
        assert drawn_for == epoch
        self.images, self.grids = views[: len(self.specs)], views[len(self.specs) :]
        return torch.zeros(len(self.images[0]), dtype=torch.int64)  # without an online head nobody asks which they are

    def draw(self, epoch: int, step: int, indices: Tensor) -> list:
        return []

    def views(self, indices: Tensor, drawn: list, start: int, stop: int) -> list[View]:
        places = [locations(grid) for grid in self.grids] or [None] * len(self.images)
        images = [x.contiguous(memory_format=torch.channels_last) for x in self.images]
        return [View(*view) for view in zip(images, places, self.specs, strict=True)]

    def close(self) -> None:
        pass


def locations(grid: Tensor) -> Tensor:
    """lightly's grid of one point a pixel, (x, y) [n, s, s, 2], as ours: (y, x) [n, 2, s, s]."""
    return grid.flip(3).permute(0, 3, 1, 2)
