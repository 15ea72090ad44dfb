"""Torchvision's sets that hold images as arrays, read as it reads them and written as PPM files, without loss."""

import bz2
import gzip
import pickle
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sslbench.errors import UserError, raise_if_passing

DIGITS = list(string.digits)
_CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
_KUZUSHIJI = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
_CHARACTERS = list(string.digits + string.ascii_uppercase + string.ascii_lowercase)
_MERGED = [character for character in _CHARACTERS if character not in "cijklmopsuvwxyz"]
_EMNIST = {"byclass": _CHARACTERS, "bymerge": _MERGED, "balanced": _MERGED, "letters": ["", *string.ascii_lowercase]}


class Part(NamedTuple):
    name: str  # train, test or unlabeled; all where the set has no parts
    images: np.ndarray  # uint8 [N, height, width] or [N, height, width, 3]
    labels: np.ndarray | None  # [N], positions among the set's classes


def write(name: str, variant: str, root: Path, into: Path) -> None:
    """Write ``images/<part>/<label>/<number>.ppm`` and classes.txt, the names of labels 0, 1, ... a line each.

    Raises UserError where a file below ``root``, torchvision's, is missing or damaged.
    """
    try:
        titles, parts = _READERS[name](root, variant)
        for part in parts:
            _write_part(part, into / "images" / part.name)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, pickle.UnpicklingError) as error:
        if isinstance(error, FileNotFoundError):
            raise UserError(f"{error.filename}: is missing, and {name} needs it; get the set anew") from error
        raise_if_passing(error)
        raise UserError(f"{root}: a file of {name} is damaged ({error}); get it anew") from error
    (into / "classes.txt").write_text("\n".join(titles), encoding="utf-8")


def _write_part(part: Part, folder: Path) -> None:
    height, width = part.images.shape[1:3]
    header = f"{'P6' if part.images.ndim == 4 else 'P5'} {width} {height} 255\n".encode()
    if part.labels is None:
        folders = [folder] * len(part.images)
    else:
        if len(part.labels) != len(part.images):
            raise ValueError(f"{len(part.images):,} images and {len(part.labels):,} labels")
        folders = [folder / f"{label:03}" for label in part.labels.tolist()]
    for made in set(folders):
        made.mkdir(parents=True, exist_ok=True)
    for number, (image, where) in enumerate(zip(part.images, folders, strict=True)):
        (where / f"{number:06}.ppm").write_bytes(header + image.tobytes())


Read = tuple[list[str], Iterator[Part]]  # the classes' names, and the parts


class _Arrays(pickle.Unpickler):
    """Reads arrays and what Python has built in, and runs nothing that a file asks for."""

    ALLOWED = {
        *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
        *(("numpy._core.multiarray", "_reconstruct"), ("numpy._core.numeric", "_frombuffer")),
    }

    def find_class(self, module: str, name: str) -> object:
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def _unpickled(file: Path) -> dict:
    with file.open("rb") as opened:
        return _Arrays(opened, encoding="latin1").load()


def _cifar(root: Path, folder: str, train: list[str], test: str, meta: str, names: str, labels: str) -> Read:
    def parts() -> Iterator[Part]:
        for part, files in (("train", train), ("test", [test])):
            batches = [_unpickled(root / folder / file) for file in files]
            images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
            yield Part(part, images.transpose(0, 2, 3, 1), np.concatenate([batch[labels] for batch in batches]))

    return _unpickled(root / folder / meta)[names], parts()


def _idx(folder: Path, name: str) -> np.ndarray:
    """An array of the MNIST format, packed or not, as it comes or as torchvision leaves it."""
    places = (folder / name, folder / f"{name}.gz", folder / "gzip" / f"{name}.gz")
    file = next((place for place in places if place.is_file()), places[0])
    content = file.read_bytes()
    content = gzip.decompress(content) if file.suffix == ".gz" else content
    kind, dimensions = content[2], content[3]
    shape = np.frombuffer(content, ">i4", dimensions, 4)
    return np.frombuffer(content, {8: "u1", 12: ">i4"}[kind], offset=4 + 4 * dimensions).reshape(shape)


def _mnist(folder: Path, titles: list[str], train: str, test: str, labels: str = "labels-idx1-ubyte") -> Read:
    def parts() -> Iterator[Part]:
        for part, prefix in (("train", train), ("test", test)):
            numbers = _idx(folder, f"{prefix}-{labels}")
            numbers = numbers[:, 0] if numbers.ndim == 2 else numbers  # QMNIST's others are the writer and the like
            yield Part(part, _idx(folder, f"{prefix}-images-idx3-ubyte"), numbers)

    return titles, parts()


def _emnist(root: Path, variant: str) -> Read:
    titles = _EMNIST.get(variant, DIGITS)
    return _mnist(root / "EMNIST/raw", titles, f"emnist-{variant}-train", f"emnist-{variant}-test")


def _stl10(root: Path, _: str) -> Read:
    folder = root / "stl10_binary"

    def parts() -> Iterator[Part]:
        for part in ("train", "test", "unlabeled"):
            images = np.memmap(folder / f"{part}_X.bin", np.uint8, "r").reshape(-1, 3, 96, 96)  # of each column first
            labels = None if part == "unlabeled" else np.fromfile(folder / f"{part}_y.bin", np.uint8) - 1
            yield Part(part, images.transpose(0, 3, 2, 1), labels)

    return (folder / "class_names.txt").read_text(encoding="utf-8").split(), parts()


def _svhn(root: Path, _: str) -> Read:
    from scipy.io import loadmat  # half a second, for this set alone

    def parts() -> Iterator[Part]:
        for part in ("train", "test"):
            found = loadmat(root / f"{part}_32x32.mat")
            yield Part(part, found["X"].transpose(3, 0, 1, 2), found["y"].reshape(-1) % 10)  # 0 is called 10

    return DIGITS, parts()


def _usps(root: Path, _: str) -> Read:
    def parts() -> Iterator[Part]:
        for part, file in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
            rows = [line.split() for line in bz2.decompress((root / file).read_bytes()).decode().splitlines()]
            values = np.array([[value.partition(":")[2] for value in row[1:]] for row in rows], np.float32)
            images = ((values + 1) / 2 * 255).astype(np.uint8).reshape(-1, 16, 16)
            yield Part(part, images, np.array([int(row[0]) - 1 for row in rows]))

    return DIGITS, parts()


def _semeion(root: Path, _: str) -> Read:
    values = np.loadtxt(root / "semeion.data", ndmin=2)
    images = (values[:, :256] * 255).astype(np.uint8).reshape(-1, 16, 16)
    return DIGITS, iter([Part("all", images, values[:, 256:].argmax(1))])


def _digits(name: str, titles: list[str] = DIGITS) -> Callable[[Path, str], Read]:
    return lambda root, _: _mnist(root / name / "raw", titles, "train", "t10k")


_READERS: dict[str, Callable[[Path, str], Read]] = {
    "CIFAR10": lambda root, _: _cifar(
        root,
        "cifar-10-batches-py",
        [f"data_batch_{number}" for number in range(1, 6)],
        "test_batch",
        "batches.meta",
        "label_names",
        "labels",
    ),
    "CIFAR100": lambda root, _: _cifar(
        root, "cifar-100-python", ["train"], "test", "meta", "fine_label_names", "fine_labels"
    ),
    "EMNIST": _emnist,
    "FashionMNIST": _digits("FashionMNIST", _CLOTHES),
    "KMNIST": _digits("KMNIST", _KUZUSHIJI),
    "MNIST": _digits("MNIST"),
    "QMNIST": lambda root, _: _mnist(root / "QMNIST" / "raw", DIGITS, "qmnist-train", "qmnist-test", "labels-idx2-int"),
    "SEMEION": _semeion,
    "STL10": _stl10,
    "SVHN": _svhn,
    "USPS": _usps,
}
