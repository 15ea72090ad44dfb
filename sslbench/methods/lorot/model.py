"""LoRot alone: a network learns by telling how a part of a picture is turned. The task is pretext_tasks/lorot."""

import math
from typing import Any

from sslbench.methods.lorot.settings import FACTS, Settings
from sslbench.methods.pretext_method import PretextMethod
from sslbench.methods.pretext_tasks.lorot.task import Task


class Model(PretextMethod):
    settings = Settings
    facts = FACTS
    task_class = Task

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(self.task.classifier.out_features)}
