"""Small cells that train in a second, and how to end them abruptly."""

import json
import multiprocessing
import os
import signal
from multiprocessing.context import BaseContext
from pathlib import Path

from sslbench import registry
from sslbench.training.run import fit

FILES = ("backbone.safetensors", "curve.csv", "run.json", "ledger.json")
EQUAL = FILES[:3]  # equal, byte for byte, for identical runs
STEPS = 3  # per epoch: 54 training pictures, batches of 16


def cell(method: str, *, seed: int = 0, recipe: dict | None = None, options: dict | None = None, **train) -> dict:
    """Settings of a small cell as they come out of its JSON: heads 16 wide, 2 epochs of 3 steps."""
    module = registry.load(f"{(registry.METHODS | registry.REFERENCES)[method]}.settings")
    small = {name: 16 for name in module.Settings.model_fields if name.endswith("dim")}
    if method == "moco":  # fewer keys than pictures, and two groups of pictures to be shuffled
        small |= {"queue": 20, "key_batch_norm": "shuffle", "statistics_group": 8}
    settings = module.Settings(**small | (options or {}))
    transform = registry.load(registry.TRANSFORMS["simclr"]).Settings()
    trained = method != "random"
    size = 64 if module.FACTS.needs_map else 32  # the tiny backbone's map is 1x1 below
    defaults = {"epochs": 2 if trained else 0, "batch_size": 16, "accumulate": 1, "precision": "fp32"}
    defaults |= {"channels_last": True, "compile": False, "deterministic": True, "holdout": 0.25, "measure_every": 1}
    value = {
        "dataset": {"source": "folder", "split": "official", "identity": {}},
        "backbone": {"name": "test_vit", "options": {}, "residual_gain": None}
        if module.FACTS.backbones == "vit"
        else {"name": "test_resnet", "options": {}, "residual_gain": settings.recipe.residual_gain},
        "input_size": size,
        "method": {"name": method, "options": settings.model_dump(mode="json", exclude={"recipe"})},
        "recipe": settings.recipe.model_dump(mode="json", exclude={"residual_gain"}) | (recipe or {}),
        "views": [view.model_dump(mode="json") for view in settings.views(size)] if trained else [],
        "transform": [
            [operation.model_dump(mode="json") for operation in transform.branch(i)] if trained else [] for i in (0, 1)
        ],
        "train": defaults | train,
        "seed": seed,
    }
    return json.loads(json.dumps(value))


def run(settings: dict, pack: Path, results: Path, **options) -> dict[str, bytes]:
    """Fit the cell with its store and outputs below ``results``; the files' contents by name."""
    outputs = {name: results / "cell" / name for name in FILES}
    options = {"code": "code", "state_root": results / ".store", "device": "cpu", "threads": 1} | options
    fit(settings, pack=pack, outputs=outputs, **options)
    return {name: path.read_bytes() for name, path in outputs.items()}


def processes() -> BaseContext:
    """Whence to start processes that train. Not by fork from here: one whose parent has trained may not (autograd)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.small_cells"])  # as found from the root, where they start
    return context


class Crash(BaseException):
    """Ends a run as abruptly as an exception can: nothing in the engine catches it."""


def crash() -> None:
    raise Crash


def send(number: signal.Signals):
    return lambda: os.kill(os.getpid(), number)
