"""Small cells and drawn pictures for the benchmarks that train: nothing has to be fetched for them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sslbench import registry
from sslbench.data.layouts import folder
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch


def settings_of(
    method: str, size: int, batch: int, precision: str, *, backbone: str = "resnet18", options: dict | None = None
) -> dict:
    """A cell's settings as config.yaml would make them for ``method`` on the simclr transform, official split."""
    module = registry.load(f"{(registry.METHODS | registry.REFERENCES)[method]}.settings")
    chosen = module.Settings(**(options or {}))
    transform = registry.load(registry.TRANSFORMS["simclr"]).Settings()
    value = {
        "dataset": {"source": "drawn", "split": "official", "identity": {}},
        "backbone": {"name": backbone, "options": {}},
        "input_size": size,
        "method": {"name": method, "options": chosen.model_dump(mode="json", exclude={"recipe"})},
        "recipe": chosen.recipe.model_dump(mode="json"),
        "views": [view.model_dump(mode="json") for view in chosen.views(size)],
        "transform": [[operation.model_dump(mode="json") for operation in transform.branch(i)] for i in (0, 1)],
        "train": {
            "epochs": 200,
            "batch_size": batch,
            "accumulate": 1,
            "precision": precision,
            "channels_last": True,
            "compile": False,
            "deterministic": True,
            "holdout": 0.05,
            "measure_every": 10,
        },
        "seed": 0,
    }
    return json.loads(json.dumps(value))


def drawn_pictures(root: Path, count: int, side: int, classes: int = 10, seed: int = 0) -> Path:
    """``count`` JPEGs of 4:3 or 3:4, shortest side ``side`` px, below ``root``/train/<class>, and two a class in val.

    Smooth colour with fine noise: about as many bytes as a photograph of the size, and decoded as fast as one.
    """
    random = np.random.default_rng(seed)
    for number in range(count + 2 * classes):
        part = "train" if number < count else "val"
        path = root / part / f"class{number % classes}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (side, side * 4 // 3) if number % 2 else (side * 4 // 3, side)
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(shape, Image.BICUBIC)
        noise = random.integers(-12, 13, (shape[1], shape[0], 1), dtype=np.int16)
        pixels = (np.asarray(coarse, np.int16) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)
    return root


def packed(pictures: Path, into: Path, pack_size: int) -> Path:
    """The folder of pictures (train/<class>, val/<class>) as a packed set below ``into``."""
    chosen = folder.Settings(path=pictures)
    fetch(chosen, into / "source")
    pack(chosen, into / "source" / "source.json", into / "pack", pack_size)
    return into / "pack"
