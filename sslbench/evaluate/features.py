"""The features file, between embedding and everything that judges it.

It is safetensors: ``features`` [n, F] float32, ``labels`` [n] int64, ``indices`` [n] int64 (positions in the pack,
ascending), and one metadata entry, ``sslbench``, whose JSON says where they come from. It stands apart from embed.py so
that a change to a backbone or a transform does not seem to change the probes.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from sslbench.errors import UserError


class Features(NamedTuple):
    """One part of a split, embedded. ``origin`` is the file's metadata: classes, source, split, content_sha256 ..."""

    features: Tensor  # [n, F] float32
    labels: Tensor  # [n] int64
    indices: Tensor  # [n] int64
    origin: dict[str, Any]


def write(path: Path, content: Features) -> None:
    """Write a features file; equal content gives equal bytes."""
    # One metadata entry: safetensors writes several in an order that changes from run to run.
    origin = {"sslbench": json.dumps(content.origin, sort_keys=True, ensure_ascii=False)}
    tensors = {"features": content.features, "indices": content.indices, "labels": content.labels}
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(safetensors.torch.save(tensors, origin))
    temporary.replace(path)


def read(path: Path) -> Features:
    """Read a features file.

    Raises:
        UserError: the file is not one, or is cut off.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = [file.get_tensor(name) for name in ("features", "labels", "indices")]
            return Features(*tensors, json.loads(file.metadata()["sslbench"]))
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: no features file ({reason}); delete it, and the next run makes it anew") from error
