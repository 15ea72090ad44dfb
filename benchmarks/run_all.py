"""All benchmarks, one after the other, into one table: reports/benchmarks.md and reports/benchmarks.json.

    python -m benchmarks.run_all                # what `make bench` runs: under 15 minutes on 2 cores
    python -m benchmarks.run_all --quick        # under 3: that everything works, not what it is worth
    python -m benchmarks.run_all --only views   # one script
    python -m benchmarks.run_all --write-docs   # run nothing: the last run's table into docs/performance.md

What cannot run is a line with its reason, and so is what failed; then the exit status is 1.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import bench, summary

ROOT = Path(__file__).resolve().parent.parent
REPORTS, DOCS = ROOT / "reports", ROOT / "docs"
CORES = bench.machine()["cores"]


@dataclass
class Job:
    """One script with the arguments of the whole run; ``limit``: seconds after which it is ended."""

    script: str
    arguments: list[str] = field(default_factory=list)
    threads: int = 1
    limit: int = 420
    gpu: bool = False


NABIRDS = ["--classes", "555", "--pictures", "23929", "--limit", "30"]  # seconds that the probe may take


def jobs(pictures: list[str], cores: int, quick: bool = False) -> list[Job]:
    """``pictures``: the flags that name real ones, where there are any."""
    short = ["--seconds", "1"]
    listed = [Job("views", ["--sizes", size, "--threads", "1", *short, *pictures]) for size in ("64", "224")]
    if cores > 1:
        shared = ["--threads", str(cores), *short, *pictures]
        listed += [Job("views", ["--sizes", size, *shared], cores) for size in (("64",) if quick else ("64", "224"))]
    listed += [
        Job("step", ["--size", "64", "--batch", "64", "--threads", "1"]),
        Job("packing", [], cores),
        Job("probing", ["--threads", str(min(2, cores))], 2),
        *([] if quick else [Job("probing", [*NABIRDS, "--threads", str(min(2, cores))], 2, 900)]),
        Job("memory", ["--size", "64", "--batch", "128", "--threads", "1"]),
        Job("startup"),
        Job("gpu", pictures, cores, 1200, gpu=True),
    ]
    return listed


def run(job: Job, options: argparse.Namespace, file: Path) -> dict:
    """What ``job`` found, or {"skipped": reason} or {"failed": reason}, with its command and seconds."""
    flags = [*job.arguments, "--repeats", str(options.repeats), *(["--quick"] if options.quick else [])]
    told = {"script": job.script, "command": f"python -m benchmarks.{job.script} {' '.join(flags)}"}
    if not (ROOT / "benchmarks" / f"{job.script}.py").exists():
        return told | {"skipped": f"there is no benchmarks/{job.script}.py"}
    if job.gpu and not has_gpu():
        return told | {"skipped": "no GPU here"}
    print(f"\n== {told['command']}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{job.script}", *flags, "--json", str(file)]
    # Passive: threads that wait do not spin, or a busy machine would slow those who have several by a hundred times.
    limits = {"OMP_NUM_THREADS": str(job.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | limits, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait(options.limit or job.limit)
    except subprocess.TimeoutExpired:
        status = f"took more than {options.limit or job.limit} s"
    finally:
        end(process)
    told["seconds"] = round(time.perf_counter() - began)
    if status == 0 and file.exists():
        return told | json.loads(file.read_text())
    return told | {"failed": status if isinstance(status, str) else f"exit status {status}, see its output"}


def end(process: subprocess.Popen) -> None:
    """End a script with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def has_gpu() -> bool:
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", asked], check=False, stderr=subprocess.DEVNULL).returncode == 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--repeats", type=int, help="measured rounds, default 5; quick: 3")
    parser.add_argument("--only", nargs="+", metavar="SCRIPT", help="these scripts")
    parser.add_argument("--archive", type=Path, help="real JPEGs for views and GPU, e.g. imagenette2-160.tgz")
    parser.add_argument("--limit", type=int, help="seconds for each script, in place of its own limit")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the last run's table into the docs; run nothing"
    )
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (3 if options.quick else 5)
    if options.write_docs:
        summary.write_docs(REPORTS / "benchmarks.json", DOCS)
        print(f"written: {DOCS / 'performance.md'}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end what runs, on the way out
    pictures = ["--archive", str(options.archive.resolve())] if options.archive else []
    chosen = [job for job in jobs(pictures, CORES, options.quick) if not options.only or job.script in options.only]
    found = []
    with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
        for number, job in enumerate(chosen):
            found.append(run(job, options, Path(scratch) / f"{number}.json"))
            summary.write(found, REPORTS, quick=options.quick)  # after each: what is done is kept
    print(f"\n{(REPORTS / 'benchmarks.md').read_text()}\nThe table: {REPORTS / 'benchmarks.md'}")
    return int(any("failed" in one for one in found))


if __name__ == "__main__":
    sys.exit(main())
