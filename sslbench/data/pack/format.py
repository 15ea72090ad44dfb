"""The files of a pack, without Pillow and without torch.

manifest.json      what the pack is; written last, so a folder with a manifest is whole
pixels.bin         uint8, [height, width, 3] per picture, back to back; or, where the manifest's encoding is jpeg, JPEGs
offsets.npy        int64 [N], where a picture begins in pixels.bin
heights.npy, widths.npy    int32 [N]
lengths.npy        int64 [N], bytes of every JPEG; only with them
labels.npy         int64 [N], positions in the manifest's classes; -1 is unlabelled
digests.npy        uint8 [N, 16], of the files that were decoded: equal for byte-identical pictures
names.json         the pictures' paths below the dataset's folder
groups.npy         int64 [N], equal for images that a derived split keeps on one side; only where groups are known
splits/<name>-{train,test}.npy    int64, ascending positions; also -val.npy where val chooses the probe's penalty
doctor.json        what the data doctor found
verified.json      not part of the pack: the others' state when they were last found to be what their hashes say
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sslbench.data.splits import Split
from sslbench.errors import UserError, raise_if_passing
from sslbench.runtime.files import file_sha256, write_json
from sslbench.store.checksum import holds, refuse

FORMAT = 1
LENGTHS = "<i8"
VERIFIED = "verified.json"
BESIDE = ("digests.npy", "doctor.json")  # what the content hash leaves out, in the manifest's ``files``
GROUPS = "groups.npy"  # the same, where it is there
KINDS = {"source": str, "pack_size": int, "count": int, "bytes": int, "max_height": int, "max_width": int} | {
    "classes": list,
    "titles": list,
    "content_sha256": str,
    "names_sha256": str,
    "splits": dict,
}  # of a manifest's values
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
    for name in ("lengths", "groups"):
        if name in arrays:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(arrays[name], dtype=LENGTHS))
    (folder / "splits").mkdir()
    for name, split in splits.items():
        for part in split:
            np.save(folder / "splits" / f"{name}-{part}.npy", np.ascontiguousarray(split[part], dtype="<i8"))


def read_manifest(folder: Path) -> dict:
    """Raises UserError where there is no pack of this format."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="ascii"))
        found = manifest["format"]
        if not holds(manifest):
            raise ValueError("it is not what its seal says")
        if found == FORMAT:
            _check_kinds(manifest)
    except FileNotFoundError as error:
        raise UserError(f"{folder}: there is no pack here; `snakemake {folder / 'manifest.json'}` makes it") from error
    except OSError as error:
        raise UserError(f"{folder / 'manifest.json'}: cannot be read: {error.strerror}; check the disk") from error
    except (ValueError, KeyError, TypeError) as error:
        raise refuse(folder, f"manifest.json {_words(error)}") from error
    if found != FORMAT:
        raise UserError(
            f"{folder}: is a pack of format {found}, and this version reads {FORMAT}; delete it and run again"
        )
    return manifest


def _check_kinds(manifest: dict) -> None:
    """Raises KeyError or ValueError where a manifest, though it is JSON, is none that was ever written."""
    for key, kind in KINDS.items():
        if type(manifest[key]) is not kind:
            raise ValueError(f"its {key!r} is no {kind.__name__}")
    texts = manifest["classes"] + manifest["titles"] + [manifest.get("encoding", "pixels"), *manifest["splits"]]
    texts += [split["sha256"] if isinstance(split, dict) else None for split in manifest["splits"].values()]
    if not all(isinstance(text, str) for text in texts) or len(manifest["classes"]) != len(manifest["titles"]):
        raise ValueError("its classes or splits are not as they are written")
    if min(manifest[key] for key, kind in KINDS.items() if kind is int) < 1:
        raise ValueError("it is of no pictures")
    if not isinstance(manifest.get("files", {}), dict):
        raise ValueError("its 'files' is no dict")


def _array(file: Path, kind: str) -> np.ndarray:
    """What ``file`` holds: entries of ``kind`` in one dimension, or rows of 16 bytes. Raises Unfit."""
    try:
        with file.open("rb") as opened:  # np.load would take archives and more
            if np.lib.format.read_magic(opened) != (1, 0):
                raise ValueError("it is of another format")
            shape, _, stated = np.lib.format.read_array_header_1_0(opened)
            if os.fstat(opened.fileno()).st_size != opened.tell() + math.prod(shape) * stated.itemsize:
                raise ValueError("its size is not what its header says")  # which could ask for any memory
            opened.seek(0)
            array = np.lib.format.read_array(opened, allow_pickle=False)
    except Exception as error:  # what numpy raises at a damaged header depends on its version
        raise_if_passing(error)
        raise Unfit(f"{file.name} cannot be read: {error}") from error
    if (
        array.dtype != np.dtype(kind)
        or array.shape[1:] != ((16,) if kind == INDEX["digests"] else ())
        or not array.ndim
    ):
        raise Unfit(f"{file.name} holds {array.dtype} {array.shape}, which is not what belongs there")
    return array


def _words(error: Exception) -> str:
    return f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"


def check_beside(folder: Path, manifest: dict) -> None:
    """Raises Unfit where a file that the content hash leaves out is not the one of its hash."""
    for name, expected in manifest.get("files", {}).items():
        if name not in (*BESIDE, GROUPS) or not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise Unfit(f"{name} is not the one of its hash")


def read_index(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    """The index arrays. Raises Unfit where they, or the size of pixels.bin, do not fit together."""
    kinds = INDEX | ({"lengths": LENGTHS} if manifest.get("encoding") == "jpeg" else {})
    arrays = {name: _array(folder / f"{name}.npy", kind) for name, kind in kinds.items()}
    try:
        size = (folder / "pixels.bin").stat().st_size
    except OSError as error:
        raise_if_passing(error)
        raise Unfit(f"pixels.bin cannot be read: {error.strerror}") from error
    count = manifest["count"]
    for name, array in arrays.items():
        if len(array) != count:
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
    was put back. Raises Unfit where one is missing.
    """
    found = {}
    named = [folder / name for name in ("manifest.json", "pixels.bin", "doctor.json")]
    for file in (*named, *sorted(folder.rglob("*.npy"))):
        try:
            status = file.stat()
        except OSError as error:
            raise_if_passing(error)
            raise Unfit(f"{file.name} cannot be read: {error.strerror}") from error
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
        raise_if_passing(error)
        raise Unfit(f"names.json cannot be read: {error}") from error


def read_groups(folder: Path, manifest: dict) -> np.ndarray | None:
    """int64 [N], or None where none are known. Always checked against its hash, since derived splits hang on it."""
    if GROUPS not in manifest.get("files", {}):
        return None
    groups = _array(folder / GROUPS, LENGTHS)
    if len(groups) != manifest["count"] or file_sha256(folder / GROUPS) != manifest["files"][GROUPS]:
        raise Unfit(f"{GROUPS} is not the one of its hash")
    return groups


def read_splits(folder: Path, manifest: dict) -> dict[str, Split]:
    """The splits that the pack stores, by name."""
    found: dict[str, Split] = {}
    for name, stated in manifest["splits"].items():
        parts = ("train", "test", *(["val"] if "val" in stated else []))
        found[name] = {part: _array(folder / "splits" / f"{name}-{part}.npy", "<i8") for part in parts}
        positions = np.concatenate(list(found[name].values()))
        if len(positions) and (positions.min() < 0 or positions.max() >= manifest["count"]):
            raise Unfit(f"split {name!r} speaks of pictures that it has not")
    return found
