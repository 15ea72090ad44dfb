"""Randomness as a function of (seed, purpose, counters), never a state that runs on.

So an interrupted run draws what an uninterrupted one would have drawn, and no result depends on what ran before it.
"""

import hashlib

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**63) that depends on every argument, equal on all machines and Python versions."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose, e.g. ``generator(seed, "view", epoch, step, branch)``.

    Draws are always made on the CPU, so that they do not depend on the device.
    """
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
