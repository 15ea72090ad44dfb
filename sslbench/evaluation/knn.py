"""Weighted k-nearest-neighbour classification by cosine similarity (Wu et al. 2018, arXiv 1805.01978, section 3.4).

Each of the k nearest training pictures votes for its class with weight exp(similarity / temperature), as in lightly's
benchmarks (k = 200, temperature 0.1); DINO reports k = 20.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.evaluation.linear_probe import BLOCK, TOP, product

BLOCK_BYTES = 64 * 2**20  # of similarities at a time


def predict(
    train: Tensor, labels: Tensor, test: Tensor, classes: int, *, k: list[int], temperature: float = 0.1
) -> dict[int, Tensor]:
    """Rank the classes for test features [m, F] from training features [n, F].

    Returns:
        For each of ``k``: [m, min(5, classes)] int64, classes by falling vote, the lower class number first where votes
        are equal, -1 where a class got no vote (it is no guess then). A k above n is clipped to n.
    """
    bank = torch.empty_like(train, memory_format=torch.contiguous_format)  # [n, F]
    for block, place in zip(train.split(BLOCK), bank.split(BLOCK), strict=True):
        place.copy_(normalize(block, dim=1))
    deepest = min(max(k), len(train))
    rows = max(1, BLOCK_BYTES // (4 * (len(train) + classes)))
    rankings: dict[int, list[Tensor]] = {each: [] for each in k}
    for block in test.split(rows):
        similarity, nearest = product(normalize(block, dim=1), bank).topk(deepest, dim=1)  # [rows, deepest], falling
        # dividing a row's votes by its largest changes no ranking and cannot overflow at a low temperature
        weight = ((similarity - similarity[:, :1]) / temperature).double().exp()
        voters = labels[nearest]
        for each, found in rankings.items():
            votes = weight.new_zeros(len(block), classes)
            votes.scatter_add_(1, voters[:, :each], weight[:, :each])
            best = votes.sort(dim=1, descending=True, stable=True)
            found.append(best.indices[:, :TOP].masked_fill(best.values[:, :TOP] == 0, -1))
    return {each: torch.cat(found) for each, found in rankings.items()}
