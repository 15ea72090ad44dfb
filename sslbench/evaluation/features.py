"""The features file, between embedding and everything that judges it.

It is safetensors: ``features`` [n, F] float32, ``labels`` [n] int64, ``indices`` [n] int64 (positions in the pack,
ascending), and one metadata entry, ``sslbench``, whose JSON says where they come from. That of the training images also
holds the split's val images, where it has any, as ``val_features`` and so on. It stands apart from embed.py so that a
change to a backbone or a transform does not seem to change the probes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from sslbench.errors import UserError, raise_if_passing
from sslbench.runtime.files import write_whole
from sslbench.store import checksum

_NAMES = ("features", "labels", "indices")


class Features(NamedTuple):
    """One part of a split, embedded. ``origin`` is the file's metadata: classes, source, split, content_sha256 ..."""

    features: Tensor  # [n, F] float32
    labels: Tensor  # [n] int64
    indices: Tensor  # [n] int64
    origin: dict[str, Any]
    val: tuple[Tensor, Tensor, Tensor] | None = None  # features, labels and indices of the val images


def write(path: Path, content: Features) -> None:
    """Write a features file; equal content gives equal bytes."""
    # One metadata entry: safetensors writes several in an order that changes from run to run.
    stated = content.origin | {checksum.KEY: _hash(content)}
    origin = {"sslbench": json.dumps(stated, sort_keys=True, ensure_ascii=False)}
    tensors = dict(zip(_NAMES, content[:3], strict=True))
    if content.val is not None:
        tensors |= {f"val_{name}": tensor for name, tensor in zip(_NAMES, content.val, strict=True)}
    write_whole(path, safetensors.torch.save(tensors, origin))


def _hash(content: Features) -> str:
    digest = hashlib.sha256(json.dumps(content.origin, sort_keys=True).encode("ascii"))
    for tensor in (*content[:3], *(content.val or ())):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def read(path: Path) -> Features:
    """Read a features file.

    Raises:
        UserError: there is none, or it is not what was written: it is then set aside.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = [file.get_tensor(name) for name in _NAMES]
            has_val = "val_features" in set(file.keys())
            val = tuple(file.get_tensor(f"val_{name}") for name in _NAMES) if has_val else None
            found = Features(*tensors, json.loads(file.metadata()["sslbench"]), val)
        if found.origin.pop(checksum.KEY, None) == _hash(found):
            return found
        reason = "is not what its seal says"
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such features file; run again, and it is made") from error
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise_if_passing(error)
        words = str(error).partition("\n")[0]
        raise checksum.refuse(path, f"no features file ({words})") from error
    raise checksum.refuse(path, reason)
