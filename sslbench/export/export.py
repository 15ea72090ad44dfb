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

import timm
from torch import nn

from sslbench.data import pretraining_data, seen
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.evaluation.embed import loaded, network
from sslbench.export import model_card, onnx, reference_card
from sslbench.export.metadata import MARK
from sslbench.nn import pooling
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
            "labelfree" stands for the last three. Also "leaks", where there is such a comparison, and of a pretrained
            row that is judged "manifest", of the pack with the test images.
        about: what the files do not say: names and facts (metadata.py), and ``collapsed``, whether a collapsed cell was
            asked for.
        outputs: paths under "weights", "config", "onnx" and "card", in one folder.

    Raises:
        UserError: the cell has collapsed and was not asked for as such, or the other way round; or no ONNX file of it.
    """
    read = {name: _read(path) for name, path in cell.items() if name not in ("backbone", "manifest")}
    if "labelfree" in read:
        read["health"] = read["labelfree"]["health"]
    _stop_unless_asked_for(read["health"], about)
    run = read["run"]
    weights = run.get("weights")
    with using(threads):
        backbone = loaded(network(weights) if weights else run["settings"], Path(cell["backbone"]))
        asked = read["linear"].get("evaluation") if "linear" in read else read["labelfree"]["settings"]
        ratio = (asked or {}).get("resize_ratio", 1.0)
        config = timm_config(backbone, ratio, run)
        config["sslbench"]["seen"] = _seen(about, read)
        pool = run["pooling"]["chosen"] if weights else None
        facts = _written(Path(outputs["onnx"]), lambda path: onnx.write(backbone, path, pool))
    checked = facts["deviation"]
    log(f"model.onnx: {'not checked, there is no onnxruntime' if checked is None else f'deviates by {checked:.1e}'}")
    _written(Path(outputs["weights"]), lambda path: shutil.copyfile(cell["backbone"], path))
    _written(Path(outputs["config"]), lambda path: path.write_bytes(document(config)))
    if weights:
        facts |= {"code": expression(backbone.model, pool), "tag": _hub_id(run)}
        text = reference_card.write(dict(about), read, config, facts, _verdict(about, run, cell))
    else:
        text = model_card.write(dict(about), read, config, facts)
    text = visible(text)
    _written(Path(outputs["card"]), lambda path: path.write_text(text, encoding="utf-8", newline="\n"))


def timm_config(backbone: Backbone, resize_ratio: float, run: Mapping[str, Any]) -> dict[str, Any]:
    """config.json: what timm's ``local-dir:`` and ``hf-hub:`` read (timm.models._hub), and whence it comes.

    The preprocessing is the evaluation's (transforms/pipeline.center_view): a centred square of the shortest side /
    ``resize_ratio``, bilinear with antialiasing, normalised; of a pretrained row as its weights have it.
    """
    usual, published = Normalize(), backbone.model.pretrained_cfg
    seen_by = run.get("weights") or {"interpolation": "bilinear", "mean": usual.mean, "std": usual.std}
    return {
        "architecture": backbone.name,
        "num_classes": 0,
        "num_features": backbone.num_features,
        "model_args": backbone.timm_options,
        "pretrained_cfg": {
            "input_size": [3, backbone.input_size, backbone.input_size],
            "fixed_input_size": bool(published.get("fixed_input_size", False)),
            "interpolation": seen_by["interpolation"],
            "crop_pct": 1 / resize_ratio,
            "crop_mode": "center",
            "mean": list(seen_by["mean"]),
            "std": list(seen_by["std"]),
            "num_classes": 0,
            "pool_size": None,
            "first_conv": published.get("first_conv"),  # by which timm adapts the weights to other channels
            "classifier": published.get("classifier"),
            **({"license": seen_by["licence"]} if seen_by.get("licence") else {}),
        },
        "sslbench": {"digest": run["digest"], "code": run["code"], "data": run["data"]},
    }


def expression(model: nn.Module, pool: str) -> str:
    """``pool``, one of pooling.columns, in Python: of ``tokens``, which ``model.forward_features`` gives.

    "" where it is what timm's network gives itself.
    """
    own, *others = pooling.pools(model)
    if pool in (own, "pooled"):
        return ""
    other = "tokens[:, 0]" if others == ["class token"] else "tokens[:, model.num_prefix_tokens :].mean(1)"
    if not isinstance(getattr(model, "fc_norm", None) or nn.Identity(), nn.Identity):
        other = f"model.fc_norm({other})"
    return other if pool in others else f"torch.cat([model.forward_head(tokens, pre_logits=True), {other}], 1)"


def _seen(about: Mapping[str, Any], read: Mapping[str, Any]) -> list[str] | None:
    """What the weights have seen, in lines as ``weights: {name: {seen:}}`` has them: for who is judged by them next."""
    run = read["run"]
    if "weights" in run:
        tag = pretraining_data.of_timm(pretraining_data.timm_name(run["settings"]["method"]["options"]))
        said = about["seen"] if about["seen"] is not None else run["weights"].get("seen")
        return pretraining_data.lines(tag) if said is None else said
    if not run["settings"]["train"]["epochs"]:
        return []
    how = "with labels" if about["family"] == "reference" else "without labels"
    leaked = [about["evaluated_on"]] * bool(model_card.leaks_of(about, read))
    return [f"{name} {how}" for name in [*about["trained_on"], *leaked]]


def _verdict(about: Mapping[str, Any], run: Mapping[str, Any], cell: Mapping[str, Path]) -> seen.Verdict | None:
    """Whether a pretrained row's weights have seen the test images. None where it is not judged."""
    if "manifest" not in cell:
        return None
    known = pretraining_data.of_row(run["weights"], run["settings"]["method"]["options"], about["seen"])
    if about["seen"] is None and about["evaluated_on"] == about["dataset"]:
        known = pretraining_data.held_to(known, run["weights"], about["called"], run["data"]["split_sha256"])
    packed = PackedSet.open(Path(cell["manifest"]).parent)
    return seen.judge(
        known, about["called"], [packed.names[i] for i in packed.split(about["split"])["test"]], drawn=about["drawn"]
    )


def _hub_id(run: Mapping[str, Any]) -> str:
    """owner/name on the hub of a pretrained row's weights; "" where they are the user's own."""
    asked = run["settings"]["method"]["options"]
    if "timm" in asked:
        known = timm.get_pretrained_cfg(asked["timm"])
        return ((known and known.hf_hub_id) or "").partition("@")[0]
    return asked.get("hub", "")


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
