"""Folds of one dataset are one on the page, each image counted once; repeats have a mean that allows for overlap."""

import itertools

import numpy as np
import pandas
import pytest
from scipy import stats

from sslbench.report.blocks import Verdict
from sslbench.report.page import build
from sslbench.report.sections import folds, leaderboard
from sslbench.report.wording import Labels
from sslbench.stats import paired

N, FOLDS = 100, 3  # test images of a fold


def divided(tree, how: str, seeds: int = 1, unfinished: tuple = ()) -> dict:
    """Two methods on every part; returns right or wrong by (method, part, seed), each [N]."""
    rng, right = np.random.default_rng(3), {}
    for part in range(FOLDS):
        tree.dataset(f"parts@{how}{part + 1}of{FOLDS}", "folder", FOLDS * N, 10, f"{how}{part + 1}")
    for part, (method, share), seed in itertools.product(range(FOLDS), (("simclr", 0.8), ("byol", 0.6)), range(seeds)):
        cell = tree.cell(f"parts@{how}{part + 1}of{FOLDS}", method, "baseline", seed)
        if (method, part, seed) in unfinished:
            continue
        right[method, part, seed] = rng.random(N) < share + 0.05 * part + 0.02 * seed
        folder = tree.finish(cell, right[method, part, seed], np.arange(N) % 10)
        table = pandas.read_parquet(folder / "predictions.parquet")
        table["index"] += N * part if how == "fold" else 10 * part  # test sets of repeats overlap
        table.to_parquet(folder / "predictions.parquet", index=False)
    return right


def of(found: list[dict], method: str) -> dict:
    return next(one for one in found if one["name"][1] == method)


def test_images_of_all_folds_are_compared_as_one_test_set(tree) -> None:
    right = divided(tree, "fold")
    report = tree.report()
    entries = report["divided"]["entries"]
    every = {m: np.concatenate([right[m, part, 0] for part in range(FOLDS)]) for m in ("simclr", "byol")}
    for method, mine in every.items():
        entry = of(entries, method)
        assert entry["name"] == ["parts", method, "baseline"] and entry["n"] == FOLDS * N
        assert entry["top1"]["value"] == pytest.approx(mine.mean())
        assert [entry["top1"][key] for key in ("low", "high")] == pytest.approx(paired.wilson(mine.sum(), len(mine)))
    only = [int((every[a] & ~every[b]).sum()) for a, b in (("simclr", "byol"), ("byol", "simclr"))]
    assert of(entries, "byol")["behind"]["p"] == pytest.approx(stats.binomtest(min(only), sum(only)).pvalue)
    assert (of(entries, "simclr")["dataset_rank"], of(entries, "byol")["dataset_rank"]) == (1, 2)


def test_the_splits_spread_stands_beside_the_seeds(tree) -> None:
    right = divided(tree, "fold", seeds=3)
    report = tree.report()
    for row in report["divided"]["rows"]:
        accuracies = np.array([[right[row["name"][1], p, s].mean() for s in range(3)] for p in range(FOLDS)])
        assert row["mean"] == pytest.approx(accuracies.mean())
        assert row["sd_parts"] == pytest.approx(accuracies.mean(1).std(ddof=1))
        assert row["sd_seeds"] == pytest.approx(np.sqrt(accuracies.var(1, ddof=1).mean()))
    entry = of(report["divided"]["entries"], "simclr")
    assert row["low"] < row["mean"] < row["high"] and entry["top1"]["seeds"] == 3
    shown = [[line for c in row.cells for line in c.lines] for row in _table(report).rows]
    for row, told in zip(sorted(report["divided"]["rows"], key=lambda row: -row["mean"]), shown, strict=True):
        expected = [f"{row['mean']:.3f}", f"{100 * row['sd_parts']:.1f}", f"{100 * row['sd_seeds']:.1f}"]
        assert [told[1], told[3], told[4]] == expected


def _table(report: dict):
    ((_, (_, table)),) = [(part.title, part.blocks) for part in folds.parts(report, Labels(report))]
    return table


def test_a_page_has_one_verdict_and_one_row_for_all_folds_and_the_files_have_each(tree) -> None:
    divided(tree, "fold")
    page = build(tree.report(), {})
    assert [block.about for block in page.answer if isinstance(block, Verdict)] == ["parts"]
    sections = {section.anchor: section for section in page.sections}
    assert len(sections["leaderboard"].blocks[-1].rows) == 2
    assert [part.title for part in sections["accuracy"].parts] == ["parts"]
    assert "300 test pictures" in sections["accuracy"].parts[0].blocks[0].caption
    assert [part.title for part in sections["data"].parts][1:] == [f"parts@fold{i}of3" for i in (1, 2, 3)]
    names = set(pandas.read_csv(tree.out / "cells.csv")["dataset"])
    assert names == {f"parts@fold{i}of3" for i in (1, 2, 3)}


@pytest.mark.parametrize("unfinished", [("byol", 1, 0)])
def test_a_mean_over_some_folds_is_no_mean_over_all(tree, unfinished) -> None:
    divided(tree, "fold", unfinished=(unfinished,))
    report = tree.report()
    entry, row = of(report["divided"]["entries"], "byol"), of(report["divided"]["rows"], "byol")
    assert entry["top1"]["value"] is None and entry["dataset_rank"] is None and row["mean"] is None
    assert entry["why"].startswith("parts@fold2of3: ") and len(row["means"]) == 2
    assert "2 of 3 finished" in str(_table(report).rows)


def test_a_collapsed_fold_is_not_ranked_in_its_datasets_place(tree) -> None:
    divided(tree, "fold", unfinished=(("byol", 2, 0),))
    cell = next(c for c in tree.plan["cells"] if c["dataset"] == "parts@fold3of3" and c["model"] == "byol")
    tree.finish(cell, np.arange(N) < 10, np.arange(N) % 10, verdict="collapsed")
    entry = of(folds.merged(tree.report())["entries"], "byol")
    assert entry["name"][0] == "parts" and entry["collapsed"] and entry["dataset_rank"] is None


def test_means_over_repeats_have_the_corrected_interval_and_repeats_stay_apart(tree) -> None:
    right = divided(tree, "repeat")
    report = tree.report()
    assert not report["divided"]["entries"] and folds.merged(report) is report
    gap = np.array([right["byol", p, 0].mean() - right["simclr", p, 0].mean() for p in range(FOLDS)])
    behind = of(report["divided"]["rows"], "byol")["behind"]
    error = np.sqrt((1 / FOLDS + N / (FOLDS * N - N)) * gap.var(ddof=1))  # 100 of 300 images test
    low, high = stats.t.interval(0.95, FOLDS - 1, gap.mean(), error)
    assert behind["name"][1] == "simclr"
    assert (behind["difference"], behind["low"], behind["high"]) == pytest.approx((gap.mean(), low, high))
    assert not leaderboard.across(report, Labels(report))  # repeats are not so many datasets
