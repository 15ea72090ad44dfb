"""What every dataset kind declares and what its scan returns, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from sslbench.settings import LocalPath, Strict

if TYPE_CHECKING:
    import numpy as np

JPEG_BYTES_PER_PIXEL = 1  # about what photographs take at quality 95


def instead(path: Path, wanted: str, other: str) -> str:
    """That ``path`` is no ``wanted``: nothing, or what the ``other`` key takes."""
    if not path.exists():
        return f"there is no {wanted} {path}; give the path of one"
    found = "folder" if path.is_dir() else "file"
    return f"{path} is a {found}, and a {wanted} belongs here; give a {found} as {other}"


class Archive(Strict):
    """A downloadable file: where it is, how large, and by which hash it is believed."""

    url: str
    file: str
    size: int | None = None  # bytes
    md5: str | None = None
    sha256: str | None = None


class DatasetSettings(Strict):
    """Base of every dataset kind's Settings.

    ``archive`` and ``path`` say where the pictures come from and stay out of every fingerprint: what is read from
    them is fingerprinted by content.
    """

    drawn: ClassVar[bool] = False  # by the project itself: there is nothing to fetch
    # How the names of files end that say what images show: they are content, as the images are.
    label_files: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".parquet")

    archive: LocalPath | None = None  # a local archive in place of the download
    path: LocalPath | None = None  # a local folder in place of an archive
    pack_size: Annotated[int, Field(ge=8)] | None = None  # px, shortest side after packing; None: 8/7 of the input size
    unreadable_share: Annotated[float, Field(ge=0, lt=1)] = (
        0  # this share of pictures may be unreadable; they are left out
    )
    # In the pack: decoded pixels, or JPEGs that are decoded by the batch, where pixels would take too much room.
    encoding: Literal["pixels", "jpeg"] = "pixels"
    # Of greys of 16 bits: black to white over their whole range, or over what each image uses (decode.py).
    scale: Literal["full", "percentile"] = "full"
    # Name of a labelled dataset to probe on, where this one has no labels; or of several, itself perhaps among them.
    evaluate_on: str | list[str] | None = None
    exclude_test: bool = False  # leave out of pretraining what shows the same as a test image of evaluate_on
    labelled: bool = True  # False: no labels here; without evaluate_on its cells are measured label-free, not probed

    @field_validator("evaluate_on", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        names = value if isinstance(value, list) else [] if value is None else [value]
        if value == [] or not all(isinstance(name, str) for name in names):
            raise ValueError("give the name of a labelled dataset, or a list of names")
        return names[0] if len(names) == 1 else value

    @model_validator(mode="after")
    def _one_place(self) -> "DatasetSettings":
        if self.archive is not None and self.path is not None:
            raise ValueError("archive and path are two places to read from: give one")
        if self.exclude_test and self.evaluate_on is None:
            raise ValueError("exclude_test leaves out test images of evaluate_on: give that too")
        return self

    @property
    def probed(self) -> bool:
        """Whether there are labels to judge its cells by, its own or another dataset's."""
        return self.labelled or self.evaluate_on is not None

    def read_from(self) -> list[Path]:
        """The user's own files and folders that hold images and labels, the one that names the source first."""
        return [place for place in (self.archive, self.path) if place is not None]

    def missing(self) -> str | None:
        """Which of the user's own files is not there, as ``key: what``; None where all are."""
        if self.archive is not None and not self.archive.is_file():
            return f"archive: {instead(self.archive, 'file', 'path:')}"
        if self.path is not None and not self.path.is_dir():
            return f"path: {instead(self.path, 'folder', 'archive:')}"
        return None

    def source(self) -> str:
        """Name of what is fetched, e.g. ``imagenette2-160``: equal source and pack size share a pack."""
        raise NotImplementedError

    def downloads(self) -> tuple[Archive, ...]:
        """The official files, none where there is no download (user-supplied, drawn, or a folder)."""
        return ()

    def how_to_get(self) -> str:
        """What to do where there is no download and the user has supplied nothing."""
        return "set path: to a folder of pictures, or archive: to an archive of one"

    def identity(self) -> dict:
        """What decides the packed pictures, as plain values: no paths, nothing about splits."""
        raise NotImplementedError

    @property
    def listed(self) -> bool:
        """Whether the user's own folder or archive can be counted by the names in it."""
        return self.path is not None or self.archive is not None

    def published(self) -> tuple[int, int, int] | None:
        """Training images, test images and classes of an official set."""
        return None

    def known_counts(self) -> tuple[int, int] | None:
        """Training and test pictures, where they are known before anything is fetched."""
        found = self.published()
        return found and found[:2]

    def split_name(self) -> str:
        """Which of the pack's splits the cells use, e.g. ``official`` or ``per-class-80-20-seed0``."""
        return "official"

    def split_names(self) -> dict[str, str]:
        """The same, by what follows the @ in the names of the datasets that this one stands for, e.g. ``fold1of5``; ""
        where it is one."""
        return {"": self.split_name()}


class Record(NamedTuple):
    """One picture as found: its path below the dataset's root folder, and its class."""

    path: str
    label: str | None  # class name; None where unlabelled


class Listing(NamedTuple):
    """All pictures of a dataset, sorted by path, its classes in label order, and its named splits."""

    records: list[Record]
    classes: list[str]  # class ids: position = label
    titles: list[str]  # the same classes as people call them
    splits: dict[str, dict[str, list[int]]]  # split name -> {"train", "test", perhaps "val"}: positions in records
    notes: tuple[str, ...] = ()  # for the log: what was read as what
    groups: Mapping[str, str] = {}  # path -> what has to stay on one side of a derived split, e.g. a patient

    def labels(self, kept: list[int]) -> "np.ndarray":
        """int64 [kept], of the records at these positions: positions among the classes, -1 where unlabelled."""
        import numpy as np

        order = {name: label for label, name in enumerate(self.classes)}
        return np.array([order.get(self.records[position].label, -1) for position in kept], dtype=np.int64)

    def group_numbers(self, kept: list[int]) -> "np.ndarray | None":
        """int64 [kept], equal within a group; an image without one is a group of its own. None where there are none."""
        import numpy as np

        if not self.groups:
            return None
        of = [self.groups.get(self.records[position].path) for position in kept]
        order = {name: number for number, name in enumerate(sorted({name for name in of if name is not None}))}
        return np.array([len(order) + i if name is None else order[name] for i, name in enumerate(of)], dtype=np.int64)
