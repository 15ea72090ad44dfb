"""The first article's tables in their own shape beside ours: every printed figure, and what stands beside it."""

import csv
import os
import re
from pathlib import Path

import numpy
import pytest
from scipy import stats

from sslbench.report.blocks import Cell, Table, spans
from sslbench.studies import ledgers, tables_side_by_side
from tests.report.conftest import right_for

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SSLBENCH_REAL_DATA", "/nowhere")).parent


def flat(cell: Cell) -> list[str]:
    return ["".join(getattr(piece, "text", piece) for piece in spans(line)) for line in cell.lines]


def table(report: dict, place: str = "table 2") -> Table:
    return next(part.blocks[1] for part in tables_side_by_side.parts(report) if part.title.startswith(place))


def cell(found: Table, model: str, transform: str) -> Cell:
    column = next(i for i, c in enumerate(found.columns) if c.title == f"Test Accuracy {transform}")
    return next(row.cells[column] for row in found.rows if row.cells[0].lines[0] == model)


@pytest.fixture
def everywhere(tree):
    """One unfinished cell on each of the four datasets."""
    for name, source in (("one", "imagenette-320"), ("woof", "imagewoof2-320"), ("birds", "nabirds")):
        tree.dataset(name, source, 13_394, 10)
    for name in ("nette", "one", "woof", "birds"):
        tree.cell(name, "simclr", "baseline")
    return tree


def test_every_printed_figure_has_its_place_and_no_other(everywhere) -> None:
    parts = tables_side_by_side.parts(everywhere.report())
    with (ROOT / "sslbench/studies/data/published_results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    places = list(dict.fromkeys(r["place"] for r in rows))
    assert [part.title for part in parts] == places
    for part, place in zip(parts, places, strict=True):
        mine = [r for r in rows if r["place"] == place]
        found = part.blocks[1]
        assert [r.cells[0].lines[0] for r in found.rows] == list(dict.fromkeys(r["model"] for r in mine))
        shown = [[flat(c)[0] for c in r.cells[4:]] for r in found.rows]
        expected = [
            [r["value"] + (f" ({float(r['minutes']):.1f}Min/{float(r['peak_gb']):.1f}Go)" if r["minutes"] else "")
             for r in mine if r["model"] == model]
            for model in dict.fromkeys(r["model"] for r in mine)
        ]  # fmt: skip
        assert shown == expected
        assert all(flat(c)[1] == "not run" for r in found.rows for c in r.cells[4:])


def test_the_headings_are_the_articles(everywhere) -> None:
    article = SHARED / "seeds" / "article-ssl-benchmark.txt"
    if not article.is_file():
        pytest.skip("the article is not here")
    printed = [line.strip() for line in article.read_text().splitlines() if line.startswith("Model Batch size")]
    mine = [
        " ".join(c.title for c in part.blocks[1].columns) for part in tables_side_by_side.parts(everywhere.report())
    ]
    assert mine == printed


def test_a_matching_cell_has_ours_the_difference_and_its_interval(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 712), labels, minutes=61.5, gigabytes=9.1)
    found = table(tree.report())
    lines = flat(cell(found, "SimCLR", "Baseline"))
    assert lines[:2] == ["0.685", "0.712 (61.5 min / 9.1 GB)"]
    # Newcombe's method 10 from scipy's Wilson intervals; theirs from the fewest to the most pictures printed 0.685.
    ours = stats.binomtest(712, 1000).proportion_ci(method="wilson")
    fewest = min(k for k in range(3926) if f"{k / 3925:.3f}" == "0.685")
    most = max(k for k in range(3926) if f"{k / 3925:.3f}" == "0.685")
    low = stats.binomtest(fewest, 3925).proportion_ci(method="wilson").low
    high = stats.binomtest(most, 3925).proportion_ci(method="wilson").high
    down = 0.027 - numpy.hypot(0.712 - ours.low, high - 0.685)
    up = 0.027 + numpy.hypot(ours.high - 0.712, 0.685 - low)
    assert lines[2] == f"+0.027 ({down:+.3f} to {up:+.3f})".replace("-", "−")
    note = found.notes[cell(found, "SimCLR", "Baseline").notes[0] - 1]
    assert "split: " in note and "one training each" in note
    assert "1 with a difference" in next(p.blocks[0].text for p in tables_side_by_side.parts(tree.report()))


def test_where_their_pictures_are_not_known_the_interval_says_what_it_took(tree) -> None:
    figure = next(f for f in ledgers.read() if f.dataset == "imagenette")
    share = {"value": 0.7, "low": 0.66, "high": 0.74, "seeds": 3}
    low, high, told = tables_side_by_side.against(figure, share, 500, 0.95)
    assert low < 0.7 - figure.value < high
    assert "taken as 500 like ours" in told[0] and told[1] == "ours over seeds"


def test_what_may_not_be_compared_says_why_in_its_own_place(tree, labels) -> None:
    tree.model("paper", "vicregl", form="paper", alpha=0.5)
    tree.finish(tree.cell("nette", "simclr", "baseline", epochs=5), right_for(1000, 500), labels)
    tree.finish(tree.cell("nette", "byol", "baseline"), right_for(1000, 100), labels, verdict="collapsed")
    tree.finish(tree.cell("nette", "paper", "baseline"), right_for(1000, 600), labels)
    tree.log(tree.cell("nette", "byol", "simclr"), "sslbench: out of room\n")
    found = table(tree.report())

    def why(model: str, transform: str = "Baseline") -> str:
        one = cell(found, model, transform)
        return " ".join(str(found.notes[number - 1]) for number in one.notes)

    assert flat(cell(found, "SimCLR", "Baseline"))[1:] == ["0.500 (60.0 min / 8.0 GB)", "not compared"]
    assert "epochs 5 (published: 200)" in why("SimCLR")
    assert flat(cell(found, "BYOL", "Baseline"))[2] == "collapsed" and "collapsed" in why("BYOL")
    assert "form paper (published: lightly-1.2)" in why("VICRegL, α=0.50")
    assert flat(cell(found, "BYOL", "SimClr")) == ["0.636", "failed"] and "out of room" in why("BYOL", "SimClr")
    assert flat(cell(found, "SwaV", "DCL")) == ["0.640", "not run"]


def test_a_matching_cell_is_preferred_to_one_that_does_not_match(tree, labels) -> None:
    tree.dataset("again", "imagenette2-160", 13_394, 10)
    tree.finish(tree.cell("nette", "simclr", "baseline", epochs=5), right_for(1000, 500), labels)
    tree.finish(tree.cell("again", "simclr", "baseline"), right_for(1000, 690), labels)
    assert flat(cell(table(tree.report()), "SimCLR", "Baseline"))[1].startswith("0.690")


def test_both_pages_have_tables_and_verdicts_and_name_the_findings(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right_for(1000, 712), labels)
    tree.finish(tree.cell("nette", "byol", "baseline"), right_for(1000, 612), labels)
    html, text = tree.pages()
    for page in (html, text):
        assert "beside ours" in page and "not testable" in page and "docs/findings.md" in page
        assert re.search(r"seem to relatively outperform other models", page)
    assert len(html) < 1_500_000  # 0.9 MB of it draw the charts
