"""Which classes one entry takes for which, by its stored predictions."""

from typing import NamedTuple

import numpy as np

from sslbench.report.blocks import Block, ConfusedPair, Confusions, Paragraph, Tile
from sslbench.report.files import slug
from sslbench.report.images.neighbours import Tiles, named
from sslbench.report.wording import Labels

WHOLE = 12  # classes up to which all pairs are shown
PAIRS = 20  # shown where there are more classes
FEW = 6  # shown, with pictures, beside a whole matrix


class Pair(NamedTuple):
    """Pictures of class ``true`` taken for ``guess``: how many, of how many; one of them, and one of the other class.

    ``like`` is a picture of class ``guess`` that was taken for what it is, or any of it, or -1 where there is none.
    """

    true: int
    guess: int
    count: int
    of: int
    example: int
    like: int


def matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """[classes, classes] int64: how often each true class (rows) was taken for each class."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def worst(labels: np.ndarray, guesses: np.ndarray, indices: np.ndarray, classes: int, most: int) -> list[Pair]:
    """The pairs that are confused most often, falling; of equal ones the lower classes first.

    ``indices`` [n] are the pictures' positions in the pack; the examples are the lowest.
    """
    counts = matrix(labels, guesses, classes)
    of = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    true, guess = np.nonzero(counts)
    order = np.argsort(-counts[true, guess], kind="stable")[:most]  # nonzero's own order is by class
    found = []
    for t, g in zip(true[order].tolist(), guess[order].tolist(), strict=True):
        taken = indices[(labels == t) & (guesses == g)]
        own = indices[(labels == g) & (guesses == g)]
        own = own if len(own) else indices[labels == g]
        like = int(own.min()) if len(own) else -1
        found.append(Pair(t, g, int(counts[t, g]), int(of[t]), int(taken.min()), like))
    return found


def blocks(album: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """The most accurate entry's confusions: the whole matrix of few classes, and the worst pairs with pictures."""
    found = album.get("datasets", {}).get(dataset)
    if not found:
        return ()
    confusion, titles, tiles = found["confusion"], found["titles"], Tiles(album, dataset)

    def tile(number: int | None, title: str) -> Tile | None:
        return None if number is None else tiles.tile(number, title)

    pairs = tuple(
        ConfusedPair(
            titles[pair["true"]],
            titles[pair["guess"]],
            pair["count"],
            pair["of"],
            tile(pair["example"], f"{titles[pair['true']]}, taken for {titles[pair['guess']]}"),
            tile(pair["like"], titles[pair["guess"]]),
        )
        for pair in confusion["pairs"]
    )
    name = named(confusion, labels)
    if not pairs:
        return (Paragraph(f"{labels.dataset(dataset)}: {name} takes no test picture for another class.", "faint"),)
    told = (
        f"By the linear probe of {name} (seed {confusion['seed']}), the most accurate of the ranked: "
        f"{confusion['wrong']:,} of {confusion['n']:,} test pictures are taken for another class. Each pair is shown "
        "with the first such picture and one of the class that it was taken for."
    )
    matrix = tuple(map(tuple, confusion["matrix"] or ()))
    caption = f"{labels.dataset(dataset)}: what is taken for what"
    return (Confusions(caption, told, tuple(titles), matrix, pairs, slug("confused", dataset)),)
