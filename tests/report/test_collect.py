"""collect: what state each cell is in, the tidy table, and ranks that the predictions carry."""

import json

import numpy
import pandas
import pytest

from sslbench.report.collect.cell_results import read_curve
from sslbench.stats.paired import wilson


def right(n: int, count: int) -> numpy.ndarray:
    """``count`` of n pictures right: the first ones, so that two cells differ in exactly the pictures between."""
    return numpy.arange(n) < count


def by_name(report: dict, model: str, transform: str, seed: int = 0) -> dict:
    return next(c for c in report["cells"] if (c["model"], c["transform"], c["seed"]) == (model, transform, seed))


def entry(report: dict, model: str, transform: str) -> dict:
    return next(e for e in report["entries"] if e["name"][1:] == [model, transform])


def test_figures_land_in_the_tidy_row_of_their_cell(tree, labels) -> None:
    tree.finish(
        tree.cell("nette", "simclr", "baseline"),
        right(1000, 700),
        labels,
        minutes=61.5,
        gigabytes=7.25,
        knn=(0.41, 0.39),
    )
    tree.finish(tree.cell("nette", "byol", "simclr"), right(1000, 600), labels, gpu=False, gigabytes=2.5)
    report = tree.report()
    table = pandas.read_csv(tree.out / "cells.csv")
    assert list(table["model"]) == ["simclr", "byol"]
    first = table.iloc[0]
    assert (first["top1"], first["test_pictures"], first["minutes"], first["peak_gb"]) == (0.7, 1000, 61.5, 7.25)
    assert (first["knn20_top1"], first["knn200_top1"], first["status"], first["memory"]) == (0.41, 0.39, "done", "GPU")
    assert (first["top1_low"], first["top1_high"]) == pytest.approx(wilson(700, 1000))
    assert (first["published_top1"], first["difference_top1"]) == pytest.approx((0.685, 0.015))
    assert (table.iloc[1]["memory"], table.iloc[1]["peak_gb"]) == ("RSS", 2.5)
    assert report["cells"][0]["cost"]["images_per_second"] == 1234.5


def test_a_cell_whose_settings_code_or_data_changed_is_stale_and_says_which(tree, labels) -> None:
    cells = [tree.cell("nette", m, t) for m in ("simclr", "byol") for t in ("baseline", "simclr")]
    for cell in cells:
        tree.finish(cell, right(1000, 700), labels)
    cells[0]["expected"] = json.loads(json.dumps(cells[0]["expected"]))
    cells[0]["expected"]["settings"]["recipe"]["base_lr"] = 0.125
    cells[1]["expected"] = cells[1]["expected"] | {"code": "other"}
    run = tree.root / cells[2]["folder"] / "run.json"
    tree.write(run, json.loads(run.read_text()) | {"data": {"content_sha256": "ef" * 32}})
    report = tree.report()
    assert [c["status"] for c in report["cells"]] == ["stale", "stale", "stale", "done"]
    assert report["cells"][0]["changed"][0].startswith("recipe.base_lr (")
    assert "0.125 today" in report["cells"][0]["why"]
    assert [report["cells"][i]["changed"] for i in (1, 2, 3)] == [["code"], ["data"], []]
    assert [e["column_rank"] for e in report["entries"]] == [None, None, None, 1]


def test_missing_failed_unevaluated_and_set_aside_are_told_apart(tree, labels) -> None:
    missing, failed, untested, aside = (
        tree.cell("nette", m, t) for m in ("simclr", "byol") for t in ("baseline", "simclr")
    )
    tree.log(missing, "epoch 3 of 200, loss 1.2\n")
    tree.log(failed, "epoch 3\rsslbench: the loss is not finite at step 40; lower the learning rate\nfinishing\n")
    (tree.finish(untested, right(1000, 700), labels) / "linear.json").unlink()
    tree.finish(aside, right(1000, 700), labels)
    aside["set_aside"] = "its archive was not supplied"
    report = tree.report()
    assert [c["status"] for c in report["cells"]] == ["missing", "failed", "missing", "set aside"]
    assert report["cells"][0]["log"] == "epoch 3 of 200, loss 1.2"
    assert report["cells"][1]["why"].endswith("the loss is not finite at step 40; lower the learning rate")
    assert "linear.json missing" in report["cells"][2]["why"]
    assert all(c["top1"]["value"] is None for c in report["cells"])


def test_a_damaged_file_makes_a_cell_unfinished_and_not_the_report(tree, labels) -> None:
    folder = tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    (folder / "run.json").write_text('{"settings": ')
    assert tree.report()["cells"][0]["status"] == "missing"


def test_equal_models_share_a_rank_and_distant_ones_do_not(tree, labels) -> None:
    tree.model("swav", "swav", "clustering")
    for model, count in (("simclr", 800), ("byol", 797), ("swav", 600)):
        tree.finish(tree.cell("nette", model, "baseline"), right(1000, count), labels)
    report = tree.report()
    ranks = {e["name"][1]: (e["column_rank"], e["column_tied"], e["dataset_rank"]) for e in report["entries"]}
    assert ranks == {"simclr": (1, 2, 1), "byol": (1, 2, 1), "swav": (3, 1, 3)}


def test_a_collapsed_or_reference_run_is_never_ranked_however_high_its_figure(tree, labels) -> None:
    tree.model("supervised", "supervised", "reference")
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 990), labels, verdict="collapsed")
    tree.finish(tree.cell("nette", "byol", "baseline"), right(1000, 300), labels)
    tree.finish(tree.cell("nette", "supervised", "baseline"), right(1000, 995), labels)
    report = tree.report()
    ranks = {e["name"][1]: (e["column_rank"], e["dataset_rank"]) for e in report["entries"]}
    assert ranks == {"simclr": (None, None), "byol": (1, 1), "supervised": (None, None)}
    table = pandas.read_csv(tree.out / "cells.csv")
    assert list(table["rank_in_dataset"].isna()) == [True, False, True]


def test_seeds_are_joined_to_a_mean_with_the_interval_over_them(tree, labels) -> None:
    for seed, count in enumerate((700, 720, 680)):
        tree.finish(tree.cell("nette", "simclr", "baseline", seed), right(1000, count), labels, minutes=60 + seed)
    tree.cell("nette", "simclr", "baseline", 3)
    found = entry(tree.report(), "simclr", "baseline")
    assert found["states"] == {"done": 3, "missing": 1}
    assert found["top1"]["value"] == pytest.approx(0.7)
    assert found["minutes"] == pytest.approx(61)
    half = 4.302653 * 0.02 / 3**0.5  # t quantile for 2 degrees of freedom, sample deviation 0.02
    assert found["top1"]["high"] - found["top1"]["value"] == pytest.approx(half, rel=1e-5)
    assert found["published"]["top1"]["difference"] == pytest.approx(0.7 - 0.685)


def test_one_collapsed_seed_keeps_its_entry_out_of_the_ranking(tree, labels) -> None:
    for seed in (0, 1):
        verdict = "collapsed" if seed else "healthy"
        tree.finish(tree.cell("nette", "simclr", "baseline", seed), right(1000, 700), labels, verdict=verdict)
    found = entry(tree.report(), "simclr", "baseline")
    assert (found["collapsed"], found["ranked"], found["column_rank"]) == (1, False, None)


def test_features_that_are_not_finite_are_a_collapsed_cell_without_a_figure(tree, labels) -> None:
    folder = tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 0), labels, verdict="collapsed")
    linear = json.loads((folder / "linear.json").read_text())
    tree.write(folder / "linear.json", linear | {"top1": None, "top5": None})
    report = tree.report()
    found = entry(report, "simclr", "baseline")
    assert (report["cells"][0]["status"], found["top1"]["value"], found["collapsed"]) == ("done", None, 1)


def test_a_long_curve_is_thinned_with_its_ends_and_measurements_kept(tmp_path) -> None:
    path = tmp_path / "curve.csv"
    rows = [f"{e},{e * 10},0.1,{1 / e},{0.5 if e % 25 == 0 else ''}" for e in range(1, 801)]
    path.write_text("epoch,step,lr,loss,online_top1\n" + "\n".join(rows) + "\n")
    curve = read_curve(path)
    assert len(curve["epoch"]) <= 100
    assert (curve["epoch"][0], curve["epoch"][-1]) == (1, 800)
    assert sum(y is not None for y in curve["online_top1"]) == 32
    path.write_text("epoch,step,lr,loss\n1,10,0.1,nan\n")
    assert read_curve(path)["loss"] == [None]
    assert read_curve(tmp_path / "none.csv") == {}
