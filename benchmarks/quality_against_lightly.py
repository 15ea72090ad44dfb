"""Does training here give backbones as good as lightly's own way gives? Same pictures, recipe, epochs and size.

    .venv/bin/python -m benchmarks.quality_against_lightly --archive imagenette2-160.tgz

Both arms train ResNet-18 with the recipe of lightly's ImageNette benchmark, all methods on its SimCLR views at
strength 0.5. lightly's arm is lightly's: SimCLRTransform on PIL pictures, torchvision's ImageFolder, a DataLoader with
workers, its losses, heads and momentum update, SGD (VICReg: its LARS) and its cosine scheduler, stepped with every
batch since a cosine per epoch is coarse in so few of them. Ours is sslbench.engine.fit. Both backbones are then
embedded and judged by one and the same kNN (k = 200, temperature 0.1), and the paired 95 % interval of the difference
is printed. The interval is that of the test pictures; it does not cover the luck of one training run. Both arms start
from the same weights: in so short a training, another start alone moves kNN by a point or two.
"""

import argparse
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models.modules import heads
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import SimCLRTransform
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from sslbench import stats
from sslbench.config import load
from sslbench.data.fetch import fetch
from sslbench.data.packing import pack
from sslbench.engine.fit import fit
from sslbench.evaluate import knn
from sslbench.evaluate.embed import embed
from sslbench.randomness import derived_seed


class Theirs(nn.Module):
    """lightly's modules for one method, as its benchmark puts them together."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.backbone = timm.create_model("resnet18", num_classes=0)
        if method == "simclr":
            self.head, self.criterion = heads.SimCLRProjectionHead(512, 512, 128), NTXentLoss()
        elif method == "byol":
            self.head, self.prediction = (
                heads.BYOLProjectionHead(512, 4096, 256),
                heads.BYOLPredictionHead(256, 4096, 256),
            )
            self.momentum_backbone = timm.create_model("resnet18", num_classes=0)
            self.momentum_head = heads.BYOLProjectionHead(512, 4096, 256)
            self.momentum_backbone.load_state_dict(self.backbone.state_dict())
            self.momentum_head.load_state_dict(self.head.state_dict())
            deactivate_requires_grad(self.momentum_backbone)
            deactivate_requires_grad(self.momentum_head)
            self.criterion = NegativeCosineSimilarity()
        else:
            self.head, self.criterion = heads.BarlowTwinsProjectionHead(512, 2048, 2048), VICRegLoss()

    def loss(self, x0, x1):
        if self.method != "byol":
            return self.criterion(self.head(self.backbone(x0)), self.head(self.backbone(x1)))
        update_momentum(self.backbone, self.momentum_backbone, 0.99)
        update_momentum(self.head, self.momentum_head, 0.99)
        p0, p1 = (self.prediction(self.head(self.backbone(x))) for x in (x0, x1))
        with torch.no_grad():
            z0, z1 = (self.momentum_head(self.momentum_backbone(x)) for x in (x0, x1))
        return 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))

    def optimizer(self, options: argparse.Namespace, steps: int):
        parameters, factor = [p for p in self.parameters() if p.requires_grad], options.batch / 256
        total = options.epochs * steps
        if self.method == "vicreg":
            optimizer = LARS(parameters, lr=0.3 * factor, weight_decay=1e-4, momentum=0.9)
            warmup = int(min(20, options.epochs / 2) * steps)
            return optimizer, CosineWarmupScheduler(optimizer, warmup, total, end_value=1e-3)
        optimizer = torch.optim.SGD(parameters, lr=0.06 * factor, momentum=0.9, weight_decay=5e-4)
        return optimizer, CosineWarmupScheduler(optimizer, 0, total, end_value=0)


def train_theirs(method: str, pictures: Path, options: argparse.Namespace, backbone: Path) -> None:
    torch.manual_seed(derived_seed(options.seed, "init"))  # both arms start from the same backbone
    folder = ImageFolder(pictures, SimCLRTransform(input_size=options.size, cj_strength=0.5))
    loader = DataLoader(folder, options.batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    model = Theirs(method).train().to(memory_format=torch.channels_last)
    optimizer, scheduler = model.optimizer(options, len(loader))
    for _ in range(options.epochs):
        for (x0, x1), _ in loader:
            loss = model.loss(*(x.contiguous(memory_format=torch.channels_last) for x in (x0, x1)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.backbone.state_dict().items()}, backbone)


def correct(features: dict[str, Path]) -> np.ndarray:
    """Whether kNN's first guess is right, per test picture in one order for all backbones."""
    train, test = (load_file(features[part]) for part in ("train", "test"))
    classes = int(train["labels"].max()) + 1
    guesses = knn.predict(train["features"], train["labels"], test["features"], classes, k=[200], temperature=0.1)
    return (guesses[200][:, 0] == test["labels"]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="an ImageNette v2-160 archive")
    parser.add_argument(
        "--methods", nargs="+", default=["simclr", "byol", "vicreg"], choices=["simclr", "byol", "vicreg"]
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pictures", type=int, help="train on this many pictures only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        compare(options, Path(scratch))


def compare(options: argparse.Namespace, scratch: Path) -> None:
    with tarfile.open(options.archive) as archive:
        archive.extractall(scratch / "pictures", filter="data")
    root = next((scratch / "pictures").iterdir())
    if options.pictures:
        keep_only(root / "train", options.pictures)
    config = load(
        {
            "name": "quality",
            "title": "",
            "grid": [{"datasets": ["nette"], "models": options.methods, "transforms": ["half"]}],
            "seeds": [options.seed],
            "datasets": {"nette": {"kind": "imagenette", "size": 160, "pack_size": 160, "path": str(root)}},
            "models": {method: {"method": method} for method in options.methods},
            "transforms": {"half": {"kind": "simclr", "jitter": {"strength": 0.5}}},
            "references": {"random": True, "supervised": []},
            "training": {
                "input_size": options.size,
                "batch_size": options.batch,
                "epochs": options.epochs,
                "precision": "fp32",
            },
        }
    )
    dataset = config.all_datasets["nette"]
    fetch(dataset.settings, scratch / "source")
    pack(dataset.settings, scratch / "source" / "source.json", scratch / "pack", 160, 2)
    cells = {cell.model.name: cell for cell in config.cells()}
    start = run_ours(cells["random"], scratch, "random", options)
    for method in options.methods:
        began = time.perf_counter()
        file = scratch / f"{method}-lightly.safetensors"
        train_theirs(method, root / "train", options, file)
        between = time.perf_counter()
        theirs = judged(cells[method], file, scratch, f"{method}-lightly", options)
        resumed = time.perf_counter()
        ours = run_ours(cells[method], scratch, method, options)
        found = stats.compare(ours, theirs)
        print(
            f"{method:7} kNN-200: sslbench {ours.mean():.4f}, lightly {theirs.mean():.4f}; "
            f"difference {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] on {len(ours)} test pictures; "
            f"{time.perf_counter() - resumed:.0f} s against {between - began:.0f} s",
            flush=True,
        )
    print(f"random start kNN-200: {start.mean():.4f}; torch {torch.__version__}, timm {timm.__version__}")


def keep_only(train: Path, count: int) -> None:
    """Delete all but ``count`` of the training pictures, drawn alike from all classes."""
    pictures = sorted(train.glob("*/*"))
    for position in np.random.default_rng(0).permutation(len(pictures))[count:]:
        pictures[position].unlink()


def run_ours(cell, scratch: Path, name: str, options: argparse.Namespace) -> np.ndarray:
    outputs = {part: scratch / name / part for part in ("backbone.safetensors", "run.json", "curve.csv", "ledger.json")}
    with (scratch / "log").open("a") as log:
        where = {"state_root": scratch / "store", "threads": options.threads, "progress": log}
        fit(cell.settings, "", scratch / "pack", outputs, **where)
    return judged(cell, outputs["backbone.safetensors"], scratch, name, options)


def judged(cell, backbone: Path, scratch: Path, name: str, options: argparse.Namespace) -> np.ndarray:
    features = {part: scratch / f"{name}-{part}.safetensors" for part in ("train", "test")}
    settings = {
        "backbone": cell.settings["backbone"],
        "input_size": options.size,
        "dataset": cell.settings["dataset"],
        "resize_ratio": 1.0,
    }
    embed(settings, settings, backbone, scratch / "pack", features, "cpu", options.threads, log=lambda line: None)
    return correct(features)


if __name__ == "__main__":
    main()
