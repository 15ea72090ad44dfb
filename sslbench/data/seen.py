"""Whether weights have seen a dataset's test images, by five levels, and what follows for their row. No torch.

Images that carry ImageNet's file names are judged one by one: ``n01440764_10026.JPEG`` is a training image of ImageNet,
``ILSVRC2012_val_00000293.JPEG`` a validation image. So it is known of 3,791 of the 3,925 test images of ImageNette v2,
and of none of version 1's 500, that a network with the tag ``a1_in1k`` was trained on them, with labels.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sslbench.data.pretraining_data import DATA_SETS, Seen, title


class Level(IntEnum):
    """What weights have seen of a dataset."""

    WITH_LABELS = 1  # test images, with their labels
    UNLABELLED = 2  # test images, without labels
    SAME_SOURCE = 3  # other images of the same source and classes
    NOTHING_KNOWN = 4
    UNKNOWN = 5


# What decides first, of several data sets or images
_WORST_FIRST = (Level.WITH_LABELS, Level.UNLABELLED, Level.SAME_SOURCE, Level.UNKNOWN, Level.NOTHING_KNOWN)

# Level -> a line for the page and the model card
CONSEQUENCES = {
    Level.WITH_LABELS: "Not ranked: pretrained on test images with their labels.",
    Level.UNLABELLED: "Not ranked: pretrained on test images, without labels.",
    Level.SAME_SOURCE: "An upper bound: pretrained on other images of the same source and classes.",
    Level.NOTHING_KNOWN: "Ranked: no pretraining on test images is known.",
    Level.UNKNOWN: "Ranked, but pretraining on test images cannot be ruled out.",
}

_IMAGENET = ("imagenet-1k", "imagenet-12k", "imagenet-21k", "imagenet-21k-p")
# Dataset kind, or torchvision's name -> data sets that have images of its source and classes
_SAME_SOURCE = {
    **dict.fromkeys(("imagenet", "imagenette", "imagewoof"), _IMAGENET),
    "STL10": _IMAGENET,
    "Country211": ("yfcc100m", "yfcc15m"),  # drawn from YFCC100M (arXiv 2103.00020)
    # Sets whose training images chose crawled ones for LVD-142M (arXiv 2304.07193, table 15)
    **dict.fromkeys(
        ("Caltech101", "DTD", "FGVCAircraft", "Flowers102", "Food101", "OxfordIIITPet", "StanfordCars", "SUN397"),
        ("lvd-142m",),
    ),
}
_INCLUDED_IN = {"STL10": ("imagenet-21k",)}  # its labelled images were taken from ImageNet (Coates et al. 2011)


class Verdict(NamedTuple):
    level: Level  # the worst of all test images
    images: dict[Level, int]  # test images of each level
    explanation: str  # one sentence

    @property
    def ranked(self) -> bool:
        """Whether the row can win."""
        return self.level not in (Level.WITH_LABELS, Level.UNLABELLED)

    @property
    def upper_bound(self) -> bool:
        return self.level is Level.SAME_SOURCE

    @property
    def consequence(self) -> str:
        return CONSEQUENCES[self.level]


def _worst(levels: Iterable[Level]) -> Level:
    return min(levels, key=_WORST_FIRST.index, default=Level.NOTHING_KNOWN)


def called(name: str, identity: Mapping[str, Any]) -> set[str]:
    """What ``judge`` asks of a dataset: its name in the config, its kind and, of torchvision's, its name there."""
    return {name.partition("@")[0], *(str(identity[key]) for key in ("kind", "name") if key in identity)}


def judge(
    seen: Seen | None,
    dataset: Iterable[str],
    test_images: Iterable[str],
    within: Mapping[str, Sequence[str]] | None = None,
    *,
    drawn: bool = False,
) -> Verdict:
    """Of weights that have seen ``seen`` (pretraining_data), on the test images named, with or without folders.

    ``dataset``: what the dataset is called: its kind, its name in the config and, of torchvision's, ``name``.
    ``drawn``: whether sslbench draws its images. ``within``: what ``subsets_of`` says of the images; None asks it here.
    """
    called = set(dataset)
    places = Counter(_place(image) for image in test_images)
    if drawn and not (seen and called & set(seen.names)):
        counts = {Level.NOTHING_KNOWN: places.total()}
        return Verdict(Level.NOTHING_KNOWN, counts, "sslbench draws these images; no published weights have seen them.")
    within = subsets_of(places) if within is None else within
    found = {place: _of_place(seen, called, place, within.get(place, ())) for place in places}
    images: Counter[Level] = Counter()
    for place, count in places.items():
        images[found[place][0]] += count
    worst = _worst(images)
    data = sorted({titles for level, titles in found.values() if level is worst and titles})
    return Verdict(worst, dict(images), _explain(seen, worst, images[worst], images.total(), " and ".join(data)))


def _explain(seen: Seen | None, level: Level, count: int, total: int, data: str) -> str:
    which = f"{count:,} of {total:,} test images"
    if level in (Level.WITH_LABELS, Level.UNLABELLED):
        return f"{which} are in {data}, seen {'with' if level is Level.WITH_LABELS else 'without'} labels."
    if level is Level.SAME_SOURCE:
        return f"{data} has other images of the source and classes of {which}."
    if seen is None:
        return "What it was trained on is not known."
    if level is Level.UNKNOWN:
        return f"Whether test images are in {data} is not known."
    every = " or ".join(dict.fromkeys(map(title, seen.names)))
    return f"No test image is known to be in {every}." if every else "It was not pretrained."


def _place(image: str) -> str:
    """Where in ImageNet an image is by its name: its class among the training images, ``val`` or ``test``; or ""."""
    name = image.rpartition("/")[2]
    if found := re.match(r"(n\d{8})_\d+\.", name):
        return found[1]
    found = re.match(r"ILSVRC2012_(val|test)_\d{8}\.", name)
    return found[1] if found else ""


def _of_place(seen: Seen | None, called: set[str], place: str, within: Sequence[str]) -> tuple[Level, str]:
    """The level of the images of one place in ImageNet, and the data sets' titles that decide it."""
    if seen is None:
        return Level.UNKNOWN, ""
    found = [(_level(name, Level.WITH_LABELS, called, place, within), name) for name in seen.labelled]
    found += [(_level(name, Level.UNLABELLED, called, place, within), name) for name in seen.unlabelled]
    found += [(Level.SAME_SOURCE if name in called else Level.NOTHING_KNOWN, name) for name in seen.other_images]
    worst = _worst(level for level, _ in found)
    return worst, " and ".join(dict.fromkeys(title(name) for level, name in found if level is worst))


def _level(name: str, if_in_it: Level, called: set[str], place: str, within: Sequence[str]) -> Level:
    """What having seen one data set says of images of a place."""
    if name not in DATA_SETS:
        return if_in_it if name in called else Level.NOTHING_KNOWN
    data = DATA_SETS[name]
    found = [_level(part, if_in_it, called, place, within) for part in data.holds]
    if data.web:
        found.append(Level.UNKNOWN)
    if any(name in _INCLUDED_IN.get(own, ()) for own in called):
        found.append(if_in_it)
    elif data.synsets and place.startswith("n"):
        found.append(if_in_it if data.synsets in within else Level.NOTHING_KNOWN)
    elif (data.synsets and place) or any(name in _SAME_SOURCE.get(own, ()) for own in called):
        found.append(Level.SAME_SOURCE)
    return _worst(found)


def subsets_of(images: Iterable[str]) -> dict[str, list[str]]:
    """The subsets of ImageNet, as DATA_SETS' ``synsets``, that have each class that images are named by; of names or
    classes. Where nothing is named so, timm, whose lists these are, need not be there."""
    classes = {found[1] for image in images if (found := re.match(r"(n\d{8})(?:_\d+\.|$)", image.rpartition("/")[2]))}
    lists = [data.synsets for data in DATA_SETS.values() if data.synsets]
    return {name: [one for one in lists if name in _classes(one)] for name in sorted(classes)}


@cache
def _classes(synsets: str) -> frozenset[str]:
    """wnids of a subset of ImageNet, from timm's lists; timm itself, and so torch, is not imported."""
    folder = Path(find_spec("timm").submodule_search_locations[0]) / "data" / "_info"
    return frozenset((folder / f"{synsets}_synsets.txt").read_text(encoding="utf-8").split())
