"""What each transform does, as one picture per transform: the user's own pictures beside views drawn of them.

The only part of the report that makes views, and so needs torch; run as a rule of its own.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sslbench.data.packed import PackedSet, Pictures
from sslbench.randomness import generator
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.pipeline import ViewMaker, center_view
from sslbench.transforms.spec import Normalize as NormalizeSettings

ROWS = 3  # pictures, of different classes where there are that many
VIEWS = 6  # drawn views of each, alternately of the transform's first and second branch
TILE = 96  # px on the page
GAP = 4  # px between tiles; twice that after the originals
LARGEST = 60_000  # bytes of one figure
QUALITIES = (80, 60, 40, 20, 10, 1)  # WebP's; the first that fits is taken


def gallery(pack: Path, transforms: dict[str, list[list[dict]]], size: int, out_json: Path, seed: int) -> None:
    """Write ``out_json``: {transform: {"webp_base64", "width", "height" (px), "alt"}}.

    ``transforms`` holds the operations (as dicts) of branches 0 and 1 by the transform's name; ``size`` is the views'
    side in px, as trained on. Equal arguments write equal bytes. Raises UserError where the pack is damaged.
    """
    packed = PackedSet.open(Path(pack))
    chosen = choose(packed.labels, seed)
    pictures = packed.batch(torch.from_numpy(chosen))
    figures = {name: figure(pictures, branches, size, seed) for name, branches in transforms.items()}
    out_json = Path(out_json)
    out_json.parent.mkdir(parents=True, exist_ok=True)
    beside = out_json.with_name(f".{out_json.name}.new")
    beside.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    beside.replace(out_json)


def choose(labels: np.ndarray, seed: int) -> np.ndarray:
    """Positions of up to ROWS pictures: one of each of the first classes in a seeded order, then any others."""
    order = torch.randperm(len(labels), generator=generator(seed, "gallery", "pictures")).numpy()
    _, first = np.unique(labels[order], return_index=True)  # the first of each class in that order
    others = np.setdiff1d(np.arange(len(order)), first)
    return order[np.concatenate([np.sort(first), others])[:ROWS]].astype(np.int64)


def figure(pictures: Pictures, branches: list[list[dict]], size: int, seed: int) -> dict:
    """One transform's figure: a row per picture, the original (its centred square) first, then VIEWS views."""
    makers = [ViewMaker(operations, size) for operations in branches]
    usual = NormalizeSettings()
    columns = [_levels(center_view(pictures, TILE).images, [usual.model_dump()])]
    for number in range(VIEWS):
        branch = number % len(makers)
        drawn = makers[branch].make(pictures, generator(seed, "gallery", "view", number))
        columns.append(_levels(drawn.images, branches[branch]))
    sheet = _sheet(columns)
    encoded = _encoded(sheet)
    return {
        "webp_base64": base64.b64encode(encoded).decode(),
        "width": sheet.width,
        "height": sheet.height,
        "alt": f"{len(pictures)} pictures, a row each: the original, then {VIEWS} views drawn from it at {size} px",
    }


def _levels(images: torch.Tensor, operations: list[dict]) -> np.ndarray:
    """uint8 [n, s, s, 3] of views, their last normalisation undone."""
    for operation in operations:
        if operation["op"] == "normalize":
            images = Normalize(operation["mean"], operation["std"]).undo(images)
    return images.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _sheet(columns: list[np.ndarray]) -> Image.Image:
    rows = len(columns[0])
    width = len(columns) * (TILE + GAP)
    sheet = Image.new("RGB", (width, rows * (TILE + GAP) - GAP), "white")
    for place, column in enumerate(columns):
        left = place * (TILE + GAP) + (GAP if place else 0)
        for row, pixels in enumerate(column):
            tile = Image.fromarray(pixels)
            if tile.size != (TILE, TILE):
                # Small views are shown pixel by pixel: that is what the network sees.
                way = Image.Resampling.NEAREST if tile.width < TILE else Image.Resampling.LANCZOS
                tile = tile.resize((TILE, TILE), way)
            sheet.paste(tile, (left, row * (TILE + GAP)))
    return sheet


def _encoded(sheet: Image.Image) -> bytes:
    for quality in QUALITIES:
        stream = io.BytesIO()
        sheet.save(stream, "WEBP", quality=quality, method=6)
        if stream.tell() <= LARGEST:
            break
    return stream.getvalue()
