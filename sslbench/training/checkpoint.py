"""Checkpoints: whole or not there. The file's name carries its step and its hash, so that one rename publishes it.

``state/step<step>-<first 16 digits of the sha256>.pt`` is a plain ``torch.load(..., weights_only=True)`` file on the
CPU. The newest two are kept: one that fails its hash is set aside and the one before it is used.
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from sslbench.errors import raise_if_passing
from sslbench.runtime.files import file_sha256, set_aside
from sslbench.store.entries import sync_folder

KEEP = 2
NAME = re.compile(r"step(\d+)-([0-9a-f]{16})\.pt")


def module_state(module: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Everything a module holds: its state_dict, and the buffers that are kept out of it (memory banks)."""
    saved = module.state_dict()
    return {"saved": dict(saved), "unsaved": {n: b for n, b in module.named_buffers() if n not in saved}}


def load_module_state(module: nn.Module, state: dict[str, dict[str, Tensor]]) -> None:
    module.load_state_dict(state["saved"])
    for name, value in state["unsaved"].items():
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        device = owner._buffers[leaf].device
        owner._buffers[leaf] = value.to(device)  # replaced, not filled: a bank may have grown since it was built


class _Hashing:
    """A file that hashes what passes through it; torch writes its archives in one forward pass."""

    def __init__(self, file) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.failed: OSError | None = None  # torch raises a RuntimeError in its place

    def write(self, content) -> int:
        self.hash.update(content)
        try:
            return self.file.write(content)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save(folder: Path, step: int, state: dict) -> Path:
    """Write ``state`` as the checkpoint of ``step`` optimiser steps. Tensors are moved to the CPU.

    Raises:
        OSError: it cannot be written (a full disk); the checkpoints that are there stay.
        RuntimeError: the state cannot be had, as after a fault of the device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "writing.tmp"
    state = tree_map_only(Tensor, lambda t: t.detach().cpu(), state)
    hashing = None
    try:
        with beside.open("wb") as file:
            hashing = _Hashing(file)
            torch.save(state, hashing)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        raise (hashing and hashing.failed) or error from error
    path = folder / f"step{step:010d}-{hashing.hash.hexdigest()[:16]}.pt"
    beside.replace(path)
    sync_folder(folder)
    for old in _checkpoints(folder)[KEEP:]:
        old.unlink()
    return path


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in folder.glob("step*.pt") if NAME.fullmatch(path.name)), reverse=True)


def newest(folder: Path, log: Callable[[str], None]) -> dict | None:
    """The newest checkpoint that is whole, or None. One that is not is set aside, with a line in the log."""
    found = _checkpoints(folder)
    for path in found:
        try:
            if not file_sha256(path).startswith(NAME.fullmatch(path.name)[2]):
                raise ValueError("its content does not match its hash")
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError("it is no checkpoint of this program")
            return state
        except FileNotFoundError:
            continue
        except Exception as error:  # whatever a foreign or damaged file makes torch raise
            raise_if_passing(error)
            if "allocate memory" in str(error):  # torch's RuntimeError
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log(f"checkpoint {path}: {reason}; set aside as {set_aside(path).name}")
    if found:
        log("no whole checkpoint is left; training starts anew")
    return None
