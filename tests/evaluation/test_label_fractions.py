"""Draws of labelled pictures, and the small heads trained on them."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from sslbench.evaluation import adapters, linear_probe
from sslbench.evaluation.features import Features
from sslbench.evaluation.label_fractions import draw, draws_of, summary
from sslbench.stats.paired import wilson

HIDDEN = {"hidden": 32, "base_lr": 0.01, "weight_decay": 0.01, "batch_size": 64, "steps": 150}
LABELS = torch.tensor([0] * 500 + [1] * 300 + [2] * 195 + [3] * 5)


@pytest.mark.parametrize(
    ("share", "counts"),
    [(0.001, [1, 1, 1, 1]), (0.04, [10, 10, 10, 5]), (0.8, [200, 200, 195, 5]), (1, [500, 300, 195, 5])],
)
def test_a_share_takes_equally_many_of_every_class_at_least_one(share, counts):
    rows = draw(LABELS, share, 0)
    assert LABELS[rows].bincount().tolist() == counts
    assert rows.tolist() == sorted(set(rows.tolist()))


def test_a_smaller_share_is_a_part_of_a_larger_one_and_draws_differ():
    few, more = set(draw(LABELS, 0.01, 3).tolist()), set(draw(LABELS, 0.1, 3).tolist())
    assert few < more
    assert few != set(draw(LABELS, 0.01, 4).tolist())
    assert [len(draws_of(share, 5)) for share in (0.1, 1.0)] == [5, 1]


def test_the_summary_is_students_interval_over_draws_and_wilsons_over_pictures():
    found = summary([60, 70, 68], 100, 0.95)
    low, high = stats.t.interval(0.95, 2, 0.66, np.std([0.6, 0.7, 0.68], ddof=1) / 3**0.5)
    assert found["over_draws"] == pytest.approx([low, high])
    assert found["interval"] == pytest.approx(wilson(66, 100))
    assert found["top1"] == pytest.approx(0.66)


@pytest.mark.parametrize("right", [[60], [60, 60], [60, 70]])
def test_fewer_than_three_draws_have_no_interval(right):
    found = summary(right, 100, 0.95)
    assert found["over_draws"] is None
    assert (found["right"], found["top1"]) == (right, pytest.approx(sum(right) / len(right) / 100))


def rings(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes that no line divides: a disc and the ring around it."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    angle, radius = random.uniform(0, 2 * np.pi, n), random.uniform(0, 1, n) + 1.5 * labels
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def test_the_hidden_layer_learns_what_no_linear_head_can():
    (x, y), (tx, ty) = rings(400, 0), rings(200, 1)
    found = adapters.hidden_head(x, y, tx, 2, HIDDEN, 0)
    assert float((found == ty).float().mean()) > 0.95
    penalties = {"penalties": [1e-3], "holdout": 0.2, "max_iterations": 100}
    straight = adapters.linear_head(x, y, tx, 2, penalties, 0)
    assert float((straight == ty).float().mean()) < 0.75


def test_equal_draws_give_equal_heads_and_leave_the_global_generator_alone():
    (x, y), (tx, _) = rings(100, 0), rings(50, 1)
    before = torch.random.get_rng_state()
    runs = [adapters.hidden_head(x, y, tx, 2, HIDDEN | {"steps": 20}, number) for number in (0, 0)]
    assert torch.equal(*runs)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_hidden_head_sees_every_picture_once_an_epoch_in_another_order_each_time(monkeypatch):
    seen, real = [], torch.nn.functional.cross_entropy
    monkeypatch.setattr(adapters.nn.functional, "cross_entropy", lambda x, y: seen.append(y.tolist()) or real(x, y))
    x, each_its_own = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12)
    adapters.hidden_head(x, each_its_own, x, 12, HIDDEN | {"batch_size": 4, "steps": 9}, 0)
    epochs = [[row for batch in seen[start : start + 3] for row in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in (*epochs, range(12))}) == 4


def test_the_linear_head_of_a_share_is_logistic_regression_on_the_drawn_pictures():
    torch.manual_seed(0)
    centres = torch.randn(3, 8)
    labels, answers = torch.arange(600) % 3, torch.arange(300) % 3
    x, tx = centres[labels] + 1.5 * torch.randn(600, 8), centres[answers] + 1.5 * torch.randn(300, 8)
    origin = {"classes": ["a", "b", "c"]}
    settings = {
        "shares": [0.1],
        "draws": 2,
        "confidence": 0.95,
        "linear": {"penalties": [0.01], "holdout": 0.2, "max_iterations": 500},
        "hidden": HIDDEN | {"steps": 30},
    }
    train, test = (Features(f, l, torch.arange(len(l)), origin) for f, l in ((x, labels), (tx, answers)))
    entry, hidden = adapters.judge(train, test, settings, lambda line: None)
    assert (entry["n_train"], entry["draws"], len(hidden["right"])) == (60, 2, 2)
    for number, right in enumerate(entry["right"]):
        rows = draw(labels, 0.1, number)
        scale = linear_probe.Standardiser.of(x[rows])
        # sklearn minimises the sum of losses plus |w|^2 / 2C; ours is the mean plus penalty |w|^2 / 2
        model = LogisticRegression(C=1 / (60 * 0.01), tol=1e-8, max_iter=5000).fit(scale(x[rows]), labels[rows])
        assert right == pytest.approx(300 * model.score(scale(tx), answers), abs=1)


def test_features_that_are_not_finite_leave_entries_without_figures():
    features = torch.full((6, 4), float("nan"))
    both = Features(features, torch.arange(6) % 2, torch.arange(6), {"classes": ["a", "b"]})
    settings = {"shares": [1.0], "draws": 1, "confidence": 0.95, "linear": {}, "hidden": {}}
    assert all("top1" not in entry for entry in adapters.judge(both, both, settings, print))
