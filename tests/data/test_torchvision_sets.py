"""kind: torchvision, held against torchvision's own classes: what they ask for, and what they read of one stand-in."""

import contextlib
import hashlib
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sslbench.config.validation import filled
from sslbench.data import splits
from sslbench.data.layouts import torchvision_sets
from sslbench.data.layouts.torchvision_sets import Settings, base, scan, unpack
from sslbench.data.pack.decode import decode_file
from sslbench.data.sources import content
from sslbench.data.sources import fetch as fetching
from sslbench.data.sources.fetch import fetch, read_source
from sslbench.data.sources.torchvision_files import SETS, File
from sslbench.errors import UserError
from tests.data.data_samples import serving, tar_of
from tests.data.torchvision_standins import STANDINS, gzipped


@pytest.fixture(scope="module")
def torchvision():
    return pytest.importorskip("torchvision.datasets")


def listed(settings: Settings, found: Path, into: Path) -> tuple[list[str], dict[str, Counter]]:
    """Titles of the classes, and of each part of the split its (label, pixels), counted; "" is all images."""
    root = base(unpack(settings, found, into), settings)
    listing = scan(root, settings)
    labels = listing.labels(list(range(len(listing.records)))).tolist()
    pixels = [decode_file(root / record.path, 1000).pixels for record in listing.records]
    images = [(label, image.tobytes()) for label, image in zip(labels, pixels, strict=True)]
    names = [record.path for record in listing.records]
    split = splits.resolve(settings.split_name(), listing.splits, np.array(labels), names)
    parts = {part: Counter(images[position] for position in positions) for part, positions in split.items()}
    return listing.titles, parts | {"": Counter(images)}


def theirs(torchvision, name: str, root: Path, **options) -> Counter:
    """The same of what torchvision's class reads."""
    dataset = getattr(torchvision, name)(root, download=False, **options)
    return Counter(
        (int(label), np.asarray(image.convert("RGB")).tobytes())
        for image, label in map(dataset.__getitem__, range(len(dataset)))
    )


@pytest.fixture(autouse=True)
def of_any_size(request, monkeypatch):
    """Stand-ins are small."""
    if "published" not in request.node.name:
        monkeypatch.setattr(Settings, "published", lambda self: None)


@pytest.fixture
def unchecked(torchvision, monkeypatch):
    """torchvision without its checks of MD5, which no stand-in meets."""
    for name in ("cifar", "flowers102", "mnist", "semeion", "stl10", "svhn"):
        monkeypatch.setattr(
            sys.modules[f"torchvision.datasets.{name}"], "check_integrity", lambda file, md5=None: Path(file).is_file()
        )
    return torchvision


def test_every_set_has_a_standin_and_every_name_is_torchvisions(torchvision):
    assert list(SETS) == sorted(STANDINS) and set(torchvision_sets.VARIANTS) <= set(SETS)
    assert SETS.keys() | torchvision_sets._OTHERS.keys() <= set(torchvision.__all__)


@pytest.mark.parametrize("name", SETS)
def test_images_labels_and_parts_are_those_that_torchvisions_class_reads(unchecked, name, tmp_path):
    make, parts = STANDINS[name]
    make(tmp_path / "root")
    settings = Settings(name=name, path=tmp_path / "root")
    assert settings.missing() is None
    titles, ours = listed(settings, tmp_path / "root", tmp_path / "into")
    for part, options in parts.items():
        assert ours[part] == theirs(unchecked, name, tmp_path / "root", **options), part
    assert set(ours) - {""} == ({"train", "test"} | set(parts) - {""})
    assert len(titles) == len({label for label, _ in ours[""]} - {-1})


VARIANTS = {
    ("DTD", "7"): {
        "train": {"partition": 7},
        "val": {"partition": 7, "split": "val"},
        "test": {"partition": 7, "split": "test"},
    },
    ("FGVCAircraft", "family"): {
        part: {"split": part, "annotation_level": "family"} for part in ("train", "val", "test")
    },
    ("STL10", "unlabeled"): {"train": {"split": "unlabeled"}},
    ("STL10", "train+unlabeled"): {"train": {"split": "train+unlabeled"}},
}


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_variant_is_torchvisions(unchecked, name, variant, tmp_path):
    STANDINS[name][0](tmp_path / "root")
    settings = Settings(name=name, variant=variant, path=tmp_path / "root", labelled=name != "STL10")
    _, ours = listed(settings, tmp_path / "root", tmp_path / "into")
    for part, options in VARIANTS[name, variant].items():
        assert ours[part] == theirs(unchecked, name, tmp_path / "root", **options), part
    first = Settings(name=name)
    shared = name in ("DTD", "STL10")  # one pack, downloaded once
    assert (settings.identity() == first.identity(), settings.source() == first.source()) == (shared, shared)
    assert settings.split_name() != first.split_name() or not shared


ASKED = {  # how torchvision's class is made to ask for all files
    "GTSRB": [{"split": "train"}, {"split": "test"}],
    "SVHN": [{"split": "train"}, {"split": "test"}],
    "QMNIST": [{"train": True}, {"train": False}],
    "USPS": [{"train": True}, {"train": False}],
    "EMNIST": [{"split": "balanced"}],
}


@pytest.mark.parametrize("name", SETS)
def test_files_checksums_and_folders_are_those_that_torchvisions_class_asks_for(
    torchvision, monkeypatch, name, tmp_path
):
    cls = getattr(torchvision, name)
    asked = set()

    def note(url, root=None, filename=None, md5=None, *, download_root=None, **_):
        root = download_root if root is None else root
        where = Path(root).relative_to(tmp_path).as_posix()
        asked.add(File(url, md5, "" if where == "." else where))

    for module in {sys.modules[one.__module__] for one in cls.__mro__ if one.__module__.startswith("torchvision")}:
        for function in ("download_and_extract_archive", "download_url"):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, note)
    for options in ASKED.get(name, [{}]):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # nothing came
            cls(tmp_path, download=True, **options)
    assert asked == set(SETS[name].files)


def zip_of(folder: Path, file: Path) -> bytes:
    return Path(shutil.make_archive(str(file), "zip", folder)).read_bytes()


def tar_bytes(folder: Path, file: Path) -> bytes:
    return tar_of(folder, file).read_bytes()


def downloads_of(name: str, root: Path, made: Path) -> dict[str, bytes]:
    """What the web has of a set: name of a file -> its content, packed as the set is."""
    made.mkdir()
    if name == "EuroSAT":
        return {"EuroSAT.zip": zip_of(root / "eurosat", made / "a")}
    if name == "Flowers102":
        top = root / "flowers-102"
        lists = {file: (top / file).read_bytes() for file in ("imagelabels.mat", "setid.mat")}
        return {"102flowers.tgz": tar_bytes(top / "jpg", made / "a")} | lists
    if name == "MNIST":
        return {f"{file.name}.gz": gzipped(file) for file in (root / "MNIST" / "raw").iterdir()}
    if name == "CIFAR10":
        return {"cifar-10-python.tar.gz": tar_bytes(root / "cifar-10-batches-py", made / "a")}
    if name == "GTSRB":  # of one top folder, in two archives
        top, names = root / "gtsrb", {"Training": "GTSRB-Training_fixed", "Final_Test": "GTSRB_Final_Test_Images"}
        found = {}
        for part, archive in names.items():
            shutil.copytree(top / "GTSRB" / part, made / archive / "GTSRB" / part)
            found[f"{archive}.zip"] = zip_of(made / archive, made / part)
        shutil.copytree(top, made / "list", ignore=shutil.ignore_patterns("GTSRB"))
        return found | {"GTSRB_Final_Test_GT.zip": zip_of(made / "list", made / "c")}
    inner = made / "in" / "caltech-101"  # Caltech101: an archive of archives
    inner.mkdir(parents=True)
    tar_of(root / "caltech101" / "101_ObjectCategories", inner / "101_ObjectCategories.tar.gz")
    return {"caltech-101.zip": zip_of(made / "in", made / "a")}


@pytest.mark.parametrize("name", ["EuroSAT", "Flowers102", "MNIST", "CIFAR10", "GTSRB", "Caltech101"])
def test_a_set_is_downloaded_verified_and_read_as_it_is_unpacked(monkeypatch, name, tmp_path):
    STANDINS[name][0](tmp_path / "root")
    web_has = downloads_of(name, tmp_path / "root", tmp_path / "made")
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    with serving(web_has) as server:
        web = server.url.rpartition("/")[0]
        files = tuple(
            File(f"{web}/{file.name}", hashlib.md5(web_has[file.name]).hexdigest(), file.where)
            for file in SETS[name].files
        )
        monkeypatch.setitem(SETS, name, SETS[name]._replace(files=files))
        server.plan = ["cut:100"]
        fetch(Settings(name=name), tmp_path / "source")
        assert server.ranges[:2] == [None, "bytes=100-"]
        (tmp_path / "source" / "source.json").unlink()
        asked = len(server.ranges)
        fetch(Settings(name=name), tmp_path / "source")
        assert len(server.ranges) == asked == len(files) + 1  # what is there and verified is not asked for again
    _, found = read_source(tmp_path / "source" / "source.json")
    from_path = listed(Settings(name=name, path=tmp_path / "root"), tmp_path / "root", tmp_path / "one")
    assert listed(Settings(name=name), found, tmp_path / "two") == from_path
    first = tmp_path / "source" / files[0].name
    if len(files) == 1:
        mine = shutil.copyfile(first, tmp_path / "mine")
        assert listed(Settings(name=name, archive=mine), mine, tmp_path / "three") == from_path
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match="changed since it was fetched"):
        read_source(tmp_path / "source" / "source.json")


MISTAKES = {
    "misspelt": ({"name": "eurosat"}, r"name: 'eurosat' is not allowed: .*Did you mean 'EuroSAT'\?"),
    "far off": (
        {"name": "VOCDetection"},
        r"no set of image classification of torchvision's is called so\. Known: CIFAR10,",
    ),
    "no variants": ({"name": "EuroSAT", "variant": "2"}, "EuroSAT has no variant"),
    "another variant": ({"name": "DTD", "variant": 11}, r"variant of DTD is one of 1, 2, .*, 10"),
    "no test set": ({"name": "STL10", "variant": "unlabeled"}, "have no test set: write evaluate_on: with"),
    "on Google Drive": ({"name": "PCAM"}, r"'PCAM' is not allowed: torchvision has it on Google Drive; .*kind: folder"),
    "another kind": ({"name": "imagenette"}, "it is kind: imagenette"),
    "several files": ({"name": "SVHN", "archive": "a.mat"}, r"SVHN is not one archive: give path:"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_write(mistake):
    options, said = MISTAKES[mistake]
    with pytest.raises(UserError, match=said):
        filled(Settings, options, "datasets.x")


def test_what_cannot_be_had_says_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"StanfordCars is dead: set path: .*stanford_cars"):
        fetch(Settings(name="StanfordCars"), tmp_path / "out")
    assert "no " + str(tmp_path / "dtd") in Settings(name="DTD", path=tmp_path).missing()
    (tmp_path / "dtd" / "dtd" / "labels").mkdir(parents=True)
    with pytest.raises(UserError, match=r"train1\.txt: is missing, so this is not DTD"):
        scan(tmp_path / "dtd", Settings(name="DTD", path=tmp_path))


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    STANDINS["CIFAR100"][0](tmp_path)
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UserError, match=r"damaged \(it asks for (os|posix|nt)\.system, which is no array\)"):
        unpack(Settings(name="CIFAR100", path=tmp_path), tmp_path, tmp_path / "into")


def test_published_numbers_are_known_before_anything_is_fetched():
    assert Settings(name="EuroSAT").known_counts() == (21_600, 5_400)
    assert Settings(name="STL10", variant="unlabeled", evaluate_on="x").known_counts() == (100_000, 0)
    assert Settings(name="DTD", variant=3).published() == (1_880, 1_880, 47)


def test_the_lists_of_a_set_are_content_and_other_sets_beside_it_are_not(tmp_path):
    for name in ("DTD", "EuroSAT"):
        STANDINS[name][0](tmp_path / name)
    (tmp_path / "EuroSAT" / "eurosat").rename(tmp_path / "DTD" / "eurosat")
    settings = Settings(name="DTD", path=tmp_path / "DTD")
    before = content.name(settings, tmp_path / "source")
    (tmp_path / "DTD" / "eurosat" / "2750" / "Forest" / "Forest_0.jpg").unlink()
    assert content.name(settings, tmp_path / "source") == before
    (tmp_path / "DTD" / "dtd" / "dtd" / "labels" / "train1.txt").write_text("banded/a_0002.jpg\n")
    assert content.name(settings, tmp_path / "source") != before


def test_a_set_of_another_size_than_published_is_refused(tmp_path):
    STANDINS["CIFAR10"][0](tmp_path)
    settings = Settings(name="CIFAR10", path=tmp_path)
    with pytest.raises(UserError, match=r"test images, and CIFAR10 has 50,000 and 10,000: get it whole"):
        scan(base(unpack(settings, tmp_path, tmp_path / "into"), settings), settings)
    with pytest.raises(ValueError, match="name is missing: one of"):
        Settings(path=tmp_path)
