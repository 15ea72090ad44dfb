"""ImageWoof: ten dog breeds of ImageNet (Howard 2019, github.com/fastai/imagenette).

Version 2 splits 12,954 pictures 70/30. Version 1 is rebuilt from the same archive, and shares its pack: its 500
validation pictures are those named ILSVRC2012_val_*, and all others train. Whether the resized files of the two
versions' archives were byte for byte the same is not known.
"""

from pathlib import Path
from typing import Literal

from sslbench.data.layouts.imagenette import V1_VAL, scan_train_val
from sslbench.data.sources.checksums import ARCHIVES
from sslbench.data.spec import Archive, DatasetSettings, Listing

TITLES = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}


class Settings(DatasetSettings):
    version: Literal[1, 2] = 2  # 1: 12,454 train and 500 val, rebuilt; 2: 9,025 and 3,929
    size: Literal["full", 320, 160] = "full"  # px, shortest side in the archive

    def source(self) -> str:
        return "imagewoof2" + ("" if self.size == "full" else f"-{self.size}")

    def downloads(self) -> tuple[Archive, ...]:
        return (ARCHIVES[self.source()],)

    def identity(self) -> dict:
        return {"kind": "imagewoof", "size": self.size}

    def published(self) -> tuple[int, int, int]:
        return (*((12_454, 500), (9_025, 3_929))[self.version - 1], len(TITLES))

    def split_name(self) -> str:
        return "official" if self.version == 2 else "v1-rebuilt"


def scan(root: Path, settings: Settings) -> Listing:
    found = scan_train_val(root, TITLES, "ImageWoof")
    return found._replace(splits=found.splits | {"v1-rebuilt": v1_split(found)})


def v1_split(listing: Listing) -> dict[str, list[int]]:
    """Version 1's split of version 2's pictures, by their names."""
    split: dict[str, list[int]] = {"train": [], "test": []}
    for position, record in enumerate(listing.records):
        is_val = record.path.rsplit("/", 1)[-1].startswith(V1_VAL)
        split["test" if is_val else "train"].append(position)
    return split
