"""Your own pictures: one folder per class, or one flat folder without labels.

    <class>/...                     split per class, seeded: `test_share` of each class tests
    train/<class>/..., test/<class>/...    your own split (test may be called val, valid or validation)
    *.jpg                           no labels: everything trains; `evaluate_on` names a labelled dataset to judge by,
                                    or `labelled: false` says that there is none

Pictures may lie deeper than their class folder. Other files are passed over.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sslbench.data import splits
from sslbench.data.layouts.tree import SUFFIXES, archives_hint, entries, is_picture, listing_of, pictures_below
from sslbench.data.spec import DatasetSettings, Listing, Record
from sslbench.errors import UserError

TRAIN, TESTS = "train", ("test", "val", "valid", "validation")


class Settings(DatasetSettings):
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of each class, where the folder has no split of its own
    split_seed: Annotated[int, Field(ge=0)] = 0  # chooses which

    def source(self) -> str:
        return "folder"

    def identity(self) -> dict:
        return {"kind": "folder"}

    def split_name(self) -> str:
        """The folder's own split where it has one: that is seen when the pack is opened, not here."""
        return "own-or-" + splits.per_class_name(self.test_share, self.split_seed)


def scan(root: Path, settings: Settings) -> Listing:
    """Raises UserError where there are no pictures, an empty class, or pictures both beside and in folders."""
    folders = [Path(entry.path) for entry in entries(root) if entry.is_dir()]
    loose = [entry.name for entry in entries(root) if not entry.is_dir() and is_picture(entry.name)]
    if loose and folders:
        raise UserError(
            f"{root}: has pictures ({loose[0]!r}) beside folders ({folders[0].name!r}): give every class its folder, "
            "or put all pictures into one flat folder"
        )
    if loose:
        return _unlabelled(root, loose, settings)
    names = {folder.name.lower(): folder for folder in folders}
    tests = [names[name] for name in TESTS if name in names]
    if TRAIN in names and len(tests) == 1 and len(folders) == 2:
        return _own_split(names[TRAIN], tests[0])
    records = [record for folder in folders for record in _of_class(folder, folder.name)]
    if not records:
        raise UserError(_no_pictures(root))
    listing = listing_of(records, sorted(folder.name for folder in folders), {}, {})
    return listing._replace(splits={splits.per_class_name(0.2, 0): _default_split(listing)})


def _default_split(listing: Listing) -> dict[str, list[int]]:
    import numpy as np

    order = {name: position for position, name in enumerate(listing.classes)}
    labels = np.array([order[record.label] for record in listing.records], dtype=np.int64)
    names = [record.path for record in listing.records]
    return {k: v.tolist() for k, v in splits.resolve(splits.per_class_name(0.2, 0), {}, labels, names).items()}


def _unlabelled(root: Path, names: list[str], settings: Settings) -> Listing:
    if settings.labelled and settings.evaluate_on is None:
        raise UserError(
            f"{root}: holds pictures without class folders, so there are no labels to probe with: set evaluate_on: to "
            "the name of a labelled dataset, or labelled: false to be measured without any"
        )
    return listing_of([Record(name, None) for name in names], [], {}, {splits.OFFICIAL: ()})


def _own_split(train: Path, test: Path) -> Listing:
    records, classes, tests = [], set(), set()
    for part in (train, test):
        loose = [entry.name for entry in entries(part) if not entry.is_dir() and is_picture(entry.name)]
        if loose:
            raise UserError(f"{part}: has pictures ({loose[0]!r}) outside class folders; give every class its folder")
        for folder in (Path(entry.path) for entry in entries(part) if entry.is_dir()):
            classes.add(folder.name)
            found = _of_class(folder, f"{part.name}/{folder.name}", folder.name)
            records += found
            tests |= {record.path for record in found if part is test}
    for part in (train, test):
        if not any(record.path.startswith(f"{part.name}/") for record in records):
            raise UserError(_no_pictures(part))
    return listing_of(records, sorted(classes), {}, {splits.OFFICIAL: tests})


def _of_class(folder: Path, prefix: str, label: str | None = None) -> list[Record]:
    found = pictures_below(folder)
    if not found:
        raise UserError(_no_pictures(folder, "this class"))
    return [Record(f"{prefix}/{name}", label or prefix) for name in found]


def _no_pictures(folder: Path, what: str = "it") -> str:
    others = Counter(path.suffix.lower() or path.name for path in folder.rglob("*") if path.is_file())
    seen = f" (it has {', '.join(name for name, _ in others.most_common(3))} files)" if others else ""
    if hint := archives_hint(folder):
        return f"{folder}: {what} has no pictures; {hint}"
    return f"{folder}: {what} has no pictures{seen}; add some ({', '.join(SUFFIXES)}) or remove the folder"
