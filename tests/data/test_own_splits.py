"""Folders as people leave them: splits by their names, litter of systems, Windows zips, names that look alike."""

import hashlib
import itertools
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.config.validation import filled
from sslbench.data import doctor, splits
from sslbench.data.layouts import folder
from sslbench.data.layouts.split_names import SPELLINGS
from sslbench.data.pack import format as packformat
from sslbench.data.pack.read import PackedSet
from sslbench.data.sources.archives import extract
from sslbench.errors import UserError
from sslbench.export import find_similar
from tests.data.data_samples import TINY, files_of, packed, picture, save, settings_of, tar_of
from tests.tally import survived

LITTER = [
    *("__MACOSX/._x.jpg", "__macosx/cat/1.png", ".DS_Store", "._0.png", "Thumbs.db", "THUMBS.DB", "desktop.ini"),
    *("Desktop.ini", "@eaDir/0.png/thumb.jpg", ".Trashes/501/1.png", ".ipynb_checkpoints/0-checkpoint.png"),
    *("lost+found/#12.png", "$RECYCLE.BIN/S-1/$R1.jpg", "System Volume Information/x.jpg", ".Trash-1000/files/1.png"),
    *("#recycle/1.png", ".fseventsd/0.png", ".Spotlight-V100/a.png", "ehthumbs.db", "Icon\r", "~$labels.png"),
]


def tree(root: Path, *parts: str, classes: str = "ab", each: int = 2) -> Path:
    """Class folders of images, all different, below every part."""
    for part in parts:
        for name in classes:
            for i in range(each):
                save(
                    root / part / name / f"{i}.png",
                    picture(int(hashlib.md5(f"{part}{name}{i}".encode()).hexdigest()[:6], 16)),
                )
    return root


def scanned(root: Path, **changes: object):
    chosen = settings_of("folder", **changes)
    return folder.scan(folder.base(root, chosen), chosen)


def tops(found, part: str) -> set[str]:
    """The split folders that a part's images are below."""
    return {found.records[i].path.split("/")[-3] for i in found.splits["official"].get(part, [])}


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
@pytest.mark.parametrize(("val", "test"), list(itertools.product(SPELLINGS["val"], SPELLINGS["test"])))
def test_three_folders_are_train_val_and_test_in_any_spelling_and_case(tmp_path, val, test, case) -> None:
    found = scanned(tree(tmp_path, *map(case, ("training", val, test)), each=1))
    assert [tops(found, part) for part in ("train", "val", "test")] == [{case("training")}, {case(val)}, {case(test)}]
    assert found.classes == ["a", "b"]
    assert case(val) in found.notes[0] and "read as val" in found.notes[0]


@pytest.mark.parametrize("second", [*SPELLINGS["val"], *SPELLINGS["test"]])
def test_of_two_the_second_tests_and_digests_are_those_of_two_parts(tmp_path, second) -> None:
    found = scanned(tree(tmp_path, "train", second))
    split = found.splits["official"]
    assert list(split) == ["train", "test"] and tops(found, "test") == {second}
    expected = hashlib.sha256()  # as it was before splits had a third part
    for part in ("train", "test"):
        expected.update(f"{part} {len(split[part])} ".encode() + np.array(split[part], dtype="<i8").tobytes())
    assert splits.sha256({part: np.array(of) for part, of in split.items()}) == expected.hexdigest()


@pytest.mark.parametrize("wrapping", ["", "photos", "export 2024/photos/final"])
def test_splits_are_found_below_folders_that_hold_nothing_else_but_files_and_litter(tmp_path, wrapping) -> None:
    root = tree(tmp_path / "p" / wrapping, "Train", "Val", "Test")
    (tmp_path / "p" / "README.md").write_text("ours")
    for name in LITTER:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    opened = PackedSet.open(packed(settings_of("folder", path=tmp_path / "p"), tmp_path), verify=True)
    split = opened.split(settings_of("folder").split_name())
    assert {part: len(rows) for part, rows in split.items()} == {"train": 4, "test": 4, "val": 4}
    assert doctor.read(opened.folder, "official")["passed_over"] == {".md": 1}


@pytest.mark.parametrize(
    ("names", "said", "written"),
    [
        (("test", "cat", "dog"), "no train beside 'test'", "{train: ..., test: test}"),
        (("test",), "no train beside 'test'", "test: test"),
        (("Validation", "Testing"), "no train beside", "val: Validation"),
        (("train", "training", "test"), "'train', 'training' are names of one split", "{train: train, test: test}"),
        (("train", "val", "validation"), "'val', 'validation' are names", "{train: train, val: val}"),
        (("train", "test", "cat"), "'cat' beside 'test', 'train' is no split", "{train: train, test: test}"),
        (("holdout", "train"), "'holdout' beside 'train' is no split", "{train: train, test: holdout}"),
        (("test", "the rest"), "no train beside 'test'", "{train: 'the rest', test: test}"),
    ],
)
def test_what_names_leave_open_is_asked_in_one_line_with_the_key_to_write(tmp_path, names, said, written) -> None:
    tree(tmp_path / "p", *names)
    with pytest.raises(UserError) as error:
        packed(settings_of("folder", path=tmp_path / "p"), tmp_path)
    assert said in str(error.value) and "split: {" in str(error.value) and written in str(error.value)
    assert "split: none" in str(error.value) and "\n" not in str(error.value)


def test_split_overrides_the_guess_and_other_folders_are_left_out(tmp_path) -> None:
    tree(tmp_path, "train", "training", "holdout", "test")
    found = scanned(tmp_path, split={"train": "training", "test": "holdout"})
    assert (tops(found, "train"), tops(found, "test"), len(found.records)) == ({"training"}, {"holdout"}, 8)
    found = scanned(tmp_path, split={"train": "training", "val": "holdout"})
    assert tops(found, "test") == {"holdout"} and "val" not in found.splits["official"]
    with pytest.raises(UserError, match=r"'nope', and there are 'holdout'.*correct split:"):
        scanned(tmp_path, split={"train": "train", "test": "nope"})


def test_split_none_takes_folders_of_these_names_as_classes(tmp_path) -> None:
    assert scanned(tree(tmp_path, "train", "test", "bus"), split="none").classes == ["bus", "test", "train"]


@pytest.mark.parametrize(
    "value", [{"train": "a"}, {"test": "a", "val": "b"}, {"train": "a", "test": "a"}, "some", {"x": "y"}]
)
def test_a_split_that_says_nothing_is_refused(value) -> None:
    with pytest.raises(UserError) as error:
        filled(folder.Settings, {"split": value}, "datasets.mine")
    assert str(error.value).startswith("config: datasets.mine") and "train" in str(error.value)
    assert "Input should" not in str(error.value)


def test_another_split_is_another_pack_and_none_keeps_todays_name() -> None:
    plain, named, none = (settings_of("folder", split=s) for s in (None, {"train": "a", "test": "b"}, "none"))
    assert (plain.source(), plain.identity()) == ("folder", {"kind": "folder"})
    assert (
        len({s.source() for s in (plain, named, none)}) == 3 == len({str(s.identity()) for s in (plain, named, none)})
    )


def test_splits_within_classes_are_not_mixed_unseen(tmp_path) -> None:
    for name in ("cat", "dog"):
        for part in ("train", "test"):
            save(tmp_path / name / part / "0.png", picture(1))
    with pytest.raises(UserError, match=r"holds 'test' and 'train'.*as train/cat.*split: none"):
        scanned(tmp_path)
    assert scanned(tmp_path, split="none").classes == ["cat", "dog"]


def test_unlabelled_images_keep_their_splits(tmp_path) -> None:
    for i, part in enumerate(("train", "train", "test", "val")):
        save(tmp_path / "p" / part / f"{i}.png", picture(i))
    found = scanned(tmp_path / "p", labelled=False)
    assert {part: [found.records[i].path for i in of] for part, of in found.splits["official"].items()} == {
        "train": ["train/0.png", "train/1.png"],
        "test": ["test/2.png"],
        "val": ["val/3.png"],
    }
    with pytest.raises(UserError, match=r"no labels to probe with.*labelled: false"):
        scanned(tmp_path / "p")


def test_a_test_folder_without_labels_may_be_left_out(tmp_path) -> None:
    save(tree(tmp_path, "train", "val") / "test" / "0.png", picture(1))
    with pytest.raises(UserError, match=r"leave 'test' out, as split: \{train: train, val: val\}"):
        scanned(tmp_path)
    assert tops(scanned(tmp_path, split={"train": "train", "val": "val"}), "test") == {"val"}


ONE_CLASS = {
    "a folder of images beside a table": (["images/0.png", "images/1.png"], "table: labels.csv"),
    "one class in training": (["train/a/0.png", "train/a/1.png", "test/a/0.png"], "training images are of one class"),
    "one class in test": (["train/a/0.png", "train/b/0.png", "test/a/0.png"], "test images are of one class ('a')"),
    "one image a class": (["a/0.png", "b/0.png"], "test images are of no class"),
    "a class beside an unread file": (["only/0.png", "only/1.png"], "labelled: false"),
}


@pytest.mark.parametrize("case", ONE_CLASS)
def test_fewer_than_two_classes_are_refused_with_the_ways_out(tmp_path, case) -> None:
    names, said = ONE_CLASS[case]
    for i, name in enumerate(names):
        save(tmp_path / "p" / name, picture(i))
    (tmp_path / "p" / "labels.csv").write_text("file,label\n")
    with pytest.raises(UserError) as error:
        packed(settings_of("folder", path=tmp_path / "p"), tmp_path)
    assert said in str(error.value)
    assert all(way in str(error.value) for way in ("kind: table", "labelled: false", "folder"))
    assert len(PackedSet.open(packed(settings_of("folder", path=tmp_path / "p", labelled=False), tmp_path))) == len(
        names
    )


def test_classes_that_vanish_with_unreadable_images_count(tmp_path) -> None:
    root = tree(tmp_path / "p", "train", "test")
    for file in (root / "test" / "b").iterdir():
        file.write_text("x")
    with pytest.raises(UserError, match="test images are of one class"):
        packed(settings_of("folder", path=root, unreadable_share=0.5), tmp_path)


def test_names_that_look_alike_are_told_in_log_and_findings(tmp_path) -> None:
    names = [
        "cat",
        "Cat",
        "dog",
        "bird ",
        "bird",
        "caf\u00e9",
        "cafe\u0301",
        "\ufb01sh",
        "FISH",
        "stra\u00dfe",
        "STRASSE",
    ]
    found = doctor.look_alikes(sorted(names))
    assert sorted(map(sorted, found)) == sorted(
        map(sorted, [["cat", "Cat"], ["bird ", "bird"], names[5:7], names[7:9], names[9:]])
    )
    pack = packed(settings_of("folder", path=tree(tmp_path / "p", "", classes=("cat", "Cat", "dog"))), tmp_path)
    (line,) = [line for line in doctor.describe(doctor.read(pack, splits.per_class_name(0.2, 0))) if "alike" in line]
    assert "'Cat' and 'cat' look alike and are 2 classes" in line


def test_a_val_part_is_stored_and_verified_and_no_part_of_training(tmp_path) -> None:
    opened = PackedSet.open(
        packed(settings_of("folder", path=tree(tmp_path / "p", "train", "val", "test")), tmp_path), True
    )
    split = opened.split("official")
    assert sorted(np.concatenate(list(split.values()))) == list(range(12))
    assert {opened.names[i].split("/")[0] for i in split["train"]} == {"train"}
    assert opened.manifest["splits"]["official"] | {"sha256": ""} == {"train": 4, "test": 4, "val": 4, "sha256": ""}
    file = opened.folder / "splits" / "official-val.npy"
    np.save(file, np.load(file)[::-1].copy())
    (opened.folder / packformat.VERIFIED).unlink()
    with pytest.raises(UserError, match="official"):
        PackedSet.open(opened.folder, verify=True)


def windows_zip(root: Path, archive: Path, system: int, extra: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for name in [*(str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()), *extra]:
            info = zipfile.ZipInfo(name.replace("/", "\\"))
            info.create_system = system
            opened.writestr(info, (root / name).read_bytes() if (root / name).is_file() else b"")
    return archive


@pytest.mark.parametrize("system", [0, 3, 10])
def test_a_zip_made_on_windows_has_folders(tmp_path, system) -> None:
    root = tree(tmp_path / "p", "train", "test")
    zipped = windows_zip(root, tmp_path / "w.zip", system, ("train/empty/",) if system == 0 else ())
    extract(zipped, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(root)
    opened = (
        PackedSet.open(packed(settings_of("folder", archive=zipped, labelled=system != 3), tmp_path))
        if system
        else None
    )
    if opened:
        assert {part: len(rows) for part, rows in opened.split("official").items()} == {"train": 4, "test": 4}


@pytest.mark.parametrize(
    "name", ["..\\out.png", "a\\..\\..\\out.png", "C:\\out.png", "\\out.png", "\\\\server\\out.png"]
)
@pytest.mark.parametrize("system", [0, 3])
def test_a_windows_path_that_leads_outside_is_still_refused(tmp_path, name, system) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as opened:
        info = zipfile.ZipInfo(name)
        info.create_system = system
        opened.writestr(info, b"x")
    with pytest.raises(UserError, match="unsafe path"):
        extract(tmp_path / "w.zip", tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.iterdir() if p.name != "in"] == ["w.zip"] and not list((tmp_path / "in").iterdir())


def test_a_backslash_in_a_unix_zips_name_stays_a_name(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "u.zip", "w") as opened:
        opened.writestr("a/b\\c.png", b"x")
    extract(tmp_path / "u.zip", tmp_path / "out")
    assert list(files_of(tmp_path / "out")) == ["a/b\\c.png"]


def strewn(root: Path) -> None:
    """Litter in every folder below ``root``."""
    for place in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in LITTER:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            save(place / name, picture(3)) if name.endswith(".png") else (place / name).write_bytes(b"litter")


@pytest.mark.parametrize("kind", sorted(TINY.keys() - {"shapes", "scenes"}))
@pytest.mark.parametrize("archived", [False, True])
def test_litter_changes_no_kind_of_dataset(tmp_path, kind, archived) -> None:
    chosen = TINY[kind](tmp_path)
    clean = files_of(packed(chosen, tmp_path / "clean", name="x"))
    top = chosen.path or extracted(chosen.archive, tmp_path / "o")
    if archived and kind == "torchvision":
        top = top / "eurosat" / "2750"  # which its archive holds
    strewn(top)
    changes = {"archive": tar_of(top, tmp_path / "l.tgz"), "path": None} if archived else {"archive": None, "path": top}
    if archived and kind == "table":
        changes["table"] = Path("labels.csv")
    again = files_of(packed(chosen.model_copy(update=changes), tmp_path / "litter", name="x"))
    assert again == clean


def extracted(archive: Path, into: Path) -> Path:
    extract(archive, into)
    return next(into.iterdir())


def test_the_search_for_similar_images_sees_no_litter(tmp_path) -> None:
    root = tree(tmp_path, "")
    before = find_similar.pictures_below(root)
    strewn(root)
    assert find_similar.pictures_below(root) == before == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]


CLASSES = st.lists(st.sampled_from(["cat", "Cat", "été", "bus", "a b", "1"]), min_size=2, max_size=3, unique=True)
LAYOUTS = st.lists(
    st.sampled_from(["Train", "train", "training", "val", "VALID", "test", "Testing", "cat", "x"]), unique=True
)


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(classes=CLASSES, parts=LAYOUTS, litter=st.lists(st.sampled_from(LITTER), max_size=3), top=st.booleans())
def test_any_tree_is_read_as_its_names_say_or_is_asked_about(classes, parts, litter, top) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "top" if top else Path(name)
        for part in parts or [""]:
            for label in classes:
                (root / part / label).mkdir(parents=True, exist_ok=True)
                (root / part / label / "0.png").touch()
                (root / part / label / "1.png").touch()
        for dropping in litter:
            place = root / dropping
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        roles = [role for part in parts for role, names in SPELLINGS.items() if part.lower() in names]
        try:
            found = scanned(Path(name))
        except UserError as error:
            assert roles and "split: " in str(error) and str(error).isprintable()
            assert "train" not in roles or len(set(roles)) < len(roles) or len(roles) < len(parts)
            return
        assert not {label.lower() for label in found.classes} & {n for names in SPELLINGS.values() for n in names}
        assert len(found.records) == 2 * len(classes) * max(1, len(parts))
        if len(roles) > 1:
            assert set(found.splits["official"]) == {"train", "test", *(["val"] if len(roles) == 3 else [])}
    survived("property", "own folder")


@pytest.mark.parametrize(
    "names",
    [
        ("train_set", "test_set"),
        ("seg_train", "seg_test", "seg_val"),
        ("train2017", "val2017"),
        ("Training Images", "Test Images"),
    ],
)
def test_classes_that_are_all_called_like_splits_are_asked_about(tmp_path, names) -> None:
    tree(tmp_path / "p", *names)
    with pytest.raises(
        UserError, match=rf"may be splits or classes: write split: {{train: '?{names[0]}.*split: none where"
    ):
        scanned(tmp_path / "p")
    roles = dict(zip(("train", "test"), names, strict=False))
    assert scanned(tmp_path / "p", split=roles).classes == ["a", "b"]
    assert scanned(tmp_path / "p", split="none").classes == sorted(names)


def test_classes_of_which_one_holds_a_splits_word_are_classes(tmp_path) -> None:
    tree(tmp_path / "p", "train station", "test tube", "bus stop")
    assert scanned(tmp_path / "p").classes == ["bus stop", "test tube", "train station"]


def test_names_that_no_eye_tells_apart_look_alike() -> None:
    assert doctor.look_alikes(["cat", "c\u0430t", "cat\u200b", "dog"]) == [["cat", "c\u0430t", "cat\u200b"]]
