"""What own folders hold is known before the first job: by the names of their images, and by nothing else."""

import pytest

from sslbench.errors import UserError
from sslbench.grid import cost
from sslbench.grid.expand import load
from sslbench.grid.plan import Plan
from sslbench.grid.preflight import check_images


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """planned(batch, **dataset) -> a plan on a folder of 2 classes, 12 training and 3 test images each by default."""
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(15):
            (tmp_path / "pets" / label / f"{number}.jpg").write_bytes(b"never opened here")

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
