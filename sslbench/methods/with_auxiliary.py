"""A method with pretext tasks beside its own loss: total = method + sum of weight x task.

Each task changes view 0 itself and passes the backbone once more. The method is asked for all the rest.
"""

from typing import Any

from torch import Tensor, nn

from sslbench import registry
from sslbench.methods.base import Batch, Method
from sslbench.nn.backbone import Backbone


class WithAuxiliary(Method):
    """``method`` and its ``tasks``, name -> options.

    Parts of a task's loss are named ``<task>_<part>``. Batch statistics of the backbone also move with the changed
    views. Every question that is not answered here goes to the method, as it would without tasks.
    """

    def __init__(self, method: Method, tasks: dict[str, dict[str, Any]], input_size: int) -> None:
        nn.Module.__init__(self)  # not Method's, which would take the backbone for a part of this module too
        self.method = method
        self.facts, self.options, self.want_locations = method.facts, method.options, method.want_locations
        load = registry.load
        self.tasks = nn.ModuleDict(
            {
                name: load(f"{registry.PRETEXT[name]}.task").Task(method.backbone, options, input_size)
                for name, options in tasks.items()
            }
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        parts = self.method.loss(batch)
        total = parts["loss"].sum()  # some losses have shape [1]
        parts = parts | {"method": total.detach()}
        for name, task in self.tasks.items():
            of_task = task.loss(batch.views[0].images, self.method.backbone)
            total = total + task.options.weight * of_task["loss"]
            parts |= {f"{name}_{part}": value for part, value in of_task.items()}
        return parts | {"loss": total}

    @property
    def backbone(self) -> Backbone:
        return self.method.backbone

    @property
    def evaluated(self) -> Backbone:
        return self.method.evaluated

    @property
    def last_features(self) -> Tensor | None:
        return self.method.last_features

    @property
    def last_watched(self) -> dict[str, Tensor]:
        return self.method.last_watched

    def watched(self) -> dict[str, Backbone]:
        return self.method.watched()

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return self.method.momentum_pairs()

    def before_step(self, step: int, epoch: int) -> None:
        self.method.before_step(step, epoch)

    def after_backward(self, step: int, epoch: int) -> None:
        self.method.after_backward(step, epoch)

    def check_pictures(self, n: int, together: int, devices: int = 1) -> None:
        self.method.check_pictures(n, together, devices)

    def parts(self) -> dict[str, nn.Module]:
        return self.method.parts()

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any] | None:
        trivial = self.method.trivial_loss(batch_size)
        # Under "loss" stands the total here: the method's own is "method".
        return trivial and trivial | {"part": "method" if trivial["part"] == "loss" else trivial["part"]}
