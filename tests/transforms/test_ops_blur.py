"""Blur against torchvision's kernel of equal length and sigma, and against scipy's Gaussian filter without a cut."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import functional as tv
from ways import in_both_ways

from sslbench.transforms.ops.blur import GaussianBlur

pytestmark = pytest.mark.parity

LEVEL = 1 / 255


def blurred(apply, size: tuple[int, int], n: int = 6) -> tuple[GaussianBlur, torch.Tensor, dict, torch.Tensor]:
    blur = GaussianBlur(1.0, (0.1, 2.0))
    images = torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0))
    drawn = blur.draw(n, *size, torch.Generator().manual_seed(1))
    drawn["sigma"][:2] = torch.tensor([0.1, 2.0])
    return blur, images, drawn, apply(blur, images, drawn)


@in_both_ways
@pytest.mark.parametrize("size", [(33, 33), (64, 64), (96, 96), (97, 97), (224, 224), (40, 130)])
def test_blur_is_torchvisions_on_equal_kernels(size, apply):
    blur, images, drawn, ours = blurred(apply, size)
    kernel = 2 * blur.radius + 1
    pairs = zip(images, drawn["sigma"], strict=True)
    expected = torch.stack([tv.gaussian_blur(image, [kernel, kernel], [float(s)] * 2) for image, s in pairs])
    assert (ours - expected).abs().max() < 1e-3 * LEVEL


@in_both_ways
@pytest.mark.parametrize("size", [(64, 64), (224, 224)])
def test_blur_is_a_true_gaussian(size, apply):
    _, images, drawn, ours = blurred(apply, size)
    for image, sigma, result in zip(images, drawn["sigma"].tolist(), ours, strict=True):
        expected = gaussian_filter(image.double().numpy(), (0, sigma, sigma), mode="mirror", truncate=12)
        assert np.abs(expected - result.numpy()).max() < 0.05 * LEVEL


@in_both_ways
def test_images_smaller_than_the_kernel_are_reflected_as_far_as_they_go(apply):
    blur = GaussianBlur(1.0, (2.0, 2.0))
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    ours = apply(blur, images, blur.draw(2, 6, 6, torch.Generator().manual_seed(1)))
    assert (ours - tv.gaussian_blur(images, [11, 11], [2.0, 2.0])).abs().max() < 1e-3 * LEVEL
