"""DCL alone: a network learns by telling shuffled pictures from whole ones and finding their tiles' places.

The task is pretext_tasks/dcl. Not to be confused with the decoupled contrastive loss of the same name.
"""

import math
from typing import Any

from sslbench.methods.dcl.settings import FACTS, Settings
from sslbench.methods.pretext_method import PretextMethod
from sslbench.methods.pretext_tasks.dcl.task import Task


class Model(PretextMethod):
    settings = Settings
    facts = FACTS
    task_class = Task

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any]:
        return {"part": "destruction", "value": math.log(2)}
