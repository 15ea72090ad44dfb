"""Weighted nearest neighbours against a loop written down afresh and against lightly's."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sslbench.evaluation import knn


def task(n: int = 220, m: int = 60, features: int = 16, classes: int = 7):
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, features, generator=g)
    labels = torch.randint(classes, (n + m,), generator=g)
    x = centres[labels] + 1.5 * torch.randn(n + m, features, generator=g)
    return x[:n], labels[:n], x[n:], labels[n:]


def votes(train, labels, picture, classes: int, k: int, temperature: float) -> list[float]:
    """Votes per class for one picture, one neighbour at a time in float64."""
    train, picture = train.double().numpy(), picture.double().numpy()
    similarity = [float(row @ picture / np.linalg.norm(row) / np.linalg.norm(picture)) for row in train]
    tally = [0.0] * classes
    for place in sorted(range(len(train)), key=lambda i: -similarity[i])[:k]:
        tally[int(labels[place])] += math.exp(similarity[place] / temperature)
    return tally


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_rankings_equal_those_of_a_loop_over_neighbours(temperature):
    train, labels, test, _ = task()
    found = knn.predict(train, labels, test, 7, k=[1, 5, 20, 200], temperature=temperature)
    for k, ranking in found.items():
        for picture, guesses in zip(test, ranking.tolist(), strict=True):
            tally = votes(train, labels, picture, 7, k, temperature)
            order = [c for c in sorted(range(7), key=lambda c: -tally[c])[:5] if tally[c] > 0]
            assert guesses == order + [-1] * (5 - len(order))


@pytest.mark.parametrize("k", [20, 200])
def test_first_guesses_equal_lightlys(k):
    benchmarking = pytest.importorskip("lightly.utils.benchmarking")
    train, labels, test, _ = task(n=400)
    bank = normalize(train, dim=1).T
    theirs = benchmarking.knn_predict(normalize(test, dim=1), bank, labels, 7, knn_k=k, knn_t=0.1)
    ours = knn.predict(train, labels, test, 7, k=[k])[k]
    assert torch.equal(ours[:, 0], theirs[:, 0])
    voted = ours >= 0
    assert torch.equal(ours[voted], theirs[:, :5][voted])


def test_blocks_change_nothing(monkeypatch):
    train, labels, test, _ = task()
    whole = knn.predict(train, labels, test, 7, k=[20])[20]
    monkeypatch.setattr(knn, "BLOCK_BYTES", 4 * 230 * 3)  # three rows at a time
    assert torch.equal(knn.predict(train, labels, test, 7, k=[20])[20], whole)


def test_k_beyond_the_training_set_means_all_of_it():
    train, labels, test, _ = task(n=30)
    found = knn.predict(train, labels, test, 7, k=[30, 200])
    assert torch.equal(found[30], found[200])


def test_lengths_do_not_matter_and_a_low_temperature_does_not_overflow():
    train, labels, test, truth = task()
    scaled = train * torch.logspace(-3, 3, len(train))[:, None]
    assert torch.equal(
        knn.predict(train, labels, test, 7, k=[20])[20][:, 0], knn.predict(scaled, labels, test, 7, k=[20])[20][:, 0]
    )
    cold = knn.predict(train, labels, test, 7, k=[20], temperature=1e-3)[20]
    nearest = knn.predict(train, labels, test, 7, k=[1])[1]
    assert torch.equal(cold[:, 0], nearest[:, 0])  # exp(1 / 0.001) has no float; the nearest neighbour decides
    assert (knn.predict(train, labels, test, 7, k=[20])[20][:, 0] == truth).double().mean() > 0.6
