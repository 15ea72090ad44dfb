"""The article's whole grid, several seeds a cell, from finished results to the page: seconds, memory, bytes.

    python -m benchmarks.report                    # 170 cells x 3 seeds, against the limits
    python -m benchmarks.report --profile collect  # where the seconds go

Nothing is trained: results are drawn by benchmarks/simulated.py in the project's formats, with the datasets' own
numbers of test pictures. Collect and report run as the workflow runs them, each a process of its own; memory is the
process's peak resident set. The limits hold for both together in seconds, for each in memory, for the page in bytes.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import bench, simulated
from benchmarks.scale import COLLECT, REPORT, ROOT, Step, measured, show
from sslbench.grid.deduplicate import fold
from sslbench.grid.report_plan import report_plan
from sslbench.store.canonical_json import canonical

SECONDS, MEMORY, PAGE = 60.0, 2e9, 6e6
PROFILED = """
import cProfile, pstats
profile = cProfile.Profile()
profile.runcall(exec, {code!r}, {{"__name__": "__main__"}})
pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
"""


def prepared(folder: Path, seeds: int) -> int:
    """The project with its results in ``folder``, or today's code beside those there; the number of runs in it."""
    if (folder / "plan.json").exists():
        shutil.rmtree(folder / "sslbench")
        shutil.copytree(ROOT / "sslbench", folder / "sslbench", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        plan = simulated.project(folder, simulated.ARTICLE, "seeds", seeds)
        simulated.finish(folder, plan)
        (folder / "plan.json").write_text(canonical(fold(report_plan(plan))))
    return len(list(folder.glob("results/*/*/*/seed*/run.json")))


def run(folder: Path, profile: str | None = None) -> tuple[list[Step], dict[str, int]]:
    """Collect and report in ``folder``: what each took, and the bytes of what they wrote."""
    steps = []
    for name, code in (("collect", COLLECT), ("report", REPORT)):
        code = PROFILED.format(code=code) if name == profile else code
        steps.append(measured(name, (sys.executable, "-c", code), folder))
        show(steps[-1])
        if name == profile:
            print((folder / f"{name}.log").read_text())
    out = folder / "results" / "collected" / "scale"
    return steps, {path.name: path.stat().st_size for path in sorted(out.iterdir())}


def verdicts(steps: list[Step], size: int) -> list[tuple[str, float, float]]:
    """(what, measured, limit), in the limits' units."""
    seconds, memory = sum(step.wall for step in steps), max(step.rss for step in steps)
    return [("seconds", seconds, SECONDS), ("GB of memory", memory / 1e9, MEMORY / 1e9), ("MB", size / 1e6, PAGE / 1e6)]


def main(arguments: list[str] | None = None) -> int:
    """1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the results here, and use them again")
    parser.add_argument("--profile", choices=("collect", "report"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        folder = options.folder or Path(scratch) / "project"
        cells = prepared(folder, options.seeds)
        print(f"{simulated.ARTICLE} cells x {options.seeds} seeds, with references {cells} runs", flush=True)
        steps, sizes = run(folder, options.profile)
    for name, size in sizes.items():
        print(f"  {name:18}{size / 1e6:8.2f} MB")
    found = verdicts(steps, sizes["report.html"])
    for what, value, limit in found:
        print(f"  {value:.2f} {what}, the limit is {limit:g}{'' if value < limit else ': BROKEN'}")
    if options.json:
        told = {"machine": bench.machine(), "cells": cells, "bytes": sizes}
        told |= {step.name: {"wall": step.wall, "cpu": step.cpu, "rss": step.rss} for step in steps}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return int(any(value >= limit for _, value, limit in found))


if __name__ == "__main__":
    sys.exit(main())
