"""What each layout finds in a folder, and how it names, labels and splits it."""

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from sslbench.data.layouts import folder, imagenette, imagewoof, nabirds
from sslbench.data.layouts import imagenet as imagenet_layout
from sslbench.data.layouts.tree import pictures_below, top_folder
from sslbench.errors import UserError
from tests.data.data_samples import (
    make_folder,
    make_imagenet,
    make_imagenette,
    make_imagewoof,
    make_nabirds,
    packed,
    picture,
    save,
    settings_of,
    tar_of,
)


def test_imagenette_sources_are_the_published_names() -> None:
    names = {(v, s): settings_of("imagenette", version=v, size=s).source() for v in (1, 2) for s in ("full", 320, 160)}
    assert names == {
        (1, "full"): "imagenette",
        (1, 320): "imagenette-320",
        (1, 160): "imagenette-160",
        (2, "full"): "imagenette2",
        (2, 320): "imagenette2-320",
        (2, 160): "imagenette2-160",
    }


def test_imagenette_val_tests_and_classes_have_titles(tmp_path: Path) -> None:
    found = imagenette.scan(make_imagenette(tmp_path), settings_of("imagenette"))
    assert found.classes == ["n01440764", "n02102040", "n02979186"]
    assert found.titles == ["tench", "English springer", "cassette player"]
    split = found.splits["official"]
    assert (len(split["train"]), len(split["test"])) == (9, 6)
    assert all(found.records[i].path.startswith("val/") for i in split["test"])
    assert all(record.path.split("/")[1] == record.label for record in found.records)


def test_imagewoof_v1_is_rebuilt_by_file_name_over_the_same_pictures(tmp_path: Path) -> None:
    root = make_imagewoof(tmp_path)
    first, second = (imagewoof.scan(root, settings_of("imagewoof", version=v)) for v in (1, 2))
    assert first == second
    split = first.splits["v1-rebuilt"]
    assert {first.records[i].path.rsplit("/", 1)[1][:15] for i in split["test"]} == {"ILSVRC2012_val_"}
    assert not any("ILSVRC2012_val_" in first.records[i].path for i in split["train"])
    assert sorted(split["train"] + split["test"]) == list(range(len(first.records)))


def test_imagewoof_versions_share_source_and_identity_and_differ_in_split() -> None:
    v1, v2 = settings_of("imagewoof", version=1), settings_of("imagewoof", version=2)
    assert (v1.source(), v1.identity()) == (v2.source(), v2.identity())
    assert (v1.split_name(), v2.split_name()) == ("v1-rebuilt", "official")


def test_nabirds_ids_are_remapped_in_numeric_order_and_unused_classes_dropped(tmp_path: Path) -> None:
    found = nabirds.scan(make_nabirds(tmp_path), settings_of("nabirds"))
    assert found.classes == ["295", "817", "1010"]
    assert found.titles == ["Common Eider (Adult male)", "Oak Titmouse", "Dark-eyed Junco"]
    assert all(int(record.path.split("/")[1]) == int(record.label) for record in found.records)
    assert {name: (len(s["train"]), len(s["test"])) for name, s in found.splits.items()} == {
        "official": (12, 6),
        "per-class-80-20-seed0": (12, 6),  # int(0.8 * 6) = 4 of each class
    }


def test_nabirds_files_may_have_windows_line_ends_a_byte_order_mark_and_latin_names(tmp_path: Path) -> None:
    root = make_nabirds(tmp_path)
    expected = nabirds.read_metadata(root)
    for file in root.glob("*.txt"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert nabirds.read_metadata(root) == expected
    (root / "classes.txt").write_bytes("295 Eider à duvet\n817 b\n1010 c d\n".encode("latin-1"))
    assert nabirds.read_metadata(root).titles == ["Eider à duvet", "b", "c d"]


def test_nabirds_metadata_is_read_without_pictures_and_a_scan_is_not(tmp_path: Path) -> None:
    root = make_nabirds(tmp_path)
    (root / "images").rename(root / "elsewhere")
    assert len(nabirds.read_metadata(root).records) == 18
    with pytest.raises(UserError, match=r"no folder 'images'.*dl\.allaboutbirds.org"):
        nabirds.scan(root, settings_of("nabirds"))


@pytest.mark.parametrize("line", ["lonely", "0000-1 295\n00001 295"])
def test_nabirds_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    root = make_nabirds(tmp_path)
    labels = root / "image_class_labels.txt"
    labels.write_text(labels.read_text() + line + "\n")
    with pytest.raises(UserError, match=rf"image_class_labels.txt: line {19 + line.count(chr(10))} "):
        nabirds.read_metadata(root)


def test_folder_with_class_folders_is_labelled_by_them_however_deep(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    save(root / "cat" / "more" / "deep.JPG", picture(9))
    (root / "cat" / "notes.txt").write_text("passed over")
    save(root / ".hidden" / "x.png", picture(8))
    found = folder.scan(root, settings_of("folder"))
    assert found.classes == found.titles == ["cat", "dog", "été 5"]
    assert len(found.records) == 16 and ("cat/more/deep.JPG", "cat") in found.records
    assert list(found.splits) == ["per-class-80-20-seed0"]


@pytest.mark.parametrize("test_name", ["test", "val", "valid", "validation", "Test"])
def test_folder_with_train_and_test_keeps_its_own_split(tmp_path: Path, test_name: str) -> None:
    for part, count in (("train", 3), (test_name, 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                save(tmp_path / part / name / f"{i}.png", picture(i))
    found = folder.scan(tmp_path, settings_of("folder"))
    assert found.classes == ["cat", "dog"]
    assert {found.records[i].path.split("/")[0] for i in found.splits["official"]["test"]} == {test_name}
    assert len(found.splits["official"]["train"]) == 6


def test_folder_a_class_may_be_called_train_where_the_config_says_so(tmp_path: Path) -> None:
    for name in ("train", "bus", "test"):
        save(tmp_path / name / "a.png", picture(1))
    assert folder.scan(tmp_path, settings_of("folder", split="none")).classes == ["bus", "test", "train"]


def test_folder_without_class_folders_is_unlabelled_and_all_trains(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.png", picture(i))
    found = folder.scan(tmp_path, settings_of("folder", evaluate_on="birds"))
    assert [record.label for record in found.records] == [None] * 4 and found.classes == []
    assert found.splits == {"official": {"train": [0, 1, 2, 3], "test": []}}


def test_folder_with_both_is_refused(tmp_path: Path) -> None:
    save(make_folder(tmp_path) / "loose.png", picture(0))
    with pytest.raises(UserError, match=r"'loose\.png'.*beside folders"):
        folder.scan(tmp_path / "pets", settings_of("folder"))


def test_the_top_folder_is_found_however_the_archive_was_packed(tmp_path: Path) -> None:
    pets = make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    assert top_folder(tmp_path) == pets == top_folder(pets)


def test_links_are_followed_and_cycles_are_not(tmp_path: Path) -> None:
    save(tmp_path / "real" / "x.png", picture(0))
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "set" / "cat" / "cycle").symlink_to(tmp_path / "set" / "cat")
    assert pictures_below(tmp_path / "set" / "cat") == ["linked/x.png"]


def imagenet(root: Path):
    return imagenet_layout.scan(root, imagenet_layout.Settings())


def test_imagenets_labels_are_in_the_order_of_wnids_or_of_its_file_of_titles(tmp_path: Path) -> None:
    root = make_imagenet(tmp_path)
    listing = imagenet(root)
    assert listing.classes == ["n03888257", "n01440764", "n02102040"]
    assert listing.titles == ["parachute, chute", "tench", "springer"]
    assert [len(listing.splits["official"][part]) for part in ("train", "test")] == [9, 6]
    assert all(listing.records[i].path.startswith("val/") for i in listing.splits["official"]["test"])
    (root / "LOC_synset_mapping.txt").unlink()
    assert imagenet(root).classes == imagenet(root).titles == ["n01440764", "n02102040", "n03888257"]


def test_imagenet_as_kaggle_has_it_is_the_same_set(tmp_path: Path) -> None:
    sorted_root, root = make_imagenet(tmp_path / "a"), tmp_path / "b"
    shutil.copytree(sorted_root, root / "ILSVRC/Data/CLS-LOC")
    shutil.move(root / "ILSVRC/Data/CLS-LOC/LOC_synset_mapping.txt", root)
    val, rows = root / "ILSVRC/Data/CLS-LOC/val", ["ImageId,PredictionString"]
    for file in sorted(val.rglob("*.JPEG")):
        name = f"{file.parent.name}-{file.stem}"
        rows.append(f"{name},{file.parent.name} 1 2 3 4 {file.parent.name} 5 6 7 8 ")
        file.rename(val / f"{name}.JPEG")
    for emptied in [entry for entry in val.iterdir() if entry.is_dir()]:
        emptied.rmdir()
    with pytest.raises(UserError, match=r"no class folders, and there is no LOC_val_solution\.csv"):
        imagenet(root)
    (root / "LOC_val_solution.csv").write_text("\n".join(rows))
    ours, theirs = imagenet(sorted_root), imagenet(root)
    assert (ours.classes, ours.titles) == (theirs.classes, theirs.titles)
    labels = [[listing.records[i].label for i in listing.splits["official"]["test"]] for listing in (ours, theirs)]
    assert labels[0] == labels[1]
    (root / "LOC_val_solution.csv").write_text("\n".join(rows[:-1]))
    with pytest.raises(UserError, match="says nothing of"):
        imagenet(root)


@pytest.mark.parametrize(("missing", "present"), [("val", "train"), ("train", "val")])
def test_half_of_imagenet_is_named_by_what_the_user_gave_and_what_it_lacks(missing, present, tmp_path: Path) -> None:
    """Packed, as a user has it: a lone train/ is no folder around the pictures, nor is its lone class."""
    given = make_imagenet(tmp_path / "theirs")
    shutil.rmtree(given / missing)
    (given / "LOC_synset_mapping.txt").unlink()
    for wnid in ("n02102040", "n03888257"):
        shutil.rmtree(given / present / wnid)
    settings = imagenet_layout.Settings(path=given)
    with pytest.raises(UserError, match=re.escape(f"{given}: has no folder '{missing}', so it is not ImageNet")):
        packed(settings, tmp_path / "work")


def test_what_is_not_imagenet_is_one_line(tmp_path: Path) -> None:
    root = make_imagenet(tmp_path)
    shutil.rmtree(root / "train" / "n02102040")
    with pytest.raises(UserError, match="has pictures of 'n02102040', which train lacks"):
        imagenet(root)
    with pytest.raises(UserError, match="no folders 'train' and 'val'"):
        imagenet(root / "train")
    (root / "train" / "n02102040").mkdir()
    with pytest.raises(UserError, match="this class has no pictures"):
        imagenet(root)


@pytest.mark.parametrize("kind", ["imagenet", "folder"])
def test_archives_in_an_archive_are_to_be_unpacked_first(kind, tmp_path: Path) -> None:
    """As ILSVRC2012_img_train.tar is: one archive per class."""
    inner = tar_of(make_folder(tmp_path), tmp_path / "pets.tar", "w")
    with tarfile.open(tmp_path / "train.tar", "w") as outer:
        for wnid in ("n01440764", "n02102040"):
            outer.add(inner, f"{wnid}.tar")
    with pytest.raises(UserError, match=r"holds 2 archives.*unpack.*docs/your-own-images\.md"):
        packed(settings_of(kind, archive=tmp_path / "train.tar"), tmp_path)


def test_imagenets_archives_in_train_are_to_be_unpacked_first(tmp_path: Path) -> None:
    root = make_imagenet(tmp_path)
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    (root / "train" / "n01440764.tar").touch()
    with pytest.raises(UserError, match=r"holds an archive.*unpack"):
        imagenet(root)
