"""The networks of a grid's cells, of which the time that an image takes is measured once each. No torch."""

import hashlib
import re
from collections.abc import Iterable

from sslbench.grid.cell import Cell
from sslbench.store.canonical_json import canonical


def network(cell: Cell) -> dict:
    """Architecture, options and input size, px. ``weights``: what names the network where timm's tag does not."""
    settings, model = cell.settings, cell.model
    named_elsewhere = model.weights if model.weights and "timm" not in model.overrides else None
    backbone = {key: settings["backbone"][key] for key in ("name", "options")}
    return {"backbone": backbone, "input_size": settings["input_size"], "weights": named_elsewhere}


def file_name(of: dict) -> str:
    """E.g. ``resnet18-224px-0123abcd``."""
    name = re.sub(r"[^\w.-]+", "_", of["backbone"]["name"])
    return f"{name}-{of['input_size']}px-{hashlib.sha256(canonical(of).encode()).hexdigest()[:8]}"


def timed(cells: Iterable[Cell]) -> dict[str, dict]:
    """File name -> network, of those whose times are compared: of a single network there is none."""
    found: dict[str, dict] = {}
    for of in {id(cell.model): network(cell) for cell in cells}.values():
        found.setdefault(file_name(of), of)
    return found if len(found) > 1 else {}
