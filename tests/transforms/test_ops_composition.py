"""Sobel's filter, cutout, noise and quarter turns against scipy, torchvision, numpy and plain loops over images."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torchvision.transforms.v2 import functional as tv

from sslbench.transforms.cpu import backend
from sslbench.transforms.ops.color import LUMA
from sslbench.transforms.ops.cutout import Cutout
from sslbench.transforms.ops.noise import GaussianNoise, normal, scrambled
from sslbench.transforms.ops.quarter_turns import QuarterTurns
from sslbench.transforms.ops.sobel import Sobel
from sslbench.transforms.pipeline import ViewMaker
from tests.transforms.test_crop_and_operations import pictures

pytestmark = pytest.mark.parity

SIZES = [33, 64, 224]
MEAN = (0.485, 0.456, 0.406)


def images(size: int, n: int = 12) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def seed(value: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def changed_where_fired(operation, batch: torch.Tensor, expected: torch.Tensor, drawn: dict, error: float) -> None:
    fired = drawn["fired"]
    assert 0 < fired.sum() < len(batch)
    changed = operation.apply(batch, drawn)
    assert torch.equal(changed[~fired], batch[~fired])
    assert (changed[fired] - expected[fired]).abs().max() <= error


@pytest.mark.parametrize("size", SIZES)
def test_sobel_is_scipys_gradient_of_the_brightness_over_four(size):
    operation, batch = Sobel(0.5), images(size)
    batch[::2] = (batch[::2, :1] > 0.5).float()  # black and white, with corners that are cut off
    grey = np.tensordot(LUMA, batch.numpy().astype(np.float64), axes=(0, 1))
    lengths = [np.hypot(*(ndimage.sobel(one, axis=axis, mode="nearest") for axis in (0, 1))) for one in grey]
    edges = torch.from_numpy(np.minimum(np.stack(lengths) / 4, 1)).float()
    expected = edges[:, None].expand(-1, 3, -1, -1)
    changed_where_fired(operation, batch, expected, operation.draw(len(batch), size, size, seed()), 1e-3 / 255)
    assert (np.stack(lengths) > 4.1).any()


def test_sobel_finds_a_straight_edge_between_black_and_white_to_be_1_and_a_flat_picture_to_be_0():
    batch = torch.zeros(2, 3, 8, 8)
    batch[0, :, :, 4:], batch[1] = 1, 0.7
    operation = Sobel(1.0)
    edges = operation.apply(batch, operation.draw(2, 8, 8, seed()))
    brightest = sum(LUMA)  # torchvision's, 0.9999
    assert torch.allclose(edges[0, :, :, 3:5], torch.full((3, 8, 2), brightest)) and (edges[0] > 0).sum() == 3 * 8 * 2
    assert edges[1].abs().max() < 1e-6


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_cutout_paints_one_square_and_keeps_every_other_bit(size, share):
    operation, batch = Cutout(0.6, share, MEAN), images(size, 40)
    drawn, expected, side = operation.draw(40, size, size, seed()), batch.clone(), max(1, round(share * size))
    assert (drawn["side"] == side).all()
    for i in drawn["fired"].nonzero().flatten().tolist():
        top, left = int(drawn["top"][i]), int(drawn["left"][i])
        rows, columns = slice(max(0, top), max(0, top + side)), slice(max(0, left), max(0, left + side))
        expected[i, :, rows, columns] = torch.tensor(MEAN)[:, None, None]
    changed_where_fired(operation, batch, expected, drawn, 0)


@pytest.mark.parametrize(("size", "side"), [(32, 16), (33, 8)])
def test_cutouts_centre_is_even_over_all_pixels(size, side):
    drawn = Cutout(1.0, side / size, MEAN).draw(20_000, size, size, seed(3))
    centres = [drawn[name] + side // 2 for name in ("top", "left")]
    for centre in centres:
        counts = torch.bincount(centre, minlength=size)
        assert len(counts) == size and stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert abs(np.corrcoef(*(c.numpy() for c in centres))[0, 1]) < 4 / np.sqrt(20_000)


@pytest.mark.parametrize("size", SIZES)
def test_quarter_turns_are_torchvisions_and_each_as_likely(size):
    operation, batch = QuarterTurns(0.7), images(size, 30)
    drawn = operation.draw(30, size, size, seed())
    turned = [tv.rotate(image, 90.0 * int(k)) for image, k in zip(batch, drawn["turns"], strict=True)]
    changed_where_fired(operation, batch, torch.stack(turned), drawn, 0)
    turns = operation.draw(9000, size, size, seed(2))["turns"]
    assert stats.chisquare(torch.bincount(turns, minlength=4)[1:].numpy()).pvalue > 1e-3


def hashed(values: np.ndarray) -> np.ndarray:
    """The hash of noise.py in unsigned 32-bit numbers that overflow, as its author has it."""
    values = values.astype(np.uint32)
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    values = (values ^ (values >> np.uint32(15))) * np.uint32(0x735A2D97)
    return values ^ (values >> np.uint32(15))


def test_noise_is_the_inverse_normal_of_a_32_bit_hash():
    """All whole numbers until the last step, so that devices can differ in the rounding of that alone."""
    values = np.concatenate([np.arange(1000), np.random.default_rng(0).integers(0, 2**32, 100_000), [2**32 - 1]])
    assert np.array_equal(scrambled(torch.from_numpy(values)).numpy(), hashed(values))
    assert len(np.unique(hashed(np.arange(200_000)))) == 200_000
    shares = ((hashed(values) >> 8) + 0.5) / 2**24
    assert np.abs(normal(torch.from_numpy(values)).numpy() - stats.norm.ppf(shares)).max() < 2e-5
    ends = normal(torch.arange(1 << 22))
    assert ends.isfinite().all() and 4.5 < ends.abs().max() < 5.5


def noise(n: int = 8, size: int = 96, sigma: float = 0.01) -> torch.Tensor:
    """float64 [n, 3, size, size], what is added to grey images in units of sigma; none is cut off."""
    operation, grey = GaussianNoise(1.0, (sigma, sigma)), torch.full((n, 3, size, size), 0.5)
    return (operation.apply(grey, operation.draw(n, size, size, seed(4))) - 0.5).double() / sigma


def test_noise_is_standard_normal_in_every_image():
    for image in noise():
        values = image.flatten().numpy()
        assert abs(values.mean()) < 4 / np.sqrt(len(values)) and abs(values.std() - 1) < 4 / np.sqrt(2 * len(values))
        assert stats.kstest(values, "norm").pvalue > 1e-3


def test_noise_of_images_pixels_and_channels_is_independent():
    made = noise()
    n = made[0].numel()
    bound = 5 / np.sqrt(n)
    flat = made.flatten(1)
    between = np.corrcoef(flat.numpy()) - np.eye(len(flat))
    assert np.abs(between).max() < bound
    for lag in (1, 2, 96, 97, 96 * 96):  # to the right, below, diagonally, and to the next channel
        assert max(abs(np.corrcoef(row[lag:], row[:-lag])[0, 1]) for row in flat.numpy()) < bound
    # Nor is one image's noise another's, moved: the correlation at every shift, n of them.
    spectra = torch.fft.rfft(flat)
    shifted = torch.fft.irfft(spectra[:1] * spectra[1:].conj(), n=n) / n
    assert shifted.abs().max() < 6.5 / np.sqrt(n)


def test_noise_has_the_drawn_deviation_and_is_cut_off_at_black_and_white():
    operation = GaussianNoise(0.5, (0.05, 0.2))
    drawn = operation.draw(20_000, 4, 4, seed(5))
    assert stats.kstest(drawn["sigma"].numpy(), "uniform", args=(0.05, 0.15)).pvalue > 1e-3
    assert len(drawn["seed"].unique()) > 19_990 and drawn["seed"].min() >= 0 and drawn["seed"].max() < 2**32
    few = {name: values[:40] for name, values in drawn.items()}
    grey = torch.full((40, 3, 64, 64), 0.5)
    spread = (operation.apply(grey, few) - 0.5).flatten(1).std(dim=1)
    expected = torch.where(few["fired"], few["sigma"], 0)
    assert (spread - expected).abs().max() < 0.01
    white = operation.apply(torch.ones(40, 3, 64, 64), few)[few["fired"]]
    assert white.max() == 1 and 0.4 < (white == 1).float().mean() < 0.6


def test_noise_for_a_graph_is_the_noise_bit_for_bit():
    operation, batch = GaussianNoise(1.0, (0.05, 0.2)), images(33)
    drawn = operation.draw(len(batch), 33, 33, seed())
    assert torch.equal(operation.traced(batch, drawn), operation.change(batch.clone(), drawn))


@pytest.mark.skipif(backend.native() is None, reason="no C compiler here")
@pytest.mark.parametrize("op", ["quarter_turns", "sobel", "cutout", "gaussian_noise"])
def test_between_compiled_stretches_a_view_is_what_torch_makes_alone(op):
    from sslbench.transforms.recipes.compose import Settings

    steps = [{"op": "random_resized_crop"}, {"op": "color_jitter"}, {"op": op, "p": 0.7}, {"op": "gaussian_blur"}]
    maker, photos = ViewMaker([o.model_dump() for o in Settings(operations=steps).branch(0)], 40), pictures()
    drawn = maker.draw(photos.heights, photos.widths, seed())
    try:
        made = []
        for mode in ("native", "eager"):
            backend.configure(mode)
            made.append(maker.apply(photos, drawn, want_locations=True))
    finally:
        backend.configure("auto")
    assert (made[0].images - made[1].images).abs().max() < 1e-4
    assert torch.equal(made[0].locations, made[1].locations)
