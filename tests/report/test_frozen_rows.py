"""Frozen backbones on the page, against counts and ranks by hand."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats as scipy_stats

from sslbench.data import seen
from sslbench.report.blocks import Section, Verdict
from sslbench.report.collect import csv_tables, frozen_rows
from sslbench.report.sections import frozen
from sslbench.report.sections.downloads import plain
from sslbench.report.sections.downloads import shown as tables
from sslbench.report.sections.leaderboard import leaderboard
from sslbench.report.sections.summary import answer
from sslbench.report.wording import Labels
from sslbench.stats import ranking
from tests.report import drawn_backbones as drawn
from tests.report.drawn_backbones import Drawn, add, finish, named_pack
from tests.report.test_leaderboard import board
from tests.report.test_table_files import OF_FROZEN

LABELS = np.arange(400) % 10
TEST = [f"{i % 10}/{i:04}.png" for i in range(400)]
GOOD = Drawn("good", "vit_small_patch14_dinov2.lvd142m", 0.9, 40.0, 22.0, "apache-2.0")
SMALL = Drawn("small", "mobilenetv4_conv_small.e2400_r224_in1k", 0.8, 5.0, 2.5, "apache-2.0")


def right(rate: float, seed: int) -> np.ndarray:
    """As drawn_backbones: errors share images."""
    score = np.random.default_rng(0).normal(0, 0.8, 400) + np.random.default_rng(seed).normal(0, 0.6, 400)
    return score <= np.quantile(score, rate)


@pytest.fixture
def table(tree):
    """A dataset of 400 test images, the first of its pack, which no published weights are known to have seen."""
    tree.dataset("parts", "table", 500, 10)
    named_pack(tree, "parts", TEST + [f"train/{i}.png" for i in range(100)])
    return tree


def entries(report: dict) -> dict[str, dict]:
    return {e["name"][1].removeprefix("pretrained-"): e for e in report["entries"]}


def test_every_entry_is_paired_with_the_best_frozen_backbone_on_the_same_images(table) -> None:
    outcomes = {"good": right(0.9, 1), "small": right(0.8, 2), "simclr": right(0.7, 3)}
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, outcomes["good"], LABELS)
    finish(table, add(table, "parts", SMALL, "reference"), SMALL, outcomes["small"], LABELS)
    table.finish(table.cell("parts", "simclr", "baseline"), outcomes["simclr"], LABELS)
    found = entries(table.report())
    assert found["good"]["best_frozen"] and found["good"]["against_frozen"] is None
    p = {}
    for name in ("small", "simclr"):
        against = found[name]["against_frozen"]
        more, less = (outcomes[name] & ~outcomes["good"]).sum(), (outcomes["good"] & ~outcomes[name]).sum()
        p[name] = scipy_stats.binomtest(int(more), int(more + less)).pvalue
        assert against["difference"] == pytest.approx((more - less) / 400) and against["name"][1] == "pretrained-good"
        assert against["p"] == pytest.approx(p[name]) and against["low"] < against["difference"] < against["high"]
        error = np.sqrt(more + less - (more - less) ** 2 / 400) / 400  # Wald's, near Tango's at this size
        assert against["low"] == pytest.approx(against["difference"] - 1.96 * error, abs=0.006)
    # of two entries beside one of two backbones: Holm's step, twice
    assert found["simclr"]["against_frozen"]["adjusted"] == pytest.approx(min(4 * min(p.values()), 1), rel=1e-6)
    rows = {row["model"]: row for row in map(dict, _csv(table.out / "cells.csv"))}
    assert float(rows["simclr"]["frozen_difference"]) == found["simclr"]["against_frozen"]["difference"]
    assert rows["pretrained-small"]["inference_ms_batch1"] == "5.0" and rows["pretrained-good"]["frozen_low"] == ""


def test_the_columns_about_frozen_backbones_are_there_with_them_alone(table) -> None:
    table.finish(table.cell("parts", "simclr", "baseline"), right(0.7, 3), LABELS)
    without = table.report()
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, right(0.9, 1), LABELS)
    both = table.report()
    new = {
        name: set(make(both)[0]) - set(make(without)[0])
        for name, make in (("c", csv_tables.cells), ("e", csv_tables.entries))
    }
    times = {"inference_ms_batch1", "inference_ms_batch32"}
    assert new == {"c": OF_FROZEN - {"best_frozen", "frozen_p", "frozen_adjusted"} | times, "e": OF_FROZEN | times}


def _csv(path: Path) -> list[dict]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_frozen_row_stands_beside_every_seed_and_adds_no_variance_of_its_own(table) -> None:
    one = right(0.85, 1)
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, one, LABELS)
    seeds = np.array([right(rate, 5 + i) for i, rate in enumerate((0.7, 0.72, 0.75))])
    for seed, row in enumerate(seeds):
        table.finish(table.cell("parts", "simclr", "baseline", seed), row, LABELS)
    against = entries(table.report())["simclr"]["against_frozen"]
    assert against["difference"] == pytest.approx(seeds.mean() - one.mean())
    # Variance of the mean of 3 seeds, and of the images' own differences, by hand
    images = (seeds.mean(0) - one).var(ddof=1) / 400
    assert against["high"] - against["low"] > 2 * 1.96 * np.sqrt(seeds.mean(1).var(ddof=1) / 3)
    assert against["high"] - against["low"] < 2 * 4.31 * np.sqrt(seeds.mean(1).var(ddof=1) / 3 + images)


@pytest.mark.parametrize("names", ["shifted", "other", "unknown"])
def test_a_pack_of_another_size_is_paired_by_the_images_names_or_not_at_all(table, names) -> None:
    """The row's own pack has three images before the others, or other images; its predictions are by its own places."""
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, right(0.9, 1), LABELS)
    table.finish(table.cell("parts", "simclr", "baseline"), right(0.7, 3), LABELS)
    own = {"shifted": ["new/0.png", "new/1.png", "new/2.png", *TEST], "other": [f"x{name}" for name in TEST]}
    pack = named_pack(table, "parts", own.get(names, TEST), "parts-256px")
    if names == "unknown":
        (pack / "names.json").unlink()
    folder = finish(table, add(table, "parts", SMALL, "reference", pack), SMALL, right(0.8, 2), LABELS)
    if names == "shifted":
        found = pandas.read_parquet(folder / "predictions.parquet")
        found.assign(index=found["index"] + 3).to_parquet(folder / "predictions.parquet", index=False)
    report = table.report()
    entry = entries(report)["small"]
    if names == "shifted":
        assert entry["against_frozen"]["difference"] == pytest.approx(-0.1) and not entry["other_images"]
    else:
        assert entry["against_frozen"] is None and entry["other_images"]
        board = leaderboard(report, Labels(report))
        assert "Tested on other images than most entries" in str(board)


def test_positions_follow_names_and_refuse_other_classes(table) -> None:
    pack = Path(table.plan["datasets"]["parts"]["pack"])
    other = named_pack(table, "parts", [*reversed(TEST), "more"], "reversed")
    assert frozen_rows.positions(pack, pack) is None
    assert frozen_rows.positions(other, pack).tolist() == [*range(399, -1, -1), -1]
    manifest = json.loads((other / "manifest.json").read_text())
    table.write(other / "manifest.json", manifest | {"classes": 9})
    assert len(frozen_rows.positions(other, pack)) == 0


def test_weights_that_saw_the_test_images_are_shown_and_leave_ranks_and_the_best(table) -> None:
    """Of made-up test images that are named as ImageNet names its training images."""
    table.plan["models"].clear()
    table.plan["datasets"]["parts"]["kind"] = "imagenette"
    named_pack(table, "parts", [f"test/n01440764/n01440764_{i}.JPEG" for i in range(500)])
    rows = {
        "labels": Drawn("labels", "resnet50.a1_in1k", 0.95, 30.0, 23.5, "apache-2.0"),
        "unlabelled": Drawn("unlabelled", "vit_base_patch16_224.mae", 0.93, 90.0, 85.8, "cc-by-nc-4.0"),
        "clean": Drawn("clean", "owner", 0.9, 20.0, 20.0, "mit"),
        "lab": Drawn("lab", "owner", 0.7, 10.0, 10.0, "mit"),
    }
    kept = {}
    for seed, (name, row) in enumerate(rows.items()):
        asked = {} if "_" in row.tag else {"hub": "lab/net"}
        kept[name] = right(row.top1, seed)
        cell = add(table, "parts", row, **asked)
        if asked:
            cell["seen"] = ["sat-493m without labels"]
        finish(table, cell, row, kept[name], LABELS)
    report = table.report()
    found = entries(report)
    assert [found[name]["weights"]["level"] for name in rows] == [1, 2, 4, 4]
    expected = {r.name: r.rank for r in ranking.tie_groups({name: kept[name] for name in ("clean", "lab")})}
    assert {name: found[name]["dataset_rank"] for name in rows} == {"labels": None, "unlabelled": None} | expected
    assert [name for name in rows if found[name]["best_frozen"]] == ["clean"]
    assert found["labels"]["against_frozen"]["difference"] == pytest.approx(0.05)
    (verdict,) = [block for block in answer(report, Labels(report)) if isinstance(block, Verdict)]
    assert "Take clean" in plain(verdict.advice) and "labels 0.950 and unlabelled 0.930" in verdict.details[0]
    _, shown, seen = leaderboard(report, Labels(report))
    (page,) = tables([Section("board", "Board", (shown,))])
    marked = {row[0]: " ".join(row) for row in page["rows"]}
    assert [name for name in rows if "not ranked" in marked[name]] == ["labels", "unlabelled"]
    assert [name for name in rows if "forbids commercial use" in marked[name]] == ["unlabelled"]
    assert any("400 of 400 test images are in ImageNet-1k, seen with labels." in note for note in page["notes"])
    assert "has conditions" not in str(seen) and "ImageNet-1k without labels" in str(seen)


def test_what_a_row_says_of_its_weights_decides_and_silence_is_unknown(table) -> None:
    dataset = {"kind": "table", "name": "parts", "identity": {}}

    def level(said: list[str] | None = None, own: dict | None = None, **asked: str) -> int:
        run = {"weights": own or {}, "settings": {"method": {"options": asked}}}
        return frozen_rows.weights(run, dataset, said, TEST, 400)["level"]

    assert level() == level(hub="lab/net") == 5
    assert level([]) == 4 and level(["parts without labels"]) == 2
    assert level(timm="resnet50.a1_in1k") == level(hub="timm/resnet50.a1_in1k") == 4
    assert level(["parts train without labels"]) == 3
    assert level(own={"seen": ["parts train with labels"]}) == 3 and level([], {"seen": ["parts with labels"]}) == 4


def test_the_page_needs_no_timm_for_what_was_noted_with_the_row(monkeypatch) -> None:
    """Under --use-conda collect has an environment without it."""
    names = [f"val/n01440764/n01440764_{i}.JPEG" for i in range(5)]
    run = {
        "settings": {"method": {"options": {"timm": "resnet50.a1_in1k"}}},
        "imagenet_subsets": seen.subsets_of(names),
    }
    monkeypatch.setattr(seen, "_classes", None)
    dataset = {"kind": "imagenette", "name": "nette", "identity": {}}
    assert frozen_rows.weights(run, dataset, None, names, 5)["level"] == 1


@pytest.mark.parametrize(("rate", "said"), [(0.97, "beats the best frozen backbone, good at 0.900"),
                                            (0.6, "Take good, frozen: no pretraining beats its 0.900")])  # fmt: skip
def test_the_answer_says_whether_pretraining_beats_the_best_frozen_backbone(table, rate, said) -> None:
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, right(0.9, 1), LABELS)
    cell = table.cell("parts", "simclr", "baseline")
    cell["speed"] = drawn.timed(table, "resnet18", 3.0)
    table.finish(cell, right(rate, 3), LABELS)
    table.finish(table.cell("parts", "byol", "baseline"), right(0.5, 4), LABELS, minutes=20)
    report = table.report()
    text = plain(next(block for block in answer(report, Labels(report)) if isinstance(block, Verdict)).advice)
    assert said in text and f"{abs(rate - 0.9) * 100:.1f} points (" in text
    assert ("after 60.0 min of pretraining; an image takes 3 ms, in the frozen one 40 ms" in text) == (rate > 0.9)


def test_of_pretrained_entries_the_best_that_differs_is_named_before_a_larger_lead_by_chance() -> None:
    def entry(model: str, difference: float, adjusted: float) -> dict:
        pair = {"difference": difference, "low": difference - 0.01, "high": difference + 0.01, "adjusted": adjusted}
        return {"name": ["parts", model, "t"], "against_frozen": pair, "minutes": None, "top1": {"value": 0.8}}

    best = {"name": ["parts", "good", "none"], "best_frozen": True, "top1": {"value": 0.8}}
    report = {"confidence": 0.95, "cells": [], "entries": [], "models": {name: {} for name in ("a", "b", "good")}}
    trained = [entry("a", 0.03, 0.2), entry("b", 0.025, 0.001)]
    told, beats = frozen.compared(report, [best, *trained], trained, Labels(report))
    assert beats and told.startswith("b with t beats") and "by 2.5 points" in told


def test_beside_trained_entries_a_frozen_backbone_costs_no_training(table) -> None:
    """In the chart its cost, 0, is no place on a logarithmic axis: it is a level line."""
    finish(table, add(table, "parts", GOOD, "reference"), GOOD, right(0.9, 1), LABELS)
    for model, minutes in (("simclr", 10.0), ("byol", 200.0)):
        table.finish(table.cell("parts", model, "baseline"), right(0.7, int(minutes)), LABELS, minutes=minutes)
    html, text = table.pages()
    assert "The level line is good, the best frozen backbone (0.900)" in text and "logarithmic" in html
    shown = {row["Model"]: row for row in board(html)[1]}["good, frozen"]
    assert (shown["Minutes"], shown["Images/s"], shown["To best frozen paired"]) == ("0", "–", "the best")


def test_ten_backbones_on_a_table_are_answered_without_a_word_of_training(tmp_path) -> None:
    tree = drawn.page(tmp_path)
    html, text = tree.pages()
    first = text.partition("## Leaderboard")[0]
    assert "10 frozen backbones, judged as downloaded; nothing was trained" in first
    assert "tie for the best of 10 backbones" in first and "Take **dinov2-b**" in first
    assert "dinov3-s (DINOv3 License) ties with it and takes 41 ms" in first
    assert not re.search("seed|epoch|combination|minutes", first)
    names, rows = board(html)
    assert "Minutes" not in names and len(rows) == 10
    one = {row["Model"]: row for row in rows}["mobilenetv4-s"]
    assert one["Inference an image"] == "6.1 ms 4.3 ms"
    assert "milliseconds for one image" in text and "minutes of training" not in text
