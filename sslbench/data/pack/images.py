"""A pack's images one by one, by Pillow. Without torch."""

import io
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sslbench.data import splits
from sslbench.data.pack import format as packformat
from sslbench.errors import UserError


class PackedImages:
    """An opened pack of N images.

    ``labels`` int64 [N], -1 is unlabelled; ``digests`` uint8 [N, 16], of the files; ``shortest`` [N], px of the sides.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError where there is no pack, or one that contradicts its manifest."""
        self.folder, self.manifest = folder, packformat.read_manifest(folder)
        self._index = self._read(packformat.read_index)
        self.labels, self.digests = self._index["labels"], self._index["digests"]
        self.shortest = np.minimum(self._index["heights"], self._index["widths"])
        self._pixels = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r")

    def _read(self, reader: Callable[[Path, dict], Any]) -> Any:
        try:
            return reader(self.folder, self.manifest)
        except packformat.Unfit as error:
            raise UserError(f"{self.folder}: {error}; delete it, and the next run makes it anew") from error

    @cached_property
    def names(self) -> list[str]:
        return self._read(packformat.read_names)

    @cached_property
    def stored(self) -> dict[str, splits.Split]:
        """The splits that it holds, by name."""
        return self._read(packformat.read_splits)

    @cached_property
    def groups(self) -> np.ndarray | None:
        return self._read(packformat.read_groups)

    def split(self, name: str) -> splits.Split:
        """As pack.read.PackedSet.split."""
        return splits.resolve(name, self.stored, self.labels, self.names, self.groups)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """As pack.format.write_index takes them."""
        return self._index | ({"groups": self.groups} if self.groups is not None else {})

    def image(self, position: int, least: int | None = None) -> Image.Image:
        """One image, RGB. ``least``: px; a JPEG may then be decoded as grey and smaller, with no side shorter."""
        start, height, width = (int(self._index[key][position]) for key in ("offsets", "heights", "widths"))
        if "lengths" not in self._index:
            return Image.fromarray(self._pixels[start : start + height * width * 3].reshape(height, width, 3))
        content = self._pixels[start : start + int(self._index["lengths"][position])]
        image = Image.open(io.BytesIO(content.tobytes()))
        if least is None:
            return image.convert("RGB")
        image.draft("L", (least, least))
        return image

    def square(self, position: int, side: int) -> Image.Image:
        """The centred square of one image, ``side`` px wide."""
        image = self.image(position)
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        return image.resize((side, side), Image.Resampling.LANCZOS, (left, top, left + edge, top + edge))
