"""What each transform does, operation by operation and as a whole, to the user's own pictures.

The only part of the report that makes views, and so needs torch; run as a rule of its own.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.data.webp import encoded
from sslbench.nn.random import generator
from sslbench.runtime.files import write_whole
from sslbench.transforms import preview_steps
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.pipeline import ViewMaker, center_view
from sslbench.transforms.spec import Normalize as NormalizeSettings

ROWS = 3  # pictures, of different classes where there are that many
VIEWS = 6  # drawn views of each, alternately of the transform's first and second branch
DRAWS = 5  # of one operation by itself; equal outcomes are shown once
TILE = 80  # px on the page
GAP = 4  # px between tiles; twice that after the originals
LARGEST = 48_000  # bytes of one transform's pictures


def gallery(pack: Path, transforms: dict[str, list[list[dict]]], size: int, out_json: Path, seed: int) -> None:
    """Write ``out_json``: {transform: {"webp_base64", "width", "height" (px), "alt", "does", "operations": [...]}}.

    Whole views stand first; ``operations`` holds a picture of the same keys and a "title" for one view made step by
    step, and for every operation by itself. ``transforms`` holds the operations (as dicts) of branches 0 and 1 by the
    transform's name; ``size`` is the views' side in px, as trained on. Equal arguments write equal bytes. Raises
    UserError where the pack is damaged.
    """
    packed = PackedSet.open(Path(pack), verify=True)
    chosen = choose(packed.labels, seed)
    pictures = packed.batch(torch.from_numpy(chosen))
    figures = {name: figure(pictures, branches, size, seed) for name, branches in transforms.items()}
    write_whole(Path(out_json), (json.dumps(figures, indent=1, sort_keys=True) + "\n").encode())


def choose(labels: np.ndarray, seed: int) -> np.ndarray:
    """Positions of up to ROWS pictures: one of each of the first classes in a seeded order, then any others."""
    order = torch.randperm(len(labels), generator=generator(seed, "gallery", "pictures")).numpy()
    _, first = np.unique(labels[order], return_index=True)  # the first of each class in that order
    others = np.setdiff1d(np.arange(len(order)), first)
    return order[np.concatenate([np.sort(first), others])[:ROWS]].astype(np.int64)


def figure(pictures: Pictures, branches: list[list[dict]], size: int, seed: int) -> dict:
    """One transform's pictures: whole views of every picture; one of them step by step and by each operation."""
    makers = [ViewMaker(operations, size) for operations in branches]
    columns = [_original(pictures)]
    for number in range(VIEWS):
        branch = number % len(makers)
        drawn = makers[branch].make(pictures, generator(seed, "gallery", "view", number))
        columns.append(_levels(drawn.images, branches[branch]))
    whole = {
        "alt": f"{len(pictures)} pictures, a row each: the original, then {VIEWS} views drawn from it at {size} px",
        "does": f"The originals, then {VIEWS} views of each at {size} px, as a network is given them.",
    }
    # Of a plain picture little is seen to change.
    shown = int(columns[0].reshape(len(pictures), -1).std(axis=1).argmax())
    one = pictures.part(shown, shown + 1)
    shots = [(whole, columns), *_steps(one, branches[0], size, seed), *_alone(one, branches, size, seed)]
    told, sheets = zip(*((about, _sheet(tiles)) for about, tiles in shots), strict=True)
    found = [
        about | {"webp_base64": base64.b64encode(webp).decode(), "width": sheet.width, "height": sheet.height}
        for about, sheet, webp in zip(told, sheets, encoded(sheets, LARGEST), strict=True)
    ]
    return found[0] | {"operations": found[1:]}


def _steps(one: Pictures, operations: list[dict], size: int, seed: int) -> list[tuple[dict, list[np.ndarray]]]:
    """The picture after its first operation, after its first two, ...; all made to act."""
    acting = [_acting(operation) for operation in operations if operation["op"] != "normalize"]
    if len(acting) < 2:
        return []
    columns = [_original(one)]
    for count in range(1, len(acting) + 1):
        # An operation's draws do not depend on the others: these are the stages of one view.
        drawn = ViewMaker(acting[:count], size).make(one, generator(seed, "gallery", "steps"))
        columns.append(_levels(drawn.images, []))
    names = ", ".join(preview_steps.title(operation).lower() for operation in acting)
    about = {"title": "One view, step by step", "does": f"Every operation made to act, in order: {names}."}
    return [(about | {"alt": f"the original, then after each of: {names}"}, columns)]


def _alone(one: Pictures, branches: list[list[dict]], size: int, seed: int) -> Iterator[tuple[dict, list[np.ndarray]]]:
    """The picture after each operation alone, as many different outcomes as DRAWS draws give."""
    for number, operation, which in _operations(branches):
        maker = ViewMaker([_acting(operation)], size)
        columns = [_original(one)]
        for draw in range(DRAWS):
            drawn = maker.make(one, generator(seed, "gallery", "alone", operation["op"], number, draw))
            column = _levels(drawn.images, [])
            if not any(np.array_equal(column, other) for other in columns[1:]):
                columns.append(column)
        name, outcomes = preview_steps.title(operation), len(columns) - 1
        about = {"title": f"{name}{which}", "does": preview_steps.words(operation)}
        many = "1 outcome" if outcomes == 1 else f"{outcomes} outcomes"
        yield about | {"alt": f"the original, then {many} of {name.lower()} alone"}, columns


def _operations(branches: list[list[dict]]) -> list[tuple[int, dict, str]]:
    """(number, operation, " (second view)" and the like where the branches differ in it), in order."""
    first, second = (
        [operation for operation in branch if operation["op"] != "normalize"] for branch in (branches[0], branches[-1])
    )
    found = [(operation, "" if operation in second else " (first view)") for operation in first]
    found += [(operation, " (second view)") for operation in second if operation not in first]
    return [(number, operation, which) for number, (operation, which) in enumerate(found)]


def _acting(operation: dict) -> dict:
    return operation | ({"p": 1.0} if "p" in operation else {})


def _original(pictures: Pictures) -> np.ndarray:
    """uint8 [n, s, s, 3]: the centred squares, as large as they are shown."""
    return _levels(center_view(pictures, TILE).images, [NormalizeSettings().model_dump()])


def _levels(images: torch.Tensor, operations: list[dict]) -> np.ndarray:
    """uint8 [n, s, s, 3] of views, their last normalisation undone."""
    for operation in operations:
        if operation["op"] == "normalize":
            images = Normalize(operation["mean"], operation["std"]).undo(images)
    return images.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _sheet(columns: list[np.ndarray]) -> Image.Image:
    rows = len(columns[0])
    width = len(columns) * (TILE + GAP)
    sheet = Image.new("RGBA", (width, rows * (TILE + GAP) - GAP))  # the page shows between the tiles
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
