"""What a pretext task is: a question about a view that its own pixels answer, a head, and a loss.

A task changes the views itself, by the operations that transforms are made of, on normalised images: they move pixels
and leave their values alone.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sslbench.methods.pretext_tasks.spec import TaskSettings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged, mine, whole
from sslbench.nn.precision import in_float32
from sslbench.transforms.ops.base import BatchedOperation


class Task(nn.Module):
    """Base of every task. It holds its heads alone; the backbone is its owner's.

    Args:
        backbone: whose features the heads will read.
        options: the fields of ``settings``, those with defaults at will; read as ``self.options.<key>``.
        input_size: px of the views.

    Raises:
        UserError: the backbone's map is too small for the task.
    """

    settings: ClassVar[type[TaskSettings]]

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__()
        self.options = self.settings.model_validate(options)
        self.last_features: Tensor | None = None  # [n, F], detached: of the last views, as the task showed them

    def loss(self, images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
        """ "loss" and parts worth a curve, over normalised views [n, 3, s, s], which stay as they are."""
        raise NotImplementedError


def draw(operation: BatchedOperation, images: Tensor) -> dict[str, Tensor]:
    """Parameters for ``images`` [n, 3, s, s], on the CPU, from torch's global generator."""
    n, _, height, width = images.shape
    drawn = operation.draw(whole(n), height, width, torch.default_generator)
    return {name: mine(values) for name, values in drawn.items()}


def change(operation: BatchedOperation, images: Tensor, drawn: dict[str, Tensor]) -> Tensor:
    """``images`` changed as ``drawn`` on the CPU, in the memory format that they came in."""
    sent = {name: value.to(images.device, non_blocking=True) for name, value in drawn.items()}
    last = images.is_contiguous(memory_format=torch.channels_last)
    changed = operation.apply(images, sent)
    return changed.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


@in_float32
def classification(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Mean cross-entropy of ``logits`` [n, K] against int64 ``labels`` [n], and the share of right answers."""
    with torch.no_grad():
        accuracy = (logits.argmax(dim=1) == labels).to(logits.dtype).mean()
    return averaged({"loss": cross_entropy(logits, labels), "accuracy": accuracy})
