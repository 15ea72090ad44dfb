"""Entries over seeds: one row per model and transform, ranked on its mean, with what its seeds and pictures carry."""

import numpy as np
import pandas
import pytest

from sslbench.report.collect import entries as ranking
from sslbench.stats import paired, variance_components
from sslbench.stats import ranking as ties

UNKNOWN = {"value": None, "low": None, "high": None}


def cell(model: str, transform: str, seed: int, right: np.ndarray, **other: object) -> dict:
    value = float(right.mean())
    low, high = paired.wilson(int(right.sum()), len(right))
    return {
        **{"dataset": "d", "model": model, "transform": transform, "seed": seed, "status": "done", "kind": "grid"},
        **{"family": "f", "why": "", "health": {"verdict": "healthy"}, "protocol": {"epochs": 1}, "knn": {}},
        **{"top1": {"value": value, "low": low, "high": high}, "top5": UNKNOWN, "n": len(right), "classes": 10},
        **{"cost": {"minutes": 1.0, "peak_gb": 1.0, "memory": "GPU"}, "made": {"device": "x"}},
    } | other


def written(folder, name: tuple, right: np.ndarray, first: int = 0, shuffled: bool = False) -> pandas.Series:
    labels = np.arange(len(right)) % 10
    table = pandas.DataFrame({"index": first + np.arange(len(right)), "label": labels, "top1": labels + ~right})
    path = folder / f"{'-'.join(map(str, name))}.parquet"
    (table.sample(frac=1, random_state=0) if shuffled else table).to_parquet(path, index=False)
    return ranking.read_correct(path)


def grid(tmp_path, trainings: dict[str, int], transforms=("t",), n: int = 800, gap: float = 0.4):
    """(cells, correct, rights): models in rising order of accuracy."""
    random = np.random.default_rng(0)
    hard, cells, correct, rights = random.normal(0, 1.5, n), [], {}, {}
    for transform in transforms:
        for place, (model, count) in enumerate(trainings.items()):
            own = random.normal(0, 0.5, n)
            right = gap * place + hard + own + random.normal(0, 0.5, (count, n)) > 0
            rights[("d", model, transform)] = right
            for seed in range(count):
                cells.append(cell(model, transform, seed, right[seed]))
                name = ("d", model, transform, seed)
                correct[name] = written(tmp_path, name, right[seed], shuffled=seed == 1)
    return cells, correct, rights


def test_seeds_make_one_row_ranked_on_their_mean(tmp_path):
    cells, correct, rights = grid(tmp_path, dict.fromkeys("abcdef", 3))
    found = {tuple(e["name"]): e for e in ranking.entries(cells, correct, 0.95)}
    assert len(found) == 6
    expected = {r.name: r for r in ties.tie_groups(rights)}
    for name, entry in found.items():
        assert entry["seeds"] == entry["used"] == [0, 1, 2]
        assert entry["top1"]["value"] == pytest.approx(rights[name].mean())
        assert (entry["dataset_rank"], entry["dataset_range"]) == (
            expected[name].rank,
            [expected[name].lowest, expected[name].highest],
        )
        part = variance_components.split(rights[name])
        assert entry["spread"]["sd_seeds"] == pytest.approx(part.sd_seeds)
        assert (entry["spread"]["low"], entry["spread"]["high"]) == pytest.approx((part.low, part.high))
    best, second = found["d", "f", "t"], found["d", "e", "t"]
    assert best["behind"] is None and second["behind"]["name"] == ["d", "f", "t"]
    pair = ties.all_pairs(rights).between(("d", "e", "t"), ("d", "f", "t"))
    assert second["behind"]["difference"] == pytest.approx(pair.difference) and pair.difference < 0
    assert second["behind"]["adjusted"] == pytest.approx(pair.adjusted)


def test_columns_are_ranked_with_their_own_correction_and_bars_join_what_ties(tmp_path):
    cells, correct, rights = grid(tmp_path, dict.fromkeys("abc", 2), ("t", "u"), gap=0.15)
    found = ranking.entries(cells, correct, 0.95)
    pairs = ties.all_pairs(rights)
    for transform in "tu":
        column = pairs.among([name for name in rights if name[2] == transform])
        expected = {rank.name: rank.rank for rank in ties.tie_groups(column)}
        assert {tuple(e["name"]): e["column_rank"] for e in found if e["name"][2] == transform} == expected
    runs = ties.bars(pairs.names, pairs.apart())
    for entry in found:
        assert entry["dataset_bars"] == [i for i, run in enumerate(runs) if tuple(entry["name"]) in run]
    assert any(entry["dataset_bars"] for entry in found)


def test_a_missing_seed_leaves_the_row_and_a_collapsed_one_takes_its_rank(tmp_path):
    cells, correct, _ = grid(tmp_path, {"a": 3, "b": 3, "c": 3})
    cells[0] |= {"status": "missing", "top1": UNKNOWN, "n": None}
    cells[3]["health"] = {"verdict": "collapsed"}
    del correct["d", "a", "t", 0], correct["d", "b", "t", 0]
    a, b, c = ranking.entries(cells, correct, 0.95)
    assert (a["used"], a["dataset_rank"] is not None, a["states"]) == ([1, 2], True, {"missing": 1, "done": 2})
    assert (b["dataset_rank"], b["spread"], c["dataset_rank"]) == (None, None, 1)


def test_predictions_on_other_pictures_are_not_paired_with_the_rest(tmp_path):
    cells, correct, rights = grid(tmp_path, {"a": 1, "b": 1, "c": 1})
    name = ("d", "a", "t", 0)
    correct[name] = written(tmp_path, name, rights["d", "a", "t"][0], first=5)
    a, b, c = ranking.entries(cells, correct, 0.95)
    assert (a["dataset_rank"], b["dataset_rank"], c["dataset_rank"]) == (None, 2, 1)


@pytest.mark.parametrize("count", [1, 3])
def test_the_smallest_difference_is_that_of_the_pairs_compared(tmp_path, count):
    cells, correct, rights = grid(tmp_path, dict.fromkeys("abcdef", count))
    found = ranking.entries(cells, correct, 0.95)
    smallest = ranking.smallest_difference(found, "d", 0.95)
    assert smallest == pytest.approx(ties.all_pairs(rights).smallest_detectable())
    # errors that pictures share leave less to chance than independent ones
    assert count > 1 or smallest < paired.smallest_detectable(800, 0.6, level=0.05 / 15)
    assert ranking.smallest_difference(found[:0], "d", 0.95) is None


def test_the_articles_grid_with_three_seeds_is_ranked_in_seconds(tmp_path):
    import time

    random, cells, correct = np.random.default_rng(1), [], {}
    for dataset, n, transforms in [("1", 500, 5), ("2", 3925, 5), ("w", 3929, 5), ("n", 9907, 2)]:
        hard, pictures = random.normal(0, 1.5, n), None
        for m, t, seed in np.ndindex(10, transforms, 3):
            right = 0.15 * m + hard + random.normal(0, 1, n) > 0
            pictures = pandas.MultiIndex.from_arrays([np.arange(n)] * 2) if pictures is None else pictures
            cells.append(cell(f"m{m}", f"t{t}", seed, right, dataset=dataset))
            correct[dataset, f"m{m}", f"t{t}", seed] = pandas.Series(right, pictures)
    assert len(cells) == 510
    start = time.process_time()
    found = ranking.entries(cells, correct, 0.95)
    assert time.process_time() - start < 20  # 1.4 s of CPU on the machine it was written on
    assert len(found) == 170 and all(entry["dataset_rank"] for entry in found)


def test_too_many_entries_for_all_pairs_are_ranked_without_ranges_and_their_columns_still_have_them(
    tmp_path, monkeypatch
):
    cells, correct, rights = grid(tmp_path, dict.fromkeys("abcdef", 2), ("t", "u"))
    monkeypatch.setattr(ties, "MOST", 6)
    found = ranking.entries(cells, correct, 0.95)
    expected = {rank.name: rank.rank for rank in ties.tie_groups(ties.all_pairs(rights))}
    assert {tuple(e["name"]): e["dataset_rank"] for e in found} == expected
    assert all(e["dataset_range"] is None and e["dataset_bars"] == [] and e["column_range"] for e in found)
    behind = [e["behind"] for e in found if e["dataset_rank"] and e["behind"]]
    assert len(behind) == 11 and all(one["low"] <= one["difference"] <= one["high"] for one in behind)


def test_cells_on_the_same_pictures_hold_one_list_of_them(tmp_path):
    known = {}
    for seed, first in enumerate((0, 0, 5)):
        written(tmp_path, ("d", "a", "t", seed), np.ones(20, bool), first=first)
    path = tmp_path / "d-a-t-3.parquet"  # the pictures of the first two, but labelled otherwise
    table = pandas.read_parquet(tmp_path / "d-a-t-0.parquet")
    table.assign(label=table["label"] + 1).to_parquet(path, index=False)
    series = [ranking.read_correct(tmp_path / f"d-a-t-{seed}.parquet", known) for seed in range(4)]
    assert series[0].index is series[1].index and len(known) == 3
    assert list(series[2].index.get_level_values(0)) == list(range(5, 25))
    assert series[3].index.to_list() == [(i, i % 10 + 1) for i in range(20)] and not series[3].any()


def test_a_column_of_too_many_entries_still_hears_what_all_entries_say_of_seeds(tmp_path, monkeypatch):
    """Three models of several seeds a column: too few to tell of each other, while the six of the dataset do."""
    cells, correct, rights = grid(tmp_path, {"a": 1, "b": 3, "c": 3, "d": 3}, ("t", "u"), gap=0.16)
    assert 3 < variance_components.FEWEST <= 6
    whole = ties.all_pairs(rights)
    monkeypatch.setattr(ties, "MOST", 7)
    found = {tuple(e["name"]): e["column_range"] for e in ranking.entries(cells, correct, 0.95)}
    heard, alone = {}, {}
    for transform in "tu":
        column = [name for name in rights if name[2] == transform]
        heard |= {rank.name: [rank.lowest, rank.highest] for rank in ties.tie_groups(whole.among(column))}
        own = ties.tie_groups({name: rights[name] for name in column})
        alone |= {rank.name: [rank.lowest, rank.highest] for rank in own}
    assert found == heard != alone
