"""A small real pack and small cells over it, for tests that train."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslbench import registry
from sslbench.data.fetch import fetch
from sslbench.data.layouts import folder
from sslbench.data.packing import pack
from sslbench.engine.fit import fit
from sslbench.engine.training import Training

FILES = ("backbone.safetensors", "curve.csv", "run.json", "ledger.json")
EQUAL = FILES[:3]  # equal, byte for byte, for identical runs
STEPS = 3  # per epoch: 54 training pictures, batches of 16


@pytest.fixture(scope="session")
def small_pack(tmp_path_factory) -> Path:
    """54 + 6 pictures of 3 classes: colour and stripe width differ by class, sizes by picture."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for part, count in (("train", 18), ("val", 2)):
        for label in range(3):
            (root / part / f"class{label}").mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(36, 60, 2)
                stripes = np.sin(np.arange(width) * (0.3 + 0.5 * label))[None, :, None] * 60
                pixels = 128 + stripes + 40 * (np.arange(3) == label) + random.normal(0, 20, (height, width, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    root / part / f"class{label}" / f"{number}.png"
                )
    settings = folder.Settings(path=root)
    made = tmp_path_factory.mktemp("packs")
    fetch(settings, made / "source")
    pack(settings, made / "source" / "source.json", made / "pack", 36)
    return made / "pack"


def cell(method: str, *, seed: int = 0, recipe: dict | None = None, **train) -> dict:
    """Settings of a small cell as they come out of its JSON: heads 16 wide, 2 epochs of 3 steps."""
    module = registry.load(f"{(registry.METHODS | registry.REFERENCES)[method]}.settings")
    settings = module.Settings(**{name: 16 for name in module.Settings.model_fields if name.endswith("dim")})
    transform = registry.load(registry.TRANSFORMS["simclr"]).Settings()
    trained = method != "random"
    size = 64 if module.FACTS.needs_map else 32  # the tiny backbone's map is 1x1 below
    defaults = {"epochs": 2 if trained else 0, "batch_size": 16, "accumulate": 1, "precision": "fp32"}
    defaults |= {"channels_last": True, "compile": False, "deterministic": True, "holdout": 0.25, "measure_every": 1}
    value = {
        "dataset": {"source": "folder", "split": "official", "identity": {}},
        "backbone": {"name": "test_resnet", "options": {}},
        "input_size": size,
        "method": {"name": method, "options": settings.model_dump(mode="json", exclude={"recipe"})},
        "recipe": settings.recipe.model_dump(mode="json") | (recipe or {}),
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


@pytest.fixture
def after_step(monkeypatch):
    """``after_step(n, action)``: call ``action`` right after optimiser step n of whatever trains in this process."""
    real, actions = Training.advance, {}

    def advance(self):
        real(self)
        if self.step in actions:
            actions.pop(self.step)()

    monkeypatch.setattr(Training, "advance", advance)
    return actions.__setitem__


class Crash(BaseException):
    """Ends a run as abruptly as an exception can: nothing in the engine catches it."""


def crash() -> None:
    raise Crash


def send(number: signal.Signals):
    return lambda: os.kill(os.getpid(), number)
