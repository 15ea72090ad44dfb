"""Batch norm over the pictures of all processes.

torch's SyncBatchNorm refuses the CPU, and neither it nor timm's converter knows statistics of groups of pictures, which
MoCo needs. On a GPU torch's kernels are used wherever they can be.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from sslbench.errors import UserError
from sslbench.nn.distributed import gathered, world


class Synchronised(nn.SyncBatchNorm):
    """A batch norm layer turned into this by ``synchronise``. Outside training it is what it was."""

    process_group = None  # all processes
    noted: list[Tensor] | None = None  # under ``separately``: [2, C], mean and unbiased variance, of each pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or (x.is_cuda and self.noted is None):
            return super().forward(x)
        exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        dims = [dim for dim in range(x.ndim) if dim != 1]
        count = x.numel() // x.shape[1]  # values of each of the C channels
        variance, mean = torch.var_mean(exact, dims, correction=0)  # [C] each
        if self.noted is not None:
            unbiased = variance.detach() * (count / max(1, count - 1))
            self.noted.append(torch.stack([mean.detach(), unbiased]))
            return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        means, variances = gathered(torch.stack([mean, variance])[None]).unbind(1)  # [W, C] each
        mean, variance = means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)
        count *= world()
        self.move(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shape = [1, -1] + [1] * (x.ndim - 2)
        y = (exact - mean.view(shape)) * scale.view(shape)
        return (y if self.bias is None else y + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def move(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics towards ``mean`` and the unbiased ``variance``, both [C], as one pass moves them."""
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - share).add_(mean, alpha=share)
        self.running_var.mul_(1 - share).add_(variance, alpha=share)


class SynchronisedAct(Synchronised):
    """The same for timm's layer that has its activation within."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


def synchronise(module: nn.Module) -> None:
    """Let every batch norm layer in ``module`` share its statistics. Parameters, buffers and their names stay.

    Raises:
        UserError: a layer has batch statistics of another kind, or draws for the pictures that it sees alone.
    """
    for layer in module.modules():
        if "Drop" in type(layer).__name__ and any(getattr(layer, name, 0) for name in ("p", "drop_prob", "prob")):
            raise UserError(
                f"compute.devices: {type(layer).__name__} drops at random among one device's pictures, so the result "
                "would depend on how many there are; set devices: 1, or no drop rate in backbone_options"
            )
        if isinstance(layer, BatchNormAct2d):
            layer.__class__ = SynchronisedAct
        elif type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            layer.__class__ = Synchronised
        elif hasattr(layer, "running_var") and not isinstance(layer, Synchronised | nn.modules.instancenorm._NormBase):
            raise UserError(
                f"compute.devices: {type(layer).__name__} has batch statistics that processes cannot share; set "
                "devices: 1, or choose another backbone"
            )


@contextmanager
def separately(network: nn.Module) -> Iterator[None]:
    """Each pass of ``network`` within has batch statistics of its own, on each process.

    Running statistics move when it ends, over the passes of rank 0, then those of rank 1 and so on: as one process
    moves them that makes all these passes in that order.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, Synchronised)]
    for layer in layers:
        layer.noted = []
    try:
        yield
        passes = [torch.stack(layer.noted).flatten(1) for layer in layers if layer.noted]  # [passes, 2 C] each
    finally:
        noting = [layer for layer in layers if layer.noted]
        for layer in layers:
            layer.noted = None
    if noting:
        of_all = gathered(torch.cat(passes, dim=1)).split([rows.shape[1] for rows in passes], dim=1)
        for layer, rows in zip(noting, of_all, strict=True):
            for mean, variance in rows.unflatten(1, (2, -1)):
                layer.move(mean, variance)
