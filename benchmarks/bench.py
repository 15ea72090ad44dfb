"""The harness of all benchmarks: ways of doing one piece of work, side by side in one run, interleaved.

    from benchmarks import bench                      # run a script from the repository: python -m benchmarks.NAME

    options = bench.parser(__doc__).parse_args()      # --repeats, --json and what the script adds
    ways = {"sslbench": ours, "lightly": theirs}      # each a call that works and returns how many items it did
    table = bench.interleaved("views at 64 px", "view", ways, options.repeats, may_fail={"lightly"})
    table.skip("kornia", "not installed; pip install kornia")
    table.compare("sslbench", "lightly", target=5)    # the ratio, printed last
    bench.finish(options, [table], packages=["torch", "lightly"])

Every way is called once unmeasured, then once a round; the order turns by one from round to round, so that no way
always stands behind the same neighbour. A cost is per item: wall seconds, CPU seconds (this process with all its
threads and children, DataLoader workers included), or whatever a script measures itself (``Table.add``: bytes,
accuracy's cost, ...). Lower is better, so a ratio is the peer's cost over ours: above 1, ours is better. It is the
median of the rounds' own ratios where rounds were interleaved: what disturbs one round disturbs both its ways.
"""

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

Way = Callable[[], int]

TIMES = ("wall", "cpu")  # measures in seconds; names that begin with "bytes" are bytes, others plain numbers


class Skipped(Exception):
    """Raised by a way, or while making it, that cannot run here; the message is the reason and what to do."""


@dataclass
class Row:
    """One way's costs per item, one value a round, by measure ("wall" and "cpu" seconds, "bytes", ...)."""

    way: str
    costs: dict[str, list[float]] = field(default_factory=dict)
    skipped: str | None = None  # why there are none
    note: str = ""

    def median(self, measure: str) -> float:
        return statistics.median(self.costs[measure])


@dataclass
class Ratio:
    """``peer``'s cost over ``ours``, by measure: {"median", "low", "high"} over the rounds."""

    ours: str
    peer: str
    by_measure: dict[str, dict[str, float]]
    target: dict[str, float] = field(default_factory=dict)  # what the median should reach at least, by measure


@dataclass
class Table:
    """One claim: the ways, their costs, and the ratios. ``unit`` is one item's name, e.g. "view"."""

    claim: str
    unit: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self, way: str) -> Row | None:
        return next((row for row in self.rows if row.way == way), None)

    def add(self, way: str, costs: Mapping[str, Sequence[float]], note: str = "") -> None:
        """A way that the script measured itself, e.g. {"bytes": [one value a round]}."""
        self.rows.append(Row(way, {measure: list(values) for measure, values in costs.items()}, note=note))

    def skip(self, way: str, reason: str) -> None:
        self.rows.append(Row(way, skipped=reason))

    def compare(self, ours: str, peer: str, target: float | Mapping[str, float] | None = None) -> None:
        """Add the ratio of ``peer`` over ``ours`` for every measure that both have; nothing where one was skipped.

        ``target``: what it should reach, by measure or for all.
        """
        mine, theirs = self.row(ours), self.row(peer)
        if mine is None or theirs is None or mine.skipped or theirs.skipped:
            return
        shared = [measure for measure in mine.costs if measure in theirs.costs]
        by_measure = {measure: _ratio(theirs.costs[measure], mine.costs[measure]) for measure in shared}
        if target is not None and not isinstance(target, Mapping):
            target = dict.fromkeys(shared, target)
        self.ratios.append(Ratio(ours, peer, by_measure, dict(target or {})))

    def text(self) -> str:
        """The table as it is printed: rows, skipped rows, notes, and the ratios last."""
        lines = [self.claim]
        width = max((len(row.way) for row in self.rows), default=0)
        for row in self.rows:
            shown = f"skipped: {row.skipped}" if row.skipped else "; ".join(_cost(row, m, self.unit) for m in row.costs)
            lines.append(f"  {row.way:{width}}  {shown}" + (f"  ({row.note})" if row.note else ""))
        lines += [f"  {note}" for note in self.notes]
        for ratio in self.ratios:
            found = (_found(measure, value, ratio.target.get(measure)) for measure, value in ratio.by_measure.items())
            lines.append(f"  ratio {ratio.peer} / {ratio.ours}: " + ", ".join(found))
        return "\n".join(lines)


def _ratio(theirs: list[float], mine: list[float]) -> dict[str, float]:
    if len(theirs) == len(mine):  # of the same rounds
        ratios = [their / my for their, my in zip(theirs, mine, strict=True)]
        return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    median = statistics.median(theirs) / statistics.median(mine)
    return {"median": median, "low": min(theirs) / max(mine), "high": max(theirs) / min(mine)}


def _cost(row: Row, measure: str, unit: str) -> str:
    values = row.costs[measure]
    rate = f"{per_second}, " if (per_second := _rate(measure, row.median(measure), unit)) else ""
    spread = ", ".join(amount(measure, value) for value in (min(values), max(values)))
    return f"{measure} {rate}{amount(measure, row.median(measure))} a {unit} [{spread}]"


def figure(measure: str, value: float, unit: str) -> str:
    """A cost as a reader wants it: "5,184 views/s" where many are done a second, else "2.75 s" or "140 MiB"."""
    return _rate(measure, value, unit) or amount(measure, value)


def _rate(measure: str, value: float, unit: str) -> str:
    return f"{1 / value:,.0f} {unit}s/s" if measure in TIMES and 0 < value <= 0.1 else ""


def amount(measure: str, value: float) -> str:
    if measure.startswith("bytes"):
        return f"{value / 2**20:,.0f} MiB"
    if measure not in TIMES:
        return f"{value:.4g}"
    scale, name = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "us")
    return f"{value * scale:.3g} {name}"


def _found(measure: str, value: dict[str, float], target: float | None) -> str:
    wanted = "" if target is None else f", target {target:g}" + (" met" if value["median"] >= target else " MISSED")
    return f"{measure} {value['median']:.2f}x [{value['low']:.2f}, {value['high']:.2f}{wanted}]"


def interleaved(
    claim: str,
    unit: str,
    ways: Mapping[str, Way],
    repeats: int = 5,
    *,
    may_fail: Collection[str] = (),
    notes: Mapping[str, str] | None = None,
) -> Table:
    """Measure all ``ways`` in turns: one unmeasured call each, then ``repeats`` rounds over all in rotating order.

    A way returns how many items it did, at least one. One that raises Skipped in its unmeasured call becomes a row
    with that reason, and so does any other failure there of a way in ``may_fail``, for peers. ``notes``: a remark
    beside a way's row.
    """
    table, running = Table(claim, unit), {}
    for name, way in ways.items():
        try:
            way()
        except Skipped as reason:
            table.skip(name, str(reason))
        except Exception as error:
            if name not in may_fail:
                raise
            table.skip(name, f"failed: {type(error).__name__}: {str(error).strip().splitlines()[:1]}")
        else:
            running[name] = way
            table.add(name, {"wall": [], "cpu": []}, (notes or {}).get(name, ""))
    for round_ in range(repeats):
        for name in rotated(list(running), round_):
            gc.collect()
            cpu, wall = cpu_seconds(), time.perf_counter()
            items = running[name]()
            wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
            row = table.row(name)
            row.costs["wall"].append(wall / items)
            row.costs["cpu"].append(cpu / items)
    return table


def rotated(names: list[str], round_: int) -> list[str]:
    """``names`` turned left by ``round_`` places: the order of that round."""
    turn = round_ % len(names) if names else 0
    return names[turn:] + names[:turn]


def cpu_seconds() -> float:
    """User and system seconds so far: this process with all its threads, its children ended and (Linux) running.

    Running children count in steps of 1/100 s: let a way work for a second where it has workers.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _running(os.getpid())


def _running(parent: int) -> float:
    """CPU seconds of the living descendants of ``parent`` and of what they waited for; 0 where there is no /proc."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0.0
    for child in children(parent):
        try:
            values = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile: RUSAGE_CHILDREN has it
            continue
        total += sum(int(value) for value in values[11:15]) / ticks + _running(child)
    return total


def children(parent: int) -> list[int]:
    """The living child processes of ``parent``, started by whichever of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def parser(description: str, repeats: int = 5) -> argparse.ArgumentParser:
    """The flags that all benchmarks share: --repeats, --json and --quick."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=int, default=repeats, help=f"measured rounds, default {repeats}")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    made.add_argument("--quick", action="store_true", help="smaller sizes, to see that it works")
    return made


def finish(options: argparse.Namespace, tables: Sequence[Table], packages: Collection[str] = ()) -> None:
    """Print ``tables`` with machine and versions, and write them to ``options.json`` where asked for."""
    about = {"machine": machine(), "versions": versions(packages)}
    for table in tables:
        print(table.text(), end="\n\n")
    print("; ".join(f"{key} {value}" for part in about.values() for key, value in part.items()), flush=True)
    if options.json:
        shown = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        content = {"script": Path(sys.argv[0]).stem, "options": shown} | about
        content["tables"] = [asdict(table) for table in tables]
        options.json.parent.mkdir(parents=True, exist_ok=True)
        partial = options.json.with_name(options.json.name + ".partial")
        partial.write_text(json.dumps(content, indent=1, default=str) + "\n")
        partial.replace(options.json)


def machine() -> dict:
    """What it ran on: processor, cores allowed, memory, GPU where torch is loaded and sees one, load, day."""
    found = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(_LOAD, 2),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions(packages: Collection[str]) -> dict[str, str]:
    """Python's version and those of the distributions among ``packages`` that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def installed(package: str) -> bool:
    """Whether the distribution ``package`` is installed, without importing it."""
    return len(versions([package])) == 2


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


_LOAD = os.getloadavg()[0]  # before this process adds to it
