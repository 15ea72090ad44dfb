"""VICRegL: both forms against a brute-force write-up in numpy float64, the paper's form against lightly's loss, too."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from lightly.loss.vicregl_loss import VICRegLLoss

from sslbench.methods.vicregl.model import cell_centres, vicregl_loss
from sslbench.methods.vicregl.settings import Settings

pytestmark = pytest.mark.parity

N, D, LOCAL_D = 5, 6, 4


def views(sizes: list[int], seed: int = 0) -> tuple[list, list, list]:
    """z [N, D], local [N, h*w, d] and places [N, h*w, 2] of views with maps of the given sides."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return (
        [0.5 * draw(N, D) for _ in sizes],
        [0.5 * draw(N, side * side, LOCAL_D) for side in sizes],
        [50 * draw(N, side * side, 2) for side in sizes],
    )


def variance(x: np.ndarray) -> float:
    return float(np.mean([max(0.0, 1 - np.sqrt(x[:, j].var(ddof=1) + 1e-4)) for j in range(x.shape[1])]))


def covariance(x: np.ndarray) -> float:
    cov = (x - x.mean(0)).T @ (x - x.mean(0)) / (len(x) - 1)
    return sum(cov[i, j] ** 2 for i in range(len(cov)) for j in range(len(cov)) if i != j) / len(cov)


def closest_pairs(at_a: np.ndarray, at_b: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Each position of a with its nearest of b; the ``count`` closest of these pairs, closest first."""
    found = []
    for i in range(len(at_a)):
        distances = [np.sqrt(((at_a[i] - at_b[j]) ** 2).sum()) for j in range(len(at_b))]
        found.append((min(distances), i, int(np.argmin(distances))))
    return [(i, j) for _, i, j in sorted(found)[:count]]


def directed(local_a, local_b, at_a, at_b, count, full: bool) -> float:
    pairs = [closest_pairs(at_a[n], at_b[n], count) for n in range(N)]
    a = np.array([[local_a[n][i] for i, _ in pairs[n]] for n in range(N)])  # [N, m, d]
    b = np.array([[local_b[n][j] for _, j in pairs[n]] for n in range(N)])
    total = 25 * ((a - b) ** 2).mean()
    if full:  # variance and covariance over the batch, slot by slot
        slots = range(a.shape[1])
        total += 25 * np.mean([(variance(a[:, m]) + variance(b[:, m])) / 2 for m in slots])
        total += 1 * np.mean([(covariance(a[:, m]) + covariance(b[:, m])) / 2 for m in slots])
    return float(total)


def write_up(z, local, places, anchors: int, form: str, alpha: float, matches: tuple[int, int]) -> dict[str, float]:
    z, local, places = ([x.numpy() for x in group] for group in (z, local, places))
    pairs = [(a, b) for a in range(anchors) for b in range(len(z)) if a != b]
    views_covariance = [covariance(x) for x in z]
    result = {
        "invariance": np.mean([((z[a] - z[b]) ** 2).mean() for a, b in pairs]),
        "variance": np.mean([variance(x) for x in z]),
        "covariance": sum(views_covariance) if form == "lightly-1.2" else np.mean(views_covariance),
    }
    result["global"] = 25 * result["invariance"] + 25 * result["variance"] + result["covariance"]
    for name, at in (("feature_matches", local), ("location_matches", places)):
        result[name] = np.mean(
            [
                directed(local[a], local[b], at[a], at[b], matches[0], form == "paper") / 2
                + directed(local[b], local[a], at[b], at[a], matches[1], form == "paper") / 2
                for a, b in pairs
            ]
        )
    local_total = result["feature_matches"] + result["location_matches"]
    return result | {"loss": alpha * result["global"] + (1 - alpha) * local_total}


@pytest.mark.parametrize(
    ("form", "sizes", "anchors", "matches"),
    [
        ("lightly-1.2", [5, 3], 1, (20, 4)),
        ("lightly-1.2", [2, 1], 1, (20, 4)),  # 64 px over a ResNet: all matches are clipped
        ("paper", [4, 4], 2, (7, 3)),
        ("paper", [4, 4, 2, 2], 2, (20, 4)),  # with local views
    ],
)
@pytest.mark.parametrize("alpha", [0.25, 0.95])
def test_vicregl_agrees_with_a_brute_force_write_up(form, sizes, anchors, matches, alpha):
    options = Settings(form=form, alpha=alpha, matches=matches)
    parts = vicregl_loss(*views(sizes), anchors, options)
    expected = write_up(*views(sizes), anchors, form, alpha, matches)
    assert set(parts) == set(expected)
    for name, value in expected.items():
        assert parts[name].item() == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("sizes", [[4, 4], [4, 4, 2]])
def test_the_papers_form_is_lightlys_loss(sizes):
    z, local, places = views(sizes, seed=3)
    grid = [p.unflatten(1, (s, s)) for p, s in zip(places, sizes, strict=True)]
    pairs = [(x, m.unflatten(1, (s, s))) for x, m, s in zip(z, local, sizes, strict=True)]
    theirs = VICRegLLoss(alpha=0.6)(pairs[:2], grid[:2], pairs[2:], grid[2:])
    ours = vicregl_loss(z, local, places, 2, Settings(form="paper", alpha=0.6))["loss"]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_a_positions_place_is_the_centre_of_its_cell(side):
    top, left, height, width = 30.0, 12.0, 96.0, 192.0  # of the crop in the source picture, 96 output pixels wide
    y = top + (torch.arange(96, dtype=torch.float64) + 0.5) * height / 96
    x = left + (torch.arange(96, dtype=torch.float64) + 0.5) * width / 96
    locations = torch.stack([y[:, None].expand(96, 96), x.expand(96, 96)])[None]
    centres = cell_centres(locations, (side, side)).unflatten(1, (side, side))[0]  # [side, side, 2]
    if 96 % side == 0:
        for i in range(side):
            for j in range(side):
                assert centres[i, j].tolist() == pytest.approx(
                    [top + (i + 0.5) * height / side, left + (j + 0.5) * width / side]
                )
    else:  # uneven cells: spacing within a pixel, and symmetric about the crop's middle
        steps = [(b - a).item() for a, b in pairwise(centres[:, 0, 0])]
        assert all(abs(step - height / side) <= height / 96 for step in steps)
        assert centres[:, 0, 0].mean().item() == pytest.approx(top + height / 2)


def test_flipping_a_view_moves_its_places_with_its_pixels():
    locations = torch.arange(64.0, dtype=torch.float64).expand(1, 1, 64, 64)
    centres = cell_centres(torch.cat([locations.mT, locations], dim=1), (2, 2))
    flipped = cell_centres(torch.cat([locations.mT, locations], dim=1).flip(3), (2, 2))
    assert centres[0].tolist() == [[15.5, 15.5], [15.5, 47.5], [47.5, 15.5], [47.5, 47.5]]
    assert flipped[0].tolist() == [[15.5, 47.5], [15.5, 15.5], [47.5, 47.5], [47.5, 15.5]]
