"""Both ways of a CPU for every operation: torch's operations, and the compiled library where there is a compiler."""

import pytest
import torch

from sslbench.transforms.cpu import apply, backend


def eagerly(operation, images: torch.Tensor, parameters: dict) -> torch.Tensor:
    return operation.apply(images, parameters)


def natively(operation, images: torch.Tensor, parameters: dict) -> torch.Tensor:
    native = backend.native()
    if native is None:
        pytest.skip(backend.configure("auto"))
    if images.shape[2] != images.shape[3]:
        pytest.skip("views are square, and the native way is for views")
    before = images.clone()
    changed, _ = apply.make(native, images, images.shape[-1], [(operation, parameters)])
    assert torch.equal(images, before)
    return changed


in_both_ways = pytest.mark.parametrize("apply", [eagerly, natively])
