"""Features of a dataset's training and test pictures under one frozen backbone, made once for all probes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.evaluation.features import Features, write
from sslbench.nn.backbone import Backbone
from sslbench.store import entries as store
from sslbench.training.device import computing, resolved
from sslbench.transforms.cpu import backend
from sslbench.transforms.pipeline import center_view

BATCH = 128  # pictures a forward pass; fixed, since sums inside a batched product may round by its size

EXACT = {"precision": "fp32", "channels_last": True, "deterministic": True}


def embed(
    settings: dict[str, Any],
    evaluation: dict[str, Any],
    backbone_file: Path,
    pack: Path,
    outputs: dict[str, Path],
    device: str,
    threads: int,
    *,
    views: backend.Mode = "auto",
    split: str | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Write the features of both parts of a split, and with those of training those of val, where it has such a part.

    The pictures are seen as one centred square each, without augmentation, in float32, by the backbone in evaluation
    mode. Unlabelled pictures are left out. Features that are not finite are written as they are, and counted in the
    metadata: judging them is the health report's part.

    Args:
        settings: the cell's settings; ``backbone``, ``input_size`` and ``dataset.split`` are read.
        evaluation: ``resize_ratio`` is read, the shortest side before the centred crop over the input size.
        backbone_file: backbone.safetensors, as timm names its weights.
        pack: folder of the packed dataset; that of another dataset where the cell's own has no labels.
        outputs: paths under "train" and "test".
        device: cpu, cuda, cuda:<n>, or auto.
        threads: CPU threads.
        views: how they are made on a CPU (compute.views); the bits are the same either way.
        split: the pack's split; None: the cell's.

    Raises:
        UserError: no labelled pictures, or weights that do not fit the backbone.
    """
    device = resolved(device)
    if not device.startswith("cuda"):
        log(backend.configure(views))
    packed = PackedSet.open(Path(pack), verify=True)
    split = split or settings["dataset"]["split"]
    size, ratio = settings["input_size"], evaluation["resize_ratio"]
    with computing(device, threads, EXACT) as place:
        backbone = place.place(loaded(settings, Path(backbone_file)))
        parts = {part: np.sort(indices[packed.labels[indices] >= 0]) for part, indices in packed.split(split).items()}
        look = size, ratio, place.torch, place.memory_format
        for part in ("train", "test"):
            labelled = parts[part]
            if not len(labelled):
                raise UserError(
                    f"{packed.manifest['source']}: split {split!r} has no labelled {part} pictures to evaluate on; "
                    "name a labelled dataset under evaluate_on"
                )
            features, labels, rows = _of(backbone, packed, labelled, *look)
            val = None
            if part == "train" and len(chooses := parts.get("val", ())):
                val = _of(backbone, packed, chooses, *look)
                log(f"val: {len(chooses)} pictures, which choose the probe's penalty")
            origin = {
                "backbone": settings["backbone"]["name"],
                "classes": packed.classes,
                "content_sha256": packed.manifest["content_sha256"],
                "input_size": size,
                "non_finite": int((~features.isfinite()).any(1).sum()),
                "part": part,
                "resize_ratio": ratio,
                "source": packed.manifest["source"],
                "split": split,
                "split_sha256": packed.split_sha256(split),
            }
            write(Path(outputs[part]), Features(features, labels, rows, origin, val))
            log(f"{part}: {len(labelled)} pictures, {features.shape[1]} features")
            if origin["non_finite"]:
                log(f"{part}: {origin['non_finite']} pictures have features that are not finite")


def _of(backbone: Backbone, packed: PackedSet, rows: np.ndarray, *look: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Features, labels and positions in the pack of the labelled pictures ``rows``."""
    labels = torch.from_numpy(packed.labels[rows].astype(np.int64))
    return forward(backbone, packed, rows, *look), labels, torch.from_numpy(rows.astype(np.int64))


@torch.no_grad()
def forward(
    backbone: Backbone,
    packed: PackedSet,
    indices: np.ndarray,
    size: int,
    ratio: float,
    device: torch.device,
    memory_format: torch.memory_format,
) -> Tensor:
    """Features [n, F] float32 on the CPU of the pictures ``indices`` [n]."""
    found = []
    for block in torch.from_numpy(indices).split(BATCH):
        images = center_view(packed.batch(block), size, ratio, device=device).images  # [b, 3, size, size]
        found.append(backbone(images.contiguous(memory_format=memory_format)).float().cpu())
    return torch.cat(found)


def network(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of weights.json, or of run.json's ``weights``, what ``loaded`` reads of a cell's settings."""
    return {"backbone": {"name": told["architecture"], "options": told["options"]}, "input_size": told["input_size"]}


def loaded(settings: dict[str, Any], weights: Path) -> Backbone:
    """The backbone that ``settings`` describe, with its weights, in evaluation mode."""
    backbone = Backbone(settings["backbone"]["name"], settings["backbone"]["options"], settings["input_size"])
    load_weights(backbone.model, weights)
    return backbone.eval()


def load_weights(model: torch.nn.Module, file: Path) -> None:
    """Load a backbone.safetensors into a timm network, every weight accounted for. One that is not what the store
    says of it is set aside."""
    store.check(file)
    try:
        model.load_state_dict(safetensors.torch.load_file(file))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{file}: these weights cannot be loaded ({reason}); delete the file, and the next run makes it anew"
        ) from error
