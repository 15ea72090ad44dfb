"""LoRot: by how many quarter turns is a part of the picture rotated in its place?

Moon, Kim, Heo 2022, section 3.2. Implicit (LoRot-I): a random square, four classes. Explicit (LoRot-E): one of the
four quadrants, 16 classes, 4 x quadrant + turns, quadrants counted along rows. There the classes are predicted from
the very views that are turned; beside another method the task sees view 0 in a pass of its own, so that the
method's views stay what its transform makes them. No turn is a class too: a fourth of the views are unchanged.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sslbench.methods.pretext_tasks.base import Task as Base
from sslbench.methods.pretext_tasks.base import change, classification, draw
from sslbench.methods.pretext_tasks.lorot.settings import Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import mine, whole
from sslbench.transforms.ops.rotate_square import RotateSquare


class Task(Base):
    settings = Settings

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        self.operation = RotateSquare(1.0, o.smallest, o.largest_share, o.box)
        self.classifier = nn.Linear(backbone.num_features, 16 if o.variant == "explicit" else 4)

    def turned(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Views [n, 3, s, s] and their labels, int64 [n]."""
        if self.options.variant == "explicit":
            drawn, labels = quadrants(whole(len(images)), images.shape[-1])
            drawn, labels = {name: mine(values) for name, values in drawn.items()}, mine(labels)
        else:
            drawn = draw(self.operation, images)
            labels = drawn["quarter_turns"]
        return change(self.operation, images, drawn), labels.to(images.device, non_blocking=True)

    def loss(self, images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
        views, labels = self.turned(images)
        features = backbone(views)  # [n, F]
        self.last_features = features.detach()
        return classification(self.classifier(features), labels)


def quadrants(n: int, size: int) -> tuple[dict[str, Tensor], Tensor]:
    """RotateSquare's parameters that turn one quadrant of each of n views of ``size`` px, and labels int64 [n].

    Draws, in this order: quadrants, quarter turns. Quadrants are size // 2 px wide and lie in the corners.
    """
    quadrant, turns = torch.randint(4, (n,)), torch.randint(4, (n,))
    side = size // 2
    drawn = {
        "fired": torch.ones(n, dtype=torch.bool),
        "side": torch.full((n,), side),
        "top": (quadrant // 2) * (size - side),
        "left": (quadrant % 2) * (size - side),
        "quarter_turns": turns,
    }
    return drawn, 4 * quadrant + turns
