"""Public figures on the page: where one matches, bounded, and nothing of them anywhere else."""

import csv
from functools import cache

import pytest

from sslbench.report.wording import Labels
from sslbench.studies import ledgers, public_table
from tests.report.conftest import right_for
from tests.report.test_page import Read
from tests.studies.test_published_public import cells_of


@cache
def settings_of(model: str, transform: str) -> dict:
    return cells_of()[model, transform].settings


def lightly_cell(tree, model: str, transform: str, seed: int = 0, as_model: str = "") -> dict:
    """A cell of the made-up tree with the settings of one of lightly's protocol."""
    name = as_model or model
    if name not in tree.plan["models"]:
        tree.model(name, model, title=name)
    tree.transform(transform, "simclr")
    cell = tree.cell("nette", name, transform, seed)
    cell["expected"]["settings"] = settings_of(model, transform) | {"seed": seed}
    return cell


def test_the_page_shows_the_figure_ours_and_the_difference_with_its_caveats(tree, labels) -> None:
    tree.finish(lightly_cell(tree, "simclr", "lightly-simclr"), right_for(1000, 900), labels, knn=(0.7, 0.8))
    tree.finish(lightly_cell(tree, "swav", "lightly-swav"), right_for(1000, 900), labels, verdict="collapsed")
    html, text = tree.pages()
    head, *rows = Read(html).table("public figures of the same protocol")
    assert head == ["Model", "Transform", "Metric", "Published", "Ours", "Difference ours − published"]
    # Wilson's intervals: ours, 800 of 1,000, (0.774, 0.824); theirs, of 3,925 and rounded, (0.822, 0.847). Their
    # distances by Pythagoras: -0.035 - hypot(0.026, 0.012) and -0.035 + hypot(0.024, 0.013).
    assert rows[0][:5] == ["SimCLR", "lightly-simclr", "top-1, 200-NN", "0.835 1 SimCLR", "0.800 0.774–0.824"]
    assert rows[0][5] == "−0.035 (−0.063 to −0.008)"
    assert rows[1][1:4] == ["lightly-swav", "top-1, 200-NN", "0.861 1 SwaV"] and rows[1][5] == "collapsed"
    assert "2 public figures have the data" in text and "the best of all on the test images" in text
    row = next(csv.DictReader((tree.out / "cells.csv").open()))
    assert (row["public_knn200"], float(row["public_knn200_difference"])) == ("0.835", pytest.approx(-0.035))


def test_several_seeds_are_one_row_with_their_mean(tree, labels) -> None:
    for seed, share in enumerate((0.80, 0.82, 0.84)):
        cell = lightly_cell(tree, "simclr", "lightly-simclr", seed)
        tree.finish(cell, right_for(1000, 900), labels, knn=(0.7, share))
    _, row = Read(tree.pages()[0]).table("public figures of the same protocol")
    # t with 2 degrees of freedom: 4.303 x 0.02 / sqrt(3) = 0.0497
    assert row[4].startswith("0.820 0.770–0.870") and row[5].startswith("−0.015 (")


def test_a_run_that_nothing_matches_has_the_same_page_as_without_public_figures(tree, labels, monkeypatch) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 700), labels)
    tree.finish(tree.cell("nette", "byol", "simclr", epochs=10), right_for(1000, 600), labels)
    with_them = tree.pages()
    empty = tree.root / "empty.csv"
    empty.write_text(ledgers.PUBLIC.read_text().partition("\n")[0] + "\n")
    monkeypatch.setattr(ledgers, "PUBLIC", empty)
    assert tree.pages() == with_them


def test_the_table_is_bounded(tree, labels) -> None:
    for i in range(public_table.MOST + 5):
        cell = lightly_cell(tree, "simclr", "lightly-simclr", as_model=f"simclr-{i:02}")
        tree.finish(cell, right_for(1000, 700 + i), labels)
    report = tree.report()
    told, table = public_table.table(report, "nette", Labels(report))
    assert len(table.rows) == public_table.MOST
    assert told.text.startswith(f"{public_table.MOST + 5} public figures have ")
    assert told.text.endswith(f"The first {public_table.MOST} are shown; cells.csv has all.")
