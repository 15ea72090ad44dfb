"""What the benchmark costs on a GPU, in one call of under ten minutes.

    python -m benchmarks.gpu --archive imagenette2-320.tgz --json gpu.json       # without --archive: drawn pictures
    python -m pytest tests/training/test_gpu.py -v                                # the tests that need a GPU

Needs sslbench's training dependencies (torch, torchvision, timm, lightly, pydantic, numpy) and nothing of Snakemake's.
Parts, each within a share of --minutes; what would not fit is left out, and said so:

1. the card's bf16 rate: the best of products of square matrices
2. data and views: views per second, and their share of the step of the first method
3. every method: seconds a step after warm-up; minutes of 200 epochs by extrapolation, on the 9,469 training pictures
   of ImageNette v2 and the 12,894 of v1, beside the article's; peak memory; the share of the measured bf16 rate
4. lightly's way with the first method: ImageFolder, a DataLoader on all cores, its transform, heads and loss, autocast
"""

import argparse
import contextlib
import csv
import gc
import json
import os
import statistics
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import bench
from benchmarks.cells import drawn_pictures, packed, settings_of
from benchmarks.step import ModelStep
from sslbench import registry
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.training.device import Device, computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training

EPOCHS, PICTURES = 200, {"v2": 9469, "v1": 12894}
LEDGER = Path(__file__).resolve().parent.parent / "sslbench/studies/data/published_results.csv"
ARTICLE = "SSL benchmark article, part 1"


class Clock:
    """How much of the budget is left."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def left(self) -> float:
        return self.end - time.monotonic()


@dataclass
class Measured:
    """One method's steps."""

    method: str
    seconds: float  # a step, median of the rounds
    alone: float  # the model's part of it, on views made beforehand
    views: float  # seconds of data and views of one step
    peak_bytes: int | None
    picture_bytes: int  # of the packed set, which is among peak_bytes where it lies on the card
    flops: float  # of a step's products and convolutions
    article_minutes: float | None


def finish_work(device: Device) -> None:
    if device.cuda:
        torch.cuda.synchronize()


def timed(action, device: Device, count: int) -> float:
    """Seconds a call, of ``count`` calls and the device's work for them."""
    finish_work(device)
    begin = time.perf_counter()
    for _ in range(count):
        action()
    finish_work(device)
    return (time.perf_counter() - begin) / count


def matmul_rate(device: Device) -> tuple[float, int]:
    """The best FLOP/s of bf16 products of n x n matrices, and its n."""
    best = (0.0, 0)
    for n in (4096, 8192, 16384) if device.cuda else (256,):
        a, b = (torch.randn(n, n, device=device.torch, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(a)
        timed(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, 3)
        seconds = min(timed(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, 10) for _ in range(5))
        best = max(best, (2 * n**3 / seconds, n))
    return best


def work_of(step: ModelStep) -> float:
    """FLOP of one step's products and convolutions, forward and backward, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def article_minutes(method: str, options: dict, path: Path = LEDGER) -> float | None:
    """The article's minutes for this method on ImageNette with the simclr transform."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            here = row["source"] == ARTICLE and row["dataset"] == "imagenette" and row["transform"] == "simclr"
            alike = here and row["method"] == method and row["minutes"]
            if alike and all(options.get(key) == value for key, value in json.loads(row["options"] or "{}").items()):
                return float(row["minutes"])
    return None


def minutes_of(seconds: float, pictures: int, batch: int) -> float:
    """Minutes of EPOCHS epochs over ``pictures`` at ``seconds`` a step; a batch that is not full is left out."""
    return EPOCHS * (pictures // batch) * seconds / 60


@contextlib.contextmanager
def cell_of(pack: Path, settings: dict, device: Device):
    pictures = PackedSet.open(pack)
    if device.cuda:
        torch.cuda.reset_peak_memory_stats()
        pictures.to(device.torch)
    with contextlib.closing(Training(settings, pictures, device, Ledger(device, torch.get_num_threads()))) as training:
        yield training
    del training, pictures
    gc.collect()
    if device.cuda:
        torch.cuda.empty_cache()


def measure(pack: Path, settings: dict, options: argparse.Namespace) -> Measured:
    with (
        computing(options.device, options.threads, settings["train"]) as device,
        cell_of(pack, settings, device) as cell,
    ):
        # No epoch may end while it is measured: measuring the online head is no part of a step.
        cell.train["measure_every"] = 10**9
        for _ in range(options.warm_up):
            cell.advance()
        seconds = statistics.median(timed(cell.advance, device, options.steps) for _ in range(options.repeats))
        peak = device.peak_memory()["allocated_bytes"]
        alone = ModelStep(cell)
        timed(alone, device, 2)
        model = statistics.median(timed(alone, device, options.steps) for _ in range(options.repeats))
        stream = cell.stream

        def views() -> None:
            step = alone.made % stream.steps_per_epoch
            indices = stream.indices(0, step)
            stream.views(indices, stream.draw(0, step, indices), 0, cell.train["batch_size"])
            alone.made += 1

        timed(views, device, 2)
        making = statistics.median(timed(views, device, options.steps) for _ in range(options.repeats))
        name = settings["method"]["name"]
        return Measured(
            name if name != "vicregl" else f"vicregl-{settings['method']['options']['alpha']:.2f}",
            seconds,
            model,
            making,
            peak,
            cell.pack.manifest["bytes"] if device.cuda else 0,
            work_of(alone),
            article_minutes(name, settings["method"]["options"]),
        )


def lightlys_step(folder: Path, settings: dict, options: argparse.Namespace) -> float:
    """Seconds a step of SimCLR as lightly's benchmark trains it, DataLoader included."""
    import torchvision
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    size, batch = settings["input_size"], settings["train"]["batch_size"]
    workers = options.workers if options.workers is not None else len(os.sched_getaffinity(0))
    dataset = LightlyDataset.from_torch_dataset(
        torchvision.datasets.ImageFolder(str(folder)), transform=SimCLRTransform(input_size=size)
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch, shuffle=True, drop_last=True, num_workers=workers, pin_memory=options.device != "cpu"
    )
    import timm

    place = torch.device(options.device)
    backbone = timm.create_model(settings["backbone"]["name"], num_classes=0)
    network = torch.nn.Sequential(backbone, SimCLRProjectionHead(backbone.num_features, 512, 128)).to(place).train()
    criterion = NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    bf16 = settings["train"]["precision"] == "bf16"
    # The first batches wait for the workers to start; what was read ahead meanwhile is used up before the clock runs.
    head = options.warm_up + 2 * workers
    begin, done, limit = time.perf_counter(), 0, time.monotonic() + options.lightly_seconds
    while done == 0 or (done < head + options.steps * options.repeats and time.monotonic() < limit):
        for views, *_ in loader:
            a, b = (view.to(place, non_blocking=True) for view in views)
            with torch.autocast(place.type, dtype=torch.bfloat16, enabled=bf16):
                loss = criterion(network(a), network(b))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            if done == head:
                loss.item()
                begin = time.perf_counter()
            if done >= head + options.steps * options.repeats or time.monotonic() > limit:
                break
    loss.item()
    if done <= head:
        raise bench.Skipped(f"{done} steps in {options.lightly_seconds:.0f} s: too few to tell")
    return (time.perf_counter() - begin) / (done - head)


def table(rows: list[Measured], batch: int, rate: float, lightly: float | None) -> list[str]:
    """The lines that are printed: one a method, then lightly's."""
    lines = [
        f"{'method':14} {'ms/step':>8} {'outside':>8} {'views/s':>9} {'v2 min':>7} {'v1 min':>7} {'article':>8} "
        f"{'ratio':>6} {'GB':>6} {'of bf16':>8}"
    ]
    for row in rows:
        v2, v1 = (minutes_of(row.seconds, PICTURES[name], batch) for name in ("v2", "v1"))
        article = f"{row.article_minutes:8.1f}" if row.article_minutes else "       -"
        ratio = f"{row.article_minutes / v1:5.1f}x" if row.article_minutes else "     -"
        memory = f"{(row.peak_bytes - row.picture_bytes) / 1e9:6.2f}" if row.peak_bytes else "     -"
        lines.append(
            f"{row.method:14} {1e3 * row.seconds:8.1f} {100 * (1 - row.alone / row.seconds):7.1f}% "
            f"{2 * batch / row.seconds:9,.0f} {v2:7.1f} {v1:7.1f} {article} {ratio} {memory} "
            f"{100 * row.flops / row.seconds / rate:7.1f}%"
        )
    if lightly is not None:
        v2, v1 = (minutes_of(lightly, PICTURES[name], batch) for name in ("v2", "v1"))
        shown = f"{1e3 * lightly:8.1f} {'':8} {2 * batch / lightly:9,.0f} {v2:7.1f} {v1:7.1f}"
        lines.append(f"{'lightly':14} {shown}  ({rows[0].method}: {lightly / rows[0].seconds:.1f}x ours)")
    return lines


def extracted(archive: Path, into: Path) -> Path:
    """The folder of an ImageNette-like archive that holds train/ and val/."""
    with tarfile.open(archive) as file:
        file.extractall(into, filter="data")
    return next(path.parent for path in sorted(into.rglob("train")) if path.is_dir())


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = bench.parser(__doc__, repeats=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="px of the global views")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--backbone", default="resnet18", help="timm name")
    parser.add_argument("--method", action="append", help="default: all; the first one is SimCLR")
    parser.add_argument("--steps", type=int, default=10, help="a round")
    parser.add_argument("--warm-up", type=int, default=10, help="steps before the clock runs")
    parser.add_argument("--archive", type=Path, help="a .tgz with train/<class>/ and val/<class>/")
    parser.add_argument("--pictures", type=int, default=2048, help="how many to draw where there is no archive")
    parser.add_argument("--workers", type=int, help="of lightly's DataLoader; default: all cores")
    parser.add_argument("--lightly-seconds", type=float, default=90, help="at most, for lightly's way")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything; what would not fit is left out")
    options = parser.parse_args(given)
    if options.quick:
        options.size, options.backbone, options.steps, options.warm_up, options.repeats = 64, "test_resnet", 2, 2, 2
        options.batch, options.pictures, options.workers = 16, 64, 0
    return options


def cells(options: argparse.Namespace) -> list[dict]:
    names = options.method or ["simclr", *(name for name in registry.METHODS if name != "simclr")]
    return [
        settings_of(name, options.size, options.batch, options.precision, backbone=options.backbone) for name in names
    ]


def main(given: list[str] | None = None) -> dict:
    options = arguments(given)
    clock = Clock(options.minutes)
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        side = round(options.size * 8 / 7)
        folder = (
            extracted(options.archive, root / "archive")
            if options.archive
            else drawn_pictures(root / "pictures", options.pictures, side)
        )
        pack = packed(folder, root, side)
        print(f"pictures ready, {clock.left():.0f} s left", flush=True)
        todo, rows = cells(options), []
        with computing(options.device, options.threads, todo[0]["train"]) as device:
            rate, n = matmul_rate(device)
            print(f"{device.name()}: bf16 products {rate / 1e12:.2f} TFLOP/s at {n} x {n}", flush=True)
        longest = 0.0
        lightly_first = min(options.lightly_seconds, clock.left() / 3)
        for settings in todo:
            name = settings["method"]["name"]
            if clock.left() < lightly_first + 1.5 * longest:
                left_out.append(f"{name}: {clock.left():.0f} s left")
                continue
            begin = time.monotonic()
            try:
                rows.append(measure(pack, settings, options))
                print(table(rows[-1:], options.batch, rate, None)[1], flush=True)
            except (torch.OutOfMemoryError, UserError) as error:
                left_out.append(f"{name}: {str(error).partition('.')[0]}")
            longest = max(longest, time.monotonic() - begin)
        lightly = None
        options.lightly_seconds = min(options.lightly_seconds, max(0.0, clock.left() - 15))
        if not bench.installed("lightly") or options.lightly_seconds < 5 or not rows or rows[0].method != "simclr":
            left_out.append("lightly's way: it needs lightly, time, and SimCLR as the first method")
        else:
            try:
                lightly = lightlys_step(folder / "train", todo[0], options)
            except bench.Skipped as reason:
                left_out.append(f"lightly's way: {reason}")
    result = bench.Table(
        f"{options.backbone}, {options.size} px, batch {options.batch}, {options.precision}, {options.device}; bf16 "
        f"products {rate / 1e12:.1f} TFLOP/s; {EPOCHS} epochs extrapolated; GB without the pictures",
        "step",
    )
    for row in rows:
        costs = {"wall": [row.seconds], "model alone": [row.alone], "views alone": [row.views], "flops": [row.flops]}
        result.add(row.method, costs | ({"peak bytes": [row.peak_bytes]} if row.peak_bytes else {}))
    if lightly is not None:
        result.add("lightly", {"wall": [lightly]})
    result.notes += table(rows, options.batch, rate, lightly)
    if rows:
        share = rows[0].views / rows[0].seconds
        result.notes.append(
            f"{rows[0].method}: data and views alone {2 * options.batch / rows[0].views:,.0f} views/s, "
            f"{100 * share:.1f} % of the step's time"
        )
    result.notes += [f"left out: {line}" for line in left_out]
    result.notes.append("the tests that need a GPU: python -m pytest tests/training/test_gpu.py -v")
    result.compare("simclr", "lightly")
    bench.finish(options, [result], packages=["torch", "torchvision", "timm", "lightly", "numpy"])
    return {"rows": rows, "lightly": lightly, "left_out": left_out}


if __name__ == "__main__":
    main()
