"""A pretext task alone, as a method: one view, and the task's loss."""

from typing import Any, ClassVar

from torch import Tensor

from sslbench.methods.base import Batch, Method
from sslbench.methods.pretext_tasks.base import Task
from sslbench.nn.backbone import Backbone


class PretextMethod(Method):
    """Base of methods that are one task. Its options are the task's, bar the weight."""

    task_class: ClassVar[type[Task]]

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        self.task = self.task_class(backbone, self.options.model_dump(exclude={"recipe"}), input_size)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        parts = self.task.loss(batch.views[0].images, self.backbone)
        self.last_features = self.task.last_features
        return parts
