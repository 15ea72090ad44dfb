"""Convolutions whose bfloat16 gradient torch gets wrong on a CPU, computed in float32 instead.

Where the stride exceeds the map (3x3 of stride 2 on a 1x1 map, at the end of a ResNet that sees small pictures or
patches), the gradient of the weights comes from memory that was never written: seen in torch 2.11 and 2.15, for kernels
of 3, 5 and 7 (tests/nn/test_bf16_conv_workaround.py). Float32 is right there, and such maps are small.
"""

import torch
from torch import Tensor, nn


def avoid_wrong_gradients(module: nn.Module) -> None:
    """Let every convolution in ``module`` that strides step out of autocast where its stride exceeds the map."""
    for one in module.modules():
        if isinstance(one, nn.Conv2d) and max(one.stride) > 1 and max(one.kernel_size) > 1:
            one._conv_forward = _guarded(one)


def _guarded(convolution: nn.Conv2d):
    usual, stride = convolution._conv_forward, convolution.stride

    def forward(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if stride[0] <= images.shape[-2] and stride[1] <= images.shape[-1]:
            return usual(images, weight, bias)
        with torch.autocast(images.device.type, enabled=False):
            return usual(images.float(), weight, bias)

    return forward
