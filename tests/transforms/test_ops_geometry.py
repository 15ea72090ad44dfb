"""Flips, rotations, rotated squares and shuffled tiles against torchvision or a plain loop over images."""

from itertools import pairwise

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv
from ways import in_both_ways

from sslbench.transforms.ops.flip import HorizontalFlip, VerticalFlip
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.ops.region_confusion import RegionConfusion
from sslbench.transforms.ops.rotate import Rotate
from sslbench.transforms.ops.rotate_square import RotateSquare

pytestmark = pytest.mark.parity

SIZES = [33, 64, 96, 224]


def images(size: int, n: int = 12) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def seed(value: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def choose(fired: torch.Tensor, changed: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([c if f else b for f, c, b in zip(fired.tolist(), changed, batch, strict=True)])


@in_both_ways
@pytest.mark.parametrize(
    ("operation", "theirs"),
    [
        (HorizontalFlip(0.5), tv.horizontal_flip),
        (VerticalFlip(0.5), tv.vertical_flip),
        (Rotate(0.5), lambda image: tv.rotate(image, 90.0, interpolation=InterpolationMode.NEAREST)),
    ],
    ids=["horizontal flip", "vertical flip", "rotation by 90 degrees, counter-clockwise"],
)
@pytest.mark.parametrize("size", SIZES)
def test_is_bit_equal_to_torchvisions(operation, theirs, size, apply):
    batch = images(size)
    drawn = operation.draw(len(batch), size, size, seed())
    assert 0 < drawn["fired"].sum() < len(batch)
    assert torch.equal(apply(operation, batch, drawn), choose(drawn["fired"], theirs(batch), batch))


@in_both_ways
@pytest.mark.parametrize("size", SIZES)
def test_a_drawn_angle_is_torchvisions_bilinear_rotation(size, apply):
    rotate, batch = Rotate(0.7, degrees=40), images(size)
    drawn = rotate.draw(len(batch), size, size, seed())
    angles = zip(batch, drawn["angle"].tolist(), strict=True)
    turned = [tv.rotate(image, angle, interpolation=InterpolationMode.BILINEAR) for image, angle in angles]
    error = (apply(rotate, batch, drawn) - choose(drawn["fired"], turned, batch)).abs()
    # On noise, float rounding of the coordinates (1e-5 px at 224) shows as that share of a full step.
    assert error.max() < 0.02 / 255


@in_both_ways
def test_normalisation_is_torchvisions_and_is_undone(apply):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    batch, normalise = images(33), Normalize(mean, std)
    assert torch.equal(apply(normalise, batch, {}), tv.normalize(batch, mean, std))
    assert (normalise.undo(apply(normalise, batch, {})) - batch).abs().max() < 1e-6


@in_both_ways
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("box", ["image", "batch"])
def test_a_square_is_turned_in_place_and_all_else_is_bit_identical(size, box, apply):
    operation, batch = RotateSquare(0.8, 2, 0.5, box), images(size, 40)
    drawn = operation.draw(len(batch), size, size, seed())
    expected = batch.clone()
    for i in range(len(batch)):
        top, left, side = (int(drawn[name][i]) for name in ("top", "left", "side"))
        square = (i, slice(None), slice(top, top + side), slice(left, left + side))
        if drawn["fired"][i]:
            expected[square] = batch[square].rot90(int(drawn["quarter_turns"][i]), (1, 2))
    assert not torch.equal(expected, batch)
    assert torch.equal(apply(operation, batch, drawn), expected)


@in_both_ways
@pytest.mark.parametrize(("size", "tiles"), [(224, 7), (63, 7), (64, 4)])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_even_tiles_are_moved_whole(size, tiles, variant, apply):
    operation, batch = RegionConfusion(0.8, tiles, 2, variant), images(size)
    drawn, side = operation.draw(len(batch), size, size, seed()), size // tiles
    expected = batch.clone()
    for i in drawn["fired"].nonzero().flatten().tolist():
        for place in range(tiles**2):
            y, x = place // tiles * side, place % tiles * side
            tile = int(drawn["tile"][i].flatten()[place])
            from_y, from_x = tile // tiles * side, tile % tiles * side
            source = batch[i, :, from_y : from_y + side, from_x : from_x + side]
            expected[i, :, y : y + side, x : x + side] = source
    assert not torch.equal(expected, batch)
    assert torch.equal(apply(operation, batch, drawn), expected)


@in_both_ways
@pytest.mark.parametrize("size", [64, 96, 33, 100])
def test_uneven_tiles_are_fitted_by_torchs_nearest_exact_resize(size, apply):
    operation, batch = RegionConfusion(1.0, 7, 2, "paper"), images(size)
    drawn = operation.draw(len(batch), size, size, seed())
    edges = [round(i * size / 7) for i in range(8)]
    assert len({b - a for a, b in pairwise(edges)}) == 2
    expected = torch.empty_like(batch)
    for i in range(len(batch)):
        for place in range(49):
            y, x = divmod(place, 7)
            from_y, from_x = divmod(int(drawn["tile"][i, y, x]), 7)
            source = batch[i : i + 1, :, edges[from_y] : edges[from_y + 1], edges[from_x] : edges[from_x + 1]]
            fitted = (edges[y + 1] - edges[y], edges[x + 1] - edges[x])
            expected[i, :, edges[y] : edges[y + 1], edges[x] : edges[x + 1]] = torch.nn.functional.interpolate(
                source, size=fitted, mode="nearest-exact"
            )[0]
    assert torch.equal(apply(operation, batch, drawn), expected)
