"""ImageNette's images, lightly's views of them, and kNN: what both arms share. Nothing here is sslbench's."""

import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from lightly.transforms import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
    DINOTransform,
    SimCLRTransform,
    SimSiamTransform,
    SwaVTransform,
    VICRegLTransform,
    VICRegTransform,
)
from lightly.transforms.utils import IMAGENET_NORMALIZE
from lightly.utils.benchmarking import knn_predict
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import pil_loader

K, TEMPERATURE = 200, 0.1

decoded = lru_cache(maxsize=None)(pil_loader)  # every image once, at its own size


def extract(archive: Path, folder: Path, images: int) -> Path:
    """Extract ImageNette and keep ``images`` training images, equally many of each class. Returns its root."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    root = next(folder.iterdir())
    drawing = np.random.default_rng(0)
    classes = sorted((root / "train").iterdir())
    for files in (sorted(path.iterdir()) for path in classes):
        for position in drawing.permutation(len(files))[images // len(classes) :]:
            files[position].unlink()
    return root


def transform(method: str, size: int, local_views: int, grid: int) -> Callable:
    """lightly's transform for ``method`` in its ImageNette benchmark, which has 128 px, at ``size`` px.

    Its six local views of SwAV and DINO are ``local_views`` here, of half the size as there.
    """
    if method in ("barlowtwins", "byol"):
        return BYOLTransform(BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size))
    if method in ("simclr", "moco"):
        return SimCLRTransform(input_size=size, cj_strength=0.5)
    if method == "simsiam":
        return SimSiamTransform(input_size=size)
    if method == "swav":
        return SwaVTransform(crop_sizes=(size, size // 2), crop_counts=(2, local_views), cj_strength=0.5)
    if method == "dino":
        local = {"local_crop_size": size // 2, "n_local_views": local_views}
        return DINOTransform(global_crop_size=size, cj_strength=0.5, **local)
    if method == "vicreg":
        return VICRegTransform(input_size=size, cj_strength=0.5)
    return VICRegLTransform(global_crop_size=size, n_local_views=0, global_grid_size=grid, cj_strength=0.5)


class Batches:
    """The views of every step: a function of the seed alone, so the two arms train on equal ones.

    Iterating gives (epoch, views); a view is [batch, 3, s, s], and VICRegL's grids [batch, g, g, 2] follow its views.
    """

    def __init__(self, root: Path, view: Callable, batch: int, epochs: int, seed: int) -> None:
        shuffling = torch.Generator().manual_seed(seed)
        folder = ImageFolder(str(root / "train"), view, loader=decoded)
        self.loader = DataLoader(folder, batch, shuffle=True, drop_last=True, generator=shuffling)
        self.epochs, self.seed = epochs, seed

    def __len__(self) -> int:
        """Steps of the whole run."""
        return self.epochs * len(self.loader)

    def __iter__(self) -> Iterator[tuple[int, list[Tensor]]]:
        for epoch in range(self.epochs):
            batches = iter(self.loader)
            for step in range(len(self.loader)):
                with seeded(self.seed, epoch, step):
                    views, _ = next(batches)
                yield epoch, views


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """All three generators that lightly's transforms draw from, with torch's put back afterwards."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        yield


@torch.inference_mode()
def judged(network: nn.Module, root: Path, size: int) -> np.ndarray:
    """Whether kNN-200 on the frozen ``network``'s features names each validation image rightly: bool [n].

    ``network`` maps images [b, 3, s, s] to features [b, F]. lightly's knn_predict is the evaluator of both arms.
    """
    network.eval()
    view = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_NORMALIZE["mean"], IMAGENET_NORMALIZE["std"]),
        ]
    )
    features, labels = {}, {}
    for part in ("train", "val"):
        loader = DataLoader(ImageFolder(str(root / part), view, loader=decoded), batch_size=128)
        found = [(network(images.contiguous(memory_format=torch.channels_last)), y) for images, y in loader]
        features[part] = nn.functional.normalize(torch.cat([f for f, _ in found]), dim=1)
        labels[part] = torch.cat([y for _, y in found])
    classes = int(labels["train"].max()) + 1
    ranked = knn_predict(features["val"], features["train"].T, labels["train"], classes, K, TEMPERATURE)
    return (ranked[:, 0] == labels["val"]).numpy()
