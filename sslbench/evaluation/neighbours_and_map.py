"""What one backbone sees, for the report's pictures: who stands beside the same few test pictures, and a flat map.

Reads the features alone. Which test pictures are shown follows from their labels and positions and a fixed seed, so it
is the same for every model of a split.
"""

import base64
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.evaluation import features
from sslbench.nn.random import generator
from sslbench.runtime.files import write_whole
from sslbench.store import checksum

FORMAT = 1  # of look.json
QUERIES = 8  # test pictures whose neighbours are shown, of different classes where there are that many
NEIGHBOURS = 6  # of each
POINTS = 300  # on the map
SHOWN = 10  # classes on the map; more colours and shapes are not told apart
STEPS = 65535  # of a coordinate


class Flat(NamedTuple):
    """A map: ``places`` [n, 2] as uint16, and the share of the variance along either axis."""

    places: np.ndarray
    explained: tuple[float, float]


def look(files: dict[str, Path], out_json: Path, threads: int, seed: int = 0) -> None:
    """Write ``out_json`` from the features under "train" and "test". Equal features write equal bytes.

    Keys: format, features (the seals of both files), of (source, split, content_sha256), classes; queries: [{index,
    label, neighbours: [indices], labels, cosines}], positions in the pack; map: {indices, labels, xy (base64 of
    little-endian uint16 [n, 2]), explained,
    alike: {all, plane, chance}}, the shares of points whose nearest other point has their class, by all features and on
    the map, and what chance gives. Raises UserError where a features file is damaged.
    """
    torch.set_num_threads(threads)
    train, test = (features.read(Path(files[part])) for part in ("train", "test"))
    queries, points = choose(test.labels.numpy(), seed)
    bank = units(train.features)
    beside, cosines = neighbours(bank, units(test.features[queries]), NEIGHBOURS)
    placed = units(test.features[points])
    plane = flat(placed.double().numpy())
    labels = test.labels[points].numpy()
    found = {
        "format": FORMAT,
        "features": {part: _seal(Path(files[part])) for part in ("train", "test")},
        "of": {key: test.origin[key] for key in ("source", "split", "content_sha256")},
        "classes": len(test.origin["classes"]),
        "queries": [
            {
                "index": int(test.indices[query]),
                "label": int(test.labels[query]),
                "neighbours": train.indices[order].tolist(),
                "labels": train.labels[order].tolist(),
                "cosines": [round(float(value), 4) for value in near],
            }
            for query, order, near in zip(queries.tolist(), beside, cosines, strict=True)
        ],
        "map": {
            "indices": test.indices[points].tolist(),
            "labels": labels.tolist(),
            "xy": base64.b64encode(plane.places.astype("<u2").tobytes()).decode(),
            "explained": [round(share, 4) for share in plane.explained],
            "alike": {
                "all": round(alike(placed.double().numpy(), labels), 4),
                "plane": round(alike(plane.places.astype(np.float64), labels), 4),
                "chance": round(by_chance(labels), 4),
            },
        },
    }
    write_whole(Path(out_json), (json.dumps(checksum.sealed(found), sort_keys=True) + "\n").encode())


def _seal(file: Path) -> str | None:
    with safetensors.safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["sslbench"]).get(checksum.KEY)


def choose(labels: np.ndarray, seed: int) -> tuple[Tensor, Tensor]:
    """Positions among test pictures of ``labels`` [n]: up to QUERIES, and up to POINTS sorted by label.

    Queries are of as many classes as can be. The map's pictures are of up to SHOWN classes, as equally many of each as
    there are.
    """
    order = torch.randperm(len(labels), generator=generator(seed, "look", "pictures")).numpy()
    classes = np.unique(labels)
    lot = classes[torch.randperm(len(classes), generator=generator(seed, "look", "classes")).numpy()]
    turns = _turns(labels[order])  # how many of its class came before each
    rank = np.argsort(lot)[np.searchsorted(classes, labels[order])]  # of its class, by lot
    ranked = order[np.lexsort([rank, turns])]  # the first of every class, then the second of every class, ...
    queries = np.sort(ranked[:QUERIES])
    mapped = ranked[np.isin(labels[ranked], lot[:SHOWN])][:POINTS]
    mapped = mapped[np.lexsort([mapped, labels[mapped]])]
    return tuple(torch.from_numpy(chosen.astype(np.int64)) for chosen in (queries, mapped))


def _turns(labels: np.ndarray) -> np.ndarray:
    """[n]: how many equal labels stand before each."""
    by_label = np.argsort(labels, kind="stable")
    in_order = labels[by_label]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    counts = np.arange(len(labels)) - np.repeat(starts, np.diff(np.r_[starts, len(labels)]))
    turns = np.empty(len(labels), dtype=np.int64)
    turns[by_label] = counts
    return turns


def units(found: Tensor) -> Tensor:
    """Features [n, F] as unit vectors; what is not finite becomes zeros, alike to nothing."""
    finite = found.isfinite().all(1, keepdim=True)
    return normalize(torch.where(finite, found, 0), dim=1)


def neighbours(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """[m, k] positions in ``bank`` [n, F] of largest cosine with ``queries`` [m, F], and those cosines, falling.

    Both hold unit vectors, as in evaluation/knn.py; of equal cosines the lower position stands first.
    """
    similarity = queries @ bank.T  # [m, n]
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :k]
    return order, similarity.gather(1, order)


def flat(points: np.ndarray) -> Flat:
    """The first two principal components of ``points`` [n, F], float64, both axes at one scale.

    A component's sign is that of which its largest entry is positive: the other would be as good a map.
    """
    centred = points - points.mean(axis=0)
    u, s, axes = np.linalg.svd(centred, full_matrices=False)
    planar = np.zeros((len(points), 2))
    count = min(2, len(s))
    sign = np.sign(axes[np.arange(count), np.abs(axes[:count]).argmax(axis=1)])
    planar[:, :count] = u[:, :count] * s[:count] * np.where(sign == 0, 1, sign)
    low, high = planar.min(axis=0), planar.max(axis=0)
    span = float((high - low).max()) or 1.0
    total = float((s**2).sum()) or 1.0
    places = ((planar - (low + high) / 2) / span + 0.5) * STEPS
    shares = [float(s[i] ** 2) / total if i < count else 0.0 for i in (0, 1)]
    return Flat(places.round().clip(0, STEPS).astype(np.uint16), (shares[0], shares[1]))


def alike(points: np.ndarray, labels: np.ndarray) -> float:
    """The share of ``points`` [n, d] whose nearest other point has their label; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    squares = (points**2).sum(axis=1)
    distance = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(axis=1)] == labels).mean())


def by_chance(labels: np.ndarray) -> float:
    """What ``alike`` is on average where places have nothing to do with labels."""
    counts = np.unique(labels, return_counts=True)[1].astype(float)
    n = len(labels)
    return float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else 0.0
