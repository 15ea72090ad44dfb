"""How much of a training step is spent outside the model?

    python -m benchmarks.step --size 64 --batch 64 --precision bf16 --threads 1 --device cpu --repeats 5

The whole step is the engine's own: Training.advance over a Stream of a packed set, with draws, views, loss, gradients,
optimiser, momentum encoder, online probe and curve. The model's step is forward, backward, optimiser and momentum
encoder of the same method on views made beforehand. The ratio is the model's share of the whole step.

Without --pack, pictures are drawn. --precision and --method may be given several times.
"""

import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import bench
from benchmarks.cells import drawn_pictures, packed, settings_of
from sslbench import registry
from sslbench.data.pack.read import PackedSet
from sslbench.methods.base import Batch
from sslbench.training import optimizers
from sslbench.training.device import Device, computing
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.trainer import Training

INSIDE = 0.92  # of the whole step, at least: 8 % outside the model
READY = 3  # batches of views made beforehand


class ModelStep:
    """Forward, backward, optimiser and momentum encoder of one cell's method on views made beforehand."""

    def __init__(self, training: Training) -> None:
        self.training, self.made = training, 0
        stream, size = training.stream, training.train["batch_size"]
        self.batches = []
        for step in range(READY):
            indices = stream.indices(0, step % stream.steps_per_epoch)
            views = stream.views(indices, stream.draw(0, step % stream.steps_per_epoch, indices), 0, size)
            labels = torch.from_numpy(training.pack.labels)[indices].to(training.device.torch)
            self.batches.append(Batch(views, labels if training.name in registry.REFERENCES else None))

    def __call__(self) -> None:
        training = self.training
        training.method.before_step(self.made, 0)
        with training.device.autocast():
            losses = training.method.loss(self.batches[self.made % READY])
        losses["loss"].sum().backward()
        decay = training.recipe["weight_decay"]
        optimizers.set_rates(training.optimizer, training.lr(self.made), decay, training.peak_lr)
        training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)
        if training.momentum:
            optimizers.update_momentum(training.online, training.momentum, 0.99)
        self.made += 1


def steps(action, device: Device, count: int) -> int:
    """``count`` calls of ``action``, and the device's work done."""
    for _ in range(count):
        action()
    if device.cuda:
        torch.cuda.synchronize()
    return count


def measured(pack: Path, settings: dict, options) -> bench.Table:
    train, method = settings["train"], settings["method"]["name"]
    with computing(options.device, options.threads, train) as device:
        pictures = PackedSet.open(pack)
        if device.cuda:
            pictures.to(device.torch)
        whole = Training(settings, pictures, device, Ledger(device, options.threads))
        alone = ModelStep(Training(settings, pictures, device, Ledger(device, options.threads)))
        claim = (
            f"{method}, {settings['backbone']['name']}, {settings['input_size']} px, batch {train['batch_size']}, "
            f"{train['precision']}, {options.device}, {options.threads} thread(s): the model's share of the step"
        )
        ways = {
            "whole step": lambda: steps(whole.advance, device, options.steps),
            "model alone": lambda: steps(alone, device, options.steps),
        }
        table = bench.interleaved(claim, "step", ways, options.repeats)
    for measure in ("cpu", "wall"):
        costs = zip(table.row("whole step").costs[measure], table.row("model alone").costs[measure], strict=True)
        outside = sorted(1 - model / step for step, model in costs)
        table.notes.append(
            f"outside the model, {measure}: {100 * outside[len(outside) // 2]:.1f} % of the step "
            f"[{100 * outside[0]:.1f}, {100 * outside[-1]:.1f}]"
        )
    seconds = whole.ledger.seconds
    table.notes.append("by section: " + ", ".join(f"{k} {v:.2f} s" for k, v in sorted(seconds.items())))
    table.compare("whole step", "model alone", target=INSIDE)
    return table


def main(arguments: list[str] | None = None) -> None:
    parser = bench.parser(__doc__)
    parser.add_argument("--size", type=int, default=64, help="px of the global views")
    parser.add_argument("--batch", type=int, default=64, help="pictures a step")
    parser.add_argument("--precision", action="append", choices=("fp32", "bf16"), help="default: both")
    parser.add_argument("--method", action="append", help="default: simclr")
    parser.add_argument("--backbone", default="resnet18", help="timm name")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, help="a round; default 1 on a CPU, 20 on a GPU")
    parser.add_argument("--pack", type=Path, help="folder of a packed set; default: drawn pictures")
    options = parser.parse_args(arguments)
    if options.quick:
        options.size, options.batch, options.backbone = 32, 16, "test_resnet"
    options.steps = options.steps or (1 if options.device == "cpu" else 20)
    with tempfile.TemporaryDirectory() as temporary:
        pack = options.pack
        if pack is None:
            side = round(options.size * 8 / 7)
            pictures = drawn_pictures(Path(temporary, "pictures"), 4 * options.batch, side)
            pack = packed(pictures, Path(temporary), side)
        tables = [
            measured(
                pack,
                settings_of(method, options.size, options.batch, precision, backbone=options.backbone),
                options,
            )
            for method in options.method or ["simclr"]
            for precision in options.precision or ["fp32", "bf16"]
        ]
    bench.finish(options, tables, packages=["torch", "torchvision", "timm", "lightly", "numpy"])


if __name__ == "__main__":
    main()
