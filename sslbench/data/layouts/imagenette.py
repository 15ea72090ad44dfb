"""ImageNette: ten easy classes of ImageNet (Howard 2019, github.com/fastai/imagenette).

An archive holds ``<name>/{train,val}/<wnid>/*.JPEG``. Version 1 has its own archives; version 2 splits the same 13,394
pictures 70/30. The size is the shortest side, aspect ratio kept.
"""

from pathlib import Path
from typing import Literal

from sslbench.data.layouts.tree import entries, listing_of, pictures_below
from sslbench.data.sources.checksums import ARCHIVES
from sslbench.data.spec import Archive, DatasetSettings, Listing, Record
from sslbench.errors import UserError

TITLES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
V1_VAL = "ILSVRC2012_val_"  # how version 1's 500 validation pictures are named, in either version


class Settings(DatasetSettings):
    version: Literal[1, 2] = 2  # 1: 12,894 train and 500 val; 2: 9,469 and 3,925
    size: Literal["full", 320, 160] = "full"  # px, shortest side in the archive

    def source(self) -> str:
        return ("imagenette", "imagenette2")[self.version - 1] + ("" if self.size == "full" else f"-{self.size}")

    def downloads(self) -> tuple[Archive, ...]:
        return (ARCHIVES[self.source()],)

    def identity(self) -> dict:
        return {"kind": "imagenette", "version": self.version, "size": self.size}

    def published(self) -> tuple[int, int, int]:
        return (*((12_894, 500), (9_469, 3_925))[self.version - 1], len(TITLES))


def scan(root: Path, settings: Settings) -> Listing:
    return scan_train_val(root, TITLES, "ImageNette")


def scan_train_val(root: Path, titles: dict[str, str], dataset: str) -> Listing:
    """Pictures below ``root/{train,val}/<wnid>``. UserError where those folders are missing or of another set."""
    records: list[Record] = []
    classes: set[str] = set()
    for part in ("train", "val"):
        if not (root / part).is_dir():
            raise UserError(
                f"{root}: has no folder {part!r}, so it is not {dataset} as published; check archive: or path:"
            )
        for folder in (Path(entry.path) for entry in entries(root / part) if entry.is_dir()):
            if folder.name not in titles:
                raise UserError(f"{folder}: {folder.name!r} is no class of {dataset}; check archive: or path:")
            found = pictures_below(folder)
            if not found:
                raise UserError(f"{folder}: this class has no pictures; get the archive anew, or remove the folder")
            classes.add(folder.name)
            records += [Record(f"{part}/{folder.name}/{name}", folder.name) for name in found]
    in_test = {record.path for record in records if record.path.startswith("val/")}
    return listing_of(records, sorted(classes), titles, {"official": in_test})
