"""Torchvision's sets of image classification, by the names of its classes: what they download, read by readers of ours.

    name: EuroSAT                       downloaded, by torchvision's URL and checksum
    name: EuroSAT, path: /data          from the folder that torchvision downloaded to (its `root=`)

Training, validation and test images are torchvision's, and labels have its order; a set without test images is split
per class, seeded. What a set holds as arrays becomes PPM files, without loss. `variant` chooses where torchvision has
several sets in one. Torchvision itself is not needed here: tests compare images and labels with what its classes read.
"""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, field_validator, model_validator

from sslbench import registry
from sslbench.data import splits
from sslbench.data.layouts import split_names
from sslbench.data.layouts.tree import entries, pictures_below
from sslbench.data.sources import archives
from sslbench.data.sources.torchvision_files import SETS, Published
from sslbench.data.spec import Archive, DatasetSettings, Listing, Record
from sslbench.errors import UserError

UNLABELED, BOTH = "unlabeled", "train+unlabeled"
# set -> what `variant` may be; the first is the default
VARIANTS: dict[str, tuple[str, ...]] = {
    "DTD": tuple(map(str, range(1, 11))),  # the partition into training, validation and test images
    "EMNIST": ("balanced", "byclass", "bymerge", "letters", "digits", "mnist"),
    "FGVCAircraft": ("variant", "family", "manufacturer"),  # what the classes are
    "STL10": ("labeled", UNLABELED, BOTH),  # which images are pretrained on
}
_OF_SPLITS = ("DTD", "STL10")  # whose variants are splits of one pack
# Training and test images and classes of variants that have others than the first
_COUNTS = {
    ("EMNIST", "byclass"): (697_932, 116_323, 62),
    ("EMNIST", "bymerge"): (697_932, 116_323, 47),
    ("EMNIST", "letters"): (124_800, 20_800, 26),
    ("EMNIST", "digits"): (240_000, 40_000, 10),
    ("EMNIST", "mnist"): (60_000, 10_000, 10),
    ("FGVCAircraft", "family"): (3_334, 3_333, 70),
    ("FGVCAircraft", "manufacturer"): (3_334, 3_333, 30),
    ("STL10", UNLABELED): (100_000, 0, 10),
    ("STL10", BOTH): (105_000, 0, 10),
}
_EUROSAT = (3000,) * 5 + (2500,) * 4 + (2000,)  # images of each class


# Classes of torchvision.datasets that classify images and are not read, and why
_OTHERS = {
    "CLEVRClassification": "its test images have no labels",
    "CelebA": "torchvision has it on Google Drive, and its images have several labels each",
    "FER2013": "it needs an account at Kaggle",
    "INaturalist": "it takes hundreds of GB and has test images without labels",
    "ImageNet": "it is kind: imagenet",
    "Imagenette": "it is kind: imagenette",
    "LFWPeople": "the URL that torchvision had of it is dead",
    "Omniglot": "its test images are of other classes than its training images",
    "PCAM": "torchvision has it on Google Drive",
    "Places365": "it takes hundreds of GB and has test images without labels",
}


class Settings(DatasetSettings):
    label_files: ClassVar[tuple[str, ...]] = ("",)  # whatever a set has beside images says what they show

    name: str | None = None  # of a class in torchvision.datasets, e.g. EuroSAT
    variant: str | None = None  # where a set has several: VARIANTS; null: the first
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of each class, where a set has no test images
    split_seed: Annotated[int, Field(ge=0)] = 0  # chooses which

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is None or name in SETS:
            return name
        folded = {known.casefold(): known for known in (*SETS, *_OTHERS)}
        if why := _OTHERS.get(folded.get(name.casefold(), name)):
            raise ValueError(f"{why}; with images of your own write kind: folder or kind: table")
        guess = registry.nearest(name.casefold(), list(folded))
        guess = re.sub(r"'(.+)'", lambda found: repr(folded[found[1]]), guess)
        raise ValueError(
            f"no set of image classification of torchvision's is called so.{guess} Known: {', '.join(SETS)}"
        )

    @field_validator("variant", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if type(value) is int else value

    @model_validator(mode="after")
    def _has_variant(self) -> "Settings":
        if self.name is None and (self.path or self.archive):
            raise ValueError(f"name is missing: one of {', '.join(SETS)}")
        known = VARIANTS.get(self.name or "", ())
        if self.variant is not None and self.variant not in known:
            raise ValueError(
                f"variant of {self.name} is one of {', '.join(known)}" if known else f"{self.name} has no variant"
            )
        if self.chosen in (UNLABELED, BOTH) and self.probed and self.evaluate_on is None:
            raise ValueError(
                f"the {self.chosen} images of {self.name} have no test set: write evaluate_on: with the name of "
                "a labelled dataset, or labelled: false"
            )
        if self.archive is not None and self.name and len(self._published.files) != 1:
            raise ValueError(
                f"{self.name} is not one archive: give path:, the folder that torchvision downloaded to (its root=)"
            )
        return self

    @property
    def _published(self) -> Published:
        return SETS[self.name]

    @property
    def chosen(self) -> str:
        """The variant, "" where there are none."""
        return self.variant or next(iter(VARIANTS.get(self.name or "", [""])))

    @property
    def listed(self) -> bool:
        return self.path is not None and self.name in IMAGES

    def read_from(self) -> list[Path]:
        """What the set needs of a folder that may hold many."""
        if self.path is None or self.name is None:
            return super().read_from()
        return [self.path / place for place in self._published.places]

    def missing(self) -> str | None:
        if found := super().missing():
            return found
        lacking = [place for place in self.read_from() if not place.exists()] if self.path is not None else []
        if lacking:
            what = f"there is no {lacking[0]}, where torchvision's {self.name} is"
            return f"path: {what}; give the folder that was its root="
        return None

    def source(self) -> str:
        kept_apart = f"-{self.chosen}" if self.variant_of_labels else ""
        return "torchvision" + (f"-{self.name}{kept_apart}" if self.name else "")

    @property
    def variant_of_labels(self) -> str | None:
        """The variant where it decides what is packed, and not which images train."""
        return self.chosen if self.name in VARIANTS and self.name not in _OF_SPLITS else None

    def downloads(self) -> tuple[Archive, ...]:
        files = self._published.files if self.name else ()
        return tuple(Archive(url=file.url, file=file.name, md5=file.md5) for file in files)

    def how_to_get(self) -> str:
        if self.name is None:
            return f"set name: to one of {', '.join(SETS)}"
        return (
            f"the URL that torchvision had of {self.name} is dead: set path: to a folder that holds "
            f"{' and '.join(self._published.places)}"
        )

    def identity(self) -> dict:
        variant = self.variant_of_labels
        return {"kind": "torchvision", "name": self.name} | ({"variant": variant} if variant else {})

    def published(self) -> tuple[int, int, int] | None:
        if self.name is None:
            return None
        if self.name == "EuroSAT":
            train = sum(int(size * (1 - Fraction(str(self.test_share)))) for size in _EUROSAT)
            return train, sum(_EUROSAT) - train, len(_EUROSAT)
        counts = self._published.counts
        return _COUNTS.get((self.name, self.chosen)) or (counts and (*counts, self._published.classes))

    def split_name(self) -> str:
        if self.name and self._published.counts is None:
            return splits.per_class_name(self.test_share, self.split_seed)
        return _split_name(self.name, self.chosen)


def _split_name(name: str | None, variant: str) -> str:
    """Of the pack's splits, that of a variant: the first is the official one."""
    if name not in _OF_SPLITS or variant == VARIANTS[name][0]:
        return splits.OFFICIAL
    return f"partition{variant}" if name == "DTD" else variant


class Row(NamedTuple):
    """An image as a set lists it."""

    part: str  # train, val, test or unlabeled; "" where the set has none
    label: str | None  # class
    path: str  # below the set's folder


class Found(NamedTuple):
    rows: list[Row]
    classes: list[str] = []  # in label order; []: the labels, sorted
    titles: dict[str, str] = {}


def unpack(settings: Settings, found: Path, into: Path) -> Path:
    """The folder that stands for torchvision's root: the user's own, or ``into`` with the files of ``found`` unpacked.

    Of a set of arrays it is ``into`` with ``images/<part>/<label>/<number>.ppm`` and classes.txt, their names in order.
    Raises UserError where an archive is unsafe or a file is not what it should be.
    """
    name, root = settings.name, found
    if settings.path is None:
        root = into if name in IMAGES else into / "files"
        for file in SETS[name].files:
            source = found if found.is_file() else found / file.name
            where = root / file.where
            where.mkdir(parents=True, exist_ok=True)
            if file.name.endswith((".zip", ".tar", ".tgz", ".tar.gz")):
                _add(source, where)
            else:
                shutil.copyfile(source, where / file.name)
    if name == "Caltech101" and settings.path is None:  # an archive of archives
        _add(root / "caltech101" / "caltech-101" / "101_ObjectCategories.tar.gz", root / "caltech101")
    if name in IMAGES:
        return root
    from sslbench.data.layouts import torchvision_arrays  # needs numpy, which reading a config does without

    into.mkdir(parents=True, exist_ok=True)
    torchvision_arrays.write(name, settings.chosen, root, into)
    shutil.rmtree(into / "files", ignore_errors=True)
    return into


def _add(archive: Path, where: Path) -> None:
    """Unpack ``archive`` into a folder that may hold some of its folders."""
    if not archive.is_file():
        raise UserError(f"{archive}: is not in the archive, so it is another set; check archive:")
    beside = where / "unpacking"
    archives.extract(archive, beside)
    shutil.copytree(beside, where, dirs_exist_ok=True, copy_function=os.replace)
    shutil.rmtree(beside)


def base(root: Path, settings: Settings) -> Path:
    return root / (SETS[settings.name].places[0] if settings.name in IMAGES else "images")


def scan(root: Path, settings: Settings) -> Listing:
    """Raises UserError where a folder, a list or an image of one is missing."""
    name, chosen = settings.name, settings.chosen
    try:
        read = IMAGES.get(name, _arrays)
        found = read(root, chosen)
        every = {_split_name(name, v): read(root, v).rows for v in VARIANTS[name]} if name == "DTD" else {}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{error.filename}: is missing, so this is not {name} as torchvision has it; check path: or "
                        "archive:") from error  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{root}: a list of {name} is not as published ({error}); get it anew") from error
    for row in found.rows:
        if not os.path.isfile(root / row.path):  # noqa: PTH113 - a Path for each takes seconds
            raise UserError(f"{root}: {row.path!r} is missing, which {name} lists; get it anew")
    records = sorted(Record(row.path, row.label) for row in found.rows)
    classes = found.classes or sorted({row.label for row in found.rows} - {None})
    listing = Listing(records, classes, [found.titles.get(c, c) for c in classes], {})
    if not any(row.part for row in found.rows):
        return split_names.with_derived_split(listing)
    every = every or {splits.OFFICIAL: found.rows}
    listed = {split: _positions(records, rows, ("train",)) for split, rows in every.items()}
    if name == "STL10":
        listed[UNLABELED] = _positions(records, found.rows, ("unlabeled",)) | {"test": []}
        listed[BOTH] = _positions(records, found.rows, ("train", "unlabeled")) | {"test": []}
    published, split = settings.published(), listed[settings.split_name()]
    if published and (len(split["train"]), len(split["test"])) != published[:2]:
        raise UserError(
            f"{root}: holds {len(split['train']):,} training and {len(split['test']):,} test images, and {name} has "
            f"{published[0]:,} and {published[1]:,}: get it whole, or write kind: folder for images of your own"
        )
    return listing._replace(splits=listed)


def _positions(records: list[Record], rows: list[Row], trained_on: tuple[str, ...]) -> dict[str, list[int]]:
    part = {row.path: row.part for row in rows}
    used = {"train": trained_on, "test": ("test",)} | ({"val": ("val",)} if "val" in part.values() else {})
    return {role: [i for i, record in enumerate(records) if part.get(record.path) in of] for role, of in used.items()}


def _folders(top: Path, parts: dict[str, str], but: str = "") -> list[Row]:
    """Images in a folder per class, below a folder per part."""
    rows = []
    for part, below in parts.items():
        if not (top / below).is_dir():
            raise FileNotFoundError(0, "", str(top / below))
        for folder in (e for e in entries(top / below) if e.is_dir() and e.name != but):
            found = pictures_below(Path(folder.path))
            rows += [Row(part, folder.name, f"{below}/{folder.name}/{image}") for image in found]
    return rows


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _arrays(top: Path, variant: str) -> Found:
    """What ``unpack`` has made of arrays."""
    rows = _folders(top, {part: part for part in ("train", "test", "all") if (top / part).is_dir()})
    rows = [row._replace(part="") if row.part == "all" else row for row in rows]
    if (top / "unlabeled").is_dir():
        rows += [Row("unlabeled", None, f"unlabeled/{name}") for name in pictures_below(top / "unlabeled")]
    titles = (top.parent / "classes.txt").read_text(encoding="utf-8").split("\n")
    return Found(rows, titles={f"{label:03}": title for label, title in enumerate(titles)})


def _dtd(top: Path, variant: str) -> Found:
    return Found(
        [
            Row(part, line.split("/")[0], f"dtd/images/{line}")
            for part in ("train", "val", "test")
            for line in _lines(top / "dtd" / "labels" / f"{part}{variant}.txt")
        ]
    )


def _flowers(top: Path, variant: str) -> Found:
    """The lists are MATLAB's; its numbers begin with 1."""
    from scipy.io import loadmat  # as above

    labels = loadmat(top / "imagelabels.mat", squeeze_me=True)["labels"]
    ids = loadmat(top / "setid.mat", squeeze_me=True)
    parts = {"train": "trnid", "val": "valid", "test": "tstid"}
    rows = [
        Row(part, f"{labels[number - 1]:03}", f"jpg/image_{number:05}.jpg")
        for part, key in parts.items()
        for number in ids[key].tolist()
    ]
    return Found(rows)


def _pets(top: Path, variant: str) -> Found:
    rows, numbers = [], {}
    for part, file in (("train", "trainval.txt"), ("test", "test.txt")):
        for line in _lines(top / "annotations" / file):
            image, number, *_ = line.split()
            breed = image.rpartition("_")[0]
            numbers[breed] = int(number)
            rows.append(Row(part, breed, f"images/{image}.jpg"))
    classes = sorted(numbers, key=numbers.__getitem__)
    return Found(rows, classes, {name: name.replace("_", " ").title() for name in classes})


def _food(top: Path, variant: str) -> Found:
    rows = []
    for part in ("train", "test"):
        listed = json.loads((top / "meta" / f"{part}.json").read_text(encoding="utf-8"))
        rows += [Row(part, label, f"images/{image}.jpg") for label, images in listed.items() for image in images]
    return Found(rows)


def _signs(top: Path, variant: str) -> Found:
    rows = _folders(top, {"train": "GTSRB/Training"})
    with (top / "GT-final_test.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter=";"):
            rows.append(Row("test", f"{int(row['ClassId']):05}", f"GTSRB/Final_Test/Images/{row['Filename']}"))
    return Found(rows)


def _aircraft(top: Path, variant: str) -> Found:
    plural = {"variant": "variants", "family": "families", "manufacturer": "manufacturers"}[variant]
    rows = []
    for part in ("train", "val", "test"):
        for line in _lines(top / "data" / f"images_{variant}_{part}.txt"):
            image, label = line.split(" ", 1)
            rows.append(Row(part, label, f"data/images/{image}.jpg"))
    return Found(rows, _lines(top / "data" / f"{plural}.txt"))


def _sun(top: Path, variant: str) -> Found:
    """A class is two or three folders deep, `/a/abbey` or `/c/church/indoor`."""
    rows, classes = [], []
    for line in _lines(top / "ClassName.txt"):
        classes.append(line[3:])
        for image in sorted((top / line.strip("/")).glob("sun_*.jpg")):
            rows.append(Row("", classes[-1], f"{line.strip('/')}/{image.name}"))
    return Found(rows, classes)


def _cars(top: Path, variant: str) -> Found:
    from scipy.io import loadmat  # as above

    titles = loadmat(top / "devkit" / "cars_meta.mat", squeeze_me=True)["class_names"].tolist()
    lists = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    rows = [
        Row(part, f"{int(one['class']):03}", f"cars_{part}/{one['fname']}")
        for part, file in lists.items()
        for one in loadmat(top / file, squeeze_me=True)["annotations"]
    ]
    return Found(rows, titles={f"{number:03}": title for number, title in enumerate(titles, 1)})


# Sets of image files: what lists the images, given the set's folder and the variant
IMAGES: dict[str, Callable[[Path, str], Found]] = {
    "Caltech101": lambda top, _: Found(_folders(top, {"": "101_ObjectCategories"}, but="BACKGROUND_Google")),
    "Caltech256": lambda top, _: Found(_folders(top, {"": "256_ObjectCategories"})),
    "Country211": lambda top, _: Found(_folders(top, {"train": "train", "val": "valid", "test": "test"})),
    "DTD": _dtd,
    "EuroSAT": lambda top, _: Found(_folders(top, {"": "2750"})),
    "FGVCAircraft": _aircraft,
    "Flowers102": _flowers,
    "Food101": _food,
    "GTSRB": _signs,
    "OxfordIIITPet": _pets,
    "RenderedSST2": lambda top, _: Found(_folders(top, {"train": "train", "val": "valid", "test": "test"})),
    "SUN397": _sun,
    "StanfordCars": _cars,
}
