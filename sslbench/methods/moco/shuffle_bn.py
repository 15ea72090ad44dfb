"""MoCo's shuffled batch norm (He et al. 2020, section 3.3): a batch passes in groups with statistics of their own.

The authors' groups are the pictures of one GPU each; here their size is an option, whatever the number of devices.
"""

import torch
from torch import Tensor, nn

from sslbench.nn.distributed import gathered, mine, whole, world
from sslbench.nn.sync_batchnorm import separately


def in_groups(network: nn.Module, images: Tensor, size: int, *, shuffled: bool = False) -> Tensor:
    """Features [n, F] of images [n, 3, s, s], each group of at least ``size`` with batch statistics of its own.

    Groups are formed and shuffled over the whole batch; each process has whole ones (check_pictures).
    """
    n = whole(len(images))
    groups = n // size
    if groups < 2:
        return network(images)
    if not shuffled:
        with separately(network):
            return torch.cat([network(part) for part in images.tensor_split(groups // world())])
    order = torch.randperm(n)  # on the CPU, so that every device draws the same
    there, back = (mine(index).to(images.device, non_blocking=True) for index in (order, order.argsort()))
    return gathered(in_groups(network, gathered(images)[there], size))[back]
