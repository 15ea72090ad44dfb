"""Every drawn parameter has the distribution that its operation states. Seeds are fixed; p < 1e-3 fails."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare, kstest

from sslbench.errors import UserError
from sslbench.transforms.ops.blur import GaussianBlur
from sslbench.transforms.ops.color import STEPS, ColorJitter, Grayscale, Solarize
from sslbench.transforms.ops.cutout import Cutout
from sslbench.transforms.ops.flip import HorizontalFlip, VerticalFlip
from sslbench.transforms.ops.noise import GaussianNoise
from sslbench.transforms.ops.quarter_turns import QuarterTurns
from sslbench.transforms.ops.region_confusion import RegionConfusion
from sslbench.transforms.ops.rotate import Rotate
from sslbench.transforms.ops.rotate_square import RotateSquare
from sslbench.transforms.ops.sobel import Sobel

N = 20_000
ALPHA = 1e-3


def draw(operation, size: int = 64, n: int = N) -> dict:
    return operation.draw(n, size, size, torch.Generator().manual_seed(7))


def is_uniform(values: torch.Tensor, low: float, high: float) -> bool:
    return kstest(values.double().numpy(), "uniform", args=(low, high - low)).pvalue > ALPHA


def is_even(values: torch.Tensor, choices: int) -> bool:
    return chisquare(torch.bincount(values, minlength=choices).numpy()).pvalue > ALPHA


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(
    "make",
    [
        HorizontalFlip,
        VerticalFlip,
        Rotate,
        Grayscale,
        lambda p: ColorJitter(p, 0.8, 0.8, 0.8, 0.2),
        lambda p: Solarize(p, 0.5),
        lambda p: GaussianBlur(p, (0.1, 2.0)),
        QuarterTurns,
        Sobel,
        lambda p: Cutout(p, 0.5, (0.5, 0.5, 0.5)),
        lambda p: GaussianNoise(p, (0.1, 0.2)),
        lambda p: RotateSquare(p, 2, 0.5, "image"),
        lambda p: RegionConfusion(p, 7, 2, "paper"),
    ],
)
def test_operations_fire_with_their_probability(make, p):
    fired = draw(make(p), n=4000)["fired"]
    assert binomtest(int(fired.sum()), len(fired), p).pvalue > ALPHA


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_probabilities_0_and_1_are_certain(p, share):
    assert draw(HorizontalFlip(p))["fired"].float().mean() == share


def test_jitter_factors_are_uniform_about_1_times_strength_and_hue_about_0():
    drawn = draw(ColorJitter(0.8, 0.4, 1.5, 0.2, 0.1, strength=0.8))
    assert is_uniform(drawn["brightness"], 1 - 0.32, 1 + 0.32)
    assert is_uniform(drawn["contrast"], 0, 2.2)
    assert is_uniform(drawn["saturation"], 1 - 0.16, 1 + 0.16)
    assert is_uniform(drawn["hue"], -0.08, 0.08)
    assert is_even(drawn["order"], 24)


def test_jitter_parameters_are_independent_of_each_other():
    drawn = draw(ColorJitter(0.5, 0.8, 0.8, 0.8, 0.2))
    columns = np.stack([drawn[name].double().numpy() for name in ("fired", "order", *STEPS)])
    off_diagonal = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(off_diagonal).max() < 4 / np.sqrt(N)


def test_blur_and_angle_are_uniform():
    assert is_uniform(draw(GaussianBlur(0.5, (0.1, 2.0)))["sigma"], 0.1, 2.0)
    assert is_uniform(draw(Rotate(0.5, degrees=30))["angle"], -30, 30)


@pytest.mark.parametrize(("size", "largest"), [(224, 112), (64, 32), (33, 16)])
def test_squares_have_sides_from_2_to_half_the_width_and_even_turns(size, largest):
    drawn = draw(RotateSquare(1.0, 2, 0.5, "image"), size)
    assert int(drawn["side"].min()) == 2 and int(drawn["side"].max()) == largest
    assert is_even(drawn["side"] - 2, largest - 1)
    assert is_even(drawn["quarter_turns"], 4)
    for name in ("top", "left"):
        assert (drawn[name] >= 0).all() and (drawn[name] + drawn["side"] < size).all()  # never at the far border
    of_one_side = drawn["side"] == 8
    assert is_even(drawn["top"][of_one_side], size - 8) and is_even(drawn["left"][of_one_side], size - 8)


def test_a_square_per_batch_is_one_box_with_turns_per_image():
    drawn = draw(RotateSquare(1.0, 2, 0.5, "batch"))
    for name in ("side", "top", "left"):
        assert drawn[name].shape == (N,) and len(drawn[name].unique()) == 1
    assert is_even(drawn["quarter_turns"], 4)


def test_a_square_as_large_as_the_view_is_allowed_and_one_that_never_fits_is_refused():
    drawn = draw(RotateSquare(1.0, 64, 1.0, "image"))
    assert (drawn["side"] == 64).all() and (drawn["top"] == 0).all() and (drawn["left"] == 0).all()
    with pytest.raises(UserError, match="no square fits a view of 64x64 px"):
        draw(RotateSquare(1.0, 40, 0.5, "image"))


def test_more_tiles_than_pixels_are_refused():
    with pytest.raises(UserError, match="70 tiles do not fit"):
        draw(RegionConfusion(1.0, 70, 2, "paper"))


def moves(variant: str, tiles: int = 7, reach: int = 2, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns by which each tile moved, new place - old place."""
    tile = draw(RegionConfusion(1.0, tiles, reach, variant), n=n)["tile"]
    places = torch.arange(tiles)
    return places[:, None] - tile // tiles, places - tile % tiles


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize(("tiles", "reach"), [(7, 2), (7, 1), (5, 4), (2, 1)])
def test_a_shuffle_loses_no_tile(variant, tiles, reach):
    tile = draw(RegionConfusion(1.0, tiles, reach, variant), n=500)["tile"]
    assert torch.equal(tile.flatten(1).sort(dim=1).values, torch.arange(tiles**2).expand(500, -1))


@pytest.mark.parametrize(("tiles", "reach"), [(7, 1), (7, 2), (9, 3)])
def test_the_papers_shuffle_moves_a_tile_by_less_than_twice_its_reach(tiles, reach):
    down, across = moves("paper", tiles, reach)
    assert int(down.abs().max()) == int(across.abs().max()) == 2 * reach - 1


def test_the_papers_shuffle_has_the_known_displacements():
    """Against figures simulated apart from this code: 0: 47 %, 1: 20.5 % each way, 2: 5.6 %, 3: .5 %; mean .67."""
    for moved in moves("paper"):
        shares = {step: (moved == step).float().mean().item() for step in range(-3, 4)}
        expected = {0: 0.47, 1: 0.205, 2: 0.056, 3: 0.005}
        assert all(abs(share - expected[abs(step)]) < 0.006 for step, share in shares.items()), shares
        assert abs(moved.abs().float().mean() - 0.67) < 0.01


def test_the_codes_shuffle_has_the_known_displacements():
    """Against figures simulated apart from this code: -1: 43 %, 0: 32 %, +1: 14 %, +2: 6 %, more: 4.4 %; mean .86."""
    for moved in moves("code"):
        assert int(moved.min()) == -1 and int(moved.max()) == 6
        for step, expected in ((-1, 0.43), (0, 0.32), (1, 0.14), (2, 0.06)):
            assert abs((moved == step).float().mean() - expected) < 0.01, step
        assert abs((moved >= 3).float().mean() - 0.044) < 0.005
        assert abs(moved.abs().float().mean() - 0.86) < 0.01


def test_the_codes_shuffle_moves_whole_rows_and_the_papers_does_not():
    for variant, whole in (("code", True), ("paper", False)):
        down, _ = moves(variant, n=200)
        assert bool((down == down[:, :, :1]).all()) is whole
