"""kind: table: a CSV, TSV or Parquet file with one row per image."""

import random
import re
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from sslbench.data import doctor, splits
from sslbench.data.layouts import table
from sslbench.data.pack import format as packformat
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from tests.data.data_samples import make_table, packed, picture, save, settings_of


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/00.png to images/23.png."""
    root = tmp_path_factory.mktemp("set")
    for i in range(24):
        save(root / "images" / f"{i:02}.png", picture(i))
    return root


def listed(images: Path, text: str | bytes, name: str = "t.csv", **changes: object):
    (images / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    chosen = settings_of("table", table=images / name, **changes)
    return table.scan(table.base(chosen.path, chosen), chosen)


def labels(found) -> dict[str, str]:
    return dict(found.records)


ROWS = [("images/00.png", "cat"), ("images/01.png", "été"), ("images/02.png", "cat"), ("images/03.png", "été")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separator_encoding_and_line_ends_are_found(images, separator, encoding, end) -> None:
    text = end.join(separator.join(row) for row in [("Image Path", "Class Name"), *ROWS]) + end + end
    found = listed(images, text.encode(encoding), "t.tsv")
    assert labels(found) == dict(ROWS) and found.classes == ["cat", "été"]
    assert "column 'Image Path' read as path, column 'Class Name' read as label" in found.notes[0]


@pytest.mark.parametrize(
    "pair", [("01", "1"), ("1.0", "1"), ("NA", "None"), ("true", "True"), ("1e3", "1000"), ("007", "7")]
)
def test_labels_keep_their_values_as_written(images, pair) -> None:
    text = "file,label\n" + "".join(f"images/{i:02}.png,{pair[i % 2]}\n" for i in range(6))
    assert listed(images, text).classes == sorted(pair)


def test_parquet_is_read_as_text_too(images) -> None:
    columns = {
        "path": [f"images/{i:02}.png" for i in range(4)],
        "label": [0, 1, 0, 1],
        "subject": ["a", None, "b", "b"],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), images / "t.parquet")
    chosen = settings_of("table", table=images / "t.parquet")
    found = table.scan(chosen.path, chosen)
    assert found.classes == ["0", "1"]
    assert found.groups == {"images/00.png": "a", "images/02.png": "b", "images/03.png": "b"}
    pyarrow.parquet.write_table(
        pyarrow.table(columns | {"label": [["a", "b"], ["a"], ["b"], None]}), images / "t.parquet"
    )
    with pytest.raises(UserError, match=r"3 rows have several labels: 1 .*row 4 has no label"):
        table.scan(chosen.path, chosen)
    (images / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UserError, match="no sound Parquet"):
        table.scan(chosen.path, chosen)


FAULTS = {
    "a file that is not there": (
        ["images/77.png,a", "77.png,b"],
        r"2 rows name no image.*: 5 \('images/77\.png'\), 6 .*root:",
    ),
    "outside of the folder": (["../../etc/passwd.png,a"], r"row 5 .* names no image that is there"),
    "no image": (["t.csv,a"], r"row 5 \('t\.csv'\) names no image"),
    "a row twice": (["images/00.png,cat"], r"row 5 \('images/00\.png', as row 2\) names the file of an earlier row"),
    "a row twice, spelt otherwise": (["./images//00.png,dog"], r"row 5 .*as row 2"),
    "an empty label": (["images/04.png,", "images/05.png, "], r"2 rows have no label: 5, 6;.*labelled: false"),
    "several labels by a bar": (["images/04.png,a|b"], r"row 5 \('a\|b'\) has several labels"),
    "several labels by a semicolon": (["images/04.png,a; b"], r"row 5 .*has several labels"),
    "a list of labels": (["images/04.png,\"['a', 'b']\""], r"row 5 .*has several labels"),
    "too many cells": (["images/04.png,a,b"], r"row 5 has more than the header's 2 cells"),
    "many rows": (
        [f"no/{i}.png,a" for i in range(9)],
        r"9 rows name no image.*: 5 .*, 6 .*, 7 \('no/2\.png'\) and 6 more",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_with_rows_is_one_line_that_names_them(images, case) -> None:
    rows, said = FAULTS[case]
    with pytest.raises(UserError) as error:
        listed(images, "\n".join(["path,label", *map(",".join, ROWS[:3]), *rows]))
    assert re.search(said, str(error.value)) and str(error.value).startswith(f"{images / 't.csv'}: ")


def test_several_kinds_of_fault_are_told_together(images) -> None:
    with pytest.raises(UserError, match=r"row 2 .*no image.* row 3 .*several labels.* row 4 has no label"):
        listed(images, "path,label\nx.png,a\nimages/00.png,a|b\nimages/01.png,\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,foo\nimages/00.png,a\n", r"hold the labels \(it has 'file', 'foo'\): write label_column:"),
        ("a,label\nimages/00.png,a\n", r"name the images .*path_column:"),
        ("file,label,class\nimages/00.png,a,b\n", r"'label' and 'class' may both be the label: write label_column:"),
        ("file,label,label\nimages/00.png,a,b\n", "two columns are called 'label'"),
        ("images/00.png,a\nimages/01.png,b\n", "first row holds 'images/00.png' where names of columns"),
        ("file,label\n", "no rows below its header"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("PK\x03\x04 a workbook", "save it as CSV"),
    ],
)
def test_a_table_that_cannot_be_understood_says_what_to_write(images, text, said) -> None:
    with pytest.raises(UserError, match=said):
        listed(images, text)


def test_columns_may_be_named_and_a_name_that_is_not_there_is_answered_with_the_near_one(images) -> None:
    text = "id;dx;kind of bird\n00;x;a\n01;x;b\n"
    found = listed(images, text, path_column="id", label_column="kind of bird", root=images / "images")
    assert labels(found) == {"00.png": "a", "01.png": "b"}
    with pytest.raises(UserError, match=r"no column 'kind of brid' \(label_column\)\. Did you mean 'kind of bird'\?"):
        listed(images, text, label_column="kind of brid")


def test_paths_are_found_as_tables_write_them(images) -> None:
    rows = [
        "images\\00.png",
        "./images/01.png",
        f"{images}/images/02.png",
        "images/03",
        "images/../images/04.png",
        ".\\images\\05.png",
    ]
    found = listed(images, "file,label\n" + "".join(f"{row},{i % 2}\n" for i, row in enumerate(rows)))
    assert [record.path for record in found.records] == [f"images/{i:02}.png" for i in range(6)]


def test_paths_may_be_relative_to_the_table_though_root_is_above_it(images) -> None:
    (images / "meta").mkdir(exist_ok=True)
    text = "file,label\n../images/00.png,a\n../images/01.png,b\n"
    assert labels(listed(images, text, "meta/t.csv", root=images)) == {"images/00.png": "a", "images/01.png": "b"}
    with pytest.raises(UserError, match="root:"):
        listed(images, text, "meta/t.csv")


SPELT = ["Train", "training", "TRAIN ", "val", "Validation", "valid", "test", "Testing"]


def test_a_split_column_is_read_in_any_spelling(images) -> None:
    rows = [f"images/{i:02}.png,{'ab'[i // 8]},{SPELT[i % 8]}" for i in range(16)]
    found = listed(images, "\n".join(["file,label,Set", *rows]))
    official = {part: {i % 8 for i in of} for part, of in found.splits["official"].items()}
    assert official == {"train": {0, 1, 2}, "val": {3, 4, 5}, "test": {6, 7}}
    assert any("value 'Train', 'training', 'TRAIN' read as train" in note for note in found.notes)
    two = listed(images, "\n".join(["file,label,Set", *(row for row in rows if "est" not in row)]))
    assert list(two.splits["official"]) == ["train", "test"] and len(two.splits["official"]["test"]) == 6


def test_a_split_column_that_is_not_clear_is_asked_about(images) -> None:
    rows = "".join(f"images/{i:02}.png,{i % 2},{i % 3}\n" for i in range(9))
    with pytest.raises(
        UserError, match=r"9 rows have an unknown split: 2 \('0'\), 3 \('1'\).*split: \{train: .*split: none"
    ):
        listed(images, "file,label,split\n" + rows)
    found = listed(images, "file,label,split\n" + rows, split={"train": 0, "test": "1"})
    assert len(found.records) == 6 and any("3 rows are of no split" in note for note in found.notes)
    assert list(listed(images, "file,label,split\n" + rows, split="none").splits) == ["per-class-80-20-seed0"]
    with pytest.raises(UserError, match=r"no train beside 'test'.*split:"):
        listed(images, "file,label,split\nimages/00.png,a,test\nimages/01.png,b,test\n")
    with pytest.raises(UserError, match=r"row 3 .* has an unknown split"):
        listed(images, "file,label,split\nimages/00.png,a,train\nimages/01.png,b,tset\n")


def test_all_that_trains_gets_a_derived_split(images) -> None:
    found = listed(images, "file,label,split\n" + "".join(f"images/{i:02}.png,{i % 2},train\n" for i in range(10)))
    assert list(found.splits) == ["per-class-80-20-seed0"] and len(found.splits["per-class-80-20-seed0"]["test"]) == 2


def test_a_table_may_have_no_labels(images, tmp_path) -> None:
    text = "file\n" + "".join(f"images/{i:02}.png\n" for i in range(6))
    found = listed(images, text, labelled=False)
    assert {record.label for record in found.records} == {None} and found.splits["official"]["test"] == []
    assert listed(images, text, evaluate_on="another").classes == []
    with pytest.raises(UserError, match="labelled: false"):
        listed(images, text)
    opened = PackedSet.open(packed(settings_of("table", table=images / "t.csv", labelled=False), tmp_path))
    assert len(opened) == 6


def test_one_class_is_refused_for_a_table_too(images, tmp_path) -> None:
    listed(images, "file,label\n" + "".join(f"images/{i:02}.png,x\n" for i in range(6)))
    with pytest.raises(UserError, match=r"one class \('x'\).*labelled: false"):
        packed(settings_of("table", table=images / "t.csv"), tmp_path)


def grouped(seed: int, count: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Labels, names and groups of a made-up set: groups of 1 to 6 images, some of several classes."""
    draw = random.Random(seed)
    found: list[tuple[int, str, int]] = []
    for group in range(count):
        found += [(draw.randrange(3) if group % 4 == 0 else group % 3, f"{draw.random():.9f}.png", group)
                  for _ in range(draw.randint(1, 6))]  # fmt: skip
    found.sort(key=lambda row: row[1])
    labels, names, groups = zip(*found, strict=True)
    return np.array(labels), list(names), np.array(groups)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_stays_on_one_side_and_every_class_keeps_about_its_share(seed) -> None:
    labels, names, groups = grouped(seed, 90)
    split = splits.resolve(f"per-class-80-20-seed{seed}-by-patient", {}, labels, names, groups)
    assert not set(groups[split["train"]]) & set(groups[split["test"]])
    assert sorted(np.concatenate(list(split.values()))) == list(range(len(names)))
    shares = [(labels[split["test"]] == c).sum() / (labels == c).sum() for c in range(3)]
    assert all(0.12 < share < 0.28 for share in shares), shares
    other = splits.per_group(labels, names, groups, Fraction(4, 5), seed + 100)
    assert set(other["test"]) != set(split["test"])


def test_the_groups_numbers_and_the_rows_order_have_no_say() -> None:
    labels, names, groups = grouped(0, 40)
    tests = {names[i] for i in splits.per_group(labels, names, groups, Fraction(4, 5), 0)["test"]}
    order = np.random.default_rng(0).permutation(len(names))
    renumbered = np.random.default_rng(1).permutation(40)[groups]
    shuffled = [names[i] for i in order]
    again = splits.per_group(labels[order], shuffled, renumbered[order], Fraction(4, 5), 0)["test"]
    assert {shuffled[i] for i in again} == tests


@pytest.mark.parametrize("sizes", [[(0, 5), (1, 1), (1, 1)], [(0, 1), (0, 1), (1, 9)], [(0, 3), (1, 3)]])
def test_no_class_is_tested_that_does_not_train(sizes) -> None:
    """Of (label, images of one group)."""
    labels = np.array([label for label, n in sizes for _ in range(n)])
    groups = np.array([g for g, (_, n) in enumerate(sizes) for _ in range(n)])
    split = splits.per_group(labels, [f"{i:02}" for i in range(len(labels))], groups, Fraction(1, 2), 0)
    assert set(labels[split["train"]]) == {0, 1}


def test_groups_are_packed_and_another_share_keeps_them_together_without_packing_anew(tmp_path) -> None:
    chosen = settings_of("table", table=make_table(tmp_path))
    pack = packed(chosen, tmp_path)
    opened = PackedSet.open(pack, verify=True)
    assert opened.classes == ["01", "1"]
    patients = [int(Path(name).stem) // 2 for name in opened.names]
    for share, seed in ((0.2, 0), (0.4, 3)):
        other = chosen.model_copy(update={"test_share": share, "split_seed": seed})
        split = opened.split(other.split_name())
        sides = [{patients[i] for i in split[part]} for part in ("train", "test")]
        assert not sides[0] & sides[1] and len(sides[1]) == round(10 * share)
        assert doctor.read(pack, other.split_name())["splits"][other.split_name()]["groups_in_both"] == 0
    assert settings_of("table", group_column="Patient ID").split_name().endswith("-seed0-by-patient_id")
    assert settings_of("table", group_column="none").split_name() == settings_of("folder").split_name()
    np.save(pack / "groups.npy", np.load(pack / "groups.npy")[::-1].copy())
    (pack / packformat.VERIFIED).unlink()
    with pytest.raises(UserError, match=r"groups\.npy"):
        PackedSet.open(pack)


def test_a_group_on_both_sides_of_a_given_split_is_told_with_its_count(images, tmp_path) -> None:
    rows = [f"images/{i:02}.png,{i % 2},{('train', 'test')[i // 2 % 2]},p{i // 4}" for i in range(24)]
    listed(images, "\n".join(["file,label,split,patient", *rows]))
    lines = doctor.describe(doctor.read(packed(settings_of("table", table=images / "t.csv"), tmp_path), "official"))
    assert [line for line in lines if "6 groups stand on more than one side" in line]


@pytest.mark.parametrize("top", ["", "set/"])
def test_a_table_and_its_images_may_come_in_one_archive(images, tmp_path, top) -> None:
    (images / "t.csv").write_text("file,label\n" + "".join(f"images/{i:02}.png,{i % 2}\n" for i in range(10)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        for path in ["t.csv", *(f"images/{i:02}.png" for i in range(10))]:
            opened.write(images / path, top + path)
    inside = PackedSet.open(packed(settings_of("table", archive=tmp_path / "a.zip", table="t.csv"), tmp_path))
    beside = PackedSet.open(packed(settings_of("table", table=images / "t.csv"), tmp_path, name="b"))
    both = PackedSet.open(
        packed(settings_of("table", archive=tmp_path / "a.zip", table=images / "t.csv"), tmp_path, name="c")
    )
    assert inside.names == beside.names == [name.removeprefix(top) for name in both.names]
    assert len({p.manifest["content_sha256"] for p in (inside, beside, both)}) == 1
    with pytest.raises(UserError, match=r"a\.zip: holds no nope\.csv"):
        packed(settings_of("table", archive=tmp_path / "a.zip", table="nope.csv"), tmp_path)


@pytest.mark.parametrize(
    "values",
    [{"archive": "a.zip"}, {"path": "x"}, {"table": "t.csv", "root": "a", "path": "b"}, {"table": 5}, {"table": ["a"]}],
)
def test_settings_that_name_no_one_table_are_refused(values) -> None:
    with pytest.raises(ValueError, match=r"table|root"):
        settings_of("table", **values)


def test_a_missing_table_or_root_is_named_by_the_key_that_was_written(tmp_path) -> None:
    chosen = settings_of("table", table=tmp_path / "t.csv", root=tmp_path / "no")
    assert chosen.missing() == f"table: there is no file {tmp_path / 't.csv'}; give the path of one"
    (tmp_path / "t.csv").write_text("x")
    assert chosen.missing() == f"root: there is no folder {tmp_path / 'no'}; give the path of one"
    assert settings_of("table", table=tmp_path / "t.csv").missing() is None


def test_a_table_in_the_home_folder_is_found_with_its_images(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = settings_of("table", table="~/t.csv")
    assert (chosen.table, chosen.path) == (tmp_path / "t.csv", tmp_path)


def test_a_quote_that_is_not_closed_is_named_by_its_line(images) -> None:
    rows = [f"images/{i:02}.png,{'ab'[i % 2]}" for i in range(12)]
    for torn in ([3], [3, 8], [3, 4]):
        text = "\n".join(["path,label", *(r.replace(",", ',"') if i in torn else r for i, r in enumerate(rows))]) + "\n"
        with pytest.raises(
            UserError, match=r"t\.csv: is no sound CSV file: .*in the row that begins on line 5; correct"
        ):
            listed(images, text)
    quoted = 'path,label,note\nimages/00.png,a,"two\nlines"\nimages/01.png,"b\nb",x\nimages/02.png,a,"torn'
    with pytest.raises(UserError, match="begins on line 6"):
        listed(images, quoted)
    with pytest.raises(
        UserError, match=r"row 3 has a line break in a path, label, split, group or fold; look for a quote"
    ):
        listed(images, quoted.replace('"torn', "whole"))


def test_excels_own_way_to_name_the_separator_is_understood(images) -> None:
    found = listed(images, "sep=;\r\nfile;label;is_train\r\nimages/00.png;a;1\r\nimages/01.png;b, c;0\r\n")
    assert labels(found) == {"images/00.png": "a", "images/01.png": "b, c"}
    assert any("columns not read: 'is_train'" in note for note in found.notes)


def test_groups_that_are_the_classes_are_said_to_be_what_is_wrong(images, tmp_path) -> None:
    text = "path,label,patient\n" + "".join(f"images/{i:02}.png,{'ab'[i % 2]},p{i % 2}\n" for i in range(8))
    (images / "g.csv").write_text(text)
    with pytest.raises(UserError, match="a group stays on one side, and classes have too few of them"):
        packed(settings_of("table", table=images / "g.csv"), tmp_path)
