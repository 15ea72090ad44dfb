"""Groups of images that stay on one side, by a pattern or a column, and folds and repeats over one pack."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sslbench.data import doctor, splits
from sslbench.data.layouts import folder, table
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from tests.data.data_samples import files_of, make_table, packed, picture, save, settings_of

NAMES = [f"{i:04}.png" for i in range(500)]


def parts(labels, groups, count: int, seed: int = 0, names=NAMES) -> list[dict]:
    by = "-by-x" if groups is not None else ""
    wanted = [f"fold{i}of{count}-seed{seed}{by}" for i in range(1, count + 1)]
    return [splits.resolve(name, {}, np.array(labels), names[: len(labels)], groups) for name in wanted]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=9, max_size=120), st.integers(2, 9), st.integers(0, 3))
def test_each_image_is_tested_once_and_folds_differ_by_one_image_at_most_in_all_and_in_each_class(labels, count, seed):
    found = parts(labels, None, count, seed)
    assert sorted(np.concatenate([split["test"] for split in found])) == list(range(len(labels)))
    for split in found:
        assert sorted(np.concatenate(list(split.values()))) == list(range(len(labels)))
        assert 0 <= len(split["test"]) - len(labels) // count <= 1
        tested, of_all = Counter(np.array(labels)[split["test"]].tolist()), Counter(labels)
        assert all(0 <= tested[label] - n // count <= 1 for label, n in of_all.items())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=7, max_size=40), st.integers(2, 7))
def test_folds_keep_groups_whole_and_classes_differ_by_no_more_than_their_largest_group(sizes, count):
    """Of groups, each of (a class, so many images): what a greedy assignment, the largest first, is known to hold."""
    labels = np.array([label for label, n in sizes for _ in range(n)])
    groups = np.array([g for g, (_, n) in enumerate(sizes) for _ in range(n)])
    found = parts(labels, groups, count)
    assert sorted(np.concatenate([split["test"] for split in found])) == list(range(len(labels)))
    assert not any(set(groups[split["train"]]) & set(groups[split["test"]]) for split in found)
    for label in set(labels):
        tested = [(labels[split["test"]] == label).sum() for split in found]
        assert max(tested) - min(tested) <= max(n for of, n in sizes if of == label)


def test_order_and_numbers_of_groups_have_no_say_in_folds_and_the_seed_has():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 3, 200), rng.integers(0, 40, 200)
    order, renumbered = rng.permutation(200), rng.permutation(40)
    for mine, theirs in ((None, None), (groups, renumbered[groups][order])):
        first = splits.folds(labels, NAMES[:200], mine, 5, 0)
        again = splits.folds(labels[order], [NAMES[i] for i in order], theirs, 5, 0)
        assert (first[order] == again).all()
        assert (first != splits.folds(labels, NAMES[:200], mine, 5, 1)).mean() > 0.5


def test_classes_are_spread_over_grouped_folds_about_as_evenly_as_by_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")

    def unevenness(labels, folds) -> float:
        return float(np.mean([np.bincount(folds[labels == c], minlength=5).std() for c in range(3)]))

    ours, theirs = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), rng.integers(1, 9, 60))
        labels = np.where(rng.random(len(groups)) < 0.8, groups % 3, rng.integers(0, 3, len(groups)))
        ours.append(unevenness(labels, splits.folds(labels, [str(i) for i in range(len(groups))], groups, 5, 0)))
        of = np.empty(len(groups), int)
        for fold, (_, test) in enumerate(selection.StratifiedGroupKFold(5).split(labels, labels, groups)):
            of[test] = fold
        theirs.append(unevenness(labels, of))
    assert np.mean(ours) <= 1.2 * np.mean(theirs)


def test_fewer_groups_than_folds_and_unlabelled_images_are_no_folds():
    with pytest.raises(UserError, match="folds: 5, and there are 3 groups"):
        parts([0] * 9, np.arange(9) // 3, 5)
    with pytest.raises(UserError, match="folds: 9, and there are 4 images"):
        parts([0, 1] * 2, None, 9)
    assert [0 in split["test"] for split in parts([-1, 0, 0, 1, 1], None, 2)] == [False, False]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of five videos, four frames each, in class folders."""
    root = tmp_path_factory.mktemp("set")
    for i in range(40):
        save(root / "videos" / "ab"[i % 2] / f"video{i // 4 % 5 + 5 * (i % 2)}_{i:02}.png", picture(i))
    return root / "videos"


def scanned(root: Path, **changes: object):
    chosen = settings_of("folder", **changes)
    return folder.scan(folder.base(root, chosen), chosen)


@pytest.mark.parametrize("pattern", [r"(video\d+)_", r"/(?P<group>[^/_]+)(_\d+)"])
def test_a_pattern_on_the_path_says_what_stays_on_one_side(videos, pattern):
    found = scanned(videos, group=pattern)
    assert set(found.groups.values()) == {f"video{i}" for i in range(10)}
    (split,) = found.splits.values()
    sides = [{found.groups[found.records[i].path] for i in split[part]} for part in ("train", "test")]
    assert not sides[0] & sides[1] and sides[1]
    assert f"10 groups by group: '{pattern}', of up to 4 images: each stays on one side" in found.notes[-1]


def test_a_pattern_and_a_column_that_say_the_same_split_the_same(videos):
    by_pattern = scanned(videos, group=r"(video\d+)_")
    rows = [f"{r.path},{r.label},{by_pattern.groups[r.path]}" for r in by_pattern.records]
    (videos / "t.csv").write_text("\n".join(["file,label,video", *rows]))
    chosen = settings_of("table", table=videos / "t.csv")
    by_column = table.scan(table.base(chosen.path, chosen), chosen)
    (videos / "t.csv").unlink()
    assert by_column.records == by_pattern.records and by_column.groups == by_pattern.groups
    assert list(by_column.splits.values()) == list(by_pattern.splits.values())


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(patient\d+)", r"matches the path of none of 40 images, e\.g\. not of 'a/video0_00\.png': correct it$"),
        (r"(video0)_", r"matches the path of 4 of 40 images.*\.\*\?\(\?:\(video0\)_\)\|"),
        (r"(video)", "one group, 'video', and a split needs two"),
    ],
)
def test_a_pattern_that_cannot_group_the_images_is_refused(videos, pattern, said):
    with pytest.raises(UserError, match=said):
        scanned(videos, group=pattern)


def test_images_that_the_suggested_pattern_leaves_empty_are_groups_of_their_own(videos):
    found = scanned(videos, group=r".*?(?:(video[01])_)|")
    assert Counter(found.groups.values()) == {"video0": 4, "video1": 4}
    assert "of up to 4 images, and 32 images of no group: each stays on one side" in found.notes[-1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"group": "video"}, "no groups"),
        ({"group": "(a)(b)"}, "2 groups"),
        ({"group": "(a"}, "regular expression"),
        ({"folds": 5, "repeats": 3}, "give one"),
        ({"folds": 3, "labelled": False}, "labelled images"),
        ({"repeats": 3, "evaluate_on": "x"}, "labelled images"),
        ({"folds": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_divide_in_no_way_are_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        settings_of("folder", **values)


def test_a_group_on_both_sides_of_given_folders_is_told_with_two_of_its_images(tmp_path):
    for i in range(16):
        save(tmp_path / "p" / ("train", "test")[i % 2] / "ab"[i // 8] / f"p{i // 4}_{i}.png", picture(i))
    pack = packed(settings_of("folder", path=tmp_path / "p", group=r"(p\d)_"), tmp_path)
    (line,) = [line for line in doctor.describe(doctor.read(pack, "official")) if "more than one side" in line]
    assert "4 groups stand on" in line and "e.g. of 'train/a/p0_0.png' and 'test/a/p0_1.png'" in line


def test_folds_repeats_and_no_division_share_one_pack(tmp_path):
    plain = settings_of("table", table=make_table(tmp_path))
    divided = [plain.model_copy(update=update) for update in ({"folds": 5}, {"repeats": 3, "test_share": 0.4})]
    assert {(s.source(), str(s.identity())) for s in divided} == {(plain.source(), str(plain.identity()))}
    pack = packed(plain, tmp_path)
    before, opened = files_of(pack), PackedSet.open(pack)
    patients = np.array([int(Path(name).stem) // 2 for name in opened.names])
    for chosen, tested in zip(divided, (4, 8), strict=True):
        found = [opened.split(name) for name in chosen.split_names().values()]
        assert all(len(s["test"]) == tested and len(set(patients[s["test"]])) == tested / 2 for s in found)
        assert len({s["test"].tobytes() for s in found}) == len(found)
    assert list(divided[1].split_names()) == ["repeat1of3", "repeat2of3", "repeat3of3"]
    assert (
        len(
            set(plain.model_copy(update={"repeats": 5}).split_names().values())
            & set(plain.model_copy(update={"repeats": 3}).split_names().values())
        )
        == 3
    )  # the first ones stay
    assert files_of(pack) == before


def write_folds(root: Path, values: list[str], more: str = "") -> Path:
    file = make_table(root)
    rows = file.read_text().splitlines()
    file.write_text("\n".join([f"{rows[0]};Fold{more}", *(f"{r};{v}" for r, v in zip(rows[1:], values, strict=True))]))
    return file


def test_the_folds_of_a_tables_column_are_used_and_their_number_must_be_theirs(tmp_path):
    values = [str(i // 2 % 3 + 8) for i in range(20)]  # 8, 9, 10: in the order of numbers
    chosen = settings_of("table", table=write_folds(tmp_path, values), folds=3)
    opened = PackedSet.open(packed(chosen, tmp_path), verify=True)
    for number, name in enumerate(chosen.split_names().values()):
        tested = opened.split(name)["test"]
        assert [values[int(Path(opened.names[i]).stem)] for i in tested] == [str(8 + number)] * len(tested)
    with pytest.raises(UserError, match=r"folds: 4, and the table has 3: write folds: 3, or fold_column: none"):
        opened.split(next(iter(chosen.model_copy(update={"folds": 4}).split_names().values())))
    derived = chosen.model_copy(update={"fold_column": "none", "folds": 5}).split_names()
    assert {len(opened.split(name)["test"]) for name in derived.values()} == {4}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["0", "1", "", *["1"] * 17], "row 4 has no fold; write one, or fold_column: none"),
        (["1"] * 20, "holds 1 different values, and folds are 2 to 100: write fold_column: none"),
    ],
)
def test_a_column_that_holds_no_folds_is_refused(tmp_path, values, said):
    chosen = settings_of("table", table=write_folds(tmp_path, values))
    with pytest.raises(UserError, match=said):
        table.scan(chosen.path, chosen)


@pytest.mark.parametrize("divided", [{"folds": 2}, {"repeats": 2}])
def test_images_with_a_split_of_their_own_are_not_divided_again(tmp_path, divided):
    for i in range(16):
        save(tmp_path / "p" / ("train", "test")[i % 2] / "ab"[i // 8] / f"{i}.png", picture(i))
    plain = settings_of("folder", path=tmp_path / "p")
    opened = PackedSet.open(packed(plain, tmp_path))
    with pytest.raises(UserError, match=f"{next(iter(divided))}: is for images without a split of their own"):
        packed(plain.model_copy(update=divided), tmp_path, name="again")
    with pytest.raises(UserError, match="without a split of their own"):  # also where the pack is there
        opened.split(next(iter(plain.model_copy(update=divided).split_names().values())))


def test_a_class_of_one_group_is_no_class_of_a_fold(tmp_path):
    file = make_table(tmp_path)
    file.write_text(file.read_text().replace(";1;", ";1;q;"))
    rows = ["Image;Label;Patient", *(f"images/{i:02}.png;{i // 10};{i // 2 if i < 10 else 9}" for i in range(20))]
    file.write_text("\n".join(rows))
    with pytest.raises(
        UserError, match=r"fold1of3-.* of classes that its training pictures lack: '1'; write fewer folds"
    ):
        packed(settings_of("table", table=file, folds=3), tmp_path)
