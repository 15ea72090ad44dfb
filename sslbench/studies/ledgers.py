"""The ledger of published figures, each with its protocol, and which of them may stand beside a cell of ours.

A figure stands beside a cell where dataset, pictures, backbone, weights, input size, epochs, batch, model, transform
and metric are the same. What its source leaves open (split, evaluator, choice of epoch) becomes a caveat; what differs
becomes the reason why there is no figure. Needs no torch. One reader for three files below reports/:

- published_results.csv: the first article's figures. It prints names of transforms and no recipes, so a cell's
  transform matches by its kind, and another recipe is a caveat.
- published_public.csv: public figures of others. Their code says views and recipe, so both match by their values.
- published_second_article.csv: four figures of ImageNet-1K and large networks, which match no cell and are shown in a
  table of their own.
"""

import csv
import json
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar, get_args

from sslbench import registry
from sslbench.config.validation import filled
from sslbench.errors import UserError
from sslbench.grid.cell import Transform
from sslbench.methods.spec import Preset
from sslbench.report.wording import split_words
from sslbench.transforms.spec import merge

LEDGER = Path(__file__).resolve().parent / "data" / "published_results.csv"
PUBLIC = LEDGER.with_name("published_public.csv")
SECOND = LEDGER.with_name("published_second_article.csv")
METRICS = {  # as the ledger says it: in words
    "top1": "top-1, linear probe",
    "top5": "top-5, linear probe",
    "top1-online": "top-1, linear layer trained beside the method",
    "top1-augmented": "top-1, linear probe trained on augmented images",
    "top1-finetuned": "top-1, fine-tuned",
    "top1-supervised": "top-1, trained with labels",
    "knn5": "top-1, 5-NN",
    "knn10": "top-1, 10-NN",
    "knn20": "top-1, 20-NN",
    "knn20-online": "top-1, 20-NN of training views",
    "knn200": "top-1, 200-NN",
}

Row = TypeVar("Row")
_NUMBERS = {"pictures": int, "test_pictures": int, "value": float, "minutes": float, "peak_gb": float}
_NUMBERS |= {"input_size": int, "epochs": int, "batch_size": int}
_KNOWN = {
    "method": {"", *registry.METHODS, *registry.REFERENCES},
    "transform": {"", *registry.TRANSFORMS},
    "preset": {"", *get_args(Preset)},
    "metric": set(METRICS),
}


@dataclass(frozen=True)
class Figure:
    """One published figure. Numbers are None where the source gives none."""

    source: str  # who published it
    place: str  # where in the source
    dataset: str  # as the ledger calls it
    dataset_sources: tuple[str, ...]  # what sslbench calls the archives that it may have been measured on
    pictures: int | None  # in the whole dataset, training and test
    test_pictures: int | None  # what its figures point to
    model: str  # as printed
    method: str  # as registered here; "" where we do not have it
    options: dict  # the method's options, `recipe` among them, that make this entry, e.g. {"alpha": 0.95}
    transform: str  # as registered here; "" where it is not written down as one of ours
    overrides: dict  # of its operations' parameters
    transform_as_printed: str
    preset: str  # whose constants it was made with; "" where the source gives no recipe, or one that we do not have
    metric: str  # of METRICS
    value: float  # share in [0, 1]
    printed: str  # the value's digits as published
    minutes: float | None
    peak_gb: float | None
    backbone: str  # timm's name, where it is one
    weights: str
    input_size: int | None  # px
    epochs: int | None
    batch_size: int | None
    precision: str  # what the source says or shows of it
    evaluator: str
    split: str
    epoch: str
    caveats: str  # what else may make it differ


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
    """All figures of the ledger at ``path`` (LEDGER or PUBLIC), in its order. Raises UserError for a malformed row."""
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
    found = [(f, _differences(f, settings, pictures) + _overridden(f, overrides)) for f in crossed]
    nearest, differences = min(found, key=lambda one: len(one[1]))
    if differences:
        return Beside(None, reason="; ".join(differences))
    return Beside(nearest, caveats=tuple(_caveats(nearest, settings, pictures)))


def by_place(figures: list[Figure]) -> dict[tuple[str, str], list[Figure]]:
    """The figures by (data as sslbench calls it, method), those without either left out."""
    found: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        for source in figure.dataset_sources if figure.method else ():
            found.setdefault((source, figure.method), []).append(figure)
    return found


def matching(figures: list[Figure], settings: Mapping, measured: Container[str], pictures: dict) -> list[Beside]:
    """All public figures that may stand beside a cell, with their caveats.

    ``figures``: of its data and method (by_place); ``settings``: the cell's settings, as resolved; ``measured``: the
    metrics that it has; ``pictures``: as in beside.
    """
    return [
        Beside(figure, tuple(_caveats(figure, settings, pictures)))
        for figure in figures
        if figure.metric in measured
        and figure.transform
        and not _differences(figure, settings, pictures)
        and _views(figure.transform, json.dumps(figure.overrides)) == settings["transform"]
    ]


def _figure(row: dict) -> Figure:
    values = {key: (_NUMBERS[key](text) if text else None) if key in _NUMBERS else text for key, text in row.items()}
    if values["value"] is None or not 0 <= values["value"] <= 1:
        raise ValueError("value is no share in [0, 1]")
    for key, known in _KNOWN.items():
        if values[key] not in known:
            raise ValueError(f"no {key} is called {values[key]!r}")
    values["dataset_sources"] = tuple(row["dataset_sources"].split())
    values |= {key: json.loads(row[key] or "{}") for key in ("options", "overrides")}
    return Figure(**values, printed=row["value"])


def _milestone(row: dict) -> Milestone:
    numbers = {"year": int(row["year"]), "value": float(row["value"]), "parameters": float(row["parameters"])}
    return Milestone(**row | numbers | {"right": {"yes": True, "no": False}[row["right"]]})


@cache
def defaults(method: str, preset: str = "") -> tuple[dict, dict]:
    """The options and the recipe that a method begins with under a preset ("": its first), with nothing overridden."""
    kind = registry.load(f"{registry.METHODS[method]}.settings").Settings
    settings = filled(kind, kind.presets[preset] if preset else {}, method)
    options = settings.model_dump(mode="json", exclude={"recipe"})
    return options, settings.recipe.model_dump(mode="json")


@cache
def _views(kind: str, overrides: str) -> list[list[dict]]:
    """The operations of both views of a transform, as a cell's settings hold them; ``overrides`` as JSON."""
    values = json.loads(overrides)
    settings = registry.load(registry.TRANSFORMS[kind]).Settings.model_validate(values)
    return Transform(kind, kind, settings, values).branches


def _differences(figure: Figure, settings: Mapping, pictures: dict) -> list[str]:
    """What of the protocol but the transform differs, each as `ours (theirs)`; empty where nothing does."""
    train, backbone = settings["train"], settings["backbone"]
    pairs = [
        ("pictures", pictures.get("all") or figure.pictures, figure.pictures),
        ("backbone", backbone["name"], figure.backbone),
        ("input size", settings["input_size"], figure.input_size),
        ("epochs", train["epochs"], figure.epochs),
        ("batch", train["batch_size"], figure.batch_size),
        ("parts of a batch", train.get("accumulate", 1), 1),
    ]
    if figure.split == "official":
        pairs.append(("split", settings["dataset"]["split"], figure.split))
    found = [
        f"{what} {_plain(ours)} (published: {'not said' if theirs is None else _plain(theirs)})"
        for what, ours, theirs in pairs
        if ours != theirs
    ]
    if backbone.get("options"):
        found.append(f"backbone options {_keys(backbone['options'])} (published: none named, {figure.weights})")
    if settings.get("auxiliary"):
        found.append(f"further loss {_keys(settings['auxiliary'])} (published: none)")
    options, recipe = defaults(figure.method, figure.preset)
    theirs = merge(options | {"recipe": recipe}, figure.options)
    recipe = theirs.pop("recipe")
    found += _changed(settings["method"]["options"], theirs)
    if figure.preset:
        gain = {"residual_gain": backbone.get("residual_gain")}
        found += _changed(settings["recipe"] | gain, recipe, "recipe.")
    return found


def _changed(ours: Mapping, theirs: Mapping, prefix: str = "") -> list[str]:
    changed = sorted(key for key in theirs.keys() | ours.keys() if ours.get(key) != theirs.get(key))
    return [f"{prefix}{key} {_plain(ours.get(key))} (published: {_plain(theirs.get(key))})" for key in changed]


def _overridden(figure: Figure, overrides: Mapping) -> list[str]:
    return [f"transform with {_keys(overrides)} set (published: {figure.transform_as_printed})"] if overrides else []


def _caveats(figure: Figure, settings: Mapping, pictures: dict) -> list[str]:
    """What the source leaves open, and what of ours is known to differ without being part of the match."""
    source, caveats = settings["dataset"]["source"], []
    if figure.split != "official":
        caveats.append(f"split: {figure.split}; ours is {split_words(settings['dataset']['split'])}")
    test = pictures.get("test")
    if test and figure.test_pictures and test != figure.test_pictures:
        caveats.append(f"test pictures: {test:,} here, {figure.test_pictures:,} by the published figures")
    if len(figure.dataset_sources) > 1:
        caveats.append(f"size of the pictures: not said; ours are {source}")
    caveats.append(f"evaluator: {figure.evaluator}")
    caveats.append(f"epoch: {figure.epoch}; ours is the last")
    recipe = defaults(figure.method)[1]
    changed = sorted(key for key, value in settings["recipe"].items() if value != recipe.get(key))
    if changed and not figure.preset:
        caveats.append(f"recipe: {', '.join(changed)} set here")
    if settings["train"].get("precision") != "fp32":
        caveats.append(f"precision: {settings['train']['precision']} here; {figure.precision}")
    return caveats + ([figure.caveats] if figure.caveats else [])


def _keys(values: Mapping, prefix: str = "") -> str:
    """The dotted names of all values in a nested dict: `jitter.strength, blur.p`."""
    names = (
        _keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else f"{prefix}{key}"
        for key, value in sorted(values.items())
    )
    return ", ".join(names)


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
