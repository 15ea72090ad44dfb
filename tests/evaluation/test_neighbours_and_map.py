"""What a cell's look.json says, against numpy and scikit-learn."""

import base64
import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from sslbench.errors import UserError
from sslbench.evaluation import neighbours_and_map as module
from sslbench.evaluation.neighbours_and_map import (
    NEIGHBOURS,
    POINTS,
    QUERIES,
    SHOWN,
    STEPS,
    alike,
    by_chance,
    choose,
    flat,
    look,
)
from tests.report.seen import write_features

TRAIN, TEST, CLASSES = 90, 400, 5


@pytest.fixture
def drawn(tmp_path):
    random = np.random.default_rng(1)
    labels = {"train": np.arange(TRAIN) % CLASSES, "test": random.integers(0, CLASSES, TEST)}
    indices = {"train": np.arange(TRAIN) * 2, "test": 1000 + np.arange(TEST)}
    centres = random.normal(size=(CLASSES, 24))
    vectors = {part: centres[own] + random.normal(size=(len(own), 24)) for part, own in labels.items()}
    files = {part: write_features(tmp_path, vectors[part], labels[part], indices[part], part) for part in labels}
    return vectors, labels, indices, files


def looked(files, path):
    look(files, path, threads=1)
    return json.loads(path.read_text())


def test_neighbours_are_those_of_largest_cosine(drawn, tmp_path):
    vectors, labels, indices, files = drawn
    found = looked(files, tmp_path / "look.json")
    bank = vectors["train"] / np.linalg.norm(vectors["train"], axis=1, keepdims=True)
    assert len(found["queries"]) == QUERIES
    for query in found["queries"]:
        row = query["index"] - 1000
        assert query["label"] == labels["test"][row]
        cosines = bank @ vectors["test"][row] / np.linalg.norm(vectors["test"][row])
        order = sorted(range(TRAIN), key=lambda i: -cosines[i])[:NEIGHBOURS]
        assert query["neighbours"] == [indices["train"][i] for i in order]
        assert query["labels"] == [labels["train"][i] for i in order]
        assert query["cosines"] == pytest.approx(cosines[order], abs=1e-4)


def test_equal_cosines_are_told_apart_by_position():
    bank = torch.eye(3)[[0, 1, 0, 1, 0]]
    order, cosines = module.neighbours(bank, torch.eye(3)[:1], 4)
    assert order.tolist() == [[0, 2, 4, 1]]
    assert cosines.tolist() == [[1, 1, 1, 0]]


def test_the_map_is_sklearns_pca_up_to_sign_and_quantisation(drawn, tmp_path):
    vectors, labels, _, files = drawn
    found = looked(files, tmp_path / "look.json")["map"]
    rows = np.array(found["indices"]) - 1000
    assert len(rows) == POINTS and found["labels"] == labels["test"][rows].tolist() == sorted(found["labels"])
    points = vectors["test"][rows].astype(np.float32).astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pca = PCA(2, svd_solver="full").fit(points)
    expected = pca.transform(points)
    assert found["explained"] == pytest.approx(pca.explained_variance_ratio_, abs=1e-4)
    places = np.frombuffer(base64.b64decode(found["xy"]), "<u2").reshape(-1, 2).astype(float)
    assert places.min() >= 0 and places.max() == STEPS
    one_step = np.ptp(expected, axis=0).max() / STEPS
    for axis in (0, 1):
        centred = places[:, axis] - places[:, axis].mean()
        agreeing = np.sign(centred @ expected[:, axis])
        assert np.abs(centred * one_step - agreeing * expected[:, axis]).max() < 2 * one_step + 1e-6


def test_a_rotated_copy_of_the_features_keeps_its_map_but_for_signs():
    random = np.random.default_rng(2)
    points = random.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    turned = points @ np.linalg.qr(random.normal(size=(6, 6)))[0]
    one, other = (flat(found).places.astype(int) for found in (points, turned))
    for axis in (0, 1):
        same, mirrored = np.abs(one - other)[:, axis].max(), np.abs(one - (STEPS - other))[:, axis].max()
        assert min(same, mirrored) <= 1


def test_the_share_of_alike_neighbours_is_sklearns_and_chance_is_what_shuffling_gives():
    random = np.random.default_rng(3)
    labels = random.choice(4, 150, p=[0.5, 0.3, 0.1, 0.1])
    points = random.normal(size=(4, 3))[labels] + random.normal(size=(150, 3))
    nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points, return_distance=False)[:, 1]
    assert alike(points, labels) == pytest.approx((labels[nearest] == labels).mean())
    shuffled = [alike(points, random.permutation(labels)) for _ in range(400)]
    assert by_chance(labels) == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 20)


@pytest.mark.parametrize("classes", [2, 10, 555])
def test_the_same_pictures_are_shown_for_every_model_and_of_as_many_classes_as_can_be(classes):
    labels = np.random.default_rng(classes).integers(0, classes, 4000)
    queries, points = choose(labels, seed=0)
    assert all(map(torch.equal, (queries, points), choose(labels, seed=0)))
    assert not torch.equal(queries, choose(labels, seed=1)[0])
    assert len(queries) == QUERIES and len(set(labels[queries])) == min(QUERIES, classes)
    assert len(set(points.tolist())) == len(points) == min(POINTS, np.isin(labels, labels[points]).sum())
    counts = np.unique(labels[points], return_counts=True)[1]
    assert len(counts) == min(SHOWN, classes)
    if classes <= SHOWN:
        assert counts.max() - counts.min() <= 1  # equally many of each


def test_a_few_pictures_are_all_shown():
    queries, points = choose(np.array([3, 3, 1]), seed=0)
    assert sorted(queries.tolist()) == [0, 1, 2]
    assert points.tolist() == [2, 0, 1]  # by class


def test_equal_features_write_equal_bytes(drawn, tmp_path):
    for name in ("a.json", "b.json"):
        look(drawn[3], tmp_path / name, threads=1)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_features_that_are_constant_or_not_finite_give_a_map_all_the_same(tmp_path):
    labels = np.arange(12) % 3
    constant, broken = np.ones((12, 4)), np.full((12, 4), np.nan)
    for name, vectors in (("constant", constant), ("broken", broken)):
        (tmp_path / name).mkdir()
        files = {
            part: write_features(tmp_path / name, vectors, labels, np.arange(12), part) for part in ("train", "test")
        }
        found = looked(files, tmp_path / f"{name}.json")["map"]
        assert found["explained"] == [0, 0]
        assert set(base64.b64decode(found["xy"])) <= {0, 127, 128, 255}


def test_a_damaged_features_file_is_one_line(drawn, tmp_path):
    drawn[3]["test"].write_bytes(b"no features")
    with pytest.raises(UserError, match="no features file"):
        look(drawn[3], tmp_path / "look.json", threads=1)
    assert not (tmp_path / "look.json").exists()
