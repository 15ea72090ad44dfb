"""NABirds: 48,562 photographs of 555 kinds of North American birds (Van Horn et al. 2015, CVPR).

Official layout: text files that speak of ``<id> <value>``, ids with dashes, and ``images/<class>/<id>.jpg``. Class ids
have gaps, and most entries of classes.txt have no pictures: the labels here are the positions of the ids that have.
The pictures stand behind a terms form and are never downloaded by the project.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sslbench.data import splits
from sslbench.data.layouts.tree import listing_of
from sslbench.data.spec import DatasetSettings, Listing, Record
from sslbench.errors import UserError

PAGE = "https://dl.allaboutbirds.org/nabirds"
_FILES = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


class Settings(DatasetSettings):
    label_files: ClassVar[tuple[str, ...]] = _FILES

    # official: 23,929 train and 24,633 test; per-class-80-20: 38,655 and 9,907, which the article's figures point to
    split: Literal["official", "per-class-80-20"] = "official"
    split_seed: Annotated[int, Field(ge=0)] = 0  # of per-class-80-20

    def source(self) -> str:
        return "nabirds"

    def how_to_get(self) -> str:
        return f"ask for it at {PAGE} (a form with its terms) and name the file as this dataset's archive:"

    def identity(self) -> dict:
        return {"kind": "nabirds"}

    def published(self) -> tuple[int, int, int]:
        return (23_929, 24_633, 555) if self.split == "official" else (38_655, 9_907, 555)

    def split_name(self) -> str:
        return "official" if self.split == "official" else splits.per_class_name(0.2, self.split_seed)


def scan(root: Path, settings: Settings) -> Listing:
    listing = read_metadata(root)
    if not (root / "images").is_dir():
        raise UserError(f"{root}: has NABirds' text files and no folder 'images': {settings.how_to_get()}")
    return listing


def read_metadata(root: Path) -> Listing:
    """What NABirds' text files say, with both splits (seed 0); no picture is looked at.

    Raises UserError, naming file and line, where a file is missing or does not hold what it should.
    """
    import numpy as np

    missing = [name for name in _FILES if not (root / name).is_file()]
    if missing:
        raise UserError(
            f"{root}: has no {', '.join(missing)}, so it is not NABirds as published; check archive: or path:"
        )
    paths = _table(root / "images.txt")
    class_ids = _table(root / "image_class_labels.txt")
    trains = _table(root / "train_test_split.txt")
    titles = _table(root / "classes.txt", dashes=True)
    for name, table in (("image_class_labels.txt", class_ids), ("train_test_split.txt", trains)):
        if table.keys() != paths.keys():
            odd = min(table.keys() ^ paths.keys())
            raise UserError(
                f"{root / name}: does not speak of the pictures of images.txt (the first that differs: {odd!r})"
            )
    for key, value in trains.items():
        if value not in ("0", "1"):
            raise UserError(
                f"{root / 'train_test_split.txt'}: picture {key!r} has {value!r} where 1 (train) or 0 (test) belongs"
            )
    classes = sorted(set(class_ids.values()), key=lambda text: (not text.isdecimal(), len(text), text))
    unnamed = [label for label in classes if label not in titles]
    if unnamed:
        raise UserError(f"{root / 'classes.txt'}: has no name for class {unnamed[0]!r}")
    records = [Record(f"images/{path}", class_ids[key]) for key, path in paths.items()]
    tests = {f"images/{paths[key]}" for key, value in trains.items() if value == "0"}
    listing = listing_of(records, classes, titles, {"official": tests})
    order = {label: position for position, label in enumerate(classes)}
    labels = np.array([order[record.label] for record in listing.records], dtype=np.int64)
    name = splits.per_class_name(0.2, 0)
    resplit = splits.resolve(name, {}, labels, [record.path for record in listing.records])
    derived = {part: positions.tolist() for part, positions in resplit.items()}
    return listing._replace(splits=listing.splits | {name: derived})


def _table(file: Path, dashes: bool = False) -> dict[str, str]:
    """``key -> rest of the line``; dashes are taken out of the keys unless told, as in the pictures' file names."""
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    table: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ")
        key = key if dashes else key.replace("-", "")
        if not value.strip() or key in table:
            fault = "names a thing twice" if key in table else "is not '<id> <value>'"
            raise UserError(f"{file}: line {number} {fault} ({line.strip()[:60]!r}); get the archive anew")
        table[key] = value.strip()
    return table
