"""A dataset that is divided stands for so many datasets of one pack; one that is not is what it was."""

import hashlib
import re

import pytest

from sslbench.errors import UserError
from sslbench.grid import cost, downstream_tasks
from sslbench.grid.expand import Grid, load
from sslbench.grid.plan import Plan, alternatives
from sslbench.grid.preflight import check_images, check_targets
from sslbench.grid.report_plan import report_plan
from sslbench.store.canonical_json import canonical

PETS = {"kind": "folder", "path": "pets", "pack_size": 32}


@pytest.fixture
def expanded(pets):
    """expanded({dataset: entry}, *names in the grid) -> the grid, over a folder of 2 classes of 15 images each."""

    def expand(datasets: dict, *names: str, **more: object) -> Grid:
        block = {"datasets": list(names or datasets), "models": ["simclr"], "transforms": ["baseline"]}
        return load(
            {
                "name": "mine",
                "title": "Mine",
                "grid": [block | more.pop("block", {})],
                "datasets": datasets,
                "models": {"simclr": {"method": "simclr"}},
                "transforms": {"baseline": {"kind": "baseline"}},
                "training": {"input_size": 32, "batch_size": 8, "epochs": 1},
            }
            | more
        )

    return expand


def test_digests_of_datasets_without_folds_are_what_they_were(expanded):
    listed = {"kind": "table", "table": "/nowhere/t.csv", "group_column": "patient", "pack_size": 32}
    entries = {"own": {"kind": "folder", "path": "/nowhere/own", "pack_size": 32}, "listed": listed}
    datasets = expanded(entries, "own").all_datasets
    found = [(canonical(dataset.read), dataset.source, dataset.pack) for dataset in datasets.values()]
    digests = [hashlib.sha256(repr(one).encode()).hexdigest()[:16] for one in found]
    assert digests == ["42d86caaf3d110b2", "1a42656cfd49940d"]  # taken before there were folds


def test_a_name_in_the_grid_stands_for_all_folds_of_one_pack_each_judged_on_its_own(expanded):
    config = expanded({"pets": PETS | {"folds": 3}, "whole": PETS}, "pets")
    cells = [cell for cell in config.cells() if not cell.reference]
    assert [str(cell.folder) for cell in cells] == [f"results/pets@fold{i}of3/simclr/baseline/seed0" for i in (1, 2, 3)]
    assert all(cell.evaluated is cell.dataset for cell in cells)
    assert len({cell.text for cell in cells}) == 3
    assert {dataset.pack for dataset in config.all_datasets.values()} == {config.all_datasets["whole"].pack}
    assert sum(cell.reference for cell in config.cells()) == 6  # random and supervised, in every fold


def test_one_fold_may_be_asked_for_and_one_that_is_not_there_is_refused(expanded):
    (dataset,) = {cell.dataset.name for cell in expanded({"pets": PETS | {"folds": 3}}, "pets@fold2of3").cells()}
    assert dataset == "pets@fold2of3"
    with pytest.raises(UserError, match=r"no dataset is called 'pets@fold2of5'\. Did you mean 'pets@fold2of3'"):
        expanded({"pets": PETS | {"folds": 3}}, "pets@fold2of5")


def test_a_dataset_judged_on_another_is_judged_on_each_of_its_folds(expanded):
    more = {"kind": "folder", "path": "unsorted", "evaluate_on": "pets"}
    config = expanded({"pets": PETS | {"folds": 2}, "more": more}, "more")
    cells = [c for c in config.cells() if not c.reference]
    assert [(c.dataset.name, c.evaluated.name) for c in cells] == [
        ("more@fold1of2", "pets@fold1of2"),
        ("more@fold2of2", "pets@fold2of2"),
    ]
    assert len({cell.text for cell in cells}) == 1  # one pretraining, which the store hands to the second
    assert cost.describe(config, cells).startswith("1 cells to pretrain")


def test_more_repeats_leave_the_first_ones_as_they_are(expanded):
    three, five = (
        {cell.text for cell in expanded({"pets": PETS | {"repeats": count}}).cells() if not cell.reference}
        for count in (3, 5)
    )
    assert len(three) == 3 and three < five


def test_paths_wildcards_targets_resources_and_downstream_know_the_names(expanded):
    jobs = {"pretrain": {"datasets": {"pets": {"minutes": 7}}}}
    config = expanded({"pets": PETS | {"folds": 3}}, compute={"jobs": jobs}, block={"downstream": ["retrieve"]})
    plan = Plan(config)
    for cell in plan.cells:
        path = re.fullmatch(
            f"results/({alternatives(config.all_datasets)})/([^/]+)/([^/]+)/seed(\\d+)", str(cell.folder)
        )
        assert plan.cell(path[1], path[2], path[3], int(path[4])) == cell
        check_targets(plan, [f"{cell.folder}/run.json"])
        assert "retrieve" in downstream_tasks.tasks(config, cell)
        assert config.compute.asked("pretrain", cell.dataset.name, "cpu")["runtime"] == 7
    assert plan.of_dataset("pets") == plan.cells and len(plan.of_dataset("pets@fold1of3")) == 3
    assert '"pets"' in report_plan(plan)["config_text"] and '"folds": 3' in report_plan(plan)["config_text"]
    with pytest.raises(UserError, match="no dataset is called 'pets'"):
        check_targets(plan, ["results/pets/simclr/baseline/seed0/run.json"])


def test_the_plan_costs_as_many_pretrainings_as_there_are_folds(expanded, monkeypatch):
    plan, looked = Plan(expanded({"pets": PETS | {"folds": 5}})), []
    from sslbench.data.pack import count

    real = count.count
    monkeypatch.setattr(count, "count", lambda *asked: looked.append(1) or real(*asked))
    trained = [cell for cell in plan.cells if not cell.reference]
    assert cost.describe(plan.config, trained).startswith("5 cells to pretrain")
    assert {cell.dataset.counts for cell in trained} == {(24, 6)}
    check_images(plan)
    assert len(looked) == 1  # the folder is looked through once for all folds


def test_too_few_images_for_the_folds_are_refused_before_the_first_job(expanded):
    with pytest.raises(UserError, match=r"^datasets\.pets: .*folds: 40, and there are 30 images.*write fewer folds"):
        check_images(Plan(expanded({"pets": PETS | {"folds": 40}})))
