"""One pretraining judged on several sets: a row per entry, its rank on each set, and mean ranks by hand."""

import pytest
from scipy.stats import rankdata
from test_page import right

from sslbench.report.sections import folds, leaderboard, provenance, transfer
from sslbench.report.wording import Labels

SETS = ("birds", "cars", "boats")
COUNTS = {  # right of 1000, by set
    ("simclr", "baseline"): (700, 500, 400),
    ("simclr", "simclr"): (702, 300, 400),
    ("byol", "baseline"): (500, 600, 200),
}
NAMES = ["SimCLR with baseline", "SimCLR with simclr", "BYOL with baseline"]


@pytest.fixture
def several(tree, labels):
    """Three entries and a reference, pretrained on ``dump`` and judged on three sets."""
    tree.model("random", "random", "reference", "Random")
    for place, name in enumerate(SETS):
        tree.dataset(name, "folder", 2000, 10)
        tree.dataset(f"dump@{name}", "folder", 5000, 1)
        for (model, transform), counts in (COUNTS | {("random", "none"): (111, 112, 113)}).items():
            cell = tree.cell(f"dump@{name}", model, transform)
            cell |= {"evaluated_on": name} | ({"trained_as": "dump@birds"} if place else {})
            tree.finish(cell, right(1000, counts[place]), labels)
    return tree


def test_mean_ranks_are_over_the_sets_and_ranks_on_each_the_leaderboards(several) -> None:
    report = several.report()
    ((text, table),) = (part.blocks for part in transfer.parts(report, Labels(report)))
    rows = [[" ".join(map(str, cell.lines)) for cell in row.cells] for row in table.rows]
    assert [column.title for column in table.columns] == ["Combination", "Mean rank", "Group", *SETS]
    ranks = rankdata([[-count for count in counts] for counts in COUNTS.values()], axis=0).mean(1)
    assert {row[0]: row[1] for row in rows[:3]} == {n: f"{m:.2f}" for n, m in zip(NAMES, ranks, strict=True)}
    assert [float(row[1]) for row in rows[:3]] == sorted(ranks.round(2))
    shown = {row[0]: row[3:] for row in rows}
    assert shown["SimCLR with baseline"] == ["0.700 rank 1", "0.500 rank 2", "0.400 rank 1"]  # 2 of 1000 are no lead
    assert shown["BYOL with baseline"] == ["0.500 rank 3", "0.600 rank 1", "0.200 rank 3"]
    assert rows[3] == ["Random", "–", "–", "0.111", "0.112", "0.113"]
    assert "could not tell any one pair apart by Wilcoxon's test" in text.text and "the same networks" in text.text


def test_one_pretraining_is_no_second_dataset_and_its_time_is_counted_once(several, labels) -> None:
    report = several.report()
    found = Labels(report)
    assert found.dataset("dump@cars") == "dump, judged on cars"
    assert folds.merged(report) is report and not leaderboard.across(report, found)
    facts = dict(provenance.provenance(report, found)[0].items)
    assert facts["Time"] == "4.00 hours over 4 cells"


def test_a_set_judged_on_itself_too_stands_among_them_and_one_set_makes_no_table(several, labels) -> None:
    several.plan["cells"] = [cell for cell in several.plan["cells"] if cell["evaluated_on"] == "cars"]
    assert transfer.parts(several.report(), Labels(several.report())) == ()
    for name, judge in (("boats", "boats"), ("boats@cars", "cars")):
        several.plan["datasets"][name] = several.plan["datasets"]["boats"]
        cell = several.cell(name, "simclr", "baseline")
        cell["evaluated_on"] = judge
        several.finish(cell, right(1000, 500), labels)
    report = several.report()
    (part,) = transfer.parts(report, Labels(report))
    assert [column.title for column in part.blocks[1].columns] == ["Combination", "boats", "cars"]
    assert "no mean rank" in part.blocks[0].text
    assert Labels(report).dataset("boats") == "boats" and Labels(report).judge("boats") is None


def test_a_failed_training_is_said_of_every_set_that_waits_for_it(several) -> None:
    first, second = (several.cell(f"dump@{name}", "byol", "simclr") for name in ("birds", "cars"))
    second |= {"trained_as": "dump@birds"}
    several.log(first, "sslbench: the loss is not finite\n")
    states = [(cell["status"], cell["log"]) for cell in several.report()["cells"] if cell["transform"] == "simclr"
              and cell["model"] == "byol"]  # fmt: skip
    assert states == [("failed", "sslbench: the loss is not finite")] * 2
