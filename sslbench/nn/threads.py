"""torch's threads on the CPU for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def using(count: int) -> Iterator[None]:
    """Let the body compute with ``count`` threads, and go back to as many as there were."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
