"""Weight gradients of strided convolutions in bfloat16 on a CPU, held against float32, with unwritten memory made
visible.
"""

import pytest
import torch
from torch import nn

from sslbench.nn.bf16_conv_workaround import avoid_wrong_gradients
from sslbench.training.device import computing

pytestmark = pytest.mark.parity

TRAIN = {"precision": "bf16", "channels_last": True, "deterministic": True}


@pytest.fixture
def poisoned():
    """Memory that is handed out unwritten holds NaN."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.utils.deterministic.fill_uninitialized_memory = before[1]


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 7])
def test_no_stride_and_side_gives_a_wrong_weight_gradient(kernel, stride, side, poisoned):
    for count, channels in ((6, 16), (13, 48)):
        torch.manual_seed(0)
        convolution = nn.Conv2d(channels, channels, kernel, stride, padding=kernel // 2, bias=False)
        images = torch.randn(count, channels, side, side)
        exact = torch.autograd.grad(convolution(images).square().sum(), convolution.weight)[0]
        avoid_wrong_gradients(convolution)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = convolution(images)
        found.float().square().sum().backward()
        error = (convolution.weight.grad - exact).abs().max() / exact.abs().max()
        assert error < 0.02, (count, channels)


def test_the_engine_guards_the_networks_that_it_places_in_bfloat16():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1))
    with computing("cpu", 1, TRAIN) as device:
        device.place(network)
        with device.autocast():
            assert network(torch.randn(2, 3, 1, 1)).dtype == torch.float32
            assert network(torch.randn(2, 3, 8, 8)).dtype == torch.bfloat16
