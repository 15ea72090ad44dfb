"""Where the figures come from: what cells share is said once, what differs is named, and commands make their cells."""

import json
import subprocess

import numpy
import pytest

from sslbench.report import blocks as content
from sslbench.report.sections import downloads, provenance
from sslbench.report.wording import Labels, split_words


def blocks(tree) -> tuple:
    report = tree.report()
    return provenance.provenance(report, Labels(report))


def facts(found: tuple) -> dict:
    return dict(next(block for block in found if block.kind == "facts").items)


def told(found: tuple) -> list[str]:
    return [downloads.plain(block.text) for block in found if block.kind == "paragraph"]


def tables(found: tuple) -> dict[str, dict]:
    section = content.Section("provenance", "Provenance", found)
    return {table["caption"].split(" ")[0]: table for table in downloads.shown([section])}


def change(folder, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def folders(tree, labels) -> list:
    """Four finished cells made alike: two models of two seeds."""
    cells = [tree.cell("nette", model, "baseline", seed) for model in ("simclr", "byol") for seed in (0, 1)]
    return [tree.finish(cell, numpy.arange(1000) < 600, labels) for cell in cells]


def test_what_all_cells_share_stands_once_and_nothing_is_called_different(tree, folders) -> None:
    found = blocks(tree)
    assert facts(found)["Hardware"] == "NVIDIA H100"
    assert facts(found)["Commit of the cells"] == "0123456789ab, clean"
    assert facts(found)["Version of torch"] == "2.12.0"
    assert set(tables(found)) == {"Digest"}
    assert not any(block.kind == "paragraph" and block.tone == "note" for block in found)


def test_environments_are_numbered_where_they_differ_and_each_cell_says_which(tree, folders) -> None:
    change(folders[3], "ledger.json", device="NVIDIA A100", devices=4, commit="fedcba9876543210", platform="Linux-6")
    found = blocks(tree)
    table = tables(found)["Environments"]
    assert table["columns"] == ["Environment", "Commit", "Hardware", "System", "Cells"]
    assert table["rows"] == [
        ["1", "0123456789ab, clean", "NVIDIA H100", "not known", "3"],
        ["2", "fedcba987654, clean", "4 x NVIDIA A100", "Linux-6", "1"],
    ]
    rows = {row[0]: row[1:] for row in tables(found)["Digest"]["rows"]}
    assert rows["results/nette/simclr/baseline"] == [f"seed0 {'d1' * 8} | seed1 {'d1' * 8}", "1"]
    assert rows["results/nette/byol/baseline"][1] == "1 | 2"
    assert facts(found)["Hardware"] == "NVIDIA H100 (3 cells); 4 x NVIDIA A100 (1 cell)"


def test_a_tree_with_uncommitted_changes_is_named_and_gets_no_checkout(tree, folders) -> None:
    change(folders[0], "ledger.json", clean=False)
    found = blocks(tree)
    (line,) = [text for text in told(found) if "uncommitted" in text]
    assert line.startswith("1 cell was made from a tree with uncommitted changes (nette/simclr/baseline)")
    assert facts(found)["Commit of the cells"].endswith("0123456789ab with uncommitted changes (1 cell)")
    assert not any("git checkout" in block.text for block in found if block.kind == "code")


def test_a_run_that_was_not_quite_what_was_asked_for_says_so(tree, folders) -> None:
    for folder in folders[:2]:
        change(folder, "ledger.json", notes=["not compiled: no compiler here"])
    assert "Not quite as asked for, in 2 cells: not compiled: no compiler here." in told(blocks(tree))


def test_the_command_shown_is_one_that_a_shell_reads_as_meant(tree, folders) -> None:
    tree.plan["command"] = {"prefix": "echo", "suffix": "--configfile 'my overlay.yaml'"}
    tree.plan["cells"][0]["folder"] = "results/na me/simclr/baseline/seed0"
    found = tree.report()
    line = provenance.reproduce(found, found["cells"][0])
    said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said == "results/na me/simclr/baseline/seed0/linear.json --configfile my overlay.yaml\n"


def test_without_labels_the_command_asks_for_what_is_measured_there(tree, folders) -> None:
    report = tree.report()
    cell = report["cells"][0] | {"probed": False}
    assert (
        provenance.reproduce(report, cell) == "snakemake --cores all results/nette/simclr/baseline/seed0/labelfree.json"
    )


def test_each_splits_hash_is_shown(tree, folders) -> None:
    report = tree.report()
    (part,) = provenance.data_parts(report, Labels(report))
    shown = [downloads.plain(value) for name, value in part.blocks[0].items if name.startswith("Split: ")]
    assert shown == [f"13,294 training, 100 test; sha256 {'cd' * 32}"]


def test_a_thousand_cells_take_little_room(tree, folders) -> None:
    """The article's grid with three seeds is half of that."""
    report = tree.report()
    one = report["cells"][0]
    report["cells"] = [
        one | {"model": f"model{i}", "folder": f"results/nette/model{i}/baseline/seed{seed}", "seed": seed}
        for i in range(334)
        for seed in range(3)
    ]
    report["models"] |= {f"model{i}": report["models"]["simclr"] for i in range(334)}
    found = provenance.provenance(report, Labels(report))
    text = json.dumps(tables(found))
    assert text.count("snakemake") == 0 and len(text) < 150 * 334


@pytest.mark.parametrize(
    ("name", "kind", "stored", "words"),
    [
        ("own-or-per-class-80-20-seed0", "folder", ["official"], "own train/test folders"),
        ("own-or-per-class-80-20-seed0-by-group", "table", ["official"], "the table's split column"),
        ("own-or-per-class-80-20-seed0-by-group", "table", ["per-class-80-20-seed0"], "80/20 per class, seed 0"),
        (
            "own-or-per-class-60-40-seed1-by-group",
            "table",
            ["per-class-80-20-seed0-by-patient", "own-or-per-class-60-40-seed1-by-group"],
            "60/40 per class, seed 1, groups kept together",
        ),
        (
            "own-or-per-class-80-20-seed0-by-patient_id",
            "table",
            None,
            "the table's split column, or else 80/20 per class, seed 0, groups kept together",
        ),
        ("repeat-per-class-80-20-seed2", "folder", [], "80/20 per class, seed 2"),
        ("fold2of5-seed0-by-patient", "table", [], "fold 2 of 5, seed 0, groups kept together"),
        ("own-or-fold2of5-seed0", "table", ["fold1of5"], "fold 2 of 5, seed 0"),
        ("own-or-fold2of5-seed0", "table", ["fold2of5"], "fold 2 of 5 by the table's column"),
        ("fold2of5", "table", ["fold2of5"], "fold 2 of 5 by the table's column"),
    ],
)
def test_a_tables_split_is_described_as_it_was_made(name, kind, stored, words) -> None:
    assert split_words(name, kind, stored) == words
