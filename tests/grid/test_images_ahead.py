"""What own folders and archives hold is known before the first job: by the names of their images, and by nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from sslbench.data.layouts import imagenet, imagenette, nabirds
from sslbench.data.pack import count
from sslbench.errors import UserError
from sslbench.grid import cost
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.preflight import check_images
from tests.data.data_samples import make_imagenet, make_imagenette, make_nabirds, tar_of


@pytest.fixture
def planned(pets):
    """planned(batch, **dataset) -> a plan on a folder of 2 classes, 12 training and 3 test images each by default."""

    def plan(batch: int, **dataset) -> Plan:
        return Plan(
            load(
                {
                    "name": "mine",
                    "title": "Mine",
                    "grid": [{"datasets": ["pets"], "models": ["simclr"], "transforms": ["simclr"]}],
                    "datasets": {"pets": {"kind": "folder", "path": "pets"} | dataset},
                    "models": {"simclr": {"method": "simclr"}},
                    "transforms": {"simclr": {"kind": "simclr"}},
                    "references": {"random": True, "supervised": []},
                    "training": {"batch_size": batch, "input_size": 32},
                }
            )
        )

    return plan


def test_a_batch_larger_than_the_training_images_is_refused_with_their_number(planned):
    with pytest.raises(UserError, match="batch_size is 256, but pets has 24 training pictures"):
        check_images(planned(256))
    with pytest.raises(UserError, match="batch_size is 24, but pets has 14 training"):
        check_images(planned(24, test_share=0.5))


@pytest.mark.parametrize(
    ("batch", "said"), [(13, "11 of 24 training images (46%)"), (24, None), (11, None), (7, "3 of 24")]
)
def test_images_that_fill_no_batch_are_counted_where_they_are_many(planned, batch, said):
    notes = check_images(planned(batch))
    assert [said in note for note in notes] == ([True] if said else [])


def test_a_folder_that_cannot_be_read_as_classes_is_refused_by_its_datasets_name(planned, tmp_path):
    (tmp_path / "pets" / "loose.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"^datasets\.pets: .*loose\.jpg"):
        check_images(planned(8))


def test_the_cost_of_own_folders_is_counted_from_their_images(planned):
    text = cost.describe(planned(8).config, [cell for cell in planned(8).cells if cell.transform])
    assert "unknown size" not in text
    assert cost.train_pictures(planned(8).datasets["pets"]) == 24


def test_a_finished_cell_looks_at_no_folder(planned, tmp_path):
    plan = planned(256)
    for cell in plan.cells:
        (tmp_path / cell.folder).mkdir(parents=True)
        (tmp_path / cell.folder / "run.json").write_text("{}")
    assert check_images(plan) == []


def archived(folder: Path, form: str) -> Path:
    return Path(shutil.make_archive(str(folder.with_name(f"{folder.name}-{form}")), form, folder.parent, folder.name))


@pytest.mark.parametrize("form", ["zip", "gztar"])
def test_an_own_archive_is_counted_as_the_folder_that_it_unpacks_to(planned, tmp_path, form):
    archive = archived(tmp_path / "pets", form)
    plan = planned(256, path=None, archive=str(archive))
    with pytest.raises(UserError, match="batch_size is 256, but pets has 24 training pictures"):
        check_images(plan)
    assert plan.datasets["pets"].own_counts == planned(8).datasets["pets"].own_counts == (24, 6, 2)
    assert "unknown size" not in cost.describe(plan.config, [cell for cell in plan.cells if cell.transform])


def test_a_table_in_an_archive_is_read_where_the_archive_is_counted(planned, tmp_path):
    rows = (f"{label}/{n}.jpg,{label},{'test' if n < 5 else 'train'}" for label in ("cat", "dog") for n in range(15))
    (tmp_path / "pets" / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
    plan = planned(8, kind="table", path=None, archive=str(archived(tmp_path / "pets", "zip")), table="labels.csv")
    assert plan.datasets["pets"].own_counts == (20, 10, 2)


def test_an_archive_is_listed_once_until_it_changes(planned, tmp_path, monkeypatch):
    archive, listed = archived(tmp_path / "pets", "zip"), []
    real = count.archives.extract
    monkeypatch.setattr(count.archives, "extract", lambda *args, **more: (listed.append(args), real(*args, **more)))
    for _ in range(2):
        check_images(planned(8, path=None, archive=str(archive)))
    assert len(listed) == 1
    assert planned(8, path=None, archive=str(archive), test_share=0.4).datasets["pets"].counts == (
        18,
        12,
    )  # another split
    (tmp_path / "pets" / "cat" / "more.jpg").touch()
    assert archived(tmp_path / "pets", "zip") == archive
    assert planned(8, path=None, archive=str(archive)).datasets["pets"].own_counts == (24, 7, 2)
    listed.clear()
    os.utime(archive, ns=(1, 1))
    check_images(planned(8, path=None, archive=str(archive)))
    assert len(listed) == 1


def test_an_archive_that_cannot_be_read_is_refused_by_its_datasets_name(planned, tmp_path):
    (tmp_path / "pets.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"^datasets\.pets: .*pets\.zip"):
        check_images(planned(8, path=None, archive="pets.zip"))


OFFICIAL = {  # kind -> what makes a folder of it, its settings, and what the folder holds
    "imagenette": (make_imagenette, imagenette, (9, 6, 3)),
    "nabirds": (make_nabirds, nabirds, (12, 6, 3)),
    "imagenet": (make_imagenet, imagenet, (9, 6, 3)),
}


@pytest.mark.parametrize("place", ["path", "archive"])
@pytest.mark.parametrize("kind", OFFICIAL)
def test_an_official_set_of_the_users_own_is_held_against_what_was_published(
    planned, tmp_path, monkeypatch, kind, place
):
    make, module, holds = OFFICIAL[kind]
    folder = make(tmp_path)
    where = {"path": None, place: str(folder if place == "path" else tar_of(folder, tmp_path / "set.tgz"))}
    monkeypatch.setattr(module.Settings, "published", lambda self: holds)
    check_images(planned(8, kind=kind, **where))
    published = (holds[0] + 1, *holds[1:])
    monkeypatch.setattr(module.Settings, "published", lambda self: published)
    with pytest.raises(UserError, match=rf"datasets\.pets: .* holds {holds[0]} training and {holds[1]} test images of 3 "
                       rf"classes, and {kind}\d* has {published[0]} training and .*kind: folder"):  # fmt: skip
        check_images(planned(8, kind=kind, **where))


def test_imagenet_may_have_fewer_classes_and_then_counts_what_it_has(planned, tmp_path):
    plan = planned(8, kind="imagenet", path=str(make_imagenet(tmp_path)))
    check_images(plan)
    assert plan.datasets["pets"].counts == (9, 6)
