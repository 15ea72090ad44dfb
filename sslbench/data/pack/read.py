"""Packed pictures for training: one buffer, opened once, gathered from without copying."""

import mmap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sslbench.data import splits
from sslbench.data.pack import format as packformat
from sslbench.data.pack import jpeg
from sslbench.store.checksum import refuse

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

    def part(self, start: int, stop: int) -> "Pictures":
        """The pictures [start, stop) of these, in the same buffer."""
        rows = slice(start, stop)
        columns = {"offsets": self.offsets[rows], "heights": self.heights[rows], "widths": self.widths[rows]}
        return replace(self, **columns)

    def gathered(self, into: torch.Tensor | None = None) -> "Pictures":
        """These pictures alone, copied back to back to the beginning of ``into``, or into a buffer of their own."""
        sizes = self.heights * self.widths * 3
        total = int(sizes.sum())
        buffer = torch.empty(total, dtype=torch.uint8, device=self.device) if into is None else into[:total]
        pieces = zip(self.offsets.tolist(), sizes.tolist(), strict=True)
        torch.cat([self.buffer[start : start + size] for start, size in pieces], out=buffer)
        return replace(self, buffer=buffer, offsets=sizes.cumsum(0) - sizes)

    def to(self, device: torch.device) -> "Pictures":
        """These pictures on ``device``: themselves where they are there, else copied there as bytes.

        Their crops are then the same, bit for bit, whether the whole set fits on the device or not.
        """
        if device.type == self.device.type:
            return self
        into = None
        if device.type == "cuda":
            size = int((self.heights * self.widths * 3).sum())
            into = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        mine = self.gathered(into)
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
        self.jpeg = "lengths" in index
        self._lengths = torch.from_numpy(index["lengths"]) if self.jpeg else self.heights * self.widths * 3
        self.decode_on = torch.device("cpu")  # where JPEGs are decoded
        self._stored = packformat.read_splits(folder, manifest)
        self._groups = packformat.read_groups(folder, manifest)
        with (folder / "pixels.bin").open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch says of read-only memory that it has none such
            self._buffer = torch.frombuffer(self._mapped, dtype=torch.uint8)

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "PackedSet":
        """Open the pack in ``folder``; sizes and shapes are always checked, the content hash if ``verify``: once, and
        again when a file has changed since.

        Raises UserError where there is no pack, or a damaged one, which is renamed to ``<folder>.broken-<n>``.
        """
        folder = Path(folder)
        manifest = packformat.read_manifest(folder)
        try:
            opened = cls(folder, manifest)
            if verify:
                opened._verify()
        except packformat.Unfit as error:
            raise refuse(folder, str(error)) from error
        return opened

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self._buffer.device

    def split(self, name: str) -> splits.Split:
        """{"train", "test"}, perhaps "val" -> int64 positions, ascending. Stored, or derived from the name."""
        return splits.resolve(name, self._stored, self.labels, self.names, self._groups)

    def split_sha256(self, name: str) -> str:
        return splits.sha256(self.split(name))

    def to(self, device: str | torch.device) -> "PackedSet":
        """Move all pixels to ``device``, once, in blocks; returns this set."""
        device = torch.device(device)
        if device.type != self._buffer.device.type:
            self._copy_to(torch.empty_like(self._buffer, device=device))
        return self

    def load(self, pin: bool) -> "PackedSet":
        """Copy all pixels into memory of this process, page-locked for a GPU if ``pin``; returns this set.

        Raises RuntimeError where so much memory cannot be locked; the set is then as it was.
        """
        self._copy_to(torch.empty(len(self._buffer), dtype=torch.uint8, pin_memory=pin))
        return self

    def _copy_to(self, memory: torch.Tensor) -> None:
        for start in range(0, len(memory), _BLOCK):
            memory[start : start + _BLOCK].copy_(self._buffer[start : start + _BLOCK])
        self._buffer, self._mapped = memory, None

    def expect(self, indices: torch.Tensor) -> None:
        """Ask the system to read the pictures at ``indices`` from the disk in the background, if it is mapped."""
        if self._mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        starts = self._offsets[indices]
        ends = starts + self._lengths[indices]
        for start, end in zip((starts // mmap.PAGESIZE * mmap.PAGESIZE).tolist(), ends.tolist(), strict=True):
            self._mapped.madvise(mmap.MADV_WILLNEED, start, end - start)

    def batch(self, indices: torch.Tensor) -> Pictures:
        """The pictures at ``indices`` (int64 [n], CPU), in that order; JPEGs are decoded here, on ``decode_on``."""
        sizes = self.manifest["max_height"], self.manifest["max_width"]
        if self.jpeg:
            pieces = zip(self._offsets[indices].tolist(), self._lengths[indices].tolist(), strict=True)
            pictures = jpeg.decode([self._buffer[start : start + size] for start, size in pieces], self.decode_on)
            return replace(Pictures.from_list(pictures), max_height=sizes[0], max_width=sizes[1])
        return Pictures(self._buffer, self._offsets[indices], self.heights[indices], self.widths[indices], *sizes)

    def _verify(self) -> None:
        state = packformat.state(self.folder)
        if packformat.is_verified(self.folder, state):
            return
        pixels = self._buffer.numpy()
        blocks = (pixels[start : start + _BLOCK].data for start in range(0, len(pixels), _BLOCK))
        lengths = self._lengths.numpy() if self.jpeg else None
        shapes = self.heights.numpy(), self.widths.numpy()
        found = packformat.content_sha256(blocks, *shapes, self.labels, self.classes, lengths)
        if found != self.manifest["content_sha256"]:
            raise packformat.Unfit(f"its content hash is {found[:12]}, not {self.manifest['content_sha256'][:12]}")
        for name, split in self._stored.items():
            if splits.sha256(split) != self.manifest["splits"][name]["sha256"]:
                raise packformat.Unfit(f"split {name!r} is not the one of its hash")
        packformat.check_beside(self.folder, self.manifest)
        packformat.mark_verified(self.folder, state)
