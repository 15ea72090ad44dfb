"""One batch on several processes: what passes between them while a loss is computed. With one process, nothing does.

Each of W processes has an equal share of the batch's pictures, in the order of ranks. A loss in which pictures meet
(negatives, correlations, codes) is computed on every process from ``gathered`` outputs of all; one that is a mean over
pictures is computed on the share and ``averaged``. So L_s, the loss on process s, is the loss L of the whole batch, and
what the processes differentiate together is L_1 + ... + L_W. What passes gradients between them passes those of this
sum: gathered gives process r  sum_s dL_s/dz_r = W dL/dz_r.  The mean over processes of their parameters' gradients,

    1/W sum_r ( W dL/dz_r dz_r/dp + dL_r/dp ) = sum_r dL/dz_r dz_r/dp + dL/dp = the gradient of L as one process has it,

where the second term is of parameters used after the gathering (SwAV's prototypes). The engine takes that mean.

What a loss draws it draws for the whole batch, from generators that are in one state on all processes, and takes
``mine`` of it: results do not depend on the number of processes, but for the order in which floats are added.
"""

from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.autograd.function import Function, FunctionCtx

Values = TypeVar("Values", Tensor, dict[str, Tensor])


def world() -> int:
    """How many processes share a batch."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if world() > 1 else 0


def whole(n: int) -> int:
    """The size of the batch of which this process has ``n`` pictures."""
    return n * world()


def mine(rows: Tensor) -> Tensor:
    """This process's share of ``rows`` [W n, ...] of the whole batch: [n, ...]."""
    share = len(rows) // world()
    return rows[rank() * share : (rank() + 1) * share]


def gathered(rows: Tensor) -> Tensor:
    """``rows`` [n, ...] of all processes, [W n, ...] on each; gradients flow back to all."""
    return rows if world() == 1 else _Gathered.apply(rows)


def averaged(values: Values) -> Values:
    """The mean over processes of a tensor, or of each of several scalars by name; gradients flow back to all."""
    if world() == 1:
        return values
    if isinstance(values, Tensor):
        return gathered(values.reshape(1, -1)).mean(dim=0).view(values.shape)
    widest = torch.promote_types(torch.float32, values["loss"].dtype)
    row = torch.stack([value.to(widest) for value in values.values()])
    return dict(zip(values, averaged(row).unbind(), strict=True))


class _Gathered(Function):
    @staticmethod
    def forward(_: FunctionCtx, rows: Tensor) -> Tensor:
        last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(world())]
        distributed.all_gather(parts, rows)
        return torch.cat(parts).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    @staticmethod
    def backward(_: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return mine(total)
