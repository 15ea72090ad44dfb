"""Test images in the pretraining set: which images that a dataset is pretrained on are those that it is judged on.

Byte-identical files count, and near-identical images (near_duplicates.py). Within a dataset, images that are alike but
have different labels are looked for too. All is computed from packs, as they are.
"""

import base64
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from sslbench.data import near_duplicates
from sslbench.data.pack.images import PackedImages
from sslbench.data.webp import encoded
from sslbench.runtime.files import write_json, write_whole
from sslbench.runtime.ticker import Progress, printer
from sslbench.store.checksum import sealed

FORMAT = 1  # of leaks.json
SMALLEST = 24  # px; a smaller image is compared byte for byte alone
SHOWN = 6  # pairs as thumbnails
TILE, GAP, MOST = 96, 4, 40_000  # px of a thumbnail, px between two, and bytes of all


class Images:
    """Some images of a pack: the rows are those of ``positions``."""

    def __init__(self, pack: PackedImages, positions: np.ndarray, pool: ThreadPoolExecutor) -> None:
        self.pack, self.positions = pack, positions
        self.labels = pack.labels[positions]
        self.digests = [digest.tobytes() for digest in pack.digests[positions]]
        found = near_duplicates.prints(self.read, len(positions), pool)
        self.prints = found._replace(flat=found.flat | (pack.shortest[positions] < SMALLEST))

    def read(self, row: int) -> Image.Image:
        return self.pack.image(int(self.positions[row]), near_duplicates.FINE)

    def name(self, row: int) -> str:
        return self.pack.names[self.positions[row]]

    def title(self, row: int) -> str | None:
        return self.pack.manifest["titles"][self.labels[row]] if self.labels[row] >= 0 else None


def find(
    pack: Path, split: str, judge: Path, judged: str, out_json: Path, out_index: Path, jobs: int, progress: Progress
) -> None:
    """Compare what the split of ``pack`` pretrains on with the labelled test images of the split ``judged`` of
    ``judge``, perhaps the same.

    Writes ``out_json``: format; of, both packs' content_sha256; pretraining and test, numbers of images; found, of the
    test images with copies, and identical, of those byte for byte; copies, of their copies; pairs [{test, train,
    identical, alike}], one for each test image found, the least alike first; shown [{title, does, alt, width, height,
    webp_base64}], the first of them; two_labels, the same two lists of images of ``pack`` under different labels; seal.
    Writes ``out_index``, int64: the positions of the copies in ``pack``, ascending.

    Raises UserError where a pack contradicts its manifest.
    """
    say, begun = printer(progress), time.monotonic()
    trained = PackedImages(pack)
    tested = trained if judge == pack else PackedImages(judge)
    with ThreadPoolExecutor(jobs) as pool:
        train = Images(trained, trained.split(split)["train"], pool)
        positions = tested.split(judged)["test"]
        test = Images(tested, positions[tested.labels[positions] >= 0], pool)
        same, alike = _same(test, train, pool)
        together = _together(train, test) if tested is trained else train
        differing, likeness = _two_labels(together, pool)
    rows, first = np.unique(same[:, 0], return_index=True)
    shown = first[np.argsort(alike[first], kind="stable")]
    found = {
        "format": FORMAT,
        "of": [trained.manifest["content_sha256"], tested.manifest["content_sha256"]],
        "pretraining": len(train.positions),
        "test": len(test.positions),
        "found": len(rows),
        "identical": int((alike[first] > 1).sum()),
        "copies": len(np.unique(same[:, 1])),
        **_listed(same[shown], alike[shown], (test, "test"), (train, "train")),
        "two_labels": _listed(differing, likeness, (together, "one"), (together, "other")),
    }
    write_json(out_json, sealed(found))
    left_out = np.unique(train.positions[same[:, 1]]).astype("<i8")
    _save(out_index, left_out)
    say(f"{told(found)}{_example(found['pairs'])}")
    if differing := found["two_labels"]["pairs"]:
        say(f"{len(differing):,} pairs of images look the same and have different labels{_example(differing)}")
    say(f"compared {found['test']:,} with {found['pretraining']:,} images in {time.monotonic() - begun:.1f} s")


def told(found: dict) -> str:
    """What was found, as a sentence without its full stop."""
    if not found["found"]:
        return f"none of {found['test']:,} test images is among the {found['pretraining']:,} pretraining images"
    near = found["found"] - found["identical"]
    kinds = [f"{found['identical']:,} byte for byte"] * bool(found["identical"]) + [f"{near:,} near-identical"] * bool(
        near
    )
    return (
        f"{found['found']:,} of {found['test']:,} test images ({100 * found['found'] / found['test']:.3g} %) "
        f"{'is' if found['found'] == 1 else 'are'} also among the {found['pretraining']:,} pretraining images "
        f"({', '.join(kinds)})"
    )


def _example(pairs: list[dict]) -> str:
    names = [value for key, value in pairs[0].items() if key in ("test", "train", "one", "other")] if pairs else []
    return f", e.g. {names[0]!r} and {names[1]!r}" if names else ""


def _same(test: Images, train: Images, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n, 2], rows of test and train, in their order, byte-identical ones first for each test image; and how much
    they are alike: 2 where they are byte-identical, else the correlation of their thumbnails."""
    of_test, of_train = _first_rows(test), _first_rows(train)
    pairs = [(row, of_train[digest]) for row, digest in enumerate(test.digests) if digest in of_train]
    pairs += [(of_test[digest], row) for row, digest in enumerate(train.digests) if digest in of_test]
    identical = np.unique(np.array(pairs, np.int64).reshape(-1, 2), axis=0)
    near = near_duplicates.near(test.prints, train.prints)
    near = near[[test.digests[i] != train.digests[j] for i, j in near.tolist()]]
    near = near[near_duplicates.confirmed(near, test.read, train.read, pool)]
    alike = near_duplicates.likeness(test.prints, train.prints, near)
    both = np.concatenate([identical, near])
    likeness = np.concatenate([np.full(len(identical), 2.0), alike])
    order = np.lexsort((both[:, 1], -likeness, both[:, 0]))
    return both[order], likeness[order]


def _first_rows(images: Images) -> dict[bytes, int]:
    """Digest -> the first row that has it."""
    return {digest: row for row, digest in reversed([*enumerate(images.digests)])}


def _two_labels(images: Images, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray]:
    """The same of pairs of labelled images with different labels, the most alike first, one for each image at most."""
    labels, by_digest, pairs = images.labels, {}, []
    labelled = images.prints._replace(flat=images.prints.flat | (labels < 0))
    for row in np.flatnonzero(labels >= 0).tolist():
        other = by_digest.setdefault(images.digests[row], row)
        if labels[other] != labels[row]:
            pairs.append((other, row))
    identical = np.array(pairs, np.int64).reshape(-1, 2)

    def wanted(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return (i < j) & (labels[i] != labels[j])

    near = near_duplicates.near(labelled, labelled, wanted)
    near = near[[images.digests[i] != images.digests[j] for i, j in near.tolist()]]
    near = near[near_duplicates.confirmed(near, images.read, images.read, pool)]
    alike = near_duplicates.likeness(images.prints, images.prints, near)
    order = np.argsort(-alike, kind="stable")
    return np.concatenate([identical, near[order]]), np.concatenate([np.full(len(identical), 2.0), alike[order]])


def _together(train: Images, test: Images) -> Images:
    """Both, which are of one pack."""
    both = object.__new__(Images)
    both.pack, both.digests = train.pack, train.digests + test.digests
    both.positions = np.concatenate([train.positions, test.positions])
    both.labels = np.concatenate([train.labels, test.labels])
    both.prints = near_duplicates.joined([train.prints, test.prints])
    return both


def _listed(
    pairs: np.ndarray, alike: np.ndarray, first: tuple[Images, str], second: tuple[Images, str]
) -> dict[str, list[dict]]:
    """``pairs`` and ``shown``, as find() writes them."""
    sides, found = (first, second), []
    for rows, likeness in zip(pairs.tolist(), alike.tolist(), strict=True):
        names = {key: images.name(row) for row, (images, key) in zip(rows, sides, strict=True)}
        found.append({**names, "identical": likeness > 1, "alike": round(min(likeness, 1.0), 3)})
    some = [
        [images.pack.square(int(images.positions[row]), TILE) for row, (images, _) in zip(rows, sides, strict=True)]
        for rows in pairs[:SHOWN].tolist()
    ]
    thumbnails = encoded([_beside(*squares) for squares in some], MOST) if some else []
    shown = []
    for rows, entry, content in zip(pairs.tolist(), found, thumbnails, strict=False):
        titles = [images.title(row) for row, (images, _) in zip(rows, sides, strict=True)]
        what = "byte for byte" if entry["identical"] else f"thumbnails correlate by {entry['alike']:.3f}"
        names = [entry[key] for _, key in sides]
        told = [f"{name} ({title})" if title else name for name, title in zip(names, titles, strict=True)]
        shown.append(
            {
                "title": names[0],
                "does": f"{told[0]}; right: {told[1]}; {what}",
                "alt": f"{names[0]} beside {names[1]}",
                "width": 2 * TILE + GAP,
                "height": TILE,
                "webp_base64": base64.b64encode(content).decode(),
            }
        )
    return {"pairs": found, "shown": shown}


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (2 * TILE + GAP, TILE), "white")
    both.paste(left, (0, 0))
    both.paste(right, (TILE + GAP, 0))
    return both


def _save(path: Path, positions: Sequence[int]) -> None:
    stream = io.BytesIO()
    np.save(stream, positions)
    write_whole(path, stream.getvalue())
