"""The benchmarks' harness. Nothing here looks at how long anything takes."""

import json
import subprocess
import sys
import time

import pytest

from benchmarks import bench


def recorder(calls, name, items=1):
    def way():
        calls.append(name)
        return items

    return way


def test_every_way_warms_up_once_then_the_order_turns_by_one_a_round():
    calls = []
    bench.interleaved("claim", "item", {name: recorder(calls, name) for name in "abc"}, 4)
    assert calls == list("abc" + "abc" + "bca" + "cab" + "abc")


def test_costs_are_per_item_and_one_a_round(monkeypatch):
    clock = iter(range(0, 1000, 10))  # every look at the clock is 10 s later
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    table = bench.interleaved("claim", "item", {"a": lambda: 5, "b": lambda: 20}, 3)
    assert table.row("a").costs["wall"] == [2, 2, 2]
    assert table.row("b").costs["wall"] == [0.5, 0.5, 0.5]
    assert len(table.row("a").costs["cpu"]) == 3


def test_a_ratio_is_the_median_of_the_rounds_ratios_with_its_range():
    table = bench.Table("claim", "item")
    table.add("ours", {"wall": [1.0, 2.0, 10.0]})
    table.add("peer", {"wall": [3.0, 8.0, 20.0]})  # by round 3, 4 and 2; medians would give 4
    table.compare("ours", "peer", target=2.5)
    assert table.ratios[0].by_measure == {"wall": {"median": 3.0, "low": 2.0, "high": 4.0}}
    last = table.text().splitlines()[-1]
    assert last == "  ratio peer / ours: wall 3.00x [2.00, 4.00, target 2.5 met]"


def test_ratios_of_unequal_rounds_are_of_medians():
    table = bench.Table("claim", "item")
    table.add("ours", {"cpu": [1.0, 2.0, 4.0]})
    table.add("peer", {"cpu": [10.0]})
    table.compare("ours", "peer", {"cpu": 6})
    assert table.ratios[0].by_measure["cpu"] == {"median": 5.0, "low": 2.5, "high": 10.0}
    assert "target 6 MISSED" in table.text()


def test_what_cannot_run_is_a_row_with_its_reason_and_has_no_ratio():
    def absent():
        raise bench.Skipped("not installed; pip install it")

    def broken():
        raise ValueError("no such thing\nand more")

    ways = {"ours": lambda: 1, "absent": absent, "broken": broken}
    table = bench.interleaved("claim", "item", ways, 2, may_fail={"broken"})
    table.compare("ours", "absent")
    table.compare("ours", "broken")
    table.compare("ours", "never heard of")
    assert table.row("absent").skipped == "not installed; pip install it"
    assert "ValueError" in table.row("broken").skipped and "no such thing" in table.row("broken").skipped
    assert "skipped: not installed; pip install it" in table.text()
    assert table.ratios == []


def test_a_failure_of_our_own_way_ends_the_benchmark():
    def broken():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        bench.interleaved("claim", "item", {"ours": broken}, 2, may_fail={"peer"})


def test_cpu_time_counts_children_that_still_run():
    before = bench.cpu_seconds()
    code = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert child.pid in bench.children(bench.os.getpid())
        running = bench.cpu_seconds() - before
        child.stdin.close()
    assert running >= 0.25
    assert bench.cpu_seconds() - before >= running - 0.02  # and once they have ended, no less


def test_cpu_time_is_not_wall_time():
    before = bench.cpu_seconds()
    time.sleep(0.2)
    assert bench.cpu_seconds() - before < 0.2


def test_the_json_holds_all_rounds_machine_and_versions(tmp_path, capsys):
    table = bench.Table("claim", "item")
    table.add("ours", {"wall": [0.25, 0.5]}, note="remark")
    table.skip("peer", "not here")
    options = bench.parser("what").parse_args(["--json", str(tmp_path / "new" / "figures.json"), "--repeats", "7"])
    bench.finish(options, [table], packages=["pytest", "no-such-distribution"])
    content = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert content["tables"][0]["rows"][0] == {
        "way": "ours",
        "costs": {"wall": [0.25, 0.5]},
        "skipped": None,
        "note": "remark",
    }
    assert content["tables"][0]["rows"][1]["skipped"] == "not here"
    assert content["versions"]["pytest"] == pytest.__version__ and "no-such-distribution" not in content["versions"]
    assert content["machine"]["cores"] >= 1 and content["options"]["repeats"] == 7
    assert "(remark)" in capsys.readouterr().out


def test_installed_asks_without_importing():
    assert bench.installed("pytest") and not bench.installed("no-such-distribution")
