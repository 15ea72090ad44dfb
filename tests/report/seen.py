"""A pack, features and a finished cell of real files, small: what the rules look and album read."""

from pathlib import Path

import numpy as np
import torch

from sslbench.data.pack import format as packformat
from sslbench.evaluation import features
from sslbench.evaluation.features import Features
from sslbench.evaluation.neighbours_and_map import look
from tests.report.conftest import Tree

CONTENT = "ab" * 32  # as Tree has it


def write_pack(folder: Path, pixels: list[np.ndarray], labels: np.ndarray, classes: list[str]) -> None:
    """A pack of ``pixels`` (uint8 [h, w, 3] each) in its format; its hashes are not looked at here."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = np.array([picture.shape[:2] for picture in pixels])
    sizes = shapes.prod(axis=1) * 3
    index = {"offsets": np.cumsum(sizes) - sizes, "heights": shapes[:, 0], "widths": shapes[:, 1], "labels": labels}
    packformat.write_index(folder, index | {"digests": np.zeros((len(labels), 16), np.uint8)}, {})
    (folder / "pixels.bin").write_bytes(b"".join(picture.tobytes() for picture in pixels))
    manifest = {"format": packformat.FORMAT, "source": "drawn", "pack_size": 8, "count": len(labels)}
    manifest |= {"bytes": int(sizes.sum()), "max_height": int(shapes[:, 0].max()), "max_width": int(shapes[:, 1].max())}
    manifest |= {"classes": classes, "titles": [f"class {name}" for name in classes], "content_sha256": CONTENT}
    Tree.write(folder / "manifest.json", manifest | {"names_sha256": "", "splits": {}})


def write_features(folder: Path, vectors: np.ndarray, labels: np.ndarray, indices: np.ndarray, part: str) -> Path:
    origin = {"content_sha256": CONTENT, "split": "official", "source": "imagenette2-160", "part": part}
    origin["classes"] = [str(i) for i in range(int(labels.max()) + 1)]
    tensors = torch.tensor(vectors, dtype=torch.float32), torch.tensor(labels), torch.tensor(indices)
    features.write(folder / f"features-{part}.safetensors", Features(*tensors, origin))
    return folder / f"features-{part}.safetensors"


class Seen:
    """A finished grid with features, over one pack of ``side`` px noise."""

    def __init__(self, tree: Tree, train: int, test: int, classes: int, side: int) -> None:
        self.tree, self.random = tree, np.random.default_rng(0)
        self.classes, self.train, self.test = classes, train, test
        self.labels = np.r_[np.arange(train) % classes, np.arange(test) % classes]
        pixels = [self.random.integers(0, 256, (side, side + 3, 3), dtype=np.uint8) for _ in self.labels]
        self.pixels = pixels
        write_pack(tree.root / "data/packed/nette", pixels, self.labels, [str(i) for i in range(classes)])

    def cell(self, model: str, transform: str, right: float, looked: bool = True, seed: int = 0) -> Path:
        """A finished cell whose probe is right for about ``right`` of the pictures, and its folder."""
        labels = self.labels[self.train :]
        entry = self.tree.cell("nette", model, transform, seed)
        folder = self.tree.finish(entry, self.random.random(self.test) < right, labels, classes=self.classes)
        centres = self.random.normal(size=(self.classes, 12))
        parts = {"train": slice(0, self.train), "test": slice(self.train, None)}
        files = {}
        for part, rows in parts.items():
            own = self.labels[rows]
            vectors = centres[own] + self.random.normal(size=(len(own), 12))
            files[part] = write_features(folder, vectors, own, np.arange(len(self.labels))[rows], part)
        if looked:
            look(files, folder / "look.json", threads=1)
        return folder
