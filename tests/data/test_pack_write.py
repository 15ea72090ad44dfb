"""Packing: the pack holds what was in the pictures, under names and labels that fit."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslbench.data import doctor, splits
from sslbench.data.pack.read import PackedSet
from sslbench.data.pack.write import pack
from tests.data.data_samples import (
    TINY,
    files_of,
    make_folder,
    make_imagewoof,
    packed,
    picture,
    save,
    settings_of,
    tar_of,
)


def test_every_picture_is_found_again_with_its_name_and_label(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    opened = PackedSet.open(packed(settings_of("folder", path=root), tmp_path, pack_size=100))
    everything = opened.batch(np.arange(len(opened)))
    for i, name in enumerate(opened.names):
        assert np.array_equal(everything.picture(i).permute(1, 2, 0).numpy(), np.asarray(Image.open(root / name)))
        assert opened.classes[opened.labels[i]] == name.split("/")[0]


def test_an_archive_and_its_folder_make_the_same_content(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    inside = packed(settings_of("folder", path=root), tmp_path, name="folder")
    archive = packed(settings_of("folder", archive=tar_of(root, tmp_path / "a.tgz")), tmp_path, name="archive")
    assert (inside / "pixels.bin").read_bytes() == (archive / "pixels.bin").read_bytes()
    assert {json.loads((p / "manifest.json").read_text())["content_sha256"] for p in (inside, archive)} == {
        PackedSet.open(inside, verify=True).manifest["content_sha256"]
    }


def test_hostile_names_survive(tmp_path: Path) -> None:
    names = ["a b.png", "new\nline.png", "日本.png", "quote'\".png", os.fsdecode(b"bad\xff.png")]
    for i, name in enumerate(names):
        content = save(tmp_path / "plain.png", picture(i)).read_bytes()
        (tmp_path / "p" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / "cat" / name).write_bytes(content)
        save(tmp_path / "p" / "dog" / f"{i}.png", picture(9 + i))
    out = packed(settings_of("folder", path=tmp_path / "p"), tmp_path)
    assert {n for n in PackedSet.open(out, verify=True).names if n.startswith("cat/")} == {f"cat/{n}" for n in names}


def test_unreadable_pictures_are_left_out_where_the_config_allows(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for i in (1, 3):
        (root / "dog" / f"{i} of dog.png").write_text("no picture")
    settings = settings_of("folder", path=root, unreadable_share=0.2)
    out = packed(settings, tmp_path, pack_size=100)
    opened = PackedSet.open(out, verify=True)
    assert len(opened) == 13 and "dog/3 of dog.png" not in opened.names
    left_out = json.loads((out / "doctor.json").read_text())["unreadable"]
    assert [entry["name"] for entry in left_out] == ["dog/1 of dog.png", "dog/3 of dog.png"]
    split = opened.split(settings.split_name())
    assert sorted([*split["train"], *split["test"]]) == list(range(13))
    last = opened.batch(np.array([12])).picture(0).permute(1, 2, 0).numpy()
    assert np.array_equal(last, np.asarray(Image.open(root / opened.names[12])))


def test_a_split_of_folders_loses_only_what_was_left_out(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / "p" / part / "dog" / "0.png", picture(5))
        for i in range(4):
            save(tmp_path / "p" / part / "cat" / f"{i}.png", picture(i + 10 * (part == "val")))
    for path in ("train/cat/2.png", "val/cat/0.png"):
        (tmp_path / "p" / path).write_text("x")
    settings = settings_of("folder", path=tmp_path / "p", unreadable_share=0.3)
    opened = PackedSet.open(packed(settings, tmp_path), verify=True)
    named = {part: [opened.names[i] for i in positions] for part, positions in opened.split("official").items()}
    assert named == {
        "train": ["train/cat/0.png", "train/cat/1.png", "train/cat/3.png", "train/dog/0.png"],
        "test": ["val/cat/1.png", "val/cat/2.png", "val/cat/3.png", "val/dog/0.png"],
    }


def test_a_derived_split_is_the_same_stored_or_not(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "dog" / "1 of dog.png").write_text("x")
    opened = PackedSet.open(packed(settings_of("folder", path=root, unreadable_share=0.2), tmp_path))
    name = "per-class-80-20-seed0"
    again = splits.resolve(name, {}, opened.labels, opened.names)
    assert np.array_equal(opened.split(name)["test"], again["test"]) and name in opened.manifest["splits"]


def test_more_pictures_than_are_decoded_ahead_keep_their_order(tmp_path: Path) -> None:
    settings = settings_of("shapes", train_per_class=15, test_per_class=5, size=16)
    alone, together = (files_of(packed(settings, tmp_path / str(j), 16, jobs=j, name="x")) for j in (1, 2))
    assert alone == together and len(alone["pixels.bin"]) == 200 * 16 * 16 * 3


def test_the_versions_of_imagewoof_make_the_same_pack(tmp_path: Path) -> None:
    archive = tar_of(make_imagewoof(tmp_path), tmp_path / "a.tgz")
    packs = [
        files_of(packed(settings_of("imagewoof", version=v, archive=archive), tmp_path / str(v), name="x"))
        for v in (1, 2)
    ]
    assert packs[0] == packs[1]


def test_a_new_split_of_nabirds_is_derived_without_a_new_pack(tmp_path: Path) -> None:
    settings = TINY["nabirds"](tmp_path)
    opened = PackedSet.open(packed(settings, tmp_path))
    changed = settings.model_copy(update={"split": "per-class-80-20", "split_seed": 7})
    assert changed.split_name() not in opened.manifest["splits"]
    split = opened.split(changed.split_name())
    assert np.bincount(opened.labels[split["train"]]).tolist() == [4, 4, 4]
    assert opened.split_sha256(changed.split_name()) != opened.split_sha256("per-class-80-20-seed0")


def test_packing_again_replaces_the_pack_as_a_whole(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    settings = settings_of("folder", path=root)
    out = packed(settings, tmp_path)
    (out / "left-over").write_text("x")
    save(root / "cat" / "new.png", picture(77))
    assert packed(settings, tmp_path) == out
    assert len(PackedSet.open(out, verify=True)) == 16
    assert not (out / "left-over").exists() and [p.name for p in out.parent.iterdir()] == ["made"]


def test_progress_says_what_the_doctor_found(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    packed(settings_of("folder", path=root), tmp_path)
    lines: list[str] = []
    pack(settings_of("folder", path=root), tmp_path / "sources/made/source.json", tmp_path / "o", 8, 1, lines.append)
    assert "doctor: 15 pictures in 3 classes, heights 12 to 12, widths 10 to 10 px, 0 greyscale" in lines
    assert any(line.startswith("packed 15 pictures") for line in lines)


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    """A pack of train/test folders: one grey picture, and one file that stands on both sides."""
    for part, shift in (("train", 0), ("test", 50)):
        for name in ("cat", "dog"):
            for i in range(3):
                save(tmp_path / "p" / part / name / f"{i}.png", picture(shift + i + 10 * (name == "dog"), 20 + i, 30))
    save(tmp_path / "p" / "train" / "cat" / "0.png", picture(1)[..., 0])
    (tmp_path / "p/test/dog/2.png").write_bytes((tmp_path / "p/train/cat/1.png").read_bytes())
    return packed(settings_of("folder", path=tmp_path / "p"), tmp_path)


def test_the_doctor_counts_and_finds_what_stands_on_both_sides(sick: Path) -> None:
    found = doctor.read(sick, "official")
    assert found["count"] == 12 and found["grey"] == 1 and found["unreadable"] == []
    assert [(c["class"], c["count"]) for c in found["classes"]] == [("cat", 6), ("dog", 6)]
    assert found["height"] == {"min": 12, "median": 21.0, "max": 22} and found["width"]["max"] == 30
    split = found["splits"]["official"]
    assert (split["train"], split["test"], split["test_per_class"]) == (6, 6, [3, 3])
    assert split["in_both"] == [{"train": ["train/cat/1.png"], "test": ["test/dog/2.png"]}]
    assert any("byte for byte" in line and "'test/dog/2.png'" in line for line in doctor.describe(found))


def test_the_doctor_names_classes_without_test_pictures(tmp_path: Path) -> None:
    for part, classes in (("train", "abcd"), ("test", "bd")):
        for name in classes:
            save(tmp_path / "p" / part / name / "0.png", picture(ord(name) + (part == "test")))
    save(tmp_path / "p/train/b/1.png", picture(1))
    found = doctor.read(packed(settings_of("folder", path=tmp_path / "p"), tmp_path), "official")
    assert found["splits"]["official"]["untested"] == ["a", "c"]
    (line,) = [line for line in doctor.describe(found) if "without test pictures" in line]
    assert line == "doctor: split official: no accuracy speaks of classes without test pictures: 'a', 'c'"


def test_the_doctor_is_silent_where_every_class_is_tested_or_nothing_is(sick: Path, tmp_path: Path) -> None:
    save(tmp_path / "flat" / "0.png", picture(1))
    flat = packed(settings_of("folder", path=tmp_path / "flat", evaluate_on="other"), tmp_path / "unlabelled")
    for pack_folder in (sick, flat):
        found = doctor.read(pack_folder, "official")
        assert found["splits"]["official"]["untested"] == []
        assert not any("without test pictures" in line for line in doctor.describe(found))


def test_the_doctor_examines_a_derived_split_on_demand(sick: Path) -> None:
    found = doctor.read(sick, "per-class-50-50-seed1")["splits"]["per-class-50-50-seed1"]
    assert (found["train"], found["test"], found["train_per_class"]) == (6, 6, [3, 3])
    opened = PackedSet.open(sick)
    split = opened.split("per-class-50-50-seed1")
    sides = {part: {opened.names[i] for i in split[part]} for part in ("train", "test")}
    twins = {"train/cat/1.png", "test/dog/2.png"}
    assert bool(found["in_both"]) == (not any(twins <= side for side in sides.values()))
