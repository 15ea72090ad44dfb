"""ImageNet-1k (ILSVRC 2012; Russakovsky et al. 2015), and any subset of its classes: wnid folders, no devkit needed.

    train/<wnid>/*.JPEG, val/<wnid>/*.JPEG      as torchvision and most scripts leave it
    val/*.JPEG and LOC_val_solution.csv         as Kaggle has it, below ILSVRC/Data/CLS-LOC or beside the csv

The official validation pictures test. Classes are in the order of their wnids, which is that of ImageNet's labels 0 to
999 as torchvision and timm have them, or in the order of LOC_synset_mapping.txt (`<wnid> <title>` a line), which also
names them. A test folder, whose labels were never published, is passed over.
"""

import csv
from pathlib import Path
from typing import ClassVar, Literal

from sslbench.data.layouts.tree import archives_hint, entries, is_picture, listing_of, pictures_below, top_folder
from sslbench.data.spec import DatasetSettings, Listing, Record
from sslbench.errors import UserError

PAGE = "https://www.image-net.org/download.php"
TITLES, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
KAGGLE = "ILSVRC/Data/CLS-LOC"  # where its archive has train and val
PARTS = ("train", "val")  # one of them alone is no folder around the pictures (pack/write.py)


class Settings(DatasetSettings):
    label_files: ClassVar[tuple[str, ...]] = (TITLES, SOLUTION)

    # 1.28 million pictures of 256 px take more than 300 GB as pixels.
    encoding: Literal["pixels", "jpeg"] = "jpeg"

    def source(self) -> str:
        return "imagenet"

    def how_to_get(self) -> str:
        return (
            f"get it at {PAGE} (an account, with its terms) and set path: to the folder that holds train and val, or "
            "archive: to one archive of both"
        )

    def identity(self) -> dict:
        return {"kind": "imagenet"}

    def published(self) -> tuple[int, int, int]:
        return 1_281_167, 50_000, 1000

    def known_counts(self) -> None:
        """A folder may hold fewer classes."""


def base(root: Path, settings: Settings) -> Path:
    return top_folder(root, PARTS)


def scan(root: Path, settings: Settings) -> Listing:
    """Raises UserError where train or val is missing, has no pictures, or names classes that the other lacks."""
    base = next((b for b in (root, root / KAGGLE) if (b / "train").is_dir() and (b / "val").is_dir()), None)
    if base is None:
        lacking = [repr(part) for part in PARTS if not (root / part).is_dir()]
        raise UserError(
            f"{settings.path or settings.archive or root}: has no folder{'s' * (len(lacking) - 1)} "
            f"{' and '.join(lacking)}, so it is not ImageNet; "
            f"{archives_hint(root) or 'check archive: or path:'}"
        )
    prefix = "" if base == root else f"{KAGGLE}/"
    titles = _titles(root)
    train = _by_folder(base / "train", f"{prefix}train")
    loose = [entry.name for entry in entries(base / "val") if not entry.is_dir() and is_picture(entry.name)]
    test = _by_solution(root, loose, f"{prefix}val") if loose else _by_folder(base / "val", f"{prefix}val")
    classes = {record.label for record in train}
    if odd := sorted({record.label for record in test} - classes):
        raise UserError(f"{base / 'val'}: has pictures of {odd[0]!r}, which train lacks; get the folder anew")
    if titles and (odd := sorted(classes - titles.keys())):
        raise UserError(f"{root / TITLES}: does not name {odd[0]!r}, a folder of train; mend the file or remove it")
    ordered = [name for name in titles if name in classes] if titles else sorted(classes)
    return listing_of(train + test, ordered, titles, {"official": {record.path for record in test}})


def _by_folder(part: Path, prefix: str) -> list[Record]:
    records = []
    for folder in (Path(entry.path) for entry in entries(part) if entry.is_dir()):
        found = pictures_below(folder)
        if not found:
            cure = archives_hint(folder) or "get them, or remove the folder from train and val"
            raise UserError(f"{folder}: this class has no pictures; {cure}")
        records += [Record(f"{prefix}/{folder.name}/{name}", folder.name) for name in found]
    if not records:
        raise UserError(
            f"{part}: has no folders of pictures, one per class; {archives_hint(part) or 'check archive: or path:'}"
        )
    return records


def _by_solution(root: Path, names: list[str], prefix: str) -> list[Record]:
    """Validation pictures in one folder, by Kaggle's `ImageId,PredictionString` (`<wnid> <box> <wnid> <box> ...`)."""
    file = root / SOLUTION
    if not file.is_file():
        raise UserError(
            f"{root}: val holds pictures ({names[0]!r}) and no class folders, and there is no {SOLUTION} to say what "
            "they show; sort them into val/<wnid>/, or put that file there"
        )
    with file.open(newline="", encoding="utf-8") as stream:
        rows = {row.get("ImageId"): (row.get("PredictionString") or "").split() for row in csv.DictReader(stream)}
    records = []
    for name in names:
        label = rows.get(name.rpartition(".")[0])
        if not label:
            raise UserError(f"{file}: says nothing of {name!r}; get the file anew, or remove the picture")
        records.append(Record(f"{prefix}/{name}", label[0]))
    return records


def _titles(root: Path) -> dict[str, str]:
    """wnid -> title in the file's order, {} where there is no file."""
    file = root / TITLES
    if not file.is_file():
        return {}
    titles = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        wnid, _, title = line.strip().partition(" ")
        if wnid and (wnid in titles or not title.strip()):
            raise UserError(f"{file}: line {number} is not '<wnid> <title>' of a new class ({line.strip()[:60]!r})")
        if wnid:
            titles[wnid] = title.strip()
    return titles
