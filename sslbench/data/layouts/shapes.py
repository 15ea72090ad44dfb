"""Drawn pictures for the demo and the tests: ten textures, told apart by structure alone.

Every class is a field over the picture. Its pixels are ranked, and the rank decides how a pixel mixes two random tones,
with a threshold drawn alike for all classes: so the tones and how much of each there is say nothing about the class.
Period, phase, rotation, tone, lighting and noise are nuisances. Rotations are within 15 degrees,
and ``stripes`` come in three directions, so a transform that turns pictures pays for it here.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sslbench.data.layouts.tree import listing_of, pictures_below
from sslbench.data.spec import DatasetSettings, Listing, Record
from sslbench.errors import UserError

DRAWING = 1  # raise it when the pictures change
CLASSES = (
    "blobs",
    "checker",
    "dots",
    "grid",
    "noise",
    "rings",
    "stripes-across",
    "stripes-diagonal",
    "stripes-down",
    "zigzag",
)


class Settings(DatasetSettings):
    train_per_class: Annotated[int, Field(ge=1, le=100_000)] = 150
    test_per_class: Annotated[int, Field(ge=1, le=100_000)] = 50
    size: Annotated[int, Field(ge=16, le=512)] = 32  # px, square
    seed: Annotated[int, Field(ge=0)] = 0  # of the drawing

    def source(self) -> str:
        return f"shapes-{self.size}px-{self.train_per_class}-{self.test_per_class}-seed{self.seed}"

    def identity(self) -> dict:
        keys = ("train_per_class", "test_per_class", "size", "seed")
        return {"kind": "shapes", "drawing": DRAWING} | {key: getattr(self, key) for key in keys}

    def known_counts(self) -> tuple[int, int] | None:
        return len(CLASSES) * self.train_per_class, len(CLASSES) * self.test_per_class


def draw(settings: Settings, archive: Path) -> None:
    """Write the pictures as a .tar of PNGs, with the same bytes each time (for one Pillow and numpy)."""
    from sslbench.data import drawing  # needs numpy and Pillow, which reading a config does without

    drawing.draw(settings, archive, DRAWING)


def scan(root: Path, settings: Settings) -> Listing:
    records = []
    for path in pictures_below(root):
        split, _, rest = path.partition("/")
        name, _, _ = rest.partition("/")
        if split not in ("train", "test") or name not in CLASSES:
            raise UserError(
                f"{root}: {path!r} was not drawn by this project; leave archive: and path: out of this dataset"
            )
        records.append(Record(path, name))
    tests = {record.path for record in records if record.path.startswith("test/")}
    return listing_of(records, sorted(CLASSES), {name: name.replace("-", " ") for name in CLASSES}, {"official": tests})
