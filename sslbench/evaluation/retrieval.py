"""Image-to-image retrieval on frozen features: test pictures ask, training pictures answer, by cosine similarity.

An answer is relevant where it has the query's class. Per query with R relevant pictures in the gallery:

- ``recall@k``: 1 where one of the first k answers is relevant, else 0; the convention of CUB-200 and its kin (Oh Song
  et al. 2016, arXiv 1511.06452, section 5), which is not the share of relevant pictures that were found.
- ``map``: average precision, the mean over the relevant pictures of the precision at their rank in the whole gallery.
- ``map_at_r``: the sum over the first R ranks of the precision at those that are relevant, over R (Musgrave, Belongie &
  Lim 2020, arXiv 2003.08505, section 3.2). 1 only where the first R answers are all relevant.

Equal similarities keep the gallery's order. Queries whose class the gallery lacks are left out, and counted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.evaluation import write_result as results
from sslbench.evaluation.features import read
from sslbench.evaluation.linear_probe import BLOCK, product
from sslbench.nn.threads import using
from sslbench.stats.paired import over_seeds, wilson

BLOCK_BYTES = 128 * 2**20  # of one block of queries
PAIR_BYTES = 32  # similarity, its sorted copy, order, label, relevance and the places of relevant ones


class Scores(NamedTuple):
    """One value per query; ``relevant`` 0 marks a query that nothing can answer, whose other values mean nothing."""

    relevant: Tensor  # [m] int64: R
    first: Tensor  # [m] int64: rank from 1 of the first relevant answer
    average_precision: Tensor  # [m] float64
    map_at_r: Tensor  # [m] float64


def score(gallery: Tensor, gallery_labels: Tensor, queries: Tensor, labels: Tensor) -> Scores:
    """Scores of queries [m, F] against a gallery [n, F]; labels int64 [n] and [m].

    Memory beyond the inputs: a copy of the gallery, and BLOCK_BYTES for a block of queries.
    """
    bank = torch.empty_like(gallery, memory_format=torch.contiguous_format)
    for block, place in zip(gallery.split(BLOCK), bank.split(BLOCK), strict=True):
        place.copy_(normalize(block, dim=1))
    rows = max(1, BLOCK_BYTES // (PAIR_BYTES * len(gallery)))
    found = []
    for block, asked in zip(queries.split(rows), labels.split(rows), strict=True):
        similarity = product(normalize(block, dim=1), bank)
        order = similarity.sort(dim=1, descending=True, stable=True).indices
        found.append(_of_ranking(gallery_labels[order] == asked[:, None]))
    return Scores(*map(torch.cat, zip(*found, strict=True)))


def _of_ranking(hits: Tensor) -> Scores:
    """``hits`` [b, n] bool: whether the answer of each rank is relevant."""
    count = hits.sum(1)
    row, place = hits.nonzero(as_tuple=True)
    so_far = torch.arange(1, len(row) + 1) - (count.cumsum(0) - count)[row]  # relevant ones up to this rank
    precision = so_far.double() / (place + 1)
    total, within = (torch.zeros(len(hits), dtype=torch.float64) for _ in range(2))
    total.index_add_(0, row, precision)
    within.index_add_(0, row, precision * (place < count[row]))
    first = torch.full_like(count, hits.shape[1] + 1)
    first[row[so_far == 1]] = place[so_far == 1] + 1
    return Scores(count, first, total / count.clamp(min=1), within / count.clamp(min=1))


def judge(scores: Scores, recall_at: list[int], confidence: float) -> dict[str, Any]:
    """Means over the queries that have an answer. Intervals speak of these as a sample, the gallery being given:
    Wilson's for a recall, the t-interval over queries for a mean precision."""
    asked = scores.relevant > 0
    n = int(asked.sum())
    report: dict[str, Any] = {"n": n, "without_match": len(asked) - n}
    report["recall"] = {}
    for k in recall_at:
        hits = int((scores.first[asked] <= k).sum())
        value = {"value": hits / n, "interval": wilson(hits, n, confidence)} if n else None
        report["recall"][str(k)] = value
    for name, values in (("map", scores.average_precision[asked]), ("map_at_r", scores.map_at_r[asked])):
        report[name] = _mean(values, confidence) if n else None
    return report


def _mean(values: Tensor, confidence: float) -> dict[str, Any]:
    over = over_seeds(values.numpy(), confidence)
    interval = None if over.n == 1 else [max(over.low, 0.0), min(over.high, 1.0)]
    return {"value": over.mean, "interval": interval}


def retrieve(
    features: dict[str, Path],
    run: Path,
    settings: dict[str, Any],
    output: Path,
    threads: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write retrieval.json from the features files under "train" and "test".

    ``settings``: recall_at and confidence. Where features are not finite every figure is null.
    """
    with using(threads):
        train, test = (read(Path(features[part])) for part in ("train", "test"))
        found: dict[str, Any] = {"n": len(test.labels), "recall": {}, "map": None, "map_at_r": None}
        if train.features.isfinite().all() and test.features.isfinite().all():
            scores = score(train.features, train.labels, test.features, test.labels)
            found = judge(scores, settings["recall_at"], settings["confidence"])
    results.write(output, run, settings, found | {"gallery": len(train.labels)})
    told = "not measured" if found["map"] is None else f"{found['map']['value']:.4f}"
    log(f"{found['n']} queries in {len(train.labels)} pictures, mean average precision {told}")
