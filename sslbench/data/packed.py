"""Packed pictures for training: one buffer, opened once, gathered from without copying."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sslbench.data import packformat, splits
from sslbench.data.storage import set_aside
from sslbench.errors import UserError

_BLOCK = 1 << 26  # bytes moved or hashed at a time


@dataclass
class Pictures:
    """Some pictures of one buffer. Nothing is copied: read them, do not write into them."""

    buffer: torch.Tensor  # uint8 [bytes]; memory-mapped, or on the device
    offsets: torch.Tensor  # int64 [n], CPU: where a picture begins in the buffer
    heights: torch.Tensor  # int64 [n], CPU
    widths: torch.Tensor  # int64 [n], CPU
    max_height: int  # of the whole set that these were taken from, so equal for all its batches
    max_width: int

    @property
    def device(self) -> torch.device:
        return self.buffer.device

    def __len__(self) -> int:
        return len(self.offsets)

    def picture(self, i: int) -> torch.Tensor:
        """uint8 [3, h, w], a view of the buffer with channels-last strides."""
        start, height, width = int(self.offsets[i]), int(self.heights[i]), int(self.widths[i])
        return self.buffer[start : start + height * width * 3].view(height, width, 3).permute(2, 0, 1)

    def gathered(self, pin: bool = False) -> "Pictures":
        """These pictures alone, copied back to back into a buffer of their own; ``pin``: in page-locked memory."""
        sizes = self.heights * self.widths * 3
        buffer = torch.empty(int(sizes.sum()), dtype=torch.uint8, device=self.device, pin_memory=pin)
        pieces = zip(self.offsets.tolist(), sizes.tolist(), strict=True)
        torch.cat([self.buffer[start : start + size] for start, size in pieces], out=buffer)
        return replace(self, buffer=buffer, offsets=sizes.cumsum(0) - sizes)

    def to(self, device: torch.device) -> "Pictures":
        """These pictures on ``device``: themselves where they are there, else copied there as bytes.

        Their crops are then the same, bit for bit, whether the whole set fits on the device or not.
        """
        if device.type == self.device.type:
            return self
        mine = self.gathered(pin=device.type == "cuda")
        return replace(mine, buffer=mine.buffer.to(device, non_blocking=True))

    @classmethod
    def from_list(cls, pictures: Sequence[torch.Tensor]) -> "Pictures":
        """Of uint8 [3, h, w] tensors on one device; copies them into one buffer."""
        for picture in pictures:
            assert picture.dtype == torch.uint8 and picture.ndim == 3 and picture.shape[0] == 3, (
                picture.dtype,
                picture.shape,
            )
        heights = torch.tensor([p.shape[1] for p in pictures], dtype=torch.int64)
        widths = torch.tensor([p.shape[2] for p in pictures], dtype=torch.int64)
        sizes = heights * widths * 3
        buffer = torch.cat([p.permute(1, 2, 0).reshape(-1) for p in pictures])  # [h, w, 3] each, back to back
        return cls(buffer, sizes.cumsum(0) - sizes, heights, widths, int(heights.max()), int(widths.max()))


class PackedSet:
    """A pack, opened. ``labels`` int64 [N] (numpy), ``heights`` and ``widths`` int64 [N] (torch, CPU)."""

    def __init__(self, folder: Path, manifest: dict) -> None:
        index = packformat.read_index(folder, manifest)
        self.folder, self.manifest = folder, manifest
        self.classes: list[str] = manifest["classes"]
        self.titles: list[str] = manifest["titles"]
        self.names = packformat.read_names(folder, manifest)
        self.labels = index["labels"].astype(np.int64)
        self.heights = torch.from_numpy(index["heights"].astype(np.int64))
        self.widths = torch.from_numpy(index["widths"].astype(np.int64))
        self._offsets = torch.from_numpy(index["offsets"].astype(np.int64))
        self._stored = packformat.read_splits(folder, manifest)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # torch has no read-only tensors and says so of read-only memory
            self._buffer = torch.from_numpy(np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r"))

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "PackedSet":
        """Open the pack in ``folder``; sizes and shapes are always checked, the content hash if ``verify``.

        Raises UserError where there is no pack, or a damaged one, which is renamed to ``<folder>.broken-<n>``.
        """
        folder = Path(folder)
        manifest = packformat.read_manifest(folder)
        try:
            opened = cls(folder, manifest)
            if verify:
                opened._verify()
        except packformat.Unfit as error:
            aside = set_aside(folder)
            raise UserError(f"{folder}: {error}; it is set aside as {aside}, and the next run makes it anew") from error
        return opened

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self._buffer.device

    def split(self, name: str) -> splits.Split:
        """{"train", "test"} -> int64 positions, ascending. Stored, or derived from the name (splits.py)."""
        return splits.resolve(name, self._stored, self.labels, self.names)

    def split_sha256(self, name: str) -> str:
        return splits.sha256(self.split(name))

    def to(self, device: str | torch.device) -> "PackedSet":
        """Move all pixels to ``device``, once, in blocks; returns this set."""
        device = torch.device(device)
        if device.type != self._buffer.device.type:
            moved = torch.empty_like(self._buffer, device=device)
            for start in range(0, len(moved), _BLOCK):
                moved[start : start + _BLOCK].copy_(self._buffer[start : start + _BLOCK])
            self._buffer = moved
        return self

    def batch(self, indices: torch.Tensor) -> Pictures:
        """The pictures at ``indices`` (int64 [n], CPU), in that order."""
        sizes = self.manifest["max_height"], self.manifest["max_width"]
        return Pictures(self._buffer, self._offsets[indices], self.heights[indices], self.widths[indices], *sizes)

    def _verify(self) -> None:
        pixels = self._buffer.numpy()
        blocks = (pixels[start : start + _BLOCK].data for start in range(0, len(pixels), _BLOCK))
        found = packformat.content_sha256(blocks, self.heights.numpy(), self.widths.numpy(), self.labels, self.classes)
        if found != self.manifest["content_sha256"]:
            raise packformat.Unfit(f"its content hash is {found[:12]}, not {self.manifest['content_sha256'][:12]}")
        for name, split in self._stored.items():
            if splits.sha256(split) != self.manifest["splits"][name]["sha256"]:
                raise packformat.Unfit(f"split {name!r} is not the one of its hash")
