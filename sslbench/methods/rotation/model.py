"""RotNet: a network learns by telling the four rotations of a picture apart. The task is pretext/rotation."""

import math
from typing import Any

from sslbench.methods.pretext import PretextMethod
from sslbench.methods.rotation.settings import FACTS, Settings
from sslbench.pretext.rotation.task import TURNS, Task


class Model(PretextMethod):
    settings = Settings
    facts = FACTS
    task_class = Task

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "loss", "value": math.log(TURNS)}
