"""The files of a pack, without Pillow and without torch.

manifest.json      what the pack is; written last, so a folder with a manifest is whole
pixels.bin         uint8, [height, width, 3] per picture, back to back; or, where the manifest's encoding is jpeg, JPEGs
offsets.npy        int64 [N], where a picture begins in pixels.bin
heights.npy, widths.npy    int32 [N]
lengths.npy        int64 [N], bytes of every JPEG; only with them
labels.npy         int64 [N], positions in the manifest's classes; -1 is unlabelled
digests.npy        uint8 [N, 16], of the files that were decoded: equal for byte-identical pictures
names.json         the pictures' paths below the dataset's folder
splits/<name>-{train,test}.npy    int64, ascending positions
doctor.json        what the data doctor found
verified.json      not part of the pack: the others' state when they were last found to be what their hashes say
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sslbench.data.splits import Split
from sslbench.data.storage import write_json
from sslbench.errors import UserError

FORMAT = 1
LENGTHS = "<i8"
VERIFIED = "verified.json"
INDEX = {"offsets": "<i8", "heights": "<i4", "widths": "<i4", "labels": "<i8", "digests": "|u1"}


class Unfit(Exception):
    """A pack whose files are not what its manifest says; the text is the reason."""


def content_sha256(
    pixels: Iterable[bytes | memoryview],
    heights: np.ndarray,
    widths: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    lengths: np.ndarray | None = None,
) -> str:
    """The hash that stands for a pack's content: pixels, shapes, labels and classes, and the lengths of JPEGs."""
    digest = begin()
    for block in pixels:
        digest.update(block)
    return finish(digest, heights, widths, labels, classes, lengths)


def begin() -> "hashlib._Hash":
    """The hash before the pixels, for who writes them one by one."""
    return hashlib.sha256(f"sslbench pack {FORMAT}\n".encode())


def finish(
    digest: "hashlib._Hash",
    heights: np.ndarray,
    widths: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    lengths: np.ndarray | None = None,
) -> str:
    """The hash after the pixels: adds all the rest."""
    for name, array in (("heights", heights), ("widths", widths), ("labels", labels)):
        digest.update(np.ascontiguousarray(array, dtype=INDEX[name]).tobytes())
    if lengths is not None:
        digest.update(np.ascontiguousarray(lengths, dtype=LENGTHS).tobytes())
    digest.update(json.dumps(list(classes)).encode())
    return digest.hexdigest()


def write_index(folder: Path, arrays: dict[str, np.ndarray], splits: dict[str, Split]) -> None:
    for name, kind in INDEX.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(arrays[name], dtype=kind))
    if "lengths" in arrays:
        np.save(folder / "lengths.npy", np.ascontiguousarray(arrays["lengths"], dtype=LENGTHS))
    (folder / "splits").mkdir()
    for name, split in splits.items():
        for part in ("train", "test"):
            np.save(folder / "splits" / f"{name}-{part}.npy", np.ascontiguousarray(split[part], dtype="<i8"))


def read_manifest(folder: Path) -> dict:
    """Raises UserError where there is no pack of this format."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="ascii"))
        found = manifest["format"]
    except FileNotFoundError as error:
        raise UserError(f"{folder}: there is no pack here; `snakemake {folder / 'manifest.json'}` makes it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / 'manifest.json'}: cannot be read ({error}); delete {folder} and run again"
        ) from error
    if found != FORMAT:
        raise UserError(
            f"{folder}: is a pack of format {found}, and this version reads {FORMAT}; delete it and run again"
        )
    return manifest


def read_index(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    """The index arrays. Raises Unfit where they, or the size of pixels.bin, do not fit together."""
    kinds = INDEX | ({"lengths": LENGTHS} if manifest.get("encoding") == "jpeg" else {})
    try:
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in kinds}
        size = (folder / "pixels.bin").stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise Unfit(f"an index file cannot be read: {error}") from error
    count = manifest["count"]
    for name, array in arrays.items():
        if len(array) != count or array.dtype != np.dtype(kinds[name]):
            raise Unfit(f"{name}.npy has {len(array)} entries, not {count}")
    sizes = arrays["lengths"] if "lengths" in arrays else arrays["heights"].astype(np.int64) * arrays["widths"] * 3
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if not np.array_equal(arrays["offsets"], starts[:-1]) or starts[-1] != manifest["bytes"]:
        raise Unfit("its offsets and shapes contradict each other")
    if size != manifest["bytes"]:
        raise Unfit(f"pixels.bin has {size:,} bytes, not {manifest['bytes']:,}")
    return arrays


def state(folder: Path) -> dict[str, list[int]]:
    """Size, modification and change times and inode of every file that the hashes cover: another state, another file.

    Change times cannot be set, so a file that was replaced or written to is noticed even where its modification time
    was put back.
    """
    found = {}
    for file in (folder / "manifest.json", folder / "pixels.bin", *sorted(folder.rglob("*.npy"))):
        status = file.stat()
        times = [status.st_mtime_ns, status.st_ctime_ns]
        found[str(file.relative_to(folder))] = [status.st_size, *times, status.st_ino]
    return found


def is_verified(folder: Path, found: dict[str, list[int]]) -> bool:
    """Whether the files were verified in just the state ``found``."""
    try:
        return json.loads((folder / VERIFIED).read_text(encoding="ascii")) == found
    except (OSError, ValueError):
        return False


def mark_verified(folder: Path, found: dict[str, list[int]]) -> None:
    """Spares the next one the hashes; where the folder cannot be written to they are simply taken again."""
    with contextlib.suppress(OSError):
        write_json(folder / VERIFIED, found)


def names_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "names.json").read_bytes()).hexdigest()


def read_names(folder: Path, manifest: dict) -> list[str]:
    """Always checked against their hash, since derived splits hang on them."""
    try:
        if names_sha256(folder) != manifest["names_sha256"]:
            raise Unfit("names.json is not the one of its hash")
        return json.loads((folder / "names.json").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise Unfit(f"names.json cannot be read: {error}") from error


def read_splits(folder: Path, manifest: dict) -> dict[str, Split]:
    """The splits that the pack stores, by name."""
    try:
        return {
            name: {part: np.load(folder / "splits" / f"{name}-{part}.npy") for part in ("train", "test")}
            for name in manifest["splits"]
        }
    except (OSError, ValueError, EOFError) as error:
        raise Unfit(f"a split cannot be read: {error}") from error
