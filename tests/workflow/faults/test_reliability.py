"""The table of docs/reliability.md says what the tests counted, and no more."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import reliability
from tests.tally import survived

pytestmark = pytest.mark.fault

PAGE = f"Before.\n\n{reliability.BEGIN}\nold\n{reliability.END}\n\nAfter.\n"


def test_counts_are_added_up_by_kind_and_stage_and_the_prose_stays(tmp_path, monkeypatch):
    tally, page = tmp_path / "tally.jsonl", tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.delenv("SSLBENCH_TALLY", raising=False)
    survived("SIGKILL", "pack")
    monkeypatch.setenv("SSLBENCH_TALLY", str(tally))
    survived("SIGKILL", "pack", 1200)
    survived("SIGKILL", "fetch")
    survived("SIGKILL", "pack", 2)
    survived("a | b", "train", 3)
    survived("nothing", "train", 0)
    assert reliability.main([str(tally)], page) == 0
    text = page.read_text()
    assert text.startswith("Before.\n\n") and text.endswith("\n\nAfter.\n") and "old" not in text
    assert "| SIGKILL | 1,203 | fetch 1, pack 1,202 |" in text
    assert "| a \\| b | 3 | train 3 |" in text
    assert "| **all** | **1,206** | 1,203 of them kills |" in text
    assert reliability.main([str(tally)], page) == 0 and page.read_text() == text


def test_inputs_and_jobs_beside_each_other_have_tables_of_their_own():
    counts = {("SIGKILL", "pack"): 2, ("property", "config"): 4000, ("odd names", "report"): 3, ("SIGKILL", "slots"): 5}
    faults, inputs, together = reliability.tables(reliability.Counter(counts)).split("\n\n")
    assert "| **all** | **2** | 2 of them kills |" in faults
    assert (
        "| **all** | **4,003** |  |" in inputs and "| generated input (hypothesis) | 4,000 | config 4,000 |" in inputs
    )
    assert "| SIGKILL | 5 | slots 5 |" in together


@pytest.mark.parametrize(("content", "word"), [("", "nothing was counted"), ("{}\n", "line 1"), ("[1]\n", "line 1")])
def test_an_empty_or_damaged_tally_changes_nothing(tmp_path, capsys, content, word):
    tally, page = tmp_path / "tally.jsonl", tmp_path / "page.md"
    tally.write_text(content)
    page.write_text(PAGE)
    assert reliability.main([str(tally)], page) == 1
    assert word in capsys.readouterr().err and page.read_text() == PAGE


def test_lines_of_processes_that_count_side_by_side_do_not_mix(tmp_path):
    tally = tmp_path / "tally.jsonl"
    code = "from tests.tally import survived\nfor _ in range(300): survived('a kind', 'a stage')"
    environment = {"SSLBENCH_TALLY": str(tally), "PYTHONPATH": str(Path(__file__).parents[3])}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert reliability.counted(tally.read_text()) == {("a kind", "a stage"): 600}


def test_the_page_has_its_markers_and_a_table():
    page = reliability.PAGE.read_text()
    assert page.count(reliability.BEGIN) == page.count(reliability.END) == 1
    assert "| **all** |" in page
