"""Shares of the labels: which pictures keep theirs, and what several draws of them say."""

from typing import Any

import torch
from torch import Tensor

from sslbench.nn.random import generator
from sslbench.stats.paired import over_seeds, wilson

# Two draws that happen to be equal would make an interval without width, and two that differ one without meaning.
FEWEST_DRAWS = 3


def draw(labels: Tensor, share: float, number: int) -> Tensor:
    """Ascending positions of the pictures that keep their label, in labels [n] int64.

    Equally many of every class, as SimCLR's 1 % and 10 % of ImageNet (Chen et al. 2020, section 4.1): the share of the
    mean class, at least one, at most what the class has. A share of 1 is all pictures, however many a class has. It
    depends on the labels and ``number`` alone, so that all models of a dataset get the same pictures, and a smaller
    share of the same number is a part of the larger one.
    """
    if share >= 1:
        return torch.arange(len(labels))
    classes = labels.unique()
    each = max(round(share * len(labels) / len(classes)), 1)
    order = torch.randperm(len(labels), generator=generator(number, "labels"))
    shuffled = labels[order]
    return torch.cat([order[shuffled == label][:each] for label in classes]).sort().values


def draws_of(share: float, draws: int) -> range:
    """The numbers of a share's draws: all labels can be drawn in one way only."""
    return range(draws if share < 1 else 1)


def summary(right: list[int], n: int, confidence: float) -> dict[str, Any]:
    """Of the right answers among n test pictures in each draw: mean accuracy, and two intervals that do not add up.

    ``over_draws``: t-interval over draws, on these test pictures; None for fewer than FEWEST_DRAWS. ``interval``:
    Wilson's at the mean accuracy, for the choice of test pictures alone.
    """
    over = over_seeds([count / n for count in right], confidence)
    low, high = wilson(round(over.mean * n), n, confidence)
    several = None if over.n < FEWEST_DRAWS else [max(over.low, 0.0), min(over.high, 1.0)]
    return {"top1": over.mean, "interval": [low, high], "over_draws": several, "sd": over.sd, "right": right}
