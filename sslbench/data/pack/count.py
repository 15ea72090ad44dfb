"""How many images a user's own folder or archive holds, by their names, before anything is fetched."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from sslbench.data.layouts.tree import is_picture
from sslbench.data.pack.write import listed
from sslbench.data.sources import archives
from sslbench.data.spec import DatasetSettings
from sslbench.errors import UserError
from sslbench.runtime.files import one_line, write_json

KEPT = "counted.json"
TOLD = 1 << 28  # bytes; that a larger archive is listed is said
_MEMORY = "/dev/shm"
_ENOUGH = 1 << 30  # bytes, for what is no image, such as tables


def count(settings: DatasetSettings, source: Path) -> dict[str, tuple[int, int, int]]:
    """Training images, test images and their classes, for each of ``settings.split_names``.

    An archive is listed once: ``source``, the folder of what is fetched, keeps its counts until its size or time
    changes, or what is asked of it. Raises UserError where packing would, as far as names tell.
    """
    if settings.path is not None:
        return _counted(settings, settings.path, settings.path)
    places = [(str(place), place.stat()) for place in settings.read_from()]
    asked = [[name, found.st_size, found.st_mtime_ns] for name, found in places]
    asked += [settings.identity(), settings.split_names(), settings.labelled, settings.evaluate_on]
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads((source / KEPT).read_text(encoding="ascii"))
        if kept["of"] == asked:
            return {part: tuple(counts) for part, counts in kept["counts"].items()}
    if (size := places[0][1].st_size) > TOLD:
        print(f"sslbench: {settings.archive}: listing {size / 1e9:,.1f} GB, once", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=_scratch()) as made, one_line(Path(made), f"listing {settings.archive}"):
        tree = Path(made) / "tree"  # of empty images, so that all kinds read it as they read what is unpacked
        archives.extract(settings.archive, tree, empty=is_picture)
        counts = _counted(settings, tree, settings.archive)
    with contextlib.suppress(OSError, UserError):
        source.mkdir(parents=True, exist_ok=True)
        write_json(source / KEPT, {"of": asked, "counts": counts})
    return counts


def _scratch() -> str | None:
    """Memory, where a hundred thousand empty files are made in no time; where there is little, the usual place."""
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH:
            return _MEMORY
    return None


def _counted(settings: DatasetSettings, root: Path, file: Path) -> dict[str, tuple[int, int, int]]:
    listing, found = listed(settings, root, file)
    counts = {}
    for part, split in found.items():
        labels = listing.labels(sorted({*split["train"].tolist(), *split["test"].tolist()}))
        counts[part] = len(split["train"]), len(split["test"]), len(np.unique(labels[labels >= 0]))
    return counts
