"""NABirds' text files and a pack's files: whatever they hold ends in a result or in one line."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.data import doctor
from sslbench.data.layouts import nabirds
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.store import checksum
from tests.data.data_samples import make_folder, make_nabirds, packed, settings_of
from tests.tally import survived

pytestmark = pytest.mark.property

SHORT, LONG = 100, 4000
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
FILES = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = make_nabirds(tmp_path_factory.mktemp("birds"))
    return {name: (root / name).read_bytes() for name in FILES}


def edited(whole: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """``whole`` with, at each place (a share of its length), some bytes taken out and others put in."""
    content = bytearray(whole)
    for place, removed, added in edits:
        at = int(place * len(content))
        content[at : at + removed] = added
    return bytes(content)


PIECES = [b"\n", b" ", b"\r\n", b"\0", b"-", b"\xff", "é".encode(), b"0", b"1", b"\xef\xbb\xbf", b"../..", b"a b", b""]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 60), st.one_of(st.sampled_from(PIECES), st.binary(max_size=6))),
    max_size=3,
)
CHANGES = st.dictionaries(st.sampled_from(FILES), st.one_of(EDITS, st.binary(max_size=60), st.none()), max_size=2)


def birds_or_one_line(birds: dict[str, bytes], changes: dict) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for file, content in birds.items():
            change = changes.get(file, [])
            if change is not None:
                (root / file).write_bytes(edited(content, change) if isinstance(change, list) else change)
        try:
            found = nabirds.read_metadata(root)
        except UserError as error:
            assert str(error).startswith(name) and str(error).isprintable()
            return
        count = len(found.records)
        assert found.records == sorted(found.records) and len(found.titles) == len(found.classes)
        assert {record.label for record in found.records} == set(found.classes)
        assert all(record.path.startswith("images/") and ".." not in record.path.split("/") for record in found.records)
        for split in found.splits.values():
            assert sorted(split["train"] + split["test"]) == list(range(count))


@settings(max_examples=SHORT, **QUIET)
@given(changes=CHANGES)
def test_any_nabirds_files_are_a_listing_or_one_line(birds: dict[str, bytes], changes: dict) -> None:
    birds_or_one_line(birds, changes)
    survived("property", "NABirds")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(changes=CHANGES)
def test_any_nabirds_files_are_a_listing_or_one_line_at_length(birds: dict[str, bytes], changes: dict) -> None:
    birds_or_one_line(birds, changes)
    survived("property", "NABirds")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pack")
    return packed(settings_of("folder", path=make_folder(root)), root)


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("jpegs")
    return packed(settings_of("folder", path=make_folder(root), encoding="jpeg"), root)


WHICH = st.integers(0, 99)
DAMAGE = st.lists(st.tuples(WHICH, st.one_of(EDITS, st.binary(max_size=60), st.none())), min_size=1, max_size=2)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=4,
)


def used(folder: Path) -> None:
    """All that a cell and the report do with a pack's files."""
    opened = PackedSet.open(folder, verify=True)
    batch = opened.batch(torch.arange(len(opened)))
    for i in range(len(batch)):
        picture = batch.picture(i)
        assert picture.shape == (3, int(batch.heights[i]), int(batch.widths[i]))
    split = opened.split("per-class-80-20-seed0")
    assert sorted(np.concatenate([split["train"], split["test"]])) == list(range(len(opened)))
    doctor.describe(doctor.read(folder, "per-class-70-30-seed1"))


def pack_or_one_line(whole: Path, change: object) -> None:
    """``change`` alters the copy in place. Afterwards the pack is whole, or it is gone from its place or named."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pack"
        shutil.copytree(whole, folder)
        change(folder)
        try:
            used(folder)
        except UserError as error:
            assert str(folder) in str(error) and str(error).isprintable()


def damage(damages: list) -> object:
    def change(folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for number, edits in damages:
            file = files[number % len(files)]
            if not file.exists():
                continue
            if edits is None:
                file.unlink()
            else:
                file.write_bytes(edited(file.read_bytes(), edits) if isinstance(edits, list) else edits)

    return change


def lie(number: int, value: object, sealed: bool) -> object:
    """One entry of the manifest says something else; ``sealed``: by one who knows how it is sealed."""

    def change(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        keys = sorted(manifest)
        manifest[keys[number % len(keys)]] = value
        if sealed:
            manifest = checksum.sealed({key: entry for key, entry in manifest.items() if key != checksum.KEY})
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


@settings(max_examples=SHORT, **QUIET)
@given(damages=DAMAGE, in_jpegs=st.booleans())
def test_any_bytes_in_any_file_of_a_pack_end_in_pictures_or_one_line(
    pack: Path, jpegs: Path, damages: list, in_jpegs: bool
) -> None:
    pack_or_one_line(jpegs if in_jpegs else pack, damage(damages))
    survived("property", "packed set")


@settings(max_examples=SHORT, **QUIET)
@given(number=WHICH, value=JSON, sealed=st.booleans())
def test_any_value_in_a_manifest_ends_in_pictures_or_one_line(
    pack: Path, number: int, value: object, sealed: bool
) -> None:
    pack_or_one_line(pack, lie(number, value, sealed))
    survived("property", "packed set")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(damages=DAMAGE, in_jpegs=st.booleans(), number=WHICH, value=JSON, which=st.integers(0, 2))
def test_any_damage_to_a_pack_ends_in_pictures_or_one_line_at_length(
    pack: Path, jpegs: Path, damages: list, in_jpegs: bool, number: int, value: object, which: int
) -> None:
    pack_or_one_line(jpegs if in_jpegs else pack, lie(number, value, which == 1) if which else damage(damages))
    survived("property", "packed set")
