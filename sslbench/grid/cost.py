"""What a grid costs before it runs, and the stop where it would cost days: no GPU, and the CPU not allowed."""

import shutil
import subprocess
from collections.abc import Iterable
from os import cpu_count
from pathlib import Path

from sslbench.config.models import Config
from sslbench.data.spec import JPEG_BYTES_PER_PIXEL
from sslbench.errors import UserError
from sslbench.grid.cell import Cell, Dataset

# The article's ImageNette table: 5,439 minutes, 50 cells of 200 epochs of 12,894 pictures. 30 cells have two views of
# 224 px, and VICRegL's 20 one of 224 and one of 96.
ARTICLE_HOURS_PER_VIEW_PIXEL = 5439 / 60 / (200 * 12_894 * (30 * 2 * 224**2 + 20 * (224**2 + 96**2)))
# ResNet-18, bf16, channels last, forward and backward on one core: 33 views of 224 px a second.
CPU_HOURS_PER_VIEW_PIXEL = 1 / (3600 * 33 * 224**2)


def gpu_present() -> bool:
    """Whether this machine has a GPU that its driver lists. Does not import torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return any(Path("/proc/driver/nvidia/gpus").glob("*"))
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def device(config: Config) -> str:
    """``cpu`` or ``cuda``: the config's choice, or what this machine has where it says auto."""
    chosen = config.compute.device.partition(":")[0]
    return ("cuda" if gpu_present() else "cpu") if chosen == "auto" else chosen


def describe(config: Config, cells: Iterable[Cell]) -> str:
    """Cells, hours and gigabytes of pretraining ``cells``, as far as they are known before the pictures are there."""
    cells = list({cell.text: cell for cell in cells}.values())  # one is trained once, however many sets it is judged on
    pixels, unknown = 0.0, 0
    for cell in cells:
        pictures = train_pictures(cell.dataset)
        unknown += pictures is None
        areas = sum(view["size"] ** 2 for view in cell.settings["views"])
        pixels += (pictures or 0) * cell.settings["train"]["epochs"] * areas
    cores = cpu_count() or 1
    datasets = {cell.dataset.whole: cell.dataset for cell in cells}.values()
    gigabytes = sum(filter(None, map(disk_bytes, datasets))) / 1e9
    text = (
        f"{len(cells)} cells to pretrain; about {pixels * ARTICLE_HOURS_PER_VIEW_PIXEL:,.1f} h on one GPU at the "
        f"article's pace, or {pixels * CPU_HOURS_PER_VIEW_PIXEL / cores:,.0f} h on {cores} cores with ResNet-18; "
        f"about {gigabytes:.1f} GB of disk for archives and packed pictures"
    )
    return text + (f" ({unknown} cells of unknown size not counted)" if unknown else "")


def stop_without_gpu(config: Config, cells: list[Cell]) -> None:
    """Print what ``cells`` cost and refuse to start them on a CPU unless the config allows it.

    Raises:
        UserError: where there is no GPU and compute.allow_cpu is false.
    """
    if config.compute.allow_cpu or device(config) == "cuda":
        return
    raise UserError(
        f"no GPU here. {describe(config, cells)}. For a look on this machine run `make demo`; to run this grid on "
        "the CPU all the same, set compute.allow_cpu: true"
    )


def stop_cluster_without_gpu(config: Config, rule: str, datasets: Iterable[str]) -> None:
    """Refuse to submit jobs of ``rule`` that would ask for no GPU and compute on CPUs, unless the config allows it.

    Raises:
        UserError: where the device is a CPU, by its name or because this host has no GPU, and some of ``datasets`` have
            no number of GPUs of their own in compute.jobs.
    """
    if config.compute.allow_cpu or device(config) == "cuda":
        return
    named = config.compute.device != "cpu" and all(config.compute.asked(rule, name, "cpu")["gpu"] for name in datasets)
    if not named:
        why = "and this host has no GPU" if config.compute.device == "auto" else "which has no GPU"
        raise UserError(
            f"compute.device is {config.compute.device}, {why}: the cluster's jobs would ask for none and {rule} on "
            "CPUs. Set compute.device: cuda (profiles/slurm does, but a --config compute=... of yours replaces the "
            "profile's), or, to do it on CPUs all the same, compute.allow_cpu: true"
        )


def stop_tuning_without_gpu(config: Config, count: int) -> None:
    """The same for fine-tuning ``count`` finished cells.

    Raises:
        UserError: where there is no GPU and compute.allow_cpu is false.
    """
    if count and not config.compute.allow_cpu and device(config) == "cpu":
        raise UserError(
            f"no GPU here, and {count} cells to fine-tune, each several times; take finetune out of the grid's "
            "`downstream`, or, to do it on the CPU all the same, set compute.allow_cpu: true"
        )


def train_pictures(dataset: Dataset) -> int | None:
    """How many pictures one epoch has, where that is known without them."""
    return dataset.counts and dataset.counts[0]


def disk_bytes(dataset: Dataset) -> float | None:
    """Archive and pack together; pictures are taken to be 4:3."""
    counts = dataset.counts
    if counts is None:
        return None
    per_pixel = JPEG_BYTES_PER_PIXEL if dataset.settings.encoding == "jpeg" else 3
    return sum(counts) * dataset.pack_size**2 * 4 / 3 * per_pixel + sum(
        one.size or 0 for one in dataset.settings.downloads()
    )
