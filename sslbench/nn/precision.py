"""Float32 where autocast would narrow it: losses and statistics."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def in_float32(maths: Callable) -> Callable:
    """Keep a function out of autocast and its tensors (in lists, too) in float32; float64 stays float64."""

    @wraps(maths)
    def exact(first: Tensor | list[Tensor], *rest: Any, **named: Any) -> Any:
        device = (first if isinstance(first, Tensor) else first[0]).device.type
        with torch.autocast(device, enabled=False):
            return maths(widened(first), *map(widened, rest), **named)

    return exact


def widened(value: Any) -> Any:
    """A tensor, or those in a list, in float32 where it was narrower; anything else as it is."""
    if isinstance(value, list):
        return [widened(item) for item in value]
    narrow = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if narrow else value
