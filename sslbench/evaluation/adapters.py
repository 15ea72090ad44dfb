"""Adapters: small heads on frozen features, with all labels and with few.

``linear`` is the probe (linear_probe.py), solved on the labelled pictures alone, its penalty chosen on a part of them,
or on the split's val pictures.
``hidden`` has one hidden layer of ReLU units on features standardised alike, trained by AdamW for a fixed number of
steps with a cosine to 0: no picture is kept back to stop it on, since at 1 % of the labels none can be spared.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sslbench.evaluation import linear_probe
from sslbench.evaluation import write_result as results
from sslbench.evaluation.features import Features, read
from sslbench.evaluation.label_fractions import draw, draws_of, summary
from sslbench.nn.random import derived_seed, generator
from sslbench.nn.threads import using


def hidden_head(
    train: Tensor, labels: Tensor, test: Tensor, classes: int, options: dict[str, Any], number: int
) -> Tensor:
    """Classes [m] int64 for test features [m, F], after training on features [n, F] with labels [n].

    ``options``: hidden, base_lr, weight_decay, batch_size and steps; ``number`` seeds start and batches.
    """
    standardise = linear_probe.Standardiser.of(train)
    x, n = standardise(train), len(train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(number, "hidden head"))
        head = nn.Sequential(nn.Linear(x.shape[1], options["hidden"]), nn.ReLU(), nn.Linear(options["hidden"], classes))
    optimizer = torch.optim.AdamW(head.parameters(), options["base_lr"], weight_decay=options["weight_decay"])
    batch, steps = min(options["batch_size"], n), options["steps"]
    for step in range(steps):
        epoch, within = divmod(step, n // batch)
        if within == 0:
            order = torch.randperm(n, generator=generator(number, "hidden head", epoch))
        rows = order[within * batch : (within + 1) * batch]
        for group in optimizer.param_groups:
            group["lr"] = options["base_lr"] * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(x[rows]), labels[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return torch.cat([head(standardise(rows)).argmax(1) for rows in test.split(linear_probe.BLOCK)])


def linear_head(
    train: Tensor, labels: Tensor, test: Tensor, classes: int, options: dict[str, Any], number: int
) -> Tensor:
    """The same from the probe, which draws nothing."""
    return linear_probe.probe(train, labels, test, classes, **options).ranking[:, 0]


HEADS = {"linear": linear_head, "hidden": hidden_head}


def judge(train: Features, test: Features, settings: dict[str, Any], log: Callable[[str], None]) -> list[dict]:
    """One entry per head and share."""
    classes, n = len(train.origin["classes"]), len(test.labels)
    val = (train.val or ())[:2]
    finite = all(bool(part.isfinite().all()) for part in (train.features, test.features, *val[:1]))
    entries = []
    chooses = {"val": val} if val else {}  # the penalty, at every share of the labels
    for name, head in HEADS.items():
        options = settings[name] | (chooses if name == "linear" else {})
        for share in settings["shares"]:
            chosen = [draw(train.labels, share, number) for number in draws_of(share, settings["draws"])]
            entry = {"head": name, "share": share, "n_train": len(chosen[0]), "draws": len(chosen)}
            right = []
            for number, rows in enumerate(chosen if finite else []):
                x, labels = train.features[rows], train.labels[rows]
                found = head(x, labels, test.features, classes, options, number)
                right.append(int((found == test.labels).sum()))
            if finite:
                entry |= summary(right, n, settings["confidence"])
                log(f"{name} head, {len(chosen[0])} labels: top-1 {entry['top1']:.4f}")
            entries.append(entry)
    return entries


def adapt(
    features: dict[str, Path],
    run: Path,
    settings: dict[str, Any],
    output: Path,
    threads: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write adapt.json from the features files under "train" and "test".

    ``settings``: shares, draws and confidence; ``linear``, the probe's options; ``hidden``, those of hidden_head.
    Features that are not finite leave entries without figures.
    """
    with using(threads):
        train, test = (read(Path(features[part])) for part in ("train", "test"))
        entries = judge(train, test, settings, log)
    common = {"n": len(test.labels), "classes": len(train.origin["classes"]), "entries": entries}
    results.write(output, run, settings, common)
