"""The benchmark of quality: its arms share what they say they share, and its records and intervals hold."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from lightly.transforms.random_crop_and_flip_with_grid import Location, RandomResizedCropAndFlip
from PIL import Image

from benchmarks.quality_against_lightly import images, ours, records, summary, theirs
from sslbench.transforms.ops.resize import box_locations

KEY = {"arm": "ours", "preset": "lightly", "method": "simclr", "seed": 0, "epochs": 5, "local_views": 2}
KEY |= {"size": 64, "batch": 128, "images": 3000}


def record(correct, **other):
    return KEY | {"residual_gain": 1.0, "n": len(correct), "correct": records.packed(correct)} | other


@pytest.mark.parametrize("module", [images, theirs])
def test_lightlys_arm_imports_nothing_of_sslbench(module):
    tree = ast.parse(Path(module.__file__).read_text())
    named = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    own = [name for name in named if name.startswith(("sslbench", "benchmarks"))]
    assert set(own) <= {"benchmarks.quality_against_lightly.images"}


def test_equal_seeds_give_equal_views_and_other_seeds_and_epochs_do_not(tmp_path):
    drawing = np.random.default_rng(0)
    for number in range(8):
        (tmp_path / "train" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        pixels = drawing.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "train" / str(number % 2) / f"{number}.png")
    view = images.transform("byol", 32, 0, 1)

    def made(seed):
        batches = []
        for epoch, views in images.Batches(tmp_path, view, 4, 2, seed):
            torch.rand(3), np.random.rand(3)  # what an arm draws meanwhile has no say
            batches.append((epoch, torch.stack(views)))
        return batches

    first, again, other = made(0), made(0), made(1)
    assert [epoch for epoch, _ in first] == [0, 0, 1, 1]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for (_, a), (_, b) in zip(first, other, strict=True))
    assert not torch.equal(first[0][1], first[2][1])


@pytest.mark.parametrize("flip", [False, True])
def test_lightlys_places_of_pixels_are_ours(flip):
    top, left, height, width = 3, 5, 32, 64
    grid = RandomResizedCropAndFlip(grid_size=64).location_to_NxN_grid(
        Location(top, left, height, width, 100, 100, horizontal_flip=flip)
    )
    boxes = {"top": top, "left": left, "height": height, "width": width}
    mine = box_locations({name: torch.tensor([float(value)]) for name, value in boxes.items()}, 64)
    mine = mine.flip(3) if flip else mine
    # lightly counts a pixel's corner where ours counts its centre, and spreads 64 points over 63 gaps.
    assert (ours.locations(grid[None]) - 0.5 - mine).abs().max() <= 64 / 63


def test_a_kept_run_is_read_back_and_replaces_only_itself(tmp_path):
    file = tmp_path / "results.json"
    correct = np.random.default_rng(0).random(3925) < 0.3
    records.keep(file, record(~correct))
    records.keep(file, record(correct, seed=1))
    records.keep(file, record(correct))
    kept = records.load(file)
    assert [each["seed"] for each in kept] == [0, 1]
    assert all(np.array_equal(records.unpacked(each), correct) for each in kept)


def test_the_paired_interval_covers_the_truth_for_other_seeds_and_images():
    drawing = np.random.default_rng(0)
    seeds, n, truth, covered = 3, 400, 0.05, 0
    for _ in range(300):
        shift = truth + drawing.normal(0, 0.03, (seeds, 1))  # trainings differ
        hard = drawing.normal(0, 0.1, n)  # and images
        common = drawing.random((seeds, n))
        a, b = common < 0.4 + hard + shift, common < 0.4
        low, high = summary.paired(a, b)
        covered += low <= truth <= high
    assert covered / 300 > 0.93


def test_the_table_says_worse_only_where_the_interval_does():
    right = np.arange(4000) < 1600
    lower = np.arange(4000) < 1200  # ten points
    theirs_too = {"arm": "lightly", "preset": ""}
    worse = "\n".join(summary.tables([record(lower), record(right, **theirs_too)]))
    equal = "\n".join(summary.tables([record(right), record(right, **theirs_too)]))
    assert "-10.0" in worse and "| worse |" in worse
    assert "+0.0" in equal and "| non-inferior |" in equal
