"""Views a second: the two-view SimCLR transform by sslbench and by its peers, side by side.

    python -m benchmarks.views --sizes 64 224 --threads 1          # per core: CPU time is what counts
    python -m benchmarks.views --sizes 64 224 --threads 2          # on two cores: wall time is what counts
    python -m benchmarks.views --archive imagenette2-160.tgz       # real pictures in place of drawn ones
    python -m benchmarks.views --transform all                     # our other transforms as well

All ways are given the same pictures and equal strengths: crop of .08 to 1 of the area, flip .5, jitter .8/.8/.8/.2
with p .8, greyscale .2, blur .5 with sigma .1 to 2 px, ImageNet's normalisation; all return float32 unless said. With
one thread lightly's and torchvision's transforms run in this process, which spares them the copies between processes;
with more, in as many DataLoader workers, which stay from round to round. Nothing is measured until it has made a batch.
sslbench packs at the pictures' own size here, so that all ways crop from the same pixels; the row "packed for the
size" is what it does by default.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from benchmarks import bench, peers, pictures
from sslbench import registry
from sslbench.data.pack.read import PackedSet
from sslbench.nn.random import generator
from sslbench.transforms.cpu import backend
from sslbench.transforms.pipeline import ViewMaker
from sslbench.transforms.spec import HorizontalFlip, Normalize, RandomResizedCrop

OURS, LIGHTLY = "sslbench", "lightly + ImageFolder"
PER_CORE, ALL_CORES = {224: 3.0, 64: 5.0}, {224: 2.5, 64: 3.5}  # what views/s over lightly's way should reach at least
MOST = 256  # batches a round
_mode: str | None = None  # how sslbench makes its views at present


class Paced:
    """A Stream as a way: built in the unmeasured call, which also finds how many batches take about ``seconds``."""

    def __init__(self, build: Callable[[], peers.Stream], seconds: float) -> None:
        self.build, self.seconds = build, seconds
        self.stream: peers.Stream | None = None
        self.batches = 1

    @torch.no_grad()
    def __call__(self) -> int:
        if self.stream is not None:
            return self.stream(self.batches)
        stream = self.build()
        stream(1)  # starts workers, compiles, fills caches
        began = time.perf_counter()
        made = stream(1)
        taken = time.perf_counter() - began
        self.batches = max(1, min(MOST, round(self.seconds / taken)))
        self.stream = stream
        return made


def ours(pack: PackedSet, branches: list[list[dict]], size: int, batch: int, **options) -> peers.Stream:
    """sslbench's views, one of each branch for every picture, draws included. ``options`` are ViewMaker.make's."""
    makers = [ViewMaker(operations, size) for operations in branches]
    drawing = generator(0, "benchmark")

    def make(batches: int) -> int:
        views = 0
        for number in range(batches):
            places = (torch.arange(batch) + number * batch) % len(pack)
            chosen = pack.batch(places)
            views += sum(len(maker.make(chosen, drawing, **options).images) for maker in makers)
        return views

    return make


def in_mode(mode: Literal["native", "eager"], build: Callable[[], peers.Stream]) -> Callable[[], peers.Stream]:
    """``build`` with compute.views as ``mode`` whenever its views are made."""

    def built() -> peers.Stream:
        stream = build()

        def make(batches: int) -> int:
            global _mode
            if _mode != mode:
                backend.configure("auto" if mode == "native" else mode)  # milliseconds, once a round
                _mode = mode
            return stream(batches)

        return make

    return built


def branches_of(transform: str) -> list[list[dict]]:
    """The operations of both views of one of our transforms, by the name of its kind."""
    settings = registry.load(registry.TRANSFORMS[transform]).Settings()
    return [[operation.model_dump() for operation in settings.branch(index)] for index in (0, 1)]


def three() -> list[list[dict]]:
    """Crop, flip and normalise: what FFCV has, once."""
    return [[operation.model_dump() for operation in (RandomResizedCrop(), HorizontalFlip(p=0.5), Normalize())]]


def all_ways(options, root: Path, scratch: Path, size: int, threads: int) -> list[bench.Table]:
    workers, batch = (0 if threads == 1 else threads), options.batch
    decoded = pictures.in_memory(root)
    own = pictures.packed(root, scratch, min(min(picture.size) for picture in decoded))
    fitted = pictures.packed(root, scratch, round(size * 8 / 7))
    simclr = branches_of("simclr")
    where = "one core" if threads == 1 else f"{threads} cores"

    def table(claim: str, builds: dict[str, Callable[[], peers.Stream]], mine: set[str]) -> bench.Table:
        paced = {name: Paced(build, options.seconds) for name, build in builds.items()}
        others = set(builds) - mine
        return bench.interleaved(
            f"{claim} at {size} px, {where}", "view", paced, options.repeats, may_fail=others, notes=peers.DEVIATIONS
        )

    builds = {  # those that fork workers come first, while no other library has threads
        LIGHTLY: lambda: peers.lightly_folder(root, size, batch, workers),
        "lightly, decoded": lambda: peers.lightly_memory(decoded, size, batch, workers),
        "torchvision v2": lambda: peers.torchvision_v2(decoded, size, batch, workers),
        "kornia": lambda: peers.kornia(decoded, size, batch),
        "DALI": lambda: peers.dali(root, size, batch, threads),
        OURS: in_mode("native", lambda: ours(own, simclr, size, batch)),
        f"{OURS}, bf16": in_mode("native", lambda: ours(own, simclr, size, batch, dtype=torch.bfloat16)),
        f"{OURS}, packed for the size": in_mode("native", lambda: ours(fitted, simclr, size, batch)),
        f"{OURS}, eager": in_mode("eager", lambda: ours(own, simclr, size, batch)),
    }
    if options.only_ours:
        builds = {name: build for name, build in builds.items() if name.startswith(OURS)}
    mine = {name for name in builds if name.startswith(OURS)}
    whole = table("two SimCLR views of every picture", builds, mine)
    measure = "cpu" if threads == 1 else "wall"
    wanted = (PER_CORE if threads == 1 else ALL_CORES).get(size)
    for name in builds:
        if name not in mine:
            target = {measure: wanted} if name == LIGHTLY and wanted else {measure: 1.0}
            whole.compare(OURS, name, target)
    whole.compare(OURS, f"{OURS}, eager", {measure: 1.0})
    whole.compare(f"{OURS}, packed for the size", LIGHTLY, {measure: wanted or 1.0})
    if options.only_ours:
        return [whole]
    few = {
        "FFCV": lambda: peers.ffcv(decoded, scratch, size, batch, threads),
        OURS: in_mode("native", lambda: ours(own, three(), size, batch)),
    }
    less = table("crop, flip and normalise only", few, {OURS})
    less.compare(OURS, "FFCV", {measure: 1.0})
    return [whole, less]


def our_transforms(options, root: Path, scratch: Path, size: int, threads: int, names: list[str]) -> bench.Table:
    fitted = pictures.packed(root, scratch, round(size * 8 / 7))
    ways = {
        name: Paced(in_mode("native", partial(ours, fitted, branches_of(name), size, options.batch)), options.seconds)
        for name in names
    }
    claim = f"sslbench's transforms at {size} px, packed for the size, {threads} thread(s)"
    return bench.interleaved(claim, "view", ways, options.repeats)


def main(arguments: list[str] | None = None) -> None:
    parser = bench.parser(__doc__)
    pictures.add_flags(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224], help="px, default 64 and 224")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="cores, default 1; several: one by one")
    parser.add_argument("--batch", type=int, default=64, help="pictures, default 64")
    parser.add_argument("--seconds", type=float, default=1.5, help="a way and round takes about this long")
    parser.add_argument("--transform", choices=["all", *registry.TRANSFORMS], help="measure these of ours as well")
    parser.add_argument("--only-ours", action="store_true", help="no peers")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pictures, options.batch, options.seconds = min(options.pictures, 64), 16, 0.3
    tables = []
    with pictures.gathered(options) as (root, what):
        for size in options.sizes:
            for threads in options.threads:
                torch.set_num_threads(threads)
                with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
                    made = all_ways(options, root, Path(scratch), size, threads)
                    if options.transform:
                        names = list(registry.TRANSFORMS) if options.transform == "all" else [options.transform]
                        made.append(our_transforms(options, root, Path(scratch), size, threads, names))
                made[0].notes += [f"{what}; all ways have equal strengths", backend.configure("auto")]
                tables += made
    packages = ["torch", "torchvision", "lightly", "kornia", "nvidia-dali-cuda120", "ffcv", "pillow", "numpy"]
    bench.finish(options, tables, packages)


if __name__ == "__main__":
    main()
