"""How long a network takes for an image: with random weights, since time does not depend on them."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sslbench.evaluation.embed import EXACT
from sslbench.nn.backbone import Backbone
from sslbench.runtime.files import write_whole
from sslbench.store.canonical_json import document
from sslbench.training.device import computing, resolved

BATCHES = (1, 32)
RUNS = 7  # at least
SECONDS = 0.5  # of runs beyond these
LONGEST = 60  # seconds that a batch may take in all; the first image tells


def speed(network: dict[str, Any], weights: Path | None, output: Path, device: str, threads: int) -> None:
    """Write ``output``: ``device``, ``threads``, and by batch size milliseconds an image, ``ms`` (median), ``low`` and
    ``high`` (quartiles), of ``runs``; a batch that would take longer than LONGEST is left out.

    Args:
        network: ``backbone`` (``name`` and ``options`` of timm's) and ``input_size``, px.
        weights: weights.json of a network that only its weights name (evaluation/weights.py).
        device, threads: as for embed.
    """
    name, options = network["backbone"]["name"], network["backbone"]["options"]
    if weights is not None:
        told = json.loads(weights.read_text(encoding="utf-8"))
        name, options = told["architecture"], told["options"]
    with computing(resolved(device), threads, EXACT) as place, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = place.place(Backbone(name, options, network["input_size"]).eval())
        found: dict[str, dict[str, float]] = {}
        for batch in BATCHES:
            shape = (batch, 3, network["input_size"], network["input_size"])
            images = torch.randn(shape).to(place.torch).contiguous(memory_format=place.memory_format)
            least = found["1"]["ms"] / 1000 * batch * (RUNS + 1) if found else 0.0
            if least < LONGEST:
                found[str(batch)] = summary(timed(model, images, place.cuda), batch)
        write_whole(output, document({"device": place.name(), "threads": threads, "batches": found}))


def summary(seconds: list[float], batch: int) -> dict[str, float]:
    """Median and quartiles of runs, as milliseconds an image."""
    low, median, high = (round(float(q), 4) for q in np.quantile(np.array(seconds) * 1000 / batch, (0.25, 0.5, 0.75)))
    return {"ms": median, "low": low, "high": high, "runs": len(seconds)}


@torch.inference_mode()
def timed(model: nn.Module, images: torch.Tensor, cuda: bool) -> list[float]:
    """Seconds of RUNS forward passes and of more for SECONDS, after some that warm up."""
    taken: list[float] = []
    for least, limit in ((1, SECONDS / 5), (RUNS, SECONDS)):
        taken, begun = [], time.perf_counter()
        while len(taken) < least or time.perf_counter() - begun < limit:
            start = time.perf_counter()
            model(images)
            if cuda:
                torch.cuda.synchronize(images.device)
            taken.append(time.perf_counter() - start)
    return taken
