"""Test images among the pretraining images: found where they are, said where it matters, left out where asked."""

import base64
import hashlib
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sslbench.data import leaks, near_duplicates, splits
from sslbench.data.near_duplicates import Prints
from sslbench.data.pack.exclude import exclude
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from tests.data.data_samples import packed, settings_of

CONFIG = Path(__file__).parents[2] / "config.yaml"
POOL = ThreadPoolExecutor(1)


def photograph(seed: int, side: int = 96) -> Image.Image:
    """Frequencies that fall as 1/f, in colour, as in nature."""
    some = np.random.default_rng(seed)
    far = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) + 1 / side
    grey = np.fft.ifft2(np.fft.fft2(some.normal(size=(side, side))) / far).real
    tint = 128 + 45 * (grey / grey.std())[..., None] + some.integers(-20, 20, 3)
    return Image.fromarray(np.clip(tint, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


CHANGES = {
    "JPEG of quality 50": lambda image: encoded(image, 50),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "2 % cropped away on each side": lambda image: image.crop((2, 2, 94, 94)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_no_other_image_is(change):
    images = [photograph(seed) for seed in range(60)]
    copies = [CHANGES[change](image) for image in images[:30]] + [photograph(seed) for seed in range(100, 130)]
    first, second = (near_duplicates.prints(some.__getitem__, 60, POOL) for some in (copies, images))
    pairs = near_duplicates.near(first, second)
    found = pairs[near_duplicates.confirmed(pairs, copies.__getitem__, images.__getitem__, POOL)]
    assert (found[:, 0] == found[:, 1]).all()
    assert len(found) >= 29


def test_bands_miss_no_pair_that_comparing_all_would_find():
    some = np.random.default_rng(0)
    middles = some.integers(0, 1 << 63, 20, dtype=np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << some.integers(0, 64, (2, 400, 6), dtype=np.uint64), axis=2)
    hashes = middles[some.integers(0, 20, (2, 400))] ^ flips
    flat = some.random(400) < 0.1
    a, b = (Prints(own, np.zeros((400, 256), np.uint8), np.zeros((400, 2), np.float32), flat) for own in hashes)
    found = [pair for pairs in near_duplicates._candidates(a, b) for pair in map(tuple, pairs.tolist())]
    distances = np.array([[int(x ^ y).bit_count() for y in map(int, b.hashes)] for x in map(int, a.hashes)])
    expected = {(i, j) for i, j in np.argwhere(distances <= near_duplicates.NEAR).tolist() if not flat[i] | flat[j]}
    assert 1000 < len(expected) < 20_000
    assert len(found) == len(set(found)) and set(found) == expected


def test_flat_images_and_thousands_of_copies_take_neither_quadratic_room_nor_false_alarms():
    flat = [Image.new("RGB", (64, 64), (seed, 90, 90)) for seed in range(60)]
    prints = near_duplicates.prints(lambda row: flat[row % 60], 3000, POOL)
    assert prints.flat.all() and not len(near_duplicates.near(prints, prints))
    one = near_duplicates.prints(lambda row: photograph(0), 1, POOL)
    many = Prints(*(np.repeat(values, 1500, axis=0) for values in one))
    begun = time.process_time()
    assert len(near_duplicates.near(many, many)) <= 3000  # of two million
    assert time.process_time() - begun < 8


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> tuple[Path, Path]:
    """A labelled set whose test images 0 and 1 of class a are near-identical to training images, and one of whose
    training images is of class b too; and an unlabelled dump with three copies of its test images."""
    root = tmp_path_factory.mktemp("leaks")
    for number, (part, name) in enumerate((part, name) for part in ("train", "test") for name in "ab"):
        for i in range(4):
            path = root / "own" / part / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photograph(100 * number + i).save(path)
    for i in (0, 1):
        encoded(photograph(i), 60).save(root / "own/test/a" / f"{i}.png")
    (root / "own/train/b/odd.png").write_bytes((root / "own/train/a/3.png").read_bytes())
    (root / "dump").mkdir()
    for i in range(5):
        photograph(1000 + i).save(root / "dump" / f"{i}.png")
    for i in (2, 3):
        (root / "dump" / f"copy{i}.png").write_bytes((root / "own/test/b" / f"{i}.png").read_bytes())
    encoded(photograph(302), 70).convert("RGB").save(root / "dump" / "again.png")
    own, dump = settings_of("folder", path=root / "own"), settings_of("folder", path=root / "dump", labelled=False)
    return packed(own, root / "a", 96), packed(dump, root / "b", 96)


def compared(trained: Path, tested: Path, out: Path) -> tuple[dict, list[str], np.ndarray]:
    lines: list[str] = []
    names = [str(PackedSet.open(pack).manifest["splits"]) and "official" for pack in (trained, tested)]
    leaks.find(trained, names[0], tested, names[1], out / "x.json", out / "x.npy", 1, lines.append)
    return json.loads((out / "x.json").read_text()), lines, np.load(out / "x.npy")


def test_copies_of_test_images_are_counted_and_named_across_datasets(packs, tmp_path):
    own, dump = packs
    found, lines, index = compared(dump, own, tmp_path)
    assert (found["test"], found["pretraining"], found["found"], found["identical"]) == (8, 8, 2, 2)
    assert {pair["test"]: pair["train"] for pair in found["pairs"]} == {
        f"test/b/{i}.png": f"copy{i}.png" for i in (2, 3)
    }
    names = PackedSet.open(dump).names
    assert {names[position] for position in index} == {"copy2.png", "copy3.png", "again.png"}
    assert "2 of 8 test images (25 %) are also among the 8 pretraining images (2 byte for byte)" in lines[0]
    thumbnail = Image.open(io.BytesIO(base64.b64decode(found["shown"][0]["webp_base64"])))
    assert "8 of 8 test images (100 %)" in leaks.told(found | {"found": 8})
    assert thumbnail.size == (found["shown"][0]["width"], found["shown"][0]["height"])


def test_near_duplicates_across_the_split_and_under_two_labels_are_named(packs, tmp_path):
    found, lines, _ = compared(packs[0], packs[0], tmp_path)
    assert {(pair["test"], pair["train"]) for pair in found["pairs"]} == {
        (f"test/a/{i}.png", f"train/a/{i}.png") for i in (0, 1)
    }
    assert (found["identical"], found["copies"]) == (0, 2)
    (pair,) = found["two_labels"]["pairs"]
    assert (pair["one"], pair["other"], pair["identical"]) == ("train/a/3.png", "train/b/odd.png", True)
    assert "different labels, e.g. 'train/a/3.png' and 'train/b/odd.png'" in lines[1]


def test_what_is_excluded_is_not_pretrained_on_and_changes_the_hash_of_the_split_alone(packs, tmp_path):
    own, dump = packs
    _, _, index = compared(dump, own, tmp_path)
    exclude(dump, [tmp_path / "x.npy"], "own-or-per-class-80-20-seed0", tmp_path / "packs" / "less")
    whole, less = PackedSet.open(dump), PackedSet.open(tmp_path / "packs" / "less", verify=True)
    for name in ("official", "own-or-per-class-80-20-seed0"):
        if "official" in whole.manifest["splits"] or name != "official":
            kept = less.split(name)["train"]
            assert np.array_equal(kept, np.setdiff1d(whole.split(name)["train"], index))
            assert (
                less.manifest["splits"][name]["sha256"] == splits.sha256(less.split(name)) != whole.split_sha256(name)
            )
    assert less.manifest["content_sha256"] == whole.manifest["content_sha256"]
    np.save(tmp_path / "x.npy", np.arange(len(whole)))
    with pytest.raises(UserError, match="exclude_test leaves none"):
        exclude(dump, [tmp_path / "x.npy"], "official", tmp_path / "packs" / "none")


def grid(**dump: object) -> Plan:
    raw = yaml.safe_load(CONFIG.read_text()) | {"references": {"random": False, "supervised": []}}
    raw["datasets"] |= {"dump": {"kind": "shapes", "evaluate_on": "imagenette"} | dump}
    raw["grid"] = [{"datasets": ["dump", "imagenette"], "models": ["simclr"], "transforms": ["baseline"]}]
    return Plan(load(raw))


def test_excluding_is_part_of_a_cells_identity_and_not_excluding_is_not():
    usual, said, less = grid().cells, grid(exclude_test=False).cells, grid(exclude_test=True).cells
    assert [cell.text for cell in usual] == [cell.text for cell in said]
    assert usual[1].text == less[1].text and usual[0].text != less[0].text
    assert less[0].settings["dataset"]["exclude_test"] == less[1].settings["dataset"]
    assert less[0].dataset.pack.startswith(f"{usual[0].dataset.pack}-less-")
    assert less[0].dataset.whole == usual[0].dataset.pack == usual[0].dataset.whole
    # The article's first cell, as it was before there was anything to exclude
    first = load(yaml.safe_load(CONFIG.read_text())).cells()[0].text
    assert hashlib.sha256(first.encode()).hexdigest().startswith("cf405b1a14f8e4ab")


def test_excluding_without_another_dataset_to_judge_on_is_refused():
    with pytest.raises(UserError, match=r"^config: datasets\.dump.*give that too"):
        grid(exclude_test=True, evaluate_on=None)
