"""RankMe, alpha-ReQ and LiDAR against write-ups in numpy and scipy, and at their known limits."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import scipy.linalg
import timm
import torch

from sslbench.data.pack.read import PackedSet
from sslbench.evaluation import label_free as measures
from sslbench.evaluation.collapse import entropy_rank
from sslbench.evaluation.embed import embed
from sslbench.evaluation.features import read
from sslbench.evaluation.label_free import FIRST, LAST, labelfree, lidar, power_law, spectra
from sslbench.stats.rank_correlation import agree
from sslbench.training.device import computing
from tests.by_hand import run_of
from tests.evaluation.test_embed import CLASSES, PER_CLASS, SIZE, packed_folder

CROP = {"op": "random_resized_crop", "scale": [0.3, 1.0], "ratio": [0.75, 1.3333333333333333]}
NORMALIZE = {"op": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def rankme_of(features: np.ndarray) -> float:
    """Equation 1 of the paper, with its epsilon."""
    values = scipy.linalg.svdvals(features)
    share = values / values.sum() + 1e-7
    return math.exp(-(share * np.log(share)).sum())


def lidar_of(views: np.ndarray, delta: float = 1e-4) -> float:
    """Section 4 of the paper, picture by picture, after scaling to a mean variance of 1 per channel."""
    n, q, width = views.shape
    flat = views.reshape(-1, width)
    views = views / math.sqrt(((flat - flat.mean(0)) ** 2).mean())
    overall = views.mean((0, 1))
    between, within = np.zeros((width, width)), np.zeros((width, width))
    for picture in views:
        centre = picture.mean(0)
        between += np.outer(centre - overall, centre - overall) / n
        for view in picture:
            within += np.outer(view - centre, view - centre) / (n * (q - 1))
    root = scipy.linalg.fractional_matrix_power(within + delta * np.eye(width), -0.5)
    values = np.linalg.eigvalsh(root @ between @ root)
    share = np.abs(values) / np.abs(values).sum() + 1e-7
    return math.exp(-(share * np.log(share)).sum())


def test_rankme_is_the_papers_formula_and_full_for_equal_singular_values():
    features = normal(0, 300, 20) @ np.diag(np.linspace(1, 0.01, 20))
    raw, centred = spectra(torch.tensor(features).float())
    assert entropy_rank(raw) == pytest.approx(rankme_of(features.astype(np.float32)), rel=1e-4)
    assert centred.numpy() == pytest.approx(np.cov(features.T) * 299, rel=1e-4, abs=1e-3)
    orthonormal = np.linalg.qr(normal(1, 300, 20))[0]
    raw, _ = spectra(torch.tensor(orthonormal).float())
    assert entropy_rank(raw) == pytest.approx(20, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.3])
def test_a_power_law_has_its_exponent(alpha):
    ranks = np.arange(1, 257.0)
    values = 7 * ranks**-alpha
    values[: FIRST - 1] *= 100  # what follows no law is not looked at
    values[LAST:] *= 1e-3
    assert power_law(torch.tensor(values[::-1].copy())) == pytest.approx(alpha, abs=1e-9)


def test_the_exponent_is_the_weighted_fit_of_numpy():
    values = np.sort(np.random.default_rng(0).exponential(size=60) + 1e-3)[::-1]
    ranks = np.arange(FIRST, 61)
    slope, _ = np.polyfit(np.log(ranks), np.log(values[FIRST - 1 :]), 1, w=1 / np.sqrt(ranks))
    assert power_law(torch.tensor(values.copy())) == pytest.approx(-slope)


def test_a_spectrum_of_few_directions_has_no_exponent():
    values = torch.cat([torch.rand(14), torch.full((50,), 1e-15)])
    assert power_law(values) is None


def test_lidar_is_the_papers_formula():
    views = 2 * normal(0, 30, 1, 12) + normal(1, 30, 5, 12) * np.linspace(0.1, 3, 12)
    assert lidar(torch.tensor(views)) == pytest.approx(lidar_of(views), rel=1e-4)
    assert lidar(torch.tensor(1000 * views + 5)) == pytest.approx(lidar(torch.tensor(views)), rel=1e-9)


def test_lidar_of_views_that_equal_their_picture_is_the_rank_of_the_pictures():
    """Within a picture nothing varies, so every direction counts as much as the pictures vary along it."""
    directions = np.linalg.qr(normal(0, 64, 7))[0].T  # 7 orthonormal directions of 64 channels
    signs = scipy.linalg.hadamard(8)[:, 1:]  # 8 pictures, equal variance along each, mean 0
    views = np.repeat((signs @ directions)[:, None], 4, axis=1)
    assert lidar(torch.tensor(views)) == pytest.approx(7, rel=1e-6)


def test_lidar_ignores_directions_in_which_only_views_differ():
    """Two directions tell pictures apart; ten more have ten times their variance, but within pictures only."""
    pictures = np.zeros((200, 1, 12))
    pictures[:, :, :2] = normal(0, 200, 1, 2)
    noise = np.concatenate([0.01 * normal(1, 200, 50, 2), 10 * normal(2, 200, 50, 10)], axis=2)
    found = lidar(torch.tensor(pictures + noise))
    assert found == pytest.approx(2, abs=0.1)
    raw, _ = spectra(torch.tensor((pictures + noise).reshape(-1, 12)).float())
    assert entropy_rank(raw) > 10  # RankMe counts them all


def test_lidar_of_one_point_is_zero():
    assert lidar(torch.ones(5, 3, 4)) == 0


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A pack, a random backbone, its features and its run.json."""
    root = tmp_path_factory.mktemp("cell")
    pack = packed_folder(root, np.random.default_rng(0))
    manifest = json.loads((pack / "manifest.json").read_text())
    torch.manual_seed(0)
    weights = root / "backbone.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    backbone = {"name": "test_resnet", "options": {}}
    data = {"dataset": {"split": next(iter(manifest["splits"]))}, "backbone": backbone, "input_size": SIZE}
    outputs = {part: root / f"features-{part}.safetensors" for part in ("train", "test")}
    embed(data, {"resize_ratio": 1.0}, weights, pack, outputs, "cpu", 1, log=lambda line: None)
    (root / "run.json").write_text(json.dumps(run_of(code="one")))
    return root, pack, weights, outputs["train"], data


@pytest.fixture(scope="module")
def unlabelled(cell, tmp_path_factory):
    """The same backbone, and a pack of pictures without labels."""
    root = tmp_path_factory.mktemp("unlabelled")
    pack = packed_folder(root, np.random.default_rng(1), labelled=False)
    (root / "run.json").write_text(json.dumps(run_of(code="another")))
    return root, pack, *cell[2:]


def measured(cell, name: str, **changes) -> dict:
    root, pack, weights, _, data = cell
    branch = [CROP, NORMALIZE]
    settings = data | {"resize_ratio": 1.0, "transform": [branch, branch], "pictures": 20, "views": 4}
    out = root / name
    labelfree(settings | changes, weights, root / "run.json", pack, out, "cpu", 1, log=lambda line: None)
    return json.loads(out.read_text())


def test_pictures_without_a_label_are_measured(unlabelled):
    split = {"split": "official"}
    found = measured(unlabelled, "a.json", dataset=split)
    packed = PackedSet.open(unlabelled[1])
    assert (packed.labels < 0).all()
    assert found["n"] == len(packed) == PER_CLASS
    assert found["rankme"] > 1 and found["lidar"] > 1 and found["digest"] == run_of(code="another")["digest"]


def test_a_large_set_is_measured_on_the_same_few_pictures_each_time(cell, monkeypatch):
    seen, forward = [], measures.forward

    def watched(backbone, packed, indices, *rest):
        seen.append(indices.tolist())
        return forward(backbone, packed, indices, *rest)

    monkeypatch.setattr(measures, "forward", watched)
    monkeypatch.setattr(measures, "SAMPLE", 12)
    first, again = measured(cell, "e.json"), measured(cell, "f.json")
    assert first == again and first["n"] == 12
    train = read(cell[3])
    rows = np.isin(train.indices.numpy(), seen[0])
    assert seen[0] == seen[1] == sorted(set(seen[0])) and rows.sum() == 12
    assert seen[0] != train.indices[:12].tolist()  # a shuffle, not the first class
    assert first["rankme"] == pytest.approx(rankme_of(train.features.numpy()[rows]), rel=1e-3)


def test_a_cells_measures_are_of_its_training_pictures_and_equal_each_time(cell):
    first, again = measured(cell, "a.json"), measured(cell, "b.json")
    assert first == again
    assert (first["pictures"], first["views"], first["digest"]) == (20, 4, run_of(code="one")["digest"])
    features = read(cell[3]).features.numpy()
    assert first["rankme"] == pytest.approx(rankme_of(features), rel=1e-3)
    assert 1 < first["lidar"] <= 19
    assert len(PackedSet.open(cell[1])) == CLASSES * PER_CLASS


def test_more_pictures_than_there_are_means_all_of_them(cell):
    assert measured(cell, "c.json", pictures=10_000, views=2)["pictures"] == len(read(cell[3]).labels)


def test_without_a_transform_there_are_no_views_and_no_lidar(cell):
    found = measured(cell, "d.json", transform=[[], []])
    assert found["lidar"] is None
    assert found["rankme"] > 1


def test_the_views_for_lidar_are_of_both_branches_in_turn(cell):
    class Maker:
        def __init__(self, grey: float) -> None:
            self.grey = grey

        def make(self, pictures, draws, device) -> SimpleNamespace:
            return SimpleNamespace(images=torch.full((len(pictures), 3, SIZE, SIZE), self.grey))

    with computing("cpu", 1, {"precision": "fp32", "channels_last": True, "deterministic": True}) as place:
        makers, packed = [Maker(1.0), Maker(2.0)], PackedSet.open(cell[1])
        found = measures.embed_views(lambda x: x.mean((2, 3)), packed, torch.tensor([3, 0, 5]), makers, 5, place)
    assert found.shape == (3, 5, 3)
    assert found[:, :, 0].tolist() == [[1, 2, 1, 2, 1]] * 3


def test_agreement_is_scipys_and_its_interval_covers():
    x = np.arange(8.0)
    found = agree(x, [0, 2, 1, 3, 5, 4, 7, 6])
    assert found.kendall == pytest.approx(22 / 28)  # three of 28 pairs are swapped
    # exactly: permutations of 8 with at most 3 inversions, both ways; 1 + 7 + 27 + 76 of 40,320
    assert found.p == pytest.approx(2 * (1 + 7 + 27 + 76) / math.factorial(8))
    assert found.spearman == pytest.approx(1 - 6 * 6 / (8 * 63))
    # rho 13/14, atanh 1.6479184; 1.9599640 sqrt((1 + 169/392) / 5) = 1.0485798; tanh of 0.5993386 and of 2.6964982
    assert (found.low, found.high) == pytest.approx((0.5365788, 0.9909445), abs=1e-6)
    random, rho, inside = np.random.default_rng(0), 0.6, 0
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal
    for _ in range(300):
        a, b = random.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 20).T
        one = agree(a, b)
        inside += one.low <= truth <= one.high
    assert 270 <= inside <= 298


def test_too_few_or_equal_values_have_no_agreement():
    assert agree([1.0], [2.0]) is None
    assert agree([1, 1, 1], [1, 2, 3]) is None
    assert agree([1, 2, 3], [1, 2, 3]).low is None
