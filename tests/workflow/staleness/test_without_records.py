"""A finished grid whose .snakemake is lost: what its results say of themselves decides."""

import os
import re
import shutil

import pytest

from tests.workflow.staleness.small_grid import Finished
from tests.workflow.tiny_grid import TINY

EPOCHS = {"training": TINY["training"] | {"epochs": 2}}


@pytest.fixture(scope="module")
def up_to_date(finished) -> Finished:
    done = finished.run(TINY)  # another test may have left it a step behind
    assert done.returncode == 0, done.stdout + done.stderr
    return finished


@pytest.fixture
def copied(up_to_date, tmp_path) -> Finished:
    copy = Finished(tmp_path / "copy")
    shutil.copytree(up_to_date.folder, copy.folder, ignore=shutil.ignore_patterns(".snakemake"))
    for path in copy.folder.rglob("*"):  # other tests made some of it later than what is made of it
        os.utime(path, (10**9, 10**9))
    return copy


@pytest.mark.parametrize(
    ("change", "rules", "said"),
    [
        ({}, {}, None),
        (EPOCHS, {"pretrain": 5, "evaluate": 5}, r"5 cells that .* changed since: train\.epochs \(1 then, 2 today\)"),
        (
            {"evaluation": {"knn": {"k": [3]}}},
            {"evaluate": 6},
            r"6 cells that .* changed since: evaluation\.knn\.k \(\[20, 200\] then, \[3\] ",
        ),
    ],
    ids=["nothing changed", "the epochs", "the probe's neighbours"],
)
def test_a_result_without_a_record_is_made_anew_where_it_is_not_what_is_asked(copied, change, rules, said):
    copied.overlay(TINY | change)
    done = copied.snakemake("-n")
    counts = {rule: int(count) for rule, count in re.findall(r"^(pretrain|evaluate) +(\d+)$", done.stdout, re.M)}
    assert counts == rules, done.stdout + done.stderr
    lines = re.findall(r"^sslbench: (.*)", done.stderr, re.M)
    assert re.search(said, "\n".join(lines)) if said else not lines


def test_a_dry_run_says_what_the_store_holds(copied):
    for folder in ("reports", "results/collected", "results/drawn"):
        shutil.rmtree(copied.folder / folder)
    assert "6 of 6 cells to pretrain are linked from the store" in copied.snakemake("-n").stderr
    copied.overlay(TINY | EPOCHS)
    assert "1 of 6 cells to pretrain are linked from the store" in copied.snakemake("-n").stderr  # the random row
    copied.overlay(TINY)
    shutil.rmtree(copied.folder / "data")  # what will be packed is not known
    assert "linked from the store" not in copied.snakemake("-n").stderr
