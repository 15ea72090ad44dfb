"""Large grids, by simulation: start-up, graph, scheduling, an up-to-date grid, collect and report.

    python -m benchmarks.scale --cells 170 1000 10000 --json scale.json

170 is config.yaml as it stands; any other number is 4 datasets x 10 models x 5 transforms x as many seeds as that
takes, or, with ``--by models``, one seed and as many named models, or, with ``--by both``, 5 seeds and as many models.
Reference rows come on top. Nothing is trained: results are written by benchmarks/simulated.py in the project's formats.
Every step is a process of its own; seconds are of wall clock and of CPU, memory is the process's peak resident set.
What is not a step of its own:

- one cell: what every job on a cluster pays before it begins, since it reads the whole config and asks for one cell;
- no-op jobs: Snakemake's own ``--touch`` without its pause of 0.1 s a job, so what remains is Snakemake's work per job;
- fake jobs: scripts in processes, as real jobs are, that write a few bytes.

Both are stopped after ``--seconds``, and the rate is that of the jobs finished between the first and the last.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import bench, simulated
from sslbench.grid.deduplicate import fold
from sslbench.grid.report_plan import report_plan
from sslbench.store.canonical_json import canonical

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--cores", "2")
# Touching is Snakemake's bookkeeping for a job and nothing else, once it does not sleep.
TOUCH = """
import sys
from snakemake.executors import touch
from snakemake.cli import main
touch.Executor.SLEEPING_TIME = 0
main(sys.argv[1:])
"""
SETTINGS = """
import sys, yaml
sys.path.insert(0, ".")
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.report_plan import report_plan
plan = Plan(load(yaml.safe_load(open("config.yaml"))))
print(len(plan.cells))
"""
COLLECT = """
import sys, json, yaml
from pathlib import Path
sys.path.insert(0, ".")
from sslbench.report.collect.collect import collect
collect(json.load(open("plan.json")), Path("results"), Path("results/collected/scale"))
"""
REPORT = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from sslbench.report.page import render
out = Path("results/collected/scale")
render(out / "report.json", None, out / "report.html", out / "report.md")
"""
FINISHED = re.compile(r"Finished jobid: \d+")


@dataclass
class Step:
    """One process: seconds, bytes, and the jobs it finished where it was a run."""

    name: str
    wall: float
    cpu: float
    rss: int
    jobs: int | None = None
    rate: float | None = None  # jobs/s
    cpu_per_job: float | None = None  # s, of Snakemake's own process
    note: str = ""


@dataclass
class Grid:
    cells: int
    references: int
    by: str
    jobs: int = 0
    steps: list[Step] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)


def measured(name: str, command: tuple[str, ...], folder: Path, seconds: float | None = None) -> Step:
    """Run ``command`` in ``folder``; after ``seconds`` it is told to stop. RuntimeError if it fails."""
    log = folder / f"{name.replace(' ', '-')}.log"
    started = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        stamps = _watched(process, log, seconds)
    wall = time.perf_counter() - started
    usage, code = process.usage, process.code
    if code and seconds is None:
        raise RuntimeError(f"{name}: {log.read_text()[-1500:]}")
    step = Step(name, wall, usage.ru_utime + usage.ru_stime, process.peak)
    if seconds is not None:
        step.jobs = stamps[-1][1]
        done = [stamp for stamp in stamps if stamp[1] > 0]
        if len(done) > 1 and done[-1][0] > done[0][0]:
            count = done[-1][1] - done[0][1]
            step.rate, step.cpu_per_job = count / (done[-1][0] - done[0][0]), (done[-1][2] - done[0][2]) / max(count, 1)
        step.note = "" if code == 0 else f"stopped after {seconds:.0f} s of jobs"
    return step


def _watched(process: subprocess.Popen, log: Path, seconds: float | None) -> list[tuple[float, int, float]]:
    """(time, finished jobs, CPU seconds) twice a second; interrupts ``seconds`` after the first job."""
    stamps, seen, at, process.peak = [(time.perf_counter(), 0, 0.0)], 0, 0, 0
    first = stopped = None
    while True:
        peak, cpu = _used(process.pid)
        process.peak = max(process.peak, peak)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if seconds is not None:
            with log.open() as stream:
                stream.seek(at)
                text = stream.read()
                at = stream.tell()
            seen += len(FINISHED.findall(text))
            stamps.append((time.perf_counter(), seen, max(cpu, stamps[-1][2])))
            first = first or (stamps[-1][0] if seen else None)
            if first and stopped is None and stamps[-1][0] - first > seconds:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                stopped = stamps[-1]
            if stopped and stamps[-1][0] - stopped[0] > 30:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if pid:
            process.usage, process.code = usage, os.waitstatus_to_exitcode(status)
            process.returncode = process.code
            return [s for s in stamps if stopped is None or s[0] <= stopped[0]]
        time.sleep(0.5 if seconds is not None else 0.02)


def _used(pid: int) -> tuple[int, float]:
    """Peak resident bytes and CPU seconds of this one process; its children do not count."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0, 0.0
    return int(found[1]) * 1024 if found else 0, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def jobs_of(folder: Path, step: str) -> int:
    """The total of Snakemake's job table in a step's log."""
    found = re.findall(r"^total\s+(\d+)", (folder / f"{step}.log").read_text(), re.MULTILINE)
    return int(found[-1]) if found else 0


def measure(folder: Path, cells: int, by: str, seconds: float, jobs: bool = True) -> Grid:
    """All steps of one grid, in a fresh project under ``folder``."""
    plan = simulated.project(folder, cells, by)
    references = sum(cell.reference for cell in plan.cells)
    grid = Grid(len(plan.cells) - references, references, by)

    def step(*arguments, **options) -> Step:
        grid.steps.append(measured(*arguments, folder=folder, **options))
        show(grid.steps[-1])
        return grid.steps[-1]

    print(f"{grid.cells} cells and {grid.references} references, by {by}", flush=True)
    step("settings", (sys.executable, "-c", SETTINGS))
    step("graph", (*SNAKEMAKE, "-n", "--quiet", "rules"))
    grid.jobs = jobs_of(folder, "graph")
    step("one cell", (*SNAKEMAKE, str(plan.cells[0].folder / "run.json"), "-n", "--quiet", "rules"))
    scripts = {path: path.read_bytes() for path in (folder / "workflow" / "scripts").glob("*.py")}
    simulated.fake_scripts(folder)
    for scheduler in ("greedy", "ilp") if jobs else ():
        step(f"fake jobs {scheduler}", (*SNAKEMAKE, "--scheduler", scheduler, "--forceall"), seconds=seconds)
    for path, text in scripts.items():
        path.write_bytes(text)
    began = time.perf_counter()
    files = simulated.finish(folder, plan)
    print(f"  simulated {files} files in {time.perf_counter() - began:.0f} s", flush=True)
    (folder / "plan.json").write_text(canonical(fold(report_plan(plan))))
    grid.bytes["plan"] = (folder / "plan.json").stat().st_size
    step("collect", (sys.executable, "-c", COLLECT))
    step("report", (sys.executable, "-c", REPORT))
    out = folder / "results" / "collected" / "scale"
    grid.bytes |= {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    if not jobs:
        return grid
    for name in ("gallery.json", "album.json", "cells.csv", "report.json"):
        target = folder / "results" / "collected" / plan.config.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}")
    pages = folder / plan.config.paths.reports / plan.config.name
    pages.mkdir(parents=True, exist_ok=True)
    for suffix in ("html", "md"):
        (pages / f"report.{suffix}").write_text("")
    touched = (sys.executable, "-c", TOUCH, "--cores", "2", "--touch", "--forceall", "--scheduler")
    step("no-op jobs ilp", (*touched, "ilp"), seconds=seconds)
    step("no-op jobs greedy", (*touched, "greedy"), seconds=24 * 3600.0)  # all of them: their records are read next
    done = step("up to date", (*SNAKEMAKE, "-n"))
    done.note = "nothing to be done" if "Nothing to be done" in (folder / "up-to-date.log").read_text() else "NOT so"
    return grid


def show(step: Step) -> None:
    rate = "" if step.rate is None else f"; {step.jobs} jobs{_pace(step)}"
    note = f" ({step.note})" if step.note else ""
    text = f"{step.wall:8.2f} s, {step.cpu:8.2f} s of CPU, {step.rss / 1e6:7.0f} MB"
    print(f"  {step.name:18}{text}{rate}{note}", flush=True)


def table(grids: list[Grid]) -> str:
    """Markdown: a row a step, a column a grid; wall seconds (CPU seconds), peak MB, jobs per second."""
    heads = [f"{grid.cells:,} cells by {grid.by}" for grid in grids]
    lines = [f"| step | {' | '.join(heads)} |", "|---" * (len(grids) + 1) + "|"]
    lines.append(f"| jobs | {' | '.join(f'{grid.jobs:,}' for grid in grids)} |")
    for name in dict.fromkeys(step.name for grid in grids for step in grid.steps):
        found = [next((s for s in grid.steps if s.name == name), None) for grid in grids]
        lines.append(f"| {name} | {' | '.join(_cell(step) for step in found)} |")
    for name in dict.fromkeys(name for grid in grids for name in grid.bytes):
        sizes = [f"{grid.bytes[name] / 1e6:.2f} MB" if name in grid.bytes else "" for grid in grids]
        lines.append(f"| {name} | {' | '.join(sizes)} |")
    return "\n".join(lines)


def _cell(step: Step | None) -> str:
    if step is None:
        return ""
    pace = "" if step.rate is None else _pace(step)
    return f"{step.wall:.1f} s ({step.cpu:.1f} CPU), {step.rss / 1e6:,.0f} MB{pace}"


def _pace(step: Step) -> str:
    return f", {step.rate:.1f} jobs/s, {1000 * step.cpu_per_job:.0f} ms of Snakemake each"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[170, 1000, 10_000])
    parser.add_argument("--by", choices=("seeds", "models", "both"), default="seeds")
    parser.add_argument("--seconds", type=float, default=60, help="of jobs, where only their rate is wanted")
    parser.add_argument("--no-jobs", action="store_true", help="leave out what schedules jobs")
    parser.add_argument("--folder", type=Path, help="keep the projects here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    grids = []
    with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        for cells in options.cells:
            folder = (options.folder or Path(scratch)) / f"{cells}-{options.by}"
            grids.append(measure(folder, cells, options.by, options.seconds, not options.no_jobs))
            if options.json:
                machine = bench.machine() | bench.versions(["snakemake"])
                found = {"machine": machine, "grids": [asdict(grid) for grid in grids]}
                options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(grids))


if __name__ == "__main__":
    main()
