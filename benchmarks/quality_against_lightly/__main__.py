"""Does training here give backbones as good as lightly's own way gives? Same images, views, epochs and size.

    .venv/bin/python -m benchmarks.quality_against_lightly --archive imagenette2-160.tgz
    .venv/bin/python -m benchmarks.quality_against_lightly            # the tables of what is finished, at once

lightly's arm is lightly's alone (theirs.py). Ours is sslbench.training.trainer.Training under --preset. Both get the
views that lightly's transform for the method makes, equal ones at equal seeds, so what is compared is network and
start, heads, loss, optimiser, schedule and engine. One kNN judges both, as it does the networks that they start from.

Every finished run is kept in results.json beside this file; the same command goes on with those that are missing, seed
by seed. VICReg under both presets against its own start:

    ... --archive imagenette2-160.tgz --arms ours --methods vicreg --presets lightly authors --epochs 20
"""

import argparse
import tempfile
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch
from torch import nn

from benchmarks.quality_against_lightly import records, summary, theirs
from benchmarks.quality_against_lightly.images import Batches, extract, judged, transform


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality_against_lightly",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--archive", type=Path, help="an ImageNette v2-160 archive; without it nothing is trained")
    parser.add_argument("--arms", nargs="+", default=["lightly", "ours"], choices=["lightly", "ours"])
    parser.add_argument("--methods", nargs="+", default=list(theirs.METHODS), choices=list(theirs.METHODS))
    parser.add_argument("--presets", nargs="+", default=["lightly"], choices=["lightly", "authors"], help="of our arm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--local-views", type=int, default=2, help="of SwAV and DINO, at half the size; lightly: 6")
    parser.add_argument("--size", type=int, default=64, help="px, a multiple of 32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=3000, help="training images, equally many of each class")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=records.FILE, help="where finished runs are kept")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.archive:
        with tempfile.TemporaryDirectory(prefix="sslbench-") as scratch:
            root = extract(options.archive, Path(scratch) / "images", options.images)
            for seed, method, arm in product(options.seeds, options.methods, options.arms):
                for preset in options.presets if arm == "ours" else [""]:
                    run(arm, preset, method, seed, options, root)
    for line in summary.tables(records.load(options.json)):
        print(line)


def run(arm: str, preset: str, method: str, seed: int, options: argparse.Namespace, root: Path) -> None:
    """Train and judge one network, and the one that it starts from, unless their records are kept already."""
    shared = {name: getattr(options, name) for name in ("local_views", "size", "batch", "images")}
    key = {"arm": arm, "preset": preset, "method": method, "seed": seed, "epochs": options.epochs, **shared}
    if records.find(records.load(options.json), **key):
        return
    bank = options.images * 4096 // 9469 // options.batch * options.batch  # MoCo's, in whole batches
    grid = options.size // 32 if arm == "lightly" else options.size
    view = transform(method, options.size, options.local_views, grid)
    batches = Batches(root, view, options.batch, options.epochs, seed)
    began, before = time.perf_counter(), time.process_time()
    if arm == "lightly":
        first = theirs.start(seed)
        network, losses = theirs.train(method, batches, options.batch, bank, seed)
    else:
        from benchmarks.quality_against_lightly import ours  # lightly's arm runs without sslbench's training code

        cell = ours.planned(method, preset, seed, options, bank, root)
        settings = ours.settings(cell, options.epochs)
        first = ours.start(settings)
        network, losses = ours.train(settings, ours.packed(cell, root.parent.parent), batches)
    costs = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - before}
    gain = min(gains(first))
    record = key | {"residual_gain": gain, "loss": [round(loss, 4) for loss in losses]}
    record["gains"] = [round(value, 4) for value in gains(network)]
    record |= {name: round(value) for name, value in costs.items()}
    record["versions"] = {name: version(name) for name in ("torch", "torchvision", "lightly", "timm")}
    kept = keep(record, network, options, root)
    start = {"arm": arm, "method": "random-init", "seed": seed, "residual_gain": gain, **shared}
    if not records.find(records.load(options.json), **start):
        # All methods of an arm that begin with these gains share this start, so they name it in place of a preset.
        start |= {"preset": f"gains of {gain:g}", "epochs": 0, "versions": record["versions"]}
        keep(start, first, options, root)
    print(f"{arm} {preset} {method} seed {seed}: kNN-200 {kept:.4f}, {costs['cpu_seconds']:.0f} CPU s", flush=True)


def keep(record: dict, network: nn.Module, options: argparse.Namespace, root: Path) -> float:
    """Judge ``network``, keep the record, and return the accuracy."""
    correct = judged(network, root, options.size)
    found = {"right": int(correct.sum()), "n": len(correct), "correct": records.packed(correct)}
    records.keep(options.json, record | found)
    return float(correct.mean())


def gains(network: nn.Module) -> list[float]:
    """Rms of the last gain of every residual branch: those that timm starts at 0 and torchvision at 1."""
    last = (w.detach() for name, w in network.named_parameters() if name.endswith("bn2.weight"))
    return [float(w.square().mean().sqrt()) for w in last]


if __name__ == "__main__":
    main()
