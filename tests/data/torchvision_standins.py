"""Small stand-ins of torchvision's sets, in the layouts that it leaves below its root: two or three classes each."""

import bz2
import gzip
import json
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io

from tests.data.data_samples import make_eurosat, picture, save


def _tree(top: Path, classes: tuple[str, ...], name: Callable[[int], str], count: int = 3) -> None:
    for folder in classes:
        for number in range(count):
            file = top / folder / name(number + 1)
            save(file, picture(zlib.crc32(str(file.relative_to(top.parent)).encode())))


def _lines(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def _arrays(seed: int, count: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % 3


def _pickled(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(content, protocol=2))


def idx(array: np.ndarray) -> bytes:
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    shape = np.array(array.shape, ">i4").tobytes()
    return bytes([0, 0, kind, array.ndim]) + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


def _idx_files(folder: Path, train: str, test: str) -> None:
    folder.mkdir(parents=True)
    for seed, prefix in enumerate((train, test)):
        images, labels = _arrays(seed, 9, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))


def dtd(root: Path) -> None:
    top = root / "dtd" / "dtd"
    _tree(top / "images", ("banded", "dotted"), "a_{:04}.jpg".format)
    for partition in (*range(1, 11),):
        for shift, part in enumerate(("train", "val", "test")):
            number = (partition + shift) % 3 + 1
            lines = (f"{label}/a_{number:04}.jpg" for label in ("banded", "dotted"))
            _lines(top / "labels" / f"{part}{partition}.txt", *lines)


def flowers(root: Path) -> None:
    top = root / "flowers-102"
    _tree(top, ("jpg",), "image_{:05}.jpg".format, 9)
    scipy.io.savemat(top / "imagelabels.mat", {"labels": np.arange(9)[None] % 3 + 1}, do_compression=True)
    ids = {"trnid": [[1, 2, 3]], "valid": [[4, 6, 5]], "tstid": [[9, 7, 8]]}
    scipy.io.savemat(top / "setid.mat", ids, do_compression=True)


def pets(root: Path) -> None:
    top = root / "oxford-iiit-pet"
    _tree(top, ("images",), "shiba_inu_{}.jpg".format, 4)
    _tree(top, ("images",), "Bengal_{}.jpg".format, 4)
    for part, numbers in (("trainval", (1, 2)), ("test", (3, 4))):
        pairs = [(name, label) for label, name in ((1, "Bengal"), (2, "shiba_inu")) for _ in numbers]
        lines = (f"{name}_{n} {label} {label} 1" for (name, label), n in zip(pairs, numbers * 2, strict=True))
        _lines(top / "annotations" / f"{part}.txt", *lines)


def cifar10(root: Path) -> None:
    top = root / "cifar-10-batches-py"
    for seed, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        images, labels = _arrays(seed, 3, 3072)
        _pickled(top / name, {"data": images, "labels": labels.tolist()})
    _pickled(top / "batches.meta", {"label_names": ["airplane", "bird", "cat"]})


def cifar100(root: Path) -> None:
    for seed, name in enumerate(("train", "test")):
        images, labels = _arrays(seed, 6, 3072)
        content = {"data": images, "fine_labels": labels.tolist(), "coarse_labels": [0] * 6}
        _pickled(root / "cifar-100-python" / name, content)
    _pickled(root / "cifar-100-python" / "meta", {"fine_label_names": ["apple", "bee", "cup"]})


def stl10(root: Path) -> None:
    top = root / "stl10_binary"
    top.mkdir(parents=True)
    for seed, part in enumerate(("train", "test", "unlabeled")):
        images, labels = _arrays(seed, 6, 3, 96, 96)
        (top / f"{part}_X.bin").write_bytes(images.tobytes())
        if part != "unlabeled":
            (top / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    _lines(top / "class_names.txt", "airplane", "bird", "car")


def svhn(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "test")):
        images, labels = _arrays(seed, 6, 32, 32, 3)
        numbers = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        content = {"X": images.transpose(1, 2, 3, 0), "y": numbers}
        scipy.io.savemat(root / f"{part}_32x32.mat", content, do_compression=True)


def food(root: Path) -> None:
    top = root / "food-101"
    _tree(top / "images", ("pizza", "apple_pie"), "{}.jpg".format)
    for part, numbers in (("train", (1, 2)), ("test", (3,))):
        listed = {label: [f"{label}/{n}" for n in numbers] for label in ("pizza", "apple_pie")}
        _lines(top / "meta" / f"{part}.json", json.dumps(listed))


def signs(root: Path) -> None:
    top = root / "gtsrb"
    _tree(top / "GTSRB" / "Training", ("00000", "00001"), "0000_{}.ppm".format)
    _tree(top / "GTSRB" / "Final_Test", ("Images",), "{:05}.ppm".format, 4)
    rows = (f"{n:05}.ppm;20;20;1;1;9;9;{n % 2}" for n in range(1, 5))
    _lines(top / "GT-final_test.csv", "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId", *rows)


def aircraft(root: Path) -> None:
    top = root / "fgvc-aircraft-2013b" / "data"
    _tree(top, ("images",), "{:07}.jpg".format, 6)
    for level, plural, names in (
        ("variant", "variants", ("707-320", "A 300 B4")),
        ("family", "families", ("Boeing 707", "A300")),
        ("manufacturer", "manufacturers", ("Boeing", "Airbus")),
    ):
        _lines(top / f"{plural}.txt", *names)
        for shift, part in enumerate(("train", "val", "test")):
            _lines(top / f"images_{level}_{part}.txt", *(f"{2 * shift + i + 1:07} {names[i]}" for i in (0, 1)))


def country(root: Path) -> None:
    for part in ("train", "valid", "test"):
        _tree(root / "country211" / part, ("AD", "ZW"), "{}.jpg".format, 2)


def sentences(root: Path) -> None:
    for part in ("train", "valid", "test"):
        _tree(root / "rendered-sst2" / part, ("negative", "positive"), "{:05}.png".format, 2)


def sun(root: Path) -> None:
    _tree(root / "SUN397", ("a/abbey", "c/church/indoor", "c/church/outdoor"), "sun_{}.jpg".format)
    _lines(root / "SUN397" / "ClassName.txt", "/a/abbey", "/c/church/indoor", "/c/church/outdoor")


def caltech101(root: Path) -> None:
    folders = ("BACKGROUND_Google", "Faces", "accordion")
    _tree(root / "caltech101" / "101_ObjectCategories", folders, "image_{:04}.jpg".format)


def caltech256(root: Path) -> None:
    for number, name in enumerate(("001.ak47", "002.american-flag"), 1):
        _tree(root / "caltech256" / "256_ObjectCategories", (name,), f"{number:03}_{{:04}}.jpg".format)


def cars(root: Path) -> None:
    top = root / "stanford_cars"
    dtype = [("class", object), ("fname", object)]
    for part, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        _tree(top, (f"cars_{part}",), "{:05}.jpg".format, 4)
        rows = np.array([(n % 2 + 1, f"{n:05}.jpg") for n in range(1, 5)], dtype)
        (top / "devkit").mkdir(exist_ok=True)
        scipy.io.savemat(top / file, {"annotations": rows})
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], object)
    scipy.io.savemat(top / "devkit" / "cars_meta.mat", {"class_names": names})


def usps(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("usps.bz2", "usps.t.bz2")):
        values = np.random.default_rng(seed).uniform(-1, 1, (6, 256))
        rows = (
            f"{label % 3 + 1} " + " ".join(f"{i}:{value:.4f}" for i, value in enumerate(row, 1))
            for label, row in enumerate(values)
        )
        (root / name).write_bytes(bz2.compress("".join(f"{row} \n" for row in rows).encode()))


def semeion(root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[*rng.integers(0, 2, 256).astype(float), *(np.arange(10) == n % 3).astype(int)] for n in range(15)]
    _lines(root / "semeion.data", *(" ".join(map(str, row)) for row in rows))


def qmnist(root: Path) -> None:
    folder = root / "QMNIST" / "raw"
    folder.mkdir(parents=True)
    for seed, part in enumerate(("train", "test")):
        images, labels = _arrays(seed, 6, 28, 28)
        others = np.stack([labels.astype(np.int32), *[np.full(6, 700, np.int32)] * 7], 1)
        (folder / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(idx(others))


def mnist(name: str) -> Callable[[Path], None]:
    return lambda root: _idx_files(root / name / "raw", "train", "t10k")


def emnist(root: Path) -> None:
    _idx_files(root / "EMNIST" / "raw", "emnist-balanced-train", "emnist-balanced-test")


def gzipped(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), mtime=0)


TRAIN_TEST = {"train": {"train": True}, "test": {"train": False}}
SPLIT = {"train": {"split": "train"}, "test": {"split": "test"}}
WITH_VAL = SPLIT | {"val": {"split": "val"}}
# set -> what makes it, and what torchvision's class is given for each part; "" where the set has no parts
STANDINS: dict[str, tuple[Callable[[Path], None], dict[str, dict]]] = {
    "CIFAR10": (cifar10, TRAIN_TEST),
    "CIFAR100": (cifar100, TRAIN_TEST),
    "Caltech101": (caltech101, {"": {}}),
    "Caltech256": (caltech256, {"": {}}),
    "Country211": (country, SPLIT | {"val": {"split": "valid"}}),
    "DTD": (dtd, WITH_VAL),
    "EMNIST": (emnist, {part: one | {"split": "balanced"} for part, one in TRAIN_TEST.items()}),
    "EuroSAT": (lambda root: make_eurosat(root.parent).rename(root), {"": {}}),
    "FGVCAircraft": (aircraft, WITH_VAL),
    "FashionMNIST": (mnist("FashionMNIST"), TRAIN_TEST),
    "Flowers102": (flowers, WITH_VAL),
    "Food101": (food, SPLIT),
    "GTSRB": (signs, SPLIT),
    "KMNIST": (mnist("KMNIST"), TRAIN_TEST),
    "MNIST": (mnist("MNIST"), TRAIN_TEST),
    "OxfordIIITPet": (pets, {"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "QMNIST": (qmnist, TRAIN_TEST),
    "RenderedSST2": (sentences, WITH_VAL),
    "SEMEION": (semeion, {"": {}}),
    "STL10": (stl10, SPLIT),
    "SUN397": (sun, {"": {}}),
    "SVHN": (svhn, SPLIT),
    "StanfordCars": (cars, SPLIT),
    "USPS": (usps, TRAIN_TEST),
}
