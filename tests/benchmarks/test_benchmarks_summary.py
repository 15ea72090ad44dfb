"""The one table of all benchmarks, and the page that keeps it."""

import json
import runpy
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import bench, run_all, summary

ROOT = Path(__file__).parents[2]


def measured(claim="a claim", target=None):
    """A script's JSON, by way of the harness."""
    table = bench.Table(claim, "view")
    table.add("sslbench", {"wall": [0.001, 0.002, 0.004], "cpu": [0.001, 0.001, 0.001]})
    table.add("peer", {"wall": [0.01, 0.01, 0.01], "cpu": [0.003, 0.004, 0.005]})
    table.skip("absent", "not installed; pip install absent")
    table.compare("sslbench", "peer", target)
    tables = json.loads(json.dumps([bench.asdict(table)]))
    return {
        "script": "views",
        "tables": tables,
        "machine": {"cores": 2, "load_before": 0.1},
        "versions": {"torch": "2"},
    }


def test_a_line_is_a_ratio_with_both_figures():
    lines = summary.summarised([measured(target={"cpu": 5})])["lines"]
    assert len(lines) == 1  # of the measure with a target
    line = lines[0]
    assert (line["ours"], line["theirs"]) == ("1,000 views/s", "250 views/s")
    assert (line["ratio"], line["low"], line["high"], line["target"]) == (4, 3, 5, 5)
    assert "| 5x missed |" in summary.block(summary.summarised([measured(target={"cpu": 5})]))
    assert "| 4x met |" in summary.block(summary.summarised([measured(target={"cpu": 4})]))


def test_without_targets_every_measure_is_a_line():
    assert [line["measure"] for line in summary.summarised([measured()])["lines"]] == ["wall", "cpu"]


def test_what_did_not_run_is_named_with_its_reason():
    runs = [measured(), {"script": "gpu", "skipped": "no GPU here"}, {"script": "step", "failed": "exit status 1"}]
    block = summary.block(summary.summarised(runs))
    assert "- a claim: absent: not installed; pip install absent" in block
    assert "- gpu: skipped: no GPU here" in block
    assert "- step: failed: exit status 1" in block


def test_the_load_is_that_before_the_first_script_which_later_ones_find_raised_by_it():
    runs = [measured(), measured()]
    runs[1]["machine"]["load_before"] = 3.5
    assert summary.summarised(runs)["machine"]["load_before"] == 0.1


def test_the_docs_table_is_that_of_the_figures_kept_beside_it():
    page = (ROOT / "docs" / "performance.md").read_text()
    found = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert summary.replaced(page, found) == page
    assert not found["quick"]


def test_the_docs_are_written_from_a_whole_run_only(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "performance.md").write_text(f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n")
    summary.write([measured()], tmp_path / "reports", quick=True)
    with pytest.raises(SystemExit, match="quick run"):
        summary.write_docs(tmp_path / "reports" / "benchmarks.json", docs)
    summary.write([measured()], tmp_path / "reports", quick=False)
    summary.write_docs(tmp_path / "reports" / "benchmarks.json", docs)
    page = (docs / "performance.md").read_text()
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "old" not in page and "views/s" in page
    assert summary.replaced(page, json.loads((docs / "performance.json").read_text())) == page


def test_every_script_of_the_run_takes_the_shared_flags_and_those_it_is_given(monkeypatch, capsys):
    for script in {job.script for job in run_all.jobs(["--archive", "x"], 2)}:
        if not (ROOT / "benchmarks" / f"{script}.py").exists():
            continue
        monkeypatch.setattr(sys, "argv", [script, "--help"])
        monkeypatch.delitem(sys.modules, f"benchmarks.{script}", raising=False)  # it is run anew
        with pytest.raises(SystemExit) as ended:  # as python -m runs it, with what this process has imported
            runpy.run_module(f"benchmarks.{script}", run_name="__main__")
        shown = capsys.readouterr().out
        assert not ended.value.code
        given = {word for job in run_all.jobs(["--archive", "x"], 2) if job.script == script for word in job.arguments}
        for flag in {"--repeats", "--json", "--quick"} | {word for word in given if word.startswith("--")}:
            assert flag in shown, (script, flag)


def test_a_script_that_hangs_or_fails_is_ended_and_named(tmp_path, monkeypatch):
    scripts = tmp_path / "benchmarks"
    scripts.mkdir()
    (scripts / "__init__.py").touch()
    (scripts / "hangs.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    (scripts / "fails.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(run_all, "ROOT", tmp_path)
    monkeypatch.setattr(run_all, "has_gpu", lambda: False)
    options = Namespace(repeats=1, quick=True, limit=None)
    assert "more than 1 s" in run_all.run(run_all.Job("hangs", limit=1), options, tmp_path / "a.json")["failed"]
    assert "exit status 3" in run_all.run(run_all.Job("fails"), options, tmp_path / "b.json")["failed"]
    assert run_all.run(run_all.Job("fails", gpu=True), options, tmp_path / "c.json")["skipped"] == "no GPU here"
    assert "no benchmarks/absent.py" in run_all.run(run_all.Job("absent"), options, tmp_path / "d.json")["skipped"]
