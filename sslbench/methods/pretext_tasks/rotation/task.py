"""RotNet: by how many quarter turns is a picture rotated?

Gidaris, Singh, Komodakis 2018, equation 1 and section 3.1: four classes, of 0, 90, 180 and 270 degrees. With
``turns: all`` each view is seen in all four within one batch, as in their code; batch statistics are then those of all
four, since statistics of one rotation alone would hide from the network what sets it apart.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sslbench.methods.pretext_tasks.base import Task as Base
from sslbench.methods.pretext_tasks.base import change, classification, draw
from sslbench.methods.pretext_tasks.rotation.settings import Settings
from sslbench.nn.backbone import Backbone
from sslbench.transforms.ops.rotate_square import RotateSquare

TURNS = 4


class Task(Base):
    settings = Settings

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        self.classifier = nn.Linear(backbone.num_features, TURNS)

    def turned(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Views [m, 3, s, s], turned counter-clockwise, and how often: int64 [m]. m is 4 n, or n where one is drawn."""
        if self.options.turns == "all":
            views = torch.cat([torch.rot90(images, turn, (-2, -1)) for turn in range(TURNS)])
            return views, torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
        whole = RotateSquare(1.0, smallest=images.shape[-1], largest_share=1.0, box="image")
        drawn = draw(whole, images)
        labels = drawn["quarter_turns"].to(images.device, non_blocking=True)
        return change(whole, images, drawn), labels

    def loss(self, images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
        views, labels = self.turned(images)
        features = backbone(views)  # [m, F]
        self.last_features = features[: len(images)].detach()  # with "all", of the upright ones
        return classification(self.classifier(features), labels)
