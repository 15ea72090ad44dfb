"""The ledger of published figures, each with its protocol, and which of them may stand beside a cell of ours.

A figure stands beside a cell where dataset, pictures, backbone, weights, input size, epochs, batch, model, transform
and metric are the same. What its source leaves open (split, evaluator, choice of epoch) becomes a caveat; what differs
becomes the reason why there is no figure. Reads reports/published_results.csv; needs no torch.

The second article's four figures are of ImageNet-1K and large networks, so they match no cell: they are shown in a
table of their own (reports/published_second_article.csv).
"""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from sslbench import registry
from sslbench.errors import UserError
from sslbench.report.wording import split_words

LEDGER = Path(__file__).resolve().parent.parent / "reports" / "published_results.csv"
SECOND = LEDGER.with_name("published_second_article.csv")

Row = TypeVar("Row")
_NUMBERS = {"pictures": int, "test_pictures": int, "value": float, "minutes": float, "peak_gb": float}
_NUMBERS |= {"input_size": int, "epochs": int, "batch_size": int}


@dataclass(frozen=True)
class Figure:
    """One published figure. Numbers are None where the source gives none."""

    source: str  # who published it
    place: str  # where in the source
    dataset: str  # as the ledger calls it
    dataset_sources: tuple[str, ...]  # what sslbench calls the archives that it may have been measured on
    pictures: int  # in the whole dataset, training and test
    test_pictures: int | None  # what its figures point to
    model: str  # as printed
    method: str  # as registered here
    options: dict  # the method's options that make this entry, e.g. {"alpha": 0.95}
    transform: str  # as registered here
    transform_as_printed: str
    metric: str  # top1, top5
    value: float  # share in [0, 1]
    printed: str  # the value's digits as published
    minutes: float | None
    peak_gb: float | None
    backbone: str
    weights: str
    input_size: int  # px
    epochs: int
    batch_size: int
    evaluator: str
    split: str
    epoch: str


@dataclass(frozen=True)
class Milestone:
    """One figure of the second article: top-1 on ImageNet-1K of a linear probe, and what its source says."""

    method: str  # as registered here
    title: str
    year: int
    printed_top1: str  # as the article has it
    printed_parameters: str
    value: float  # share in [0, 1], as the source has it
    backbone: str  # that it was measured on
    parameters: float  # millions
    source: str
    right: bool  # whether the article's pair of top-1 and parameters is the source's
    note: str


@dataclass(frozen=True)
class Beside:
    """What the ledger has for one metric of one cell: a figure with its caveats, or the reason why there is none."""

    figure: Figure | None
    caveats: tuple[str, ...] = ()
    reason: str = ""


def read(path: Path = LEDGER) -> list[Figure]:
    """All figures of the ledger at ``path``, in its order. Raises UserError where a row cannot be read."""
    return _rows(path, _figure)


def read_second(path: Path = SECOND) -> list[Milestone]:
    """The second article's figures, in its order. Raises UserError where a row cannot be read."""
    return _rows(path, _milestone)


def _rows(path: Path, make: Callable[[dict], Row]) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise UserError(f"{path}: the ledger of published figures is missing; restore it from the repository") from None
    figures = []
    for number, row in enumerate(rows, start=2):
        try:
            figures.append(make(row))
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a published figure ({error!r}); mend the row") from None
    return figures


def beside(
    figures: list[Figure], settings: Mapping, overrides: Mapping, kind: str, metric: str, pictures: dict
) -> Beside:
    """The published figure that may stand beside a cell.

    ``settings``: the cell's settings; ``kind`` and ``overrides``: its transform; ``pictures``: {"all", "test"}, counts
    of the data as packed and probed here, None where they are not known.
    """
    source, method = settings["dataset"]["source"], settings["method"]["name"]
    rows = [f for f in figures if source in f.dataset_sources]
    if not rows:
        return Beside(None, reason=f"no published figure on {source}")
    named = [f for f in rows if f.method == method]
    if not named:
        return Beside(None, reason=f"no published figure of {method} on it")
    crossed = [f for f in named if f.transform == kind and f.metric == metric]
    if not crossed:
        return Beside(None, reason=f"no published {metric} with the transform {kind}")
    nearest = min(crossed, key=lambda f: len(_differences(f, settings, overrides, pictures)))
    differences = _differences(nearest, settings, overrides, pictures)
    if differences:
        return Beside(None, reason="; ".join(differences))
    return Beside(nearest, caveats=tuple(_caveats(nearest, settings, pictures)))


def of_dataset(figures: list[Figure], source: str) -> list[Figure]:
    """The figures published on the data that sslbench calls ``source``."""
    return [f for f in figures if source in f.dataset_sources]


def _figure(row: dict) -> Figure:
    values = {key: (_NUMBERS[key](text) if text else None) if key in _NUMBERS else text for key, text in row.items()}
    needed = ("pictures", "value", "input_size", "epochs", "batch_size")
    if missing := [key for key in needed if values[key] is None]:
        raise ValueError(f"no {missing[0]}")
    values["dataset_sources"] = tuple(row["dataset_sources"].split())
    values["options"] = json.loads(row["options"] or "{}")
    return Figure(**values, printed=row["value"])


def _milestone(row: dict) -> Milestone:
    numbers = {"year": int(row["year"]), "value": float(row["value"]), "parameters": float(row["parameters"])}
    return Milestone(**row | numbers | {"right": {"yes": True, "no": False}[row["right"]]})


@cache
def defaults(method: str) -> tuple[dict, dict]:
    """The options and the recipe that a method has where the config overrides nothing."""
    settings = registry.load(f"{registry.METHODS[method]}.settings").Settings()
    options = settings.model_dump(mode="json", exclude={"recipe"})
    return options, settings.recipe.model_dump(mode="json")


def _differences(figure: Figure, settings: Mapping, overrides: Mapping, pictures: dict) -> list[str]:
    """What of the protocol differs, each as `ours (theirs)`; empty where nothing does."""
    train, backbone = settings["train"], settings["backbone"]
    pairs = [
        ("pictures", pictures.get("all") or figure.pictures, figure.pictures),
        ("backbone", backbone["name"], figure.backbone),
        ("input size", settings["input_size"], figure.input_size),
        ("epochs", train["epochs"], figure.epochs),
        ("batch", train["batch_size"], figure.batch_size),
        ("parts of a batch", train.get("accumulate", 1), 1),
    ]
    found = [f"{what} {_plain(ours)} (published: {_plain(theirs)})" for what, ours, theirs in pairs if ours != theirs]
    if backbone.get("options"):
        found.append(f"backbone options {_keys(backbone['options'])} (published: none named, {figure.weights})")
    if overrides:
        found.append(f"transform with {_keys(overrides)} set (published: {figure.transform_as_printed})")
    expected = defaults(figure.method)[0] | figure.options
    ours = settings["method"]["options"]
    changed = sorted(key for key in expected.keys() | ours.keys() if ours.get(key) != expected.get(key))
    found += [f"{key} {_plain(ours.get(key))} (published: {_plain(expected.get(key))})" for key in changed]
    return found


def _caveats(figure: Figure, settings: Mapping, pictures: dict) -> list[str]:
    """What the source leaves open, and what of ours is known to differ without being part of the match."""
    source = settings["dataset"]["source"]
    caveats = [f"split: {figure.split}; ours is {split_words(settings['dataset']['split'])}"]
    test = pictures.get("test")
    if test and figure.test_pictures and test != figure.test_pictures:
        caveats.append(f"test pictures: {test:,} here, {figure.test_pictures:,} by the published figures")
    if len(figure.dataset_sources) > 1:
        caveats.append(f"size of the pictures: not said; ours are {source}")
    caveats.append(f"evaluator: {figure.evaluator}")
    caveats.append(f"epoch: {figure.epoch}; ours is the last")
    recipe = defaults(figure.method)[1]
    changed = sorted(key for key, value in settings["recipe"].items() if value != recipe.get(key))
    if changed:
        caveats.append(f"recipe: {', '.join(changed)} set here")
    if settings["train"].get("precision") != "fp32":
        caveats.append(f"precision: {settings['train']['precision']} here; the article's memory points to fp32")
    return caveats


def _keys(values: Mapping, prefix: str = "") -> str:
    """The dotted names of all values in a nested dict: `jitter.strength, blur.p`."""
    names = (
        _keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else f"{prefix}{key}"
        for key, value in sorted(values.items())
    )
    return ", ".join(names)


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
