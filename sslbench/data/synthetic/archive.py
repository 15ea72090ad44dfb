"""Datasets that the project draws itself: their settings, and the archive of pictures that they become.

What a kind adds is its classes and one function, ``picture``.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sslbench.data.layouts.tree import listing_of, pictures_below
from sslbench.data.spec import DatasetSettings, Listing, Record
from sslbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class DrawnSettings(DatasetSettings):
    drawn: ClassVar[bool] = True
    kind: ClassVar[str]
    drawing: ClassVar[int]  # raised when the pictures change
    classes: ClassVar[tuple[str, ...]]

    train_per_class: Annotated[int, Field(ge=1, le=100_000)] = 150
    test_per_class: Annotated[int, Field(ge=1, le=100_000)] = 50
    size: Annotated[int, Field(ge=16, le=512)] = 32  # px, square
    seed: Annotated[int, Field(ge=0)] = 0  # of the drawing

    def source(self) -> str:
        return f"{self.kind}-{self.size}px-{self.train_per_class}-{self.test_per_class}-seed{self.seed}"

    def identity(self) -> dict:
        keys = ("train_per_class", "test_per_class", "size", "seed")
        return {"kind": self.kind, "drawing": self.drawing} | {key: getattr(self, key) for key in keys}

    def known_counts(self) -> tuple[int, int] | None:
        return len(self.classes) * self.train_per_class, len(self.classes) * self.test_per_class

    def listing(self, root: Path) -> Listing:
        records = []
        for path in pictures_below(root):
            split, _, rest = path.partition("/")
            name, _, _ = rest.partition("/")
            if split not in ("train", "test") or name not in self.classes:
                raise UserError(
                    f"{root}: {path!r} was not drawn by this project; leave archive: and path: out of this dataset"
                )
            records.append(Record(path, name))
        tests = {record.path for record in records if record.path.startswith("test/")}
        titles = {name: name.replace("-", " ") for name in self.classes}
        return listing_of(records, sorted(self.classes), titles, {"official": tests})


def own_generator(*purpose: str | int) -> "np.random.Generator":
    """One generator per picture: asking for more pictures changes none that were there."""
    import numpy as np  # which reading a config does without

    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def write(
    settings: DrawnSettings, archive: Path, picture: Callable[[str, int, "np.random.Generator"], "np.ndarray"]
) -> None:
    """Write the pictures as a .tar of PNGs, with the same bytes each time (for one Pillow and numpy).

    ``picture(class, size, generator)`` gives one, uint8 [size, size, 3].
    """
    from PIL import Image

    part = archive.with_name(archive.name + ".part")
    counts = {"train": settings.train_per_class, "test": settings.test_per_class}
    try:
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for split, count in counts.items():
                for name in settings.classes:
                    for number in range(count):
                        rng = own_generator(settings.kind, settings.drawing, settings.seed, split, name, number)
                        encoded = io.BytesIO()
                        Image.fromarray(picture(name, settings.size, rng)).save(encoded, "PNG", compress_level=1)
                        member = tarfile.TarInfo(f"{settings.kind}/{split}/{name}/{number:05}.png")
                        member.size = encoded.tell()
                        encoded.seek(0)
                        tar.addfile(member, encoded)
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)  # of a full disk, whose room it would keep
