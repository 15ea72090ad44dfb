"""One cell as a folder that timm's ``local-dir:`` loads and that can be pushed to a hub as it is.

    model.safetensors   the weights, as timm names them (a copy of the cell's backbone.safetensors)
    config.json         architecture, its arguments and the preprocessing, in timm's format
    model.onnx          the same network with two outputs, features and map
    README.md           the model card

It reads the cell's folder alone, and writes the card last.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sslbench.errors import UserError
from sslbench.evaluation.embed import loaded
from sslbench.export import model_card, onnx
from sslbench.export.metadata import MARK
from sslbench.nn.backbone import Backbone
from sslbench.nn.threads import using
from sslbench.runtime.text import visible
from sslbench.store.canonical_json import document
from sslbench.transforms.spec import Normalize


def export(
    cell: Mapping[str, Path],
    about: Mapping[str, Any],
    outputs: Mapping[str, Path],
    *,
    threads: int = 1,
    log: Callable[[str], None] = print,
) -> None:
    """Write the folder of one finished cell.

    Args:
        cell: paths under "backbone", "run", "ledger", "linear", "knn" and "health"; where nothing is labelled,
            "labelfree" stands for the last three. Also "leaks", where there is such a comparison.
        about: what the files do not say: names and facts (metadata.py), and ``collapsed``, whether a collapsed cell was
            asked for.
        outputs: paths under "weights", "config", "onnx" and "card", in one folder.

    Raises:
        UserError: the cell has collapsed and was not asked for as such, or the other way round; or no ONNX file of it.
    """
    read = {name: _read(path) for name, path in cell.items() if name != "backbone"}
    if "labelfree" in read:
        read["health"] = read["labelfree"]["health"]
    _stop_unless_asked_for(read["health"], about)
    with using(threads):
        backbone = loaded(read["run"]["settings"], Path(cell["backbone"]))
        asked = read["linear"].get("evaluation") if "linear" in read else read["labelfree"]["settings"]
        ratio = (asked or {}).get("resize_ratio", 1.0)
        config = timm_config(backbone, ratio, read["run"])
        facts = _written(Path(outputs["onnx"]), lambda path: onnx.write(backbone, path))
    checked = facts["deviation"]
    log(f"model.onnx: {'not checked, there is no onnxruntime' if checked is None else f'deviates by {checked:.1e}'}")
    _written(Path(outputs["weights"]), lambda path: shutil.copyfile(cell["backbone"], path))
    _written(Path(outputs["config"]), lambda path: path.write_bytes(document(config)))
    text = visible(model_card.write(dict(about), read, config, facts))
    _written(Path(outputs["card"]), lambda path: path.write_text(text, encoding="utf-8", newline="\n"))


def timm_config(backbone: Backbone, resize_ratio: float, run: Mapping[str, Any]) -> dict[str, Any]:
    """config.json: what timm's ``local-dir:`` and ``hf-hub:`` read (timm.models._hub), and whence it comes.

    The preprocessing is the evaluation's (transforms/pipeline.center_view): a centred square of the shortest side /
    ``resize_ratio``, bilinear with antialiasing, normalised.
    """
    usual, published = Normalize(), backbone.model.pretrained_cfg
    return {
        "architecture": backbone.name,
        "num_classes": 0,
        "num_features": backbone.num_features,
        "model_args": backbone.timm_options,
        "pretrained_cfg": {
            "input_size": [3, backbone.input_size, backbone.input_size],
            "fixed_input_size": bool(published.get("fixed_input_size", False)),
            "interpolation": "bilinear",
            "crop_pct": 1 / resize_ratio,
            "crop_mode": "center",
            "mean": list(usual.mean),
            "std": list(usual.std),
            "num_classes": 0,
            "pool_size": None,
            "first_conv": published.get("first_conv"),  # by which timm adapts the weights to other channels
            "classifier": published.get("classifier"),
        },
        "sslbench": {"digest": run["digest"], "code": run["code"], "data": run["data"]},
    }


def _stop_unless_asked_for(health: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    collapsed = health.get("verdict") == "collapsed"
    if collapsed and not about["collapsed"]:
        why = "; ".join(health.get("evidence") or ["no evidence stored"])
        raise UserError(
            f"export: this cell has collapsed ({why}); to export it all the same, ask for {about['folder']}{MARK}"
        )
    if about["collapsed"] and not collapsed:
        asked = str(about["folder"]).removesuffix(MARK)
        raise UserError(f"export: this cell has not collapsed; ask for {asked}")


def _written(path: Path, write: Callable[[Path], Any]) -> Any:
    """Write beside, then replace; returns what ``write`` returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        found = write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it, and the next run makes it anew") from error
