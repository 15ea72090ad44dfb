"""The linear probe against scipy's and scikit-learn's solutions, and its choice of penalty."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import logsumexp
from torch.utils._python_dispatch import TorchDispatchMode

from sslbench.evaluation import knn, linear_probe
from sslbench.evaluation.collapse import geometry
from sslbench.evaluation.linear_probe import Standardiser, held_out, moments, probe, rank_classes, solve

PENALTIES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def pictures(n: int, features: int, classes: int, *, separation: float = 0.3, decay: float = 2.0, seed: int = 0):
    """Skewed, non-negative features [n, F] of very unequal variance, like those behind a ReLU, and labels [n]."""
    g = torch.Generator().manual_seed(seed)
    latent = features // 2
    scale = torch.arange(1, latent + 1).pow(-decay / 2)
    centres = torch.randn(classes, latent, generator=g) * separation
    mixing = torch.randn(latent, features, generator=g) / latent**0.5
    labels = torch.randint(classes, (n,), generator=g)
    z = (centres[labels] + torch.randn(n, latent, generator=g)) * scale
    return torch.relu(z @ mixing + 0.05 * torch.randn(n, features, generator=g) + 0.1), labels


def minimum(design: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> tuple[float, np.ndarray]:
    """The objective's minimum by scipy in float64, written down afresh."""
    n, axes = design.shape

    def objective(flat):
        w = flat.reshape(axes, classes)
        scores = design @ w
        log_p = scores - logsumexp(scores, 1, keepdims=True)
        residual = np.exp(log_p) - np.eye(classes)[labels]
        slope = design.T @ residual / n
        slope[:-1] += penalty * w[:-1]
        return -log_p[np.arange(n), labels].mean() + penalty / 2 * (w[:-1] ** 2).sum(), slope.ravel()

    options = {"maxiter": 20000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-8, "maxcor": 30}
    found = optimize.minimize(objective, np.zeros(axes * classes), jac=True, method="L-BFGS-B", options=options)
    return found.fun, found.x.reshape(axes, classes)


@pytest.fixture(scope="module")
def task():
    features, labels = pictures(800, 48, 6)
    standardised = Standardiser.of(features)(features)
    axes = torch.linalg.eigh((standardised.T @ standardised).double())[1].float()
    return torch.cat([standardised @ axes, torch.ones(800, 1)], 1), labels


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4, 1e-6])
def test_solve_reaches_the_minimum_that_scipy_finds_in_float64(task, penalty):
    design, labels = task
    fit = solve(design, labels, 6, penalty)
    best, weights = minimum(design.double().numpy(), labels.numpy(), 6, penalty)
    assert fit.converged and fit.iterations < 100
    assert -1e-7 <= fit.objective - best <= 5e-6
    ours, theirs = (design @ fit.weights).argmax(1).numpy(), (design.double().numpy() @ weights).argmax(1)
    assert (ours == theirs).mean() >= 0.99


@pytest.mark.parametrize("penalty", [1e-1, 1e-3])
def test_the_estimated_excess_is_of_the_size_of_the_true_one(task, penalty):
    design, labels = task
    best, _ = minimum(design.double().numpy(), labels.numpy(), 6, penalty)
    for iterations in (2, 4, 8):
        fit = solve(design, labels, 6, penalty, max_iterations=iterations)
        assert (fit.objective - best) / 5 <= fit.excess + 1e-6 <= 20 * (fit.objective - best + 1e-6)


def test_solve_says_that_it_has_not_converged_when_it_is_cut_short(task):
    design, labels = task
    fit = solve(design, labels, 6, 1e-4, max_iterations=3)
    assert not fit.converged and fit.iterations == 3 and fit.excess > 1e-6


def test_a_start_from_the_solution_needs_no_iteration(task):
    design, labels = task
    fit = solve(design, labels, 6, 1e-2)
    again = solve(design, labels, 6, 1e-2, start=fit)
    assert again.iterations == 0 and torch.equal(again.weights, fit.weights)


def test_the_probe_agrees_with_scikit_learn_in_objective_and_accuracy():
    sklearn = pytest.importorskip("sklearn.linear_model")
    features, labels = pictures(1500, 64, 10)
    train, test, seen, unseen = features[:1000], features[1000:], labels[:1000], labels[1000:]
    found = probe(train, seen, test, 10, penalties=[0.01])
    mean, deviation = train.mean(0), train.std(0, correction=0)
    x, x_test = ((rows - mean) / deviation for rows in (train.double(), test.double()))
    # its objective is ours times n C, with C = 1 / (n penalty)
    theirs = sklearn.LogisticRegression(C=1 / (1000 * 0.01), tol=1e-8, max_iter=5000).fit(x, seen)
    loss = -theirs.predict_log_proba(x)[np.arange(1000), seen].mean() + 0.01 / 2 * (theirs.coef_**2).sum()
    assert found.fit.objective == pytest.approx(loss, abs=5e-6)
    assert (found.ranking[:, 0].numpy() == theirs.predict(x_test)).mean() >= 0.995
    assert (found.ranking[:, 0] == unseen).double().mean() == pytest.approx(theirs.score(x_test, unseen), abs=0.005)


def test_probe_learns_separable_classes_and_stays_at_chance_on_shuffled_labels():
    features, labels = pictures(1200, 40, 5, separation=2.0, decay=0.5)
    honest = probe(features[:900], labels[:900], features[900:], 5, penalties=PENALTIES)
    assert (honest.ranking[:, 0] == labels[900:]).double().mean() > 0.95
    shuffled = labels[torch.randperm(1200, generator=torch.Generator().manual_seed(1))]
    blind = probe(features[:900], shuffled[:900], features[900:], 5, penalties=PENALTIES)
    assert (blind.ranking[:, 0] == shuffled[900:]).double().mean() < 0.3


def test_the_chosen_penalty_is_the_best_on_held_out_pictures_and_never_sees_the_test():
    features, labels = pictures(400, 200, 4)  # few pictures, many features: a strong penalty pays
    first = probe(features[:200], labels[:200], features[200:], 4, penalties=PENALTIES)
    other = probe(features[:200], labels[:200], features[200:].flip(1), 4, penalties=PENALTIES)
    assert (first.penalty, first.searched) == (other.penalty, other.searched)
    best = max(entry["top1"] for entry in first.searched)
    assert first.penalty == max(entry["penalty"] for entry in first.searched if entry["top1"] == best)
    assert [entry["penalty"] for entry in first.searched] == sorted(PENALTIES, reverse=True)[: len(first.searched)]
    assert first.penalty > min(PENALTIES)


def test_the_search_ends_after_two_penalties_without_gain():
    features, labels = pictures(300, 100, 4, separation=0.1)
    searched = probe(features, labels, features[:5], 4, penalties=[10.0**-i for i in range(9)]).searched
    gains = [entry["top1"] for entry in searched]
    best = gains.index(max(gains))
    assert len(searched) < 9 and len(searched) == best + 3


def test_held_out_takes_its_share_of_every_class_and_all_of_none():
    labels = torch.tensor([0] * 50 + [1] * 10 + [2] * 3 + [3] * 2 + [4])
    mask = held_out(labels, 0.2)
    assert [int(mask[labels == c].sum()) for c in range(5)] == [10, 2, 1, 1, 0]
    assert torch.equal(mask, held_out(labels, 0.2))
    assert not torch.equal(mask[:50], torch.arange(50) < 10)  # drawn, not the first ones


def test_scaling_or_shifting_channels_changes_no_prediction():
    features, labels = pictures(500, 32, 4)
    scale, shift = torch.logspace(-2, 2, 32), torch.linspace(-50, 50, 32)
    plain = probe(features[:400], labels[:400], features[400:], 4, penalties=[1e-2])
    moved = (features.double() * scale + shift).float()
    assert (
        plain.ranking[:, 0] == probe(moved[:400], labels[:400], moved[400:], 4, penalties=[1e-2]).ranking[:, 0]
    ).double().mean() >= 0.98


def test_moments_keep_their_digits_under_a_large_mean():
    x = torch.randn(9000, 3, generator=torch.Generator().manual_seed(0)) * 1e-2 + torch.tensor([0.0, 100.0, -3.0])
    mean, square = moments(x)
    assert torch.allclose(mean, x.double().mean(0), rtol=1e-12)
    assert torch.allclose((square - mean**2).sqrt(), x.double().std(0, correction=0), rtol=1e-6)


@pytest.mark.parametrize("dead", [1, 12])
def test_dead_channels_are_left_out_and_a_fully_dead_network_predicts_the_largest_class(dead):
    features, labels = pictures(300, 12, 3, separation=2.0)
    labels = torch.where(torch.arange(300) < 60, torch.tensor(2), labels)  # class 2 is the largest
    features[:, :dead] = 7.0 + torch.randn(300, dead, generator=torch.Generator().manual_seed(0)) * 1e-7
    found = probe(features[:200], labels[:200], features[200:], 3, penalties=PENALTIES)
    assert found.fit.converged and found.fit.weights.shape == (12 - dead + 1, 3)
    if dead == 12:
        assert (found.ranking[:, 0] == 2).all()


def test_one_picture_per_class_is_fitted_with_the_strongest_penalty():
    features = torch.eye(4) * 3
    found = probe(features, torch.arange(4), features, 4, penalties=PENALTIES)
    assert found.penalty == 1.0 and found.searched == []
    assert torch.equal(found.ranking[:, 0], torch.arange(4))


def test_a_class_without_training_pictures_is_ranked_last():
    features, labels = pictures(300, 16, 4, separation=2.0)
    labels = torch.where(labels == 3, torch.tensor(2), labels)
    found = probe(features[:200], labels[:200], features[200:], 4, penalties=PENALTIES)
    assert (found.ranking[:, 0] != 3).all() and (found.ranking[:, 3] == 3).double().mean() > 0.9


def test_equal_scores_go_to_the_lower_class_and_at_most_five_are_named():
    assert rank_classes(torch.zeros(2, 8)).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert rank_classes(torch.tensor([[1.0, 3.0, 3.0]])).tolist() == [[1, 2, 0]]


def test_the_same_features_give_the_same_bits():
    features, labels = pictures(600, 32, 5)
    runs = [probe(features[:500], labels[:500], features[500:], 5, penalties=PENALTIES) for _ in range(2)]
    assert torch.equal(runs[0].fit.weights, runs[1].fit.weights) and runs[0].searched == runs[1].searched


@pytest.mark.parametrize(
    ("separation", "decay", "penalty"), [(0.3, 4.0, 1e-4), (0.5, 5.0, 1e-5), (6.0, 0.5, 1e-5), (6.0, 0.5, 1e-2)]
)
def test_the_objective_is_no_worse_than_scikit_learns_on_ill_conditioned_and_on_separable_features(
    separation, decay, penalty
):
    sklearn = pytest.importorskip("sklearn.linear_model")
    features, labels = pictures(900, 64, 8, separation=separation, decay=decay)
    train, test, seen, unseen = features[:600], features[600:], labels[:600], labels[600:]
    found = probe(train, seen, test, 8, penalties=[penalty])
    x, x_test = ((rows.double() - train.double().mean(0)) / train.double().std(0, correction=0)
                 for rows in (train, test))  # fmt: skip
    theirs = sklearn.LogisticRegression(C=1 / (600 * penalty), tol=1e-9, max_iter=20000).fit(x, seen)
    loss = -theirs.predict_log_proba(x)[np.arange(600), seen].mean() + penalty / 2 * (theirs.coef_**2).sum()
    assert found.fit.converged and found.fit.objective <= loss + 1e-5
    ours = (found.ranking[:, 0] == unseen).double().mean()
    assert ours == pytest.approx(theirs.score(x_test, unseen), abs=0.01)


def test_blocks_of_any_size_give_the_same_value_gradient_and_choice(monkeypatch):
    features, labels = pictures(700, 32, 5)
    design = torch.cat([features, torch.ones(700, 1)], 1)
    weights = torch.randn(33, 5, generator=torch.Generator().manual_seed(3))
    wanted, whole = (
        linear_probe.cross_entropy(design, labels, weights),
        probe(features, labels, features, 5, penalties=[0.1]),
    )
    monkeypatch.setattr(linear_probe, "BLOCK", 97)
    monkeypatch.setattr(linear_probe, "BLOCK_VALUES", 5 * 64)
    value, slope, spread = linear_probe.cross_entropy(design, labels, weights)
    assert value == pytest.approx(wanted[0], rel=1e-6)
    assert torch.allclose(slope, wanted[1], atol=1e-6) and torch.allclose(spread, wanted[2], atol=1e-6)
    parts = probe(features, labels, features, 5, penalties=[0.1])
    assert parts.fit.objective == pytest.approx(whole.fit.objective, abs=2e-6)
    assert (parts.ranking[:, 0] == whole.ranking[:, 0]).double().mean() > 0.99


def test_onednns_product_is_torchs_for_views_too(monkeypatch):
    a, b = (torch.randn(33, 70, generator=torch.Generator().manual_seed(i)) for i in range(2))
    for left, right in ((a, b), (a.T, b.T), (a[:, ::2], b[:, ::2]), (a[:5], b[:1])):
        fast = linear_probe.product(left, right)
        with monkeypatch.context() as patch:
            patch.setattr(linear_probe, "ONEDNN", False)
            assert torch.allclose(fast, linear_probe.product(left, right), atol=1e-5)
        assert torch.allclose(fast.double(), left.double() @ right.double().T, atol=1e-5)


class Largest(TorchDispatchMode):
    """The size in bytes of the largest tensor that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, torch.Tensor) and not tensor._is_view():
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return found


def test_no_temporary_grows_with_pictures_times_classes(monkeypatch):
    n, width, classes = 6000, 8, 300
    features, labels = pictures(n, width, classes)
    monkeypatch.setattr(linear_probe, "BLOCK_VALUES", 2**15)
    monkeypatch.setattr(linear_probe, "BLOCK", 256)
    monkeypatch.setattr(knn, "BLOCK_BYTES", 2**20)
    with Largest() as seen:
        probe(features, labels, features, classes, penalties=[1.0, 0.1])
        knn.predict(features, labels, features, classes, k=[5])
        geometry(features)
    block = max(8 * 256 * classes, 2**20)  # scores sorted with int64 indices; similarities
    assert seen.bytes <= max(4 * n * (width + 1), block) < 4 * n * classes / math.pi
