"""Verdicts on constructed representations, and the measures against plain formulas."""

import math

import numpy as np
import pytest
import timm
import torch

from sslbench.evaluation import knn, linear_probe
from sslbench.evaluation.collapse import Trivial, examine, geometry

CLASSES, N, M, WIDTH = 10, 400, 300, 64


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(N + M) % CLASSES
CENTRES = draw(0, CLASSES, WIDTH)


def verdict_of(features: torch.Tensor, labels: torch.Tensor = LABELS, trivial: Trivial | None = None) -> dict:
    """The health report with probes that really ran."""
    train, test = features[:N], features[N:]
    right: dict[str, int | None] = {"linear": None, "knn 20": None}
    if features.isfinite().all():
        found = linear_probe.probe(train, labels[:N], test, CLASSES, penalties=[1e-3, 1e-2, 1e-1])
        right["linear"] = int((found.ranking[:, 0] == labels[N:]).sum())
        right["knn 20"] = int((knn.predict(train, labels[:N], test, CLASSES, k=[20])[20][:, 0] == labels[N:]).sum())
    return examine(train, test, labels[N:], CLASSES, right, trivial)


def test_class_clusters_are_healthy():
    report = verdict_of(CENTRES[LABELS] + draw(1, N + M, WIDTH))
    assert report["verdict"] == "healthy" and "above chance" in report["evidence"][0]
    assert report["channel_std"] == pytest.approx(1, abs=0.1) and report["dead_share"] == 0
    assert report["chance"] == pytest.approx(0.1) and max(report["p_chance"].values()) < 1e-6


def test_perfect_neural_collapse_of_a_supervised_network_is_healthy():
    """Every picture at its class's centre: rank 9 of 64 is all that ten classes need."""
    report = verdict_of(CENTRES[LABELS] + 1e-4 * draw(1, N + M, WIDTH))
    assert report["verdict"] == "healthy" and report["effective_rank"] < 10


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-4])
def test_one_feature_for_all_pictures_is_collapsed(noise):
    report = verdict_of(3 * CENTRES[:1] + noise * draw(1, N + M, WIDTH))
    assert report["verdict"] == "collapsed"
    assert any("share one feature" in line for line in report["evidence"])
    assert report["channel_std"] < 1e-3
    if noise < 1e-6:
        assert report["dead_share"] > 0.9


def test_a_network_of_zeros_is_collapsed():
    report = verdict_of(torch.zeros(N + M, WIDTH))
    assert report["verdict"] == "collapsed" and report["channel_std"] == 0 and report["effective_rank"] == 0


def test_features_on_a_line_are_collapsed_even_where_probes_beat_chance():
    position = LABELS.float()[:, None] / 3 + 0.1 * draw(2, N + M, 1)
    report = verdict_of(draw(3, 1, WIDTH) + position * draw(4, 1, WIDTH))
    assert report["verdict"] == "collapsed" and report["effective_rank"] < 2
    assert any("on a line" in line for line in report["evidence"])
    assert report["p_chance"]["linear"] < 1e-6


def test_few_directions_without_class_information_are_collapsed_and_with_it_suspicious():
    plane = draw(5, 3, WIDTH)
    blind = verdict_of(draw(6, N + M, 3) @ plane)
    assert blind["verdict"] == "collapsed" and any("effective rank" in line for line in blind["evidence"])
    seeing = verdict_of((draw(7, CLASSES, 3)[LABELS] + 0.1 * draw(6, N + M, 3)) @ plane)
    assert seeing["verdict"] == "suspicious" and seeing["p_chance"]["linear"] < 1e-6


def test_random_directions_without_class_information_are_suspicious_not_collapsed():
    report = verdict_of(draw(8, N + M, WIDTH))
    assert report["verdict"] == "suspicious"
    assert len(report["evidence"]) == 2 and all("not above" in line for line in report["evidence"])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "resnet18"])
def test_a_random_initialisation_is_never_collapsed(name):
    """Untrained networks on noise with a class-dependent tint and grain, and on the same noise without classes."""
    torch.manual_seed(0)
    options = {"img_size": 32} if "vit" in name else {}
    model = timm.create_model(name, num_classes=0, **options).eval()
    grain = draw(9, N + M, 3, 32, 32) * (0.3 + 0.1 * LABELS[:, None, None, None])
    tint = draw(10, CLASSES, 3, 1, 1)[LABELS]
    with torch.no_grad():
        seeing = torch.cat([model(block) for block in (grain + tint).split(100)])
    assert verdict_of(seeing)["verdict"] == "healthy"
    shuffled = LABELS[torch.randperm(N + M, generator=torch.Generator().manual_seed(0))]
    assert verdict_of(seeing, shuffled)["verdict"] == "suspicious"


@pytest.mark.parametrize(("where", "value"), [(3, math.nan), (N + 1, math.inf)])
def test_a_single_feature_that_is_not_finite_is_collapsed(where, value):
    features = CENTRES[LABELS] + draw(1, N + M, WIDTH)
    features[where, 5] = value
    report = verdict_of(features)
    assert report["verdict"] == "collapsed" and "not finite" in report["evidence"][0] and report["non_finite"] == 1
    assert report["channel_std"] is None and report["p_chance"]["linear"] is None


def test_a_loss_at_its_trivial_value_is_suspicious_alone_and_collapse_at_chance():
    stuck = Trivial("loss", math.log(511), math.log(511) - 0.01)
    learnt = Trivial("loss", math.log(511), 4.9)
    alive = CENTRES[LABELS] + draw(1, N + M, WIDTH)
    assert verdict_of(alive, trivial=learnt)["verdict"] == "healthy"
    report = verdict_of(alive, trivial=stuck)
    assert report["verdict"] == "suspicious" and "within 1%" in report["evidence"][0]
    assert report["loss_gap"] == pytest.approx(-0.01 / math.log(511))
    assert verdict_of(draw(8, N + M, WIDTH), trivial=stuck)["verdict"] == "collapsed"
    diverged = verdict_of(alive, trivial=Trivial("loss", 6.2, math.nan))
    assert diverged["verdict"] == "collapsed" and diverged["loss_gap"] is None and diverged["loss"]["final"] is None
    assert verdict_of(alive, trivial=Trivial("loss", 6.2, None))["verdict"] == "healthy"


def test_chance_is_the_largest_classs_share_of_the_test_pictures():
    """A constant guess on ImageWoof v2 scores 401 of 3929, above one in ten: it must not count as above chance."""
    counts = [409, 401, 396, 394, 390, 390, 390, 390, 390, 379]
    labels = torch.repeat_interleave(torch.arange(10), torch.tensor(counts))
    x = draw(11, 500, 16)
    report = examine(x, draw(12, 3929, 16), labels, 10, {"linear": 401}, None)
    assert report["chance"] == 409 / 3929 and report["p_chance"]["linear"] > 0.5
    assert any("not above the largest class's 10.41%" in line for line in report["evidence"])


def test_geometry_equals_the_plain_formulas():
    x = torch.relu(draw(13, 300, 20) @ draw(14, 20, 40) + 1).double()
    x[:, 7] = 2.5
    found = geometry(x.float())
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()

    def rank(matrix):
        s = np.linalg.svd(matrix, compute_uv=False)
        p = s[s > 1e-6 * s[0]] / s.sum()
        return math.exp(-(p * np.log(p)).sum())

    assert found.channel_std == pytest.approx(unit.std(0).mean() * 40**0.5, rel=1e-6)
    assert found.effective_rank == pytest.approx(rank(unit - unit.mean(0)), rel=1e-4)
    assert found.rankme == pytest.approx(rank(x.numpy()), rel=1e-4)
    assert found.dead_share == pytest.approx(1 / 40)


def test_random_directions_have_unit_deviation_and_nearly_full_rank():
    found = geometry(draw(15, 4000, 32))
    assert found.channel_std == pytest.approx(1, abs=0.02) and found.effective_rank > 31.5
