"""Real archives, where they are at hand: the published counts come out."""

import tarfile
from pathlib import Path

import numpy as np

from sslbench.data.layouts import nabirds
from sslbench.data.layouts.imagenette import TITLES
from sslbench.data.layouts.imagewoof import v1_split
from sslbench.data.pack.read import PackedSet
from sslbench.data.sources.archives import extract
from sslbench.data.spec import Listing, Record
from tests.data.data_samples import packed, real, settings_of


def test_nabirds_metadata_has_the_published_counts(tmp_path: Path) -> None:
    extract(real("nabirds-metadata.tgz"), tmp_path / "out")
    found = nabirds.read_metadata(tmp_path / "out" / "nabirds")
    assert len(found.records) == 48_562 and len(found.classes) == 555
    counts = {name: (len(split["train"]), len(split["test"])) for name, split in found.splits.items()}
    assert counts == {"official": (23_929, 24_633), "per-class-80-20-seed0": (38_655, 9_907)}
    assert found.titles[found.classes.index("817")] == "Oak Titmouse"
    spelled = dict(zip(found.classes, found.titles, strict=True))
    lines = (tmp_path / "out" / "nabirds" / "classes.txt").read_text().splitlines()
    assert all(f"{label} {title}" in lines for label, title in spelled.items())


def test_the_file_names_rebuild_version_1_with_500_validation_pictures() -> None:
    """ImageNette stands in for ImageWoof: the rule is the same, and version 1 of either has 50 of each class."""
    with tarfile.open(real("imagenette2-160.tgz")) as archive:
        paths = sorted(m.name.split("/", 1)[1] for m in archive if m.isfile() and m.name.endswith(".JPEG"))
    records = [Record(path, path.split("/")[1]) for path in paths]
    split = v1_split(Listing(records, sorted(TITLES), [], {}))
    assert (len(split["train"]), len(split["test"])) == (12_894, 500)
    tested = [records[i].label for i in split["test"]]
    assert {tested.count(label) for label in TITLES} == {50}


def test_real_imagenette_packs_and_verifies(tmp_path: Path) -> None:
    settings = settings_of("imagenette", size=160, archive=real("imagenette2-160-mini.tgz"))
    opened = PackedSet.open(packed(settings, tmp_path, pack_size=36, jobs=2), verify=True)
    assert len(opened) == 900 and opened.titles == list(TITLES.values())
    split = opened.split(settings.split_name())
    assert np.bincount(opened.labels[split["train"]]).tolist() == [60] * 10
    assert np.bincount(opened.labels[split["test"]]).tolist() == [30] * 10


def test_real_birds_in_nabirds_layout_pack_with_both_splits(tmp_path: Path) -> None:
    settings = settings_of("nabirds", archive=real("nabirds-layout-525.tgz"))
    opened = PackedSet.open(packed(settings, tmp_path, pack_size=16, jobs=2), verify=True)
    assert len(opened) == 2_625 and len(opened.classes) == 525
    counts = {name: (s["train"], s["test"]) for name, s in opened.manifest["splits"].items()}
    assert counts == {"official": (1_575, 1_050), "per-class-80-20-seed0": (2_100, 525)}
