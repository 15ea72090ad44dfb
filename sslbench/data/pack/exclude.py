"""A pack with the images of another, of which some are left out of training."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sslbench.data import doctor, splits
from sslbench.data.pack import format as packformat
from sslbench.data.pack.images import PackedImages
from sslbench.errors import UserError
from sslbench.runtime.files import alone, file_sha256, one_line, read_json, write_json
from sslbench.runtime.ticker import Progress, printer
from sslbench.store.checksum import refuse, sealed


def exclude(pack: Path, found: Sequence[Path], split: str, out: Path, progress: Progress = None) -> None:
    """Make the folder ``out``: ``pack``, whose split ``split`` trains on all but the positions in ``found`` (.npy).

    The pixels are linked, and the content hash is the same; the hash of the split is another. Raises UserError where
    nothing is left to train on, or a file of ``found`` is damaged, which is then set aside.
    """
    say, images = printer(progress), PackedImages(pack)
    manifest, whole = images.manifest, images.split(split)
    reduced = dict(whole)
    for index in found:
        try:
            reduced["train"] = np.setdiff1d(reduced["train"], np.load(index))
        except (OSError, ValueError) as error:
            raise refuse(index, f"cannot be read ({error})") from error
    if not len(reduced["train"]):
        raise UserError(
            f"{pack}: each of its {len(whole['train']):,} pretraining images is a test image too, and exclude_test "
            "leaves none: pretrain on other images"
        )
    # The name that asks for it, and the one that the pack knows it by.
    own = splits.OFFICIAL if splits.OFFICIAL in images.stored else split.removeprefix("own-or-")
    named = images.stored | {split: reduced} | ({own: reduced} if split.startswith("own-or-") else {})
    scratch = out.with_name(out.name + ".part")
    with one_line(out, "leaving out test images"), alone(scratch, say):
        made = scratch / "pack"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        packformat.write_index(made, images.arrays, named)
        for name in ("pixels.bin", "names.json"):
            (made / name).symlink_to(os.path.relpath(pack / name, out))
        doctored = read_json(pack / "doctor.json")
        seen = images.labels, images.names, images.digests, manifest["classes"], images.groups
        doctored["splits"] = {name: doctor.examine_split(one, *seen) for name, one in named.items()}
        write_json(made / "doctor.json", doctored)
        manifest["files"] = {name: file_sha256(made / name) for name in manifest["files"]}
        manifest["splits"] = {
            name: {part: len(one[part]) for part in one} | {"sha256": splits.sha256(one)} for name, one in named.items()
        }
        write_json(made / "manifest.json", sealed({key: v for key, v in manifest.items() if key != "seal"}))
        if out.exists():
            out.replace(scratch / "old")
        made.replace(out)
        shutil.rmtree(scratch, ignore_errors=True)
    say(
        f"{len(whole['train']) - len(reduced['train']):,} of {len(whole['train']):,} images are left out of pretraining"
    )
