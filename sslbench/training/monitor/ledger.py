"""The ledger of one cell: everything that may differ between two identical runs, and nothing else may."""

import contextlib
import os
import platform
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from sslbench.training.device import Device
from sslbench.transforms.cpu import backend
from sslbench.transforms.gpu import crop_and_operations

PACKAGES = ("torch", "torchvision", "timm", "lightly", "numpy")
ON_DEVICE = ("augment", "step")  # a GPU works on these while the host goes ahead: its own clock counts


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(device: Device) -> dict[str, str | None]:
    """Versions of Python and of the packages that decide results; None where one is not installed. ``views``: how they
    are made on the device. ``threads``: torch's on a CPU, since their number decides the last bits."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = str(torch.__version__) if package == "torch" else version(package)
        except PackageNotFoundError:
            found[package] = None
    found["views"] = crop_and_operations.version() if device.cuda else backend.version()
    return found if device.cuda else found | {"threads": str(torch.get_num_threads())}


def commit() -> tuple[str | None, bool | None]:
    """The commit of the repository that this package lies in, and whether its tracked files are unchanged."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), not git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None


def _otherwise(resumed: dict) -> str | None:
    """A line where a run was gone on with by other versions."""
    then, today = resumed["versions_before"], resumed["versions"]
    changed = [
        f"{name} {then.get(name)} before and {found} after" for name, found in today.items() if then.get(name) != found
    ]
    if not changed:
        return None
    return (
        f"step {resumed['step']} is where this run was gone on with by other versions: {', '.join(changed)}; results "
        "are equal bit for bit under equal versions alone"
    )


class Ledger:
    """Counts seconds by section, work, memory and energy, over interruptions.

    What was done after the last checkpoint of an interrupted run is done again and stands here once.
    """

    def __init__(self, device: Device, threads: int) -> None:
        self.device, self.threads = device, threads
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.images = self.views = 0
        self.started = now()
        self.resumed: list[dict] = []
        self.notes: list[str] = []  # where the run is not quite what its settings ask for
        self._versions: dict[str, str | None] = {}
        self._before = {"seconds": 0.0, "energy": None, "memory": {}}  # of the runs that this one goes on from
        self._begin = time.perf_counter()
        self._energy = device.energy_joules()
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Count the body's time under ``name``. Never waits for the device."""
        if self.device.cuda and name in ON_DEVICE:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            try:
                yield
            finally:
                end.record()
                self._events.append((name, start, end))
            return
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def collect(self) -> None:
        """Read the device's clocks. Call it where the host has just waited for the device anyway."""
        waiting = []
        for name, start, end in self._events:
            if end.query():
                self.seconds[name] += start.elapsed_time(end) / 1000
            else:
                waiting.append((name, start, end))
        self._events = waiting

    def total(self) -> float:
        return self._before["seconds"] + time.perf_counter() - self._begin

    def energy(self) -> float | None:
        """Joules, if the counter could be read in every part of the run."""
        reading = self.device.energy_joules()
        if reading is None or self._energy is None:
            return None
        if self.resumed and self._before["energy"] is None:
            return None
        return (self._before["energy"] or 0.0) + reading - self._energy

    def memory(self) -> dict[str, int | None]:
        peak = self.device.peak_memory()
        return {k: max((v for v in (peak[k], self._before["memory"].get(k)) if v), default=None) for k in peak}

    def cards(self) -> list[str] | None:
        """The UUIDs of the cards that the job holds (jobs/gpu_slots.py), or what else was to be seen; None on a CPU."""
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        return shown.split(",") if self.device.cuda and shown else None

    def state(self) -> dict:
        """For the checkpoint."""
        self.collect()
        return {
            "seconds": dict(self.seconds),
            "total": self.total(),
            "images": self.images,
            "views": self.views,
            "started": self.started,
            "resumed": list(self.resumed),
            "energy": self.energy(),
            "memory": self.memory(),
            "versions": self.versions(),
        }

    def versions(self) -> dict[str, str | None]:
        self._versions = self._versions or versions(self.device)
        return self._versions

    def resume(self, state: dict, step: int) -> None:
        """Go on from a checkpoint's ledger, and note that a run was interrupted here."""
        for name, seconds in state["seconds"].items():
            self.seconds[name] += seconds
        self.images, self.views, self.started = state["images"], state["views"], state["started"]
        self._before = {"seconds": state["total"], "energy": state["energy"], "memory": state["memory"]}
        here = {"at": now(), "step": step, "host": platform.node(), "device": self.device.name(), "cards": self.cards()}
        here |= {"threads": self.threads, "versions": self.versions(), "versions_before": state["versions"]}
        self.resumed = [*state["resumed"], here]
        self.notes += [note for one in self.resumed if (note := _otherwise(one))]

    def document(self) -> dict:
        """ledger.json. Rates count the time of training alone: not set-up, probe, evaluation and checkpoints."""
        self.collect()
        total = self.total()
        seconds = dict(self.seconds)
        seconds["other"] = max(0.0, total - sum(seconds.values()))
        training = total - sum(seconds.get(name, 0.0) for name in ("setup", "evaluate", "checkpoint", "publish"))
        revision, clean = commit()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "started": self.started,
            "finished": now(),
            "host": platform.node(),
            "platform": platform.platform(),
            "device": self.device.name(),
            "cards": self.cards(),
            "devices": self.device.world,  # whose first one's process counts seconds and memory here
            "threads": self.threads,
            "seconds": {name: round(value, 4) for name, value in ({"total": total} | seconds).items()},
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),  # of the last process alone
            "images_per_second": round(self.images / training, 2) if self.images else None,
            "views_per_second": round(self.views / training, 2) if self.images else None,
            "peak_memory": self.memory(),
            "energy_joules": self.energy(),
            "resumed": self.resumed,
            "notes": self.notes,
            "commit": revision,
            "clean": clean,
            "versions": self.versions(),  # of the last part; of those before, in ``resumed``
        }
