"""What a representation says of itself without labels: RankMe, alpha-ReQ and LiDAR.

All three look at pooled features, before any projection head, since these are what a user keeps; heads differ in width
from method to method, and some methods have none. They are made of pictures that the backbone was trained on, of which
no label is asked, even where the probe is of another dataset.

- ``rankme``: exp of the entropy of the features' singular values over their sum, the mean left in (Garrido et al. 2023,
  arXiv 2210.02885, equation 1). At most the number of channels.
- ``alpha``: the eigenvalues of the covariance fall like rank^-alpha (Agrawal et al. 2022, NeurIPS). Near 1 is good:
  below, noise is kept; above, too little of anything.
- ``lidar``: exp of the entropy of the eigenvalues of Sw^-1/2 Sb Sw^-1/2, where every picture is a class and its views
  are its members: the directions in which pictures differ more than their views do (Thilak et al. 2024, arXiv
  2312.04000, section 4). At most one less than the pictures. The views are those of the cell's own transform.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sslbench.data.pack.read import PackedSet
from sslbench.evaluation import write_result as results
from sslbench.evaluation.collapse import entropy_rank, without_labels
from sslbench.evaluation.embed import BATCH, EXACT, forward, loaded
from sslbench.evaluation.linear_probe import BLOCK
from sslbench.nn.backbone import Backbone
from sslbench.nn.random import generator
from sslbench.training.device import Device, computing
from sslbench.transforms.pipeline import ViewMaker

# Ranks whose eigenvalues the power law is fitted to, from 1: the first ones follow no power law (Stringer et al. 2019,
# Nature 571:361, from 11), and the fit of alpha-ReQ's authors ends at 100.
FIRST, LAST = 11, 100
SAMPLE = 10_000  # pictures at most for RankMe and alpha: several times any usual width, and all of ImageNette
FEWEST = 5  # eigenvalues below which there is no law to speak of
NOISE = 1e-12  # of the largest eigenvalue: below it lies float32 rounding of the features, squared and with room
DELTA = 1e-4  # added to Sw's diagonal; LiDAR's section 4


def spectra(features: Tensor) -> tuple[Tensor, Tensor]:
    """Second moments of finite features [n, F] as they are, and about their mean: X'X and (X - m)'(X - m), float64."""
    width = features.shape[1]
    raw, centred = (torch.zeros(width, width, dtype=torch.float64) for _ in range(2))
    mean = features.mean(0, dtype=torch.float64)
    for block in features.split(BLOCK):
        block = block.double()
        raw += block.T @ block
        block = block - mean
        centred += block.T @ block
    return raw, centred


def power_law(eigenvalues: Tensor) -> float | None:
    """alpha of eigenvalues [F] in any order: least squares of log value on log rank, weighted by 1 / rank.

    None where fewer than FEWEST of them lie in the range and above rounding.
    """
    values = eigenvalues.double().sort(descending=True).values
    values = values[values > NOISE * values[0]][FIRST - 1 : LAST]
    if len(values) < FEWEST:
        return None
    rank = torch.arange(FIRST, FIRST + len(values), dtype=torch.float64)
    x, y, weight = rank.log(), values.log(), 1 / rank
    x, y = x - (weight * x).sum() / weight.sum(), y - (weight * y).sum() / weight.sum()
    return -float((weight * x * y).sum() / (weight * x * x).sum())


def lidar(views: Tensor) -> float:
    """Of features [n, q, F] of q views of n pictures; 0 where all are equal.

    The features are first divided by one number that makes their mean variance per channel 1: DELTA is absolute in the
    paper, and backbones differ in scale.
    """
    views = views.double()
    n, q, width = views.shape
    views = views - views.mean((0, 1))
    scale = float(views.square().mean().sqrt())
    if scale < 1e-12:
        return 0.0
    views = views / scale
    centres = views.mean(1)  # [n, F]; their mean is 0
    inner = (views - centres[:, None]).flatten(0, 1)
    within = inner.T @ inner / (n * (q - 1)) + DELTA * torch.eye(width, dtype=torch.float64)
    values, axes = torch.linalg.eigh(within)
    # not symmetrised by axes.T: a rotation of Sw^-1/2 Sb Sw^-1/2 has its eigenvalues
    whitened = centres @ (axes / values.sqrt())
    found = torch.linalg.eigvalsh(whitened.T @ whitened).clamp(min=0)
    share = found / found.sum()
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


@torch.no_grad()
def embed_views(
    backbone: Backbone, packed: PackedSet, indices: Tensor, makers: list[ViewMaker], count: int, place: Device
) -> Tensor:
    """Features [n, count, F] float32 on the CPU of ``count`` views of each of ``indices``, by ``makers`` in turn."""
    found = []
    for number, block in enumerate(indices.split(BATCH)):
        pictures = packed.batch(block).to(place.torch)
        views = []
        for view in range(count):
            draws = generator(0, "label-free", view, number)
            made = makers[view % len(makers)].make(pictures, draws, device=place.torch)
            images = made.images.contiguous(memory_format=place.memory_format)
            views.append(backbone(images).float().cpu())
        found.append(torch.stack(views, 1))
    return torch.cat(found)


def labelfree(
    settings: dict[str, Any],
    backbone_file: Path,
    run: Path,
    pack: Path,
    output: Path,
    device: str,
    threads: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write labelfree.json.

    Args:
        settings: ``dataset`` (its split), ``backbone``, ``input_size``, ``resize_ratio``, ``transform`` (both branches;
            without operations LiDAR is null, since there are no views), ``pictures`` and ``views``.
        pack: what the backbone was trained on. Labels are not read.

    RankMe and alpha are of SAMPLE training pictures, LiDAR of the first ``pictures`` of the same shuffle, which
    depends on the number of training pictures alone. Features that are not finite leave every measure null.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    size, branches = settings["input_size"], [branch for branch in settings["transform"] if branch]
    packed = PackedSet.open(Path(pack))
    train = torch.from_numpy(packed.split(settings["dataset"]["split"])["train"]).long().sort().values
    shuffled = train[torch.randperm(len(train), generator=generator(0, "label-free", "pictures"))]
    sample, chosen = (shuffled[:count].sort().values for count in (SAMPLE, settings["pictures"]))
    report: dict[str, Any] = dict.fromkeys(("rankme", "alpha", "lidar", "pictures", "views"))
    with computing(device, threads, EXACT) as place:
        backbone = place.place(loaded(settings, Path(backbone_file)))
        look = size, settings["resize_ratio"], place.torch, place.memory_format
        features = forward(backbone, packed, sample.numpy(), *look)
        report |= {"n": len(features), "features": features.shape[1], "health": without_labels(features)}
        finite = bool(features.isfinite().all())
        if finite:
            raw, centred = spectra(features)
            report |= {"rankme": entropy_rank(raw), "alpha": power_law(torch.linalg.eigvalsh(centred))}
        if finite and branches:
            makers = [ViewMaker(branch, size) for branch in branches]
            found = embed_views(backbone, packed, chosen, makers, settings["views"], place)
            report |= {"pictures": len(chosen), "views": settings["views"]}
            if found.isfinite().all() and len(chosen) > 1:
                report["lidar"] = lidar(found)
    measured = {name: report[name] for name in ("rankme", "alpha", "lidar")}
    assert all(value is None or math.isfinite(value) for value in measured.values()), measured
    results.write(output, run, settings, report)
    log(", ".join(f"{name} {'not measured' if v is None else format(v, '.4g')}" for name, v in measured.items()))
