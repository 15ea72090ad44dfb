"""Colour operations against torchvision's functionals on equal parameters, in float32. Errors: levels of 1/255."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv
from ways import in_both_ways

from sslbench.transforms.ops.color import ORDERS, STEPS, ColorJitter, Grayscale, Solarize

pytestmark = pytest.mark.parity

LEVEL = 1 / 255
THEIRS = {
    "brightness": tv.adjust_brightness,
    "contrast": tv.adjust_contrast,
    "saturation": tv.adjust_saturation,
    "hue": tv.adjust_hue,
}


def images(n: int = 48, size: int = 33) -> torch.Tensor:
    """Noise, with the corners of the colour cube, greys and saturated edges among it; whole levels."""
    noise = torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(0)).float()
    corners = torch.tensor([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]).float()
    noise[:, :, 0, :8] = corners.T
    noise[:, :, 1] = noise[:, :1, 1]
    return noise / 255


def one_by_one(batch: torch.Tensor, drawn: dict) -> torch.Tensor:
    results = []
    for i, image in enumerate(batch):
        for step in ORDERS[int(drawn["order"][i])]:
            if drawn["fired"][i]:
                image = THEIRS[STEPS[step]](image, float(drawn[STEPS[step]][i]))
        results.append(image)
    return torch.stack(results)


@in_both_ways
@pytest.mark.parametrize("step", STEPS)
def test_each_jitter_step_is_torchvisions(step, apply):
    strengths = {name: 0.0 for name in STEPS} | {step: 0.4}
    jitter, batch = ColorJitter(p=1.0, **strengths), images()
    drawn = jitter.draw(len(batch), 33, 33, torch.Generator().manual_seed(1))
    expected = torch.stack([THEIRS[step](image, float(f)) for image, f in zip(batch, drawn[step], strict=True)])
    assert (apply(jitter, batch, drawn) - expected).abs().max() < 1e-3 * LEVEL


@in_both_ways
def test_jitter_in_all_24_orders_is_torchvisions(apply):
    jitter, batch = ColorJitter(0.9, 0.8, 0.8, 0.8, 0.2), images(240)
    drawn = jitter.draw(len(batch), 33, 33, torch.Generator().manual_seed(2))
    assert len(set(drawn["order"].tolist())) == 24 and not drawn["fired"].all()
    expected = one_by_one(batch, drawn)
    error = (apply(jitter, batch, drawn) - expected).abs()
    assert error.max() < 2e-3 * LEVEL and error.mean() < 1e-4 * LEVEL


@pytest.mark.parametrize("strengths", [(0.8, 0.8, 0.8, 0.2), (0.4, 0.0, 0.2, 0.0), (0.0, 0.3, 0.0, 0.5)])
def test_the_way_without_reading_the_device_gives_the_same_pictures(strengths):
    """traced is what runs on a GPU: all orders in one series of steps."""
    jitter, batch = ColorJitter(1.0, *strengths), images(96)
    drawn = jitter.draw(len(batch), 33, 33, torch.Generator().manual_seed(3))
    error = (jitter.traced(batch, drawn) - jitter.apply(batch, drawn)).abs()
    assert error.max() < 2e-3 * LEVEL and error.mean() < 1e-4 * LEVEL


@in_both_ways
def test_hue_shifts_of_the_whole_circle_are_torchvisions(apply):
    turns = torch.linspace(-0.5, 0.5, 48)
    jitter = ColorJitter(1.0, 0.0, 0.0, 0.0, 0.5)
    drawn = jitter.draw(48, 33, 33, torch.Generator().manual_seed(4)) | {"hue": turns}
    expected = torch.stack([tv.adjust_hue(image, float(t)) for image, t in zip(images(), turns, strict=True)])
    assert (apply(jitter, images(), drawn) - expected).abs().max() < 1e-3 * LEVEL


@in_both_ways
def test_greyscale_is_torchvisions(apply):
    batch = images()
    drawn = {"fired": torch.ones(len(batch), dtype=torch.bool)}
    expected = tv.rgb_to_grayscale(batch, num_output_channels=3)
    assert (apply(Grayscale(1.0), batch, drawn) - expected).abs().max() < 1e-4 * LEVEL


@in_both_ways
@pytest.mark.parametrize("threshold", [0.0, 128 / 255, 1.0])
def test_solarisation_is_bit_equal_to_torchvisions(threshold, apply):
    batch = images()
    drawn = {"fired": torch.ones(len(batch), dtype=torch.bool)}
    assert torch.equal(apply(Solarize(1.0, threshold), batch, drawn), tv.solarize(batch, threshold))
