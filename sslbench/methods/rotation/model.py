"""RotNet: a network learns by telling the four rotations of a picture apart. The task is pretext_tasks/rotation."""

import math
from typing import Any

from sslbench.methods.pretext_method import PretextMethod
from sslbench.methods.pretext_tasks.rotation.task import TURNS, Task
from sslbench.methods.rotation.settings import FACTS, Settings


class Model(PretextMethod):
    settings = Settings
    facts = FACTS
    task_class = Task

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(TURNS)}
