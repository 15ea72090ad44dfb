"""The leaderboard and the answer: every entry once and in order, what is known of it, and no claim beyond that."""

import json
import re

import numpy
import pytest
from scipy import stats as scipy_stats
from test_page import Read, right

from sslbench.report.sections import leaderboard
from sslbench.report.wording import Labels
from sslbench.stats import ranking


@pytest.fixture
def full(tree, labels):
    """Two datasets; on the first a tie, a collapsed run, a stale and a missing one, and a reference."""
    tree.model("random", "random", "reference", "Random")
    tree.dataset("woof", "imagewoof2-160", 12_954, 10)
    cells = (("simclr", "baseline", 712, 61.5), ("simclr", "simclr", 708, 20.0), ("byol", "baseline", 600, 50.0))
    for model, transform, count, minutes in cells:
        folder = tree.finish(tree.cell("nette", model, transform), right(1000, count), labels, minutes=minutes)
        tree.finish(tree.cell("woof", model, transform), right(1000, count - 300), labels, minutes=minutes)
    ledger = json.loads((folder / "ledger.json").read_text()) | {"energy_joules": 81_250.0}
    tree.write(folder / "ledger.json", ledger)
    tree.finish(tree.cell("nette", "byol", "simclr"), right(1000, 101), labels, verdict="collapsed", evidence=("flat",))
    stale = tree.cell("woof", "byol", "simclr")
    tree.finish(stale, right(1000, 999), labels)
    stale["expected"] = stale["expected"] | {"code": "new"}
    tree.transform("dcl")
    tree.cell("nette", "byol", "dcl")
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right(1000, 222), labels, minutes=0.5)
    return tree


def board(html: str) -> tuple[list[str], list[dict]]:
    head, *rows = Read(html).table("entries on")
    names = [re.split(" (?:possible|scale|top-1|pretraining|kJ|health|ours)", title)[0] for title in head]
    return names, [dict(zip(names, row, strict=True)) for row in rows]


def test_every_entry_stands_once_by_dataset_and_rank_the_references_last(full) -> None:
    names, rows = board(full.pages()[0])
    assert names == ["Model", "Transform", "Dataset", "Rank", "Top-1", "Interval", "To random its own initialisation",
                     "Top-5", "kNN", "Minutes",
                     "Images/s", "Peak GB", "Energy", "State", "Published", "Family"]  # fmt: skip
    order = [(row["Dataset"], row["Model"], row["Transform"]) for row in rows]
    assert order == [
        ("nette", "SimCLR", "baseline"), ("nette", "SimCLR", "simclr"), ("nette", "BYOL", "baseline"),
        ("nette", "BYOL", "simclr"), ("nette", "BYOL", "dcl"), ("nette", "Random", "none"),
        ("woof", "SimCLR", "baseline"), ("woof", "SimCLR", "simclr"), ("woof", "BYOL", "baseline"),
        ("woof", "BYOL", "simclr"),
    ]  # fmt: skip
    assert len(order) == len(set(order)) == len(json.loads((full.out / "report.json").read_text())["entries"])


def test_a_row_has_the_cells_own_figures_and_says_what_is_wrong_with_it(full) -> None:
    html, text = full.pages()
    rows = {(row["Dataset"], row["Model"], row["Transform"]): row for row in board(html)[1]}
    first = rows["nette", "SimCLR", "baseline"]
    low, high = scipy_stats.binomtest(712, 1000).proportion_ci(0.95, "wilson")
    assert first["Interval"] == f"{low:.3f}–{high:.3f}" and first["Top-1"] == "0.712" and first["Top-5"] == "0.912"
    assert (first["kNN"], first["Minutes"], first["Images/s"], first["Peak GB"]) == (
        "0.500 0.600",
        "61.5",
        "1,234",
        "8.00",
    )
    assert first["Energy"] == "–" and rows["nette", "BYOL", "baseline"]["Energy"] == "81.2"
    assert (
        first["State"] == "healthy current"
        and first["Published"].startswith("0.685")
        and "+0.027" in first["Published"]
    )
    assert rows["nette", "BYOL", "simclr"]["State"].startswith("collapsed") and "Called collapsed: flat." in html
    assert rows["nette", "BYOL", "simclr"]["Rank"] == "–"
    assert rows["woof", "BYOL", "simclr"]["State"].endswith("not today's")
    assert (
        rows["nette", "BYOL", "dcl"]["State"] == "not run yet" and rows["nette", "Random", "none"]["State"] == "current"
    )
    assert "| SimCLR | baseline | nette | **1**<br>1–2 | 0.712 |" in text


def test_ranks_are_those_that_paired_tests_leave(full) -> None:
    rows = {(row["Dataset"], row["Model"], row["Transform"]): row["Rank"] for row in board(full.pages()[0])[1]}
    # 4 pictures on one side decide nothing; 108 do, whatever the correction for 3 pairs
    assert scipy_stats.binomtest(4, 4).pvalue > 0.05 > 3 * scipy_stats.binomtest(108, 108).pvalue
    for dataset in ("nette", "woof"):
        assert [rows[dataset, "SimCLR", t] for t in ("baseline", "simclr")] == ["1 1–2", "1 1–2"]
        assert rows[dataset, "BYOL", "baseline"] == "3"


def test_bars_lie_to_scale_within_their_dataset(full) -> None:
    html, _ = full.pages()
    found = re.findall(r'<path d="M([\d.]+) 5H([\d.]+)"/><path class="dot" d="M([\d.]+)', html)
    nette, woof = numpy.array(found[:3], float), numpy.array(found[-3:], float)
    for bars, counts in ((nette, (712, 708, 600)), (woof, (412, 408, 300))):
        ends = [scipy_stats.binomtest(c, 1000).proportion_ci(0.95, "wilson") for c in counts]
        shown = numpy.array([[low, high, c / 1000] for (low, high), c in zip(ends, counts, strict=True)])
        slope, _, fit, *_ = scipy_stats.linregress(shown.ravel(), bars.ravel())
        assert fit > 0.9999 and slope > 0 and bars.min() > 0 and bars.max() < 100


def test_many_transforms_make_no_wide_table(tree, labels) -> None:
    for i in range(9):
        tree.transform(f"t{i}")
        tree.finish(tree.cell("nette", "simclr", f"t{i}"), right(1000, 500 + i), labels)
    html, text = tree.pages()
    tables = Read(html).tables
    assert max(len(rows[0]) for rows in tables.values()) <= 15
    assert "9 transforms are too many to stand side by side" in text
    assert [row["Top-1"] for row in board(html)[1]] == [f"0.50{8 - i}" for i in range(9)]
    assert [row[1] for row in next(rows for name, rows in tables.items() if "effective rank" in name)[1:]] == [
        f"t{i}" for i in range(9)
    ]


def test_what_cannot_be_ordered_over_few_datasets_is_said_so(full) -> None:
    html, text = full.pages()
    head, *rows = Read(html).table("Mean ranks over 2 datasets of the 3 combinations")
    assert head == ["Combination", "Mean rank", "Group", "nette", "woof"]
    assert [row[:2] for row in rows] == [
        ["SimCLR with baseline", "1.00"], ["SimCLR with simclr", "2.00"], ["BYOL with baseline", "3.00"],
    ]  # fmt: skip
    assert "could not tell any one pair apart by Wilcoxon's test" in text
    full.plan["cells"] = [cell for cell in full.plan["cells"] if cell["dataset"] == "nette"]
    assert "Mean ranks over" not in full.pages()[1]


def test_the_advice_on_a_clear_leader_gives_its_lead(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 800), labels, minutes=90)
    tree.finish(tree.cell("nette", "byol", "baseline"), right(1000, 700), labels, minutes=60)
    tree.finish(tree.cell("nette", "byol", "simclr"), right(1000, 500), labels, minutes=30)
    told = re.search(r"Take \*\*SimCLR with baseline\*\*: the next, BYOL with baseline, is 10.0 points "
                     r"\((\S+) to (\S+)\) behind\.", tree.pages()[1])  # fmt: skip
    # 100 of 100 discordant pictures on one side: the share of discordant ones bounds the difference
    assert [float(end) for end in told.groups()] == pytest.approx(
        [100 * end for end in scipy_stats.binomtest(100, 1000).proportion_ci(0.95, "wilson")], abs=0.15
    )


def test_a_note_holds_over_the_advice_and_stale_or_missing_cells_are_named(full) -> None:
    full.plan["note"] = "A demonstration."
    text = full.pages()[1]
    assert "**What to do:** By these figures alone: choose among those that tie" in text
    assert (
        "Not counted: BYOL with dcl (not run yet)." in text and "Not counted: BYOL with simclr (not today's)." in text
    )


def test_several_seeds_speak_of_other_seeds_and_pictures(tree) -> None:
    rng, labels = numpy.random.default_rng(0), numpy.arange(1000) % 10
    for model in ("simclr", "byol"):
        for seed in range(3):
            tree.finish(tree.cell("nette", model, "baseline", seed=seed), rng.random(1000) < 0.7, labels)
    html, text = tree.pages()
    assert "At 95 %, for another seed and another test set, they are not significantly different from" in text
    spread = {tuple(e["name"]): e["spread"] for e in json.loads((tree.out / "report.json").read_text())["entries"]}
    for row in board(html)[1]:
        found = spread["nette", row["Model"].lower(), "baseline"]
        assert row["Interval"] == f"{found['low']:.3f}–{found['high']:.3f}" and row["Top-1"].endswith("3 seeds")


MANY = "More than 3 entries are ranked: each was compared with the leaders"


@pytest.mark.parametrize("apart", [1, 100])
def test_of_too_many_entries_for_all_pairs_the_page_names_the_correction_and_leaves_ranges_open(
    tree, labels, monkeypatch, apart
) -> None:
    """Four entries where all pairs are compared up to three: alike, or each its own leader, so all pairs are met."""
    for i, (model, transform) in enumerate((m, t) for m in ("simclr", "byol") for t in ("baseline", "simclr")):
        tree.finish(tree.cell("nette", model, transform), right(1000, 800 - apart * i), labels)
    html, few = tree.pages()
    monkeypatch.setattr(ranking, "MOST", 3)
    led, many = tree.pages()
    ranks = [row["Rank"] for row in board(html)[1]]
    assert [row["Rank"] for row in board(led)[1]] == [rank.split()[0] for rank in ranks]
    assert ranks == (["1 1–4"] * 4 if apart == 1 else ["1", "2", "3", "4"])
    assert [Read(page).table("entries on")[0][2] for page in (html, led)] == ["Rank possible", "Rank"]
    assert "below it stands the range of ranks that the comparisons leave open. kNN" in few and MANY not in few
    assert "below it stands" not in many and "at 95 %. " + MANY in many  # on the leaderboard
    assert (
        f"{MANY} of its rank and of those above it, Bonferroni's correction made for all pairs; the range of " in many
    )
    assert len(re.findall(MANY, many)) == 2 and "With 1,000 test pictures and 6 pairs compared" not in many
    assert "With 1,000 test pictures and 6 pairs compared" in few
    for text, of, no in ((few, "Holm", "Bonferroni"), (many, "Bonferroni", "Holm")):
        assert f"differs after {of}'s correction over all pairs" in text and f"differs after {no}" not in text
    assert "Lines at the right" not in many
    told = "all pairs compared (Bonferroni's over all there are, where not all were)"
    assert told in many and told not in few and "Bonferroni" not in few


def test_where_one_dataset_alone_has_too_many_entries_the_leaderboard_says_which(tree, labels, monkeypatch) -> None:
    tree.dataset("woof", "imagewoof2-160", 12_954, 10)
    for i, (model, transform) in enumerate((m, t) for m in ("simclr", "byol") for t in ("baseline", "simclr")):
        tree.finish(tree.cell("nette", model, transform), right(1000, 800 - i), labels)
        if i < 2:
            tree.finish(tree.cell("woof", model, transform), right(1000, 800 - i), labels)
    monkeypatch.setattr(ranking, "MOST", 3)
    html, text = tree.pages()
    assert f"leave open, where all pairs were compared. On nette: {MANY}" in text
    assert [row["Rank"] for row in board(html)[1]] == ["1"] * 4 + ["1 1–2"] * 2
    assert Read(html).table("entries on")[0][3] == "Rank possible"


def test_groups_beyond_the_alphabet_have_letters_of_their_own() -> None:
    """70 models in one order on ten datasets: two share a letter if and only if they are as close as the text says."""
    entries = [
        {"name": [f"d{d}", f"m{m:02}", "t"], "dataset_rank": 1 + m, "top1": {"value": 0.9 - 0.01 * m}}
        for d in range(10)
        for m in range(70)
    ]
    report = {"entries": entries, "cells": [], "confidence": 0.95, "models": {f"m{m:02}": {} for m in range(70)}}
    (part,) = leaderboard.across(report, Labels(report))
    told, table = part.blocks
    critical = float(re.search(r"critical difference, ([\d.]+) mean ranks", str(told.text))[1])
    groups = [set(row.cells[2].lines[0].split(", ")) for row in table.rows]
    assert len(set().union(*groups)) > 26 and {"A", "Z", "AA", "AB"} <= set().union(*groups)
    for a in range(70):
        for b in range(a + 1, 70):
            assert bool(groups[a] & groups[b]) == (b - a <= critical)
    assert [leaderboard.letter(i) for i in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_versions_of_one_set_count_once_over_all_datasets() -> None:
    """Three models in one order on v1, v2 and woof: two blocks, of which Friedman's F is infinite."""
    entries = [
        {"name": [dataset, model, "t"], "dataset_rank": 1 + m, "top1": {"value": 0.9 - 0.1 * m}}
        for dataset in ("v1", "v2", "woof")
        for m, model in enumerate("abc")
    ]
    blocks = {"v1": "imagenette", "v2": "imagenette", "woof": "imagewoof"}
    report = {
        "entries": entries,
        "cells": [],
        "confidence": 0.95,
        "models": {model: {} for model in "abc"},
        "datasets": {name: {"block": block} for name, block in blocks.items()},
    }
    (part,) = leaderboard.across(report, Labels(report))
    told = str(part.blocks[0].text)
    assert "Friedman's test over 2 datasets" in told and "v1 and v2 are versions of one set and count once." in told
    report["datasets"]["woof"]["block"] = "imagenette"
    assert leaderboard.across(report, Labels(report)) == ()
