"""A dataset that is judged on several others stands for one on each, and trains once."""

import pytest

from sslbench.errors import UserError
from sslbench.export.metadata import about
from sslbench.grid import cost
from sslbench.grid.cell import Cell
from sslbench.grid.expand import Grid, load

SETS = {name: {"kind": "folder", "path": f"/nowhere/{name}"} for name in ("birds", "cars", "boats")}
THREE = list(SETS)


def grid(dump: object = THREE, *names: str, datasets: dict | None = None, **more: object) -> Grid:
    entry = {"kind": "folder", "path": "/nowhere/dump", "evaluate_on": dump} | more
    return load(
        {
            "name": "mine",
            "title": "Mine",
            "grid": [{"datasets": list(names or ["dump"]), "models": ["simclr"], "transforms": ["baseline"]}],
            "datasets": {"dump": entry} | SETS | (datasets or {}),
            "models": {"simclr": {"method": "simclr"}},
            "transforms": {"baseline": {"kind": "baseline"}},
            "training": {"input_size": 32, "batch_size": 8, "epochs": 1},
        }
    )


def trained(config: Grid) -> list[Cell]:
    return [cell for cell in config.cells() if not cell.reference]


def test_three_judges_share_one_training_one_pack_and_one_estimate():
    config = grid()
    cells = trained(config)
    assert [(str(c.folder), c.evaluated.name) for c in cells] == [
        (f"results/dump@{name}/simclr/baseline/seed0", name) for name in THREE
    ]
    assert len({cell.text for cell in cells}) == len({cell.dataset.pack for cell in cells}) == 1
    assert {cell.dataset.trained_as.name for cell in config.cells()} == {"dump@birds"}  # random rows too
    assert cost.describe(config, cells).startswith("1 cells to pretrain")
    assert {c.model.name for c in config.cells() if c.reference} == {"random"}  # no labels to be supervised by


def test_a_list_of_one_is_the_name():
    (one,), (name,) = (trained(grid(asked)) for asked in (["birds"], "birds"))
    assert (one.folder, one.text, one.evaluated) == (name.folder, name.text, name.evaluated)
    assert one.dataset.name == "dump" and one.dataset.trained_as is one.dataset


def test_a_labelled_set_among_its_own_judges_keeps_its_results_and_its_supervised_row_is_transferred():
    both = {"birds": SETS["birds"] | {"evaluate_on": ["cars", "birds"]}}
    alone, config = grid("birds", "birds"), grid("birds", "birds", "dump", datasets=both)
    found = {cell.names: cell for cell in config.cells()}
    for cell in alone.cells():
        assert found[cell.names] == cell and found[cell.names].text == cell.text
    transferred = found["birds@cars", "supervised", "baseline", 0]
    assert transferred.evaluated.name == "cars" and transferred.text == found["birds", "supervised", "baseline", 0].text
    assert found["dump", "simclr", "baseline", 0].evaluated.name == "birds"  # others may be judged on it


def test_test_images_of_all_judges_are_left_out_of_one_pack_in_whatever_order_they_are_named():
    config, turned = grid(exclude_test=True), grid(THREE[::-1], exclude_test=True)
    cells = trained(config)
    (text,) = {cell.text for cell in [*cells, *trained(turned)]}
    (pack,) = {cell.dataset.pack for cell in [*cells, *trained(turned)]}
    assert pack.startswith(f"{cells[0].dataset.whole}-less-")
    left_out = cells[0].settings["dataset"]["exclude_test"]
    assert len(left_out) == 3 and all(config.all_datasets[name].read in left_out for name in THREE)
    assert text != trained(grid())[0].text
    (one,) = trained(grid("birds", exclude_test=True))
    assert one.settings["dataset"]["exclude_test"] == one.evaluated.read  # as before there were lists


FAULTS = {
    "unknown": (["birds", "cats"], {}, "no dataset is called 'cats'. Did you mean 'cars'"),
    "empty": ([], {}, "[] is not allowed: give the name of a labelled dataset, or a list of names"),
    "no names": ([1], {}, "[1] is not allowed: give the name of a labelled dataset, or a list"),
    "twice": (["birds", "birds"], {}, "'birds' is named twice"),
    "one set": (["birds", "again"], {"again": SETS["birds"]}, "'again' and 'birds' are the same images in one split"),
    "unlabelled": (["birds", "bare"], {"bare": SETS["cars"] | {"labelled": False}}, "'bare' has no labels"),
    "itself": ("dump", {}, "it names the dataset itself"),
    "judged": (["birds", "more"], {"more": SETS["cars"] | {"evaluate_on": "birds"}}, "'more' is itself judged on"),
    "divided": (["birds", "parts"], {"parts": SETS["cars"] | {"folds": 3}}, "'parts' is divided into folds"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_judged_on_is_refused_in_one_line(fault):
    asked, datasets, line = FAULTS[fault]
    with pytest.raises(UserError, match=r"^config: datasets\.dump\.evaluate_on") as refused:
        grid(asked, datasets=datasets)
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_a_set_that_judges_itself_cannot_leave_images_out():
    with pytest.raises(UserError, match=r"^config: datasets\.birds\.exclude_test: .*under another name"):
        grid(datasets={"birds": SETS["birds"] | {"evaluate_on": ["birds", "cars"], "exclude_test": True}})


def test_an_export_says_that_test_images_were_kept_out_unless_folds_train_on_them():
    folds = {"birds": SETS["birds"] | {"folds": 2}}
    for config, ends in ((grid(), True), (grid("birds", "birds", datasets=folds), False)):
        lines = [line for cell in trained(config) for line in about(cell, "exports/x", [], {})["trained_on"]]
        assert lines and all(line.endswith(" train") == ends for line in lines)
