"""Confusions against pandas, in the album and on the page."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from sslbench.report.images.collect import album
from sslbench.report.images.confusions import FEW, PAIRS, matrix, worst
from sslbench.report.page import render
from tests.report.seen import Seen


@pytest.fixture
def guessed():
    random = np.random.default_rng(0)
    labels = random.integers(0, 30, 2000)
    guesses = np.where(random.random(2000) < 0.6, labels, random.choice(30, 2000, p=np.arange(1, 31) / 465))
    return labels, guesses, random.permutation(5000)[:2000]


def test_counts_are_those_of_pandas_crosstab(guessed):
    labels, guesses, _ = guessed
    expected = pd.crosstab(labels, guesses).reindex(index=range(30), columns=range(30), fill_value=0)
    assert (matrix(labels, guesses, 30) == expected.to_numpy()).all()


def test_the_worst_pairs_are_the_most_frequent_with_pictures_of_each(guessed):
    labels, guesses, indices = guessed
    table = pd.DataFrame({"true": labels, "guess": guesses, "index": indices})
    wrong = table[table["true"] != table["guess"]]
    counts = wrong.groupby(["true", "guess"]).size().reset_index(name="count")
    expected = counts.sort_values(["count", "true", "guess"], ascending=[False, True, True]).head(PAIRS)
    found = worst(labels, guesses, indices, 30, PAIRS)
    assert [(p.true, p.guess, p.count) for p in found] == list(expected.itertuples(index=False, name=None))
    for pair in found:
        assert pair.of == (labels == pair.true).sum()
        assert pair.example == wrong[(wrong["true"] == pair.true) & (wrong["guess"] == pair.guess)]["index"].min()
        like = table[table["index"] == pair.like].iloc[0]
        assert like["true"] == like["guess"] == pair.guess


def test_a_class_that_is_only_ever_guessed_has_no_picture():
    (pair,) = worst(np.array([0, 0]), np.array([0, 2]), np.array([7, 9]), 3, 5)
    assert (pair.true, pair.guess, pair.example, pair.like) == (0, 2, 9, -1)
    (pair, other) = worst(np.array([0, 1]), np.array([1, 0]), np.array([7, 9]), 2, 5)
    assert (pair.like, other.like) == (9, 7)  # none is right, so any of the class


@pytest.mark.parametrize(("classes", "whole"), [(10, True), (20, False)])
def test_few_classes_get_a_matrix_and_many_their_worst_pairs(tree, classes, whole):
    seen = Seen(tree, train=2 * classes, test=15 * classes, classes=classes, side=8)
    folder = seen.cell("simclr", "baseline", 0.2)
    seen.cell("byol", "baseline", 0.1)
    table = pd.read_parquet(folder / "predictions.parquet")
    rolled = np.random.default_rng(1).permutation(table["top1"])
    table.assign(top1=np.where(table["top1"] == table["label"], table["label"], rolled)).to_parquet(
        folder / "predictions.parquet", index=False
    )
    tree.report()
    album(tree.out / "report.json", tree.results, tree.out / "album.json")
    confusion = json.loads((tree.out / "album.json").read_text())["datasets"]["nette"]["confusion"]
    table = pd.read_parquet(folder / "predictions.parquet")
    crossed = pd.crosstab(table["label"], table["top1"])
    assert (confusion["model"], confusion["n"]) == ("simclr", len(table))
    assert confusion["wrong"] == (table["label"] != table["top1"]).sum()
    assert len(confusion["pairs"]) == (FEW if whole else PAIRS)
    assert (confusion["matrix"] is not None) == whole
    render(tree.out / "report.json", None, tree.out / "r.html", tree.out / "r.md", tree.out / "album.json")
    html = (tree.out / "r.html").read_text()
    figure = html[html.index('<figure class="confusions">') :].split("</figure>")[0]
    assert figure.count("<li>") == len(confusion["pairs"])
    assert ('<table class="matrix">' in figure) == whole
    if whole:
        assert (np.array(confusion["matrix"]) == crossed.to_numpy()).all()
        rows = figure.split("<tbody>")[1].split("<tr>")[1:]
        shown = [[int(n) if n != "·" else 0 for n in re.findall(r">([\d·]+)</td>", row)] for row in rows]
        assert shown == confusion["matrix"]
