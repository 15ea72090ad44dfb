"""Splits by name: exact counts, a pure function of names and labels, derivable at any time."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.data.splits import fault, per_class, per_class_name, resolve, sha256
from sslbench.errors import UserError


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.integers(0, 5), st.integers(1, 9))
def test_each_class_keeps_the_floor_of_its_share_and_every_picture_has_one_side(
    classes: list[int], seed: int, tenths: int
) -> None:
    labels = np.array(classes)
    names = [f"{i}.jpg" for i in range(len(labels))]
    split = per_class(labels, names, Fraction(tenths, 10), seed)
    assert sorted([*split["train"], *split["test"]]) == list(range(len(labels)))
    for label in range(5):
        n = (labels == label).sum()
        assert (labels[split["train"]] == label).sum() == (max(1, tenths * n // 10) if n else 0)
    assert (labels[split["test"]] >= 0).all()


def test_the_split_hangs_on_names_and_seed_and_not_on_order() -> None:
    names = [f"{i}.jpg" for i in range(200)]
    labels = np.arange(200) % 2
    split = per_class(labels, names, Fraction(4, 5), 0)
    order = np.random.default_rng(0).permutation(200)
    shuffled = per_class(labels[order], [names[i] for i in order], Fraction(4, 5), 0)
    assert {names[i] for i in split["test"]} == {names[order[i]] for i in shuffled["test"]}
    other = per_class(labels, names, Fraction(4, 5), 1)
    assert 20 < len(np.intersect1d(split["train"], other["train"])) < 160


def test_test_pictures_are_spread_over_the_names() -> None:
    names = [f"{i:05}.jpg" for i in range(5000)]
    test = per_class(np.zeros(5000, dtype=int), names, Fraction(4, 5), 0)["test"]
    halves = (test < 2500).mean()
    assert abs(halves - 0.5) < 4 * 0.5 / np.sqrt(1000)


def test_a_name_says_share_and_seed_and_is_understood_again() -> None:
    assert per_class_name(0.2, 0) == "per-class-80-20-seed0"
    assert per_class_name(0.125, 3) == "per-class-87.5-12.5-seed3"
    labels, names = np.zeros(30, dtype=int), [str(i) for i in range(30)]
    for share, expected in ((0.2, 24), (0.125, 26), (0.1, 27), (1 / 3, 20), (0.7, 9)):
        assert len(resolve(per_class_name(share, 0), {}, labels, names)["train"]) in (
            expected,
            expected - (share == 1 / 3),
        )


def test_an_own_split_comes_before_a_derived_one() -> None:
    labels, names = np.zeros(10, dtype=int), [str(i) for i in range(10)]
    official = {"train": np.arange(5), "test": np.arange(5, 10)}
    name = "own-or-" + per_class_name(0.2, 0)
    assert resolve(name, {"official": official}, labels, names) is official
    assert len(resolve(name, {}, labels, names)["train"]) == 8


@pytest.mark.parametrize("name", ["offical", "per-class-80-30-seed0", "per-class-80-20", "../x"])
def test_an_unknown_split_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="has official"):
        resolve(name, {"official": {}}, np.zeros(1, dtype=int), ["a"])


def test_what_makes_a_split_unusable_is_said() -> None:
    labels = np.array([0, 0, 1])
    assert fault({"train": np.array([0, 2]), "test": np.array([1])}, labels, ["a", "b"]) is None
    assert "'b'" in fault({"train": np.array([0]), "test": np.array([1, 2])}, labels, ["a", "b"])
    assert "no training" in fault({"train": np.array([], dtype=int), "test": np.array([0])}, labels, ["a", "b"])


def test_the_digest_tells_sides_apart() -> None:
    split = {"train": np.array([1, 2]), "test": np.array([3])}
    moved = {"train": np.array([1]), "test": np.array([2, 3])}
    assert sha256(split) != sha256(moved) == sha256({k: v.astype(np.int32) for k, v in moved.items()})
