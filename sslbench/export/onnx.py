"""A backbone as one ONNX file with two named outputs, checked against the original on random pictures."""

import importlib.util
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.nn import pooling
from sslbench.nn.backbone import Backbone

INPUT, OUTPUTS = "images", ("features", "map")
CHECKED_BATCHES = (1, 3)  # neither is the batch that it is traced with, so a batch that was frozen shows
TRACED_BATCH = 2  # a batch of 1 would be taken for a constant
# Largest deviation over the largest value of the original. Both sides compute in float32, in other orders: the
# networks tried (ResNet, ViT, Swin, ConvNeXt) deviate by up to 4e-6.
TOLERANCE = 1e-4


class Both(nn.Module):
    """Pooled features [n, F] and the map [n, C, h, w] of images [n, 3, s, s], from one pass."""

    def __init__(self, backbone: Backbone, pool: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.columns = pooling.columns(backbone.model, backbone.num_features)[pool] if pool else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.columns is None:
            return self.backbone.maps(images)
        found = self.backbone.model.forward_features(images)
        return pooling.pooled(self.backbone.model, found)[:, self.columns], self.backbone._as_map(found, images)


def write(backbone: Backbone, path: Path, pool: str | None = None) -> dict:
    """Write ``path`` and return what the card says of it.

    ``pool``: which of a pretrained network's features (nn/pooling.py); None: timm's own.

    Returns: {"opset", "features": their width, "map": [C, h, w], "deviation": the largest, relative; None where
    onnxruntime is not installed}.

    Raises:
        UserError: onnx or onnxscript is missing, torch cannot write this network, or the file's answers deviate.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export: {' and '.join(missing)} missing, which torch writes ONNX with: pip install {' '.join(missing)}, "
            "or run with --use-conda"
        )
    import onnx

    both, size = Both(backbone, pool).eval(), backbone.input_size
    example = torch.zeros(TRACED_BATCH, 3, size, size)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                both,
                (example,),
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # whatever the exporter raises: it fails in many ways
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"export: torch cannot write {backbone.name!r} as ONNX: {reason}") from error
    finally:
        quiet.setLevel(level)
    model = program.model_proto
    _without_traces(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))
    shape = [backbone.map_features, *backbone.map_size(size)]
    with torch.no_grad():
        width = both(example)[0].shape[1]
    return {"opset": _opset(model), "features": width, "map": shape, "deviation": deviation(both, path)}


def deviation(both: Both, path: Path) -> float | None:
    """The largest deviation of the file's answers from the original's over the original's largest value.

    None where onnxruntime is not installed. Raises UserError where it is above TOLERANCE, or not a number.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    draw = torch.Generator().manual_seed(0)
    largest = 0.0
    for n in CHECKED_BATCHES:
        images = torch.randn(n, 3, both.backbone.input_size, both.backbone.input_size, generator=draw)
        with torch.no_grad():
            expected = both(images)
        answers = session.run(list(OUTPUTS), {INPUT: images.numpy()})
        for name, ours, theirs in zip(OUTPUTS, expected, answers, strict=True):
            if tuple(ours.shape) != theirs.shape:
                raise UserError(f"export: {name} of the ONNX file is {theirs.shape}, and should be {tuple(ours.shape)}")
            scale = float(ours.abs().max()) or 1.0
            found = float((ours - torch.from_numpy(theirs)).abs().max()) / scale
            if not found <= TOLERANCE:
                raise UserError(
                    f"export: {name} of the ONNX file deviates by {found:.1e} of its largest value on random pictures "
                    f"(allowed: {TOLERANCE:g}); this network cannot be exported with the installed versions"
                )
            largest = max(largest, found)
    return largest


def _opset(model: object) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _without_traces(model: object) -> None:
    """Drop what the exporter notes of its source: names of files on this machine, which are nobody's business."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer,
                 *model.functions, *(node for function in model.functions for node in function.node)):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
