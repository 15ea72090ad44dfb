"""DCL without labels: is a picture shuffled, and where does each of its tiles belong?

Chen, Bai, Zhang, Mei 2019, sections 3.2 and 3.3. Of its three terms the classification of objects needs labels and is
left out, and destruction learning is binary, original or shuffled. Region alignment: a 1x1 convolution on the map,
averaged over each place of the grid, then tanh, and the mean absolute error against where the tile there came from,
in original and shuffled views alike. Targets are the tracked indices (Maaz et al. 2021), not tiles matched by colour.

Both kinds of view share a batch, as in the authors' code. A shuffle that moved no tile is labelled as original. The
map's cells are averaged by their overlap with each place, which is the plain average where the grid divides the map.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.methods.pretext_tasks.base import Task as Base
from sslbench.methods.pretext_tasks.base import change, classification, draw
from sslbench.methods.pretext_tasks.dcl.settings import Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged
from sslbench.nn.precision import in_float32
from sslbench.transforms.ops.region_confusion import RegionConfusion

TILES = 7  # paper, section 4


class Task(Base):
    settings = Settings

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__(backbone, options, input_size)
        o = self.options
        cells = min(backbone.map_size(input_size))
        tiles = o.tiles or min(TILES, cells)
        if cells < max(tiles, 2):
            raise UserError(
                f"dcl: each of {max(tiles, 2)} x {max(tiles, 2)} tiles needs a cell of the map, and that of "
                f"{backbone.name} at input_size {input_size} is {cells}x{cells}; lower `tiles`, raise input_size or "
                "choose another backbone (backbone_options: {output_stride: 16} enlarges a ResNet's map)"
            )
        self.tiles = tiles
        self.operation = RegionConfusion(1.0, tiles, min(o.reach, tiles - 1), o.variant)
        self.classifier = nn.Linear(backbone.num_features, 2)
        self.locator = nn.Conv2d(backbone.map_features, 2 if o.target == "coordinates" else 1, kernel_size=1)
        height, width = backbone.map_size(input_size)
        self.register_buffer("rows", overlaps(tiles, height), persistent=False)  # [N, h]
        self.register_buffer("columns", overlaps(tiles, width), persistent=False)  # [N, w]

    def shuffled(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Views [n, 3, s, s], and which tile each place of their grids got: int64 [n, N, N] on the CPU."""
        drawn = draw(self.operation, images)
        return change(self.operation, images, drawn), drawn["tile"]

    def loss(self, images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
        views, tile = self.shuffled(images)
        whole = torch.arange(self.tiles**2).view(1, self.tiles, self.tiles).expand_as(tile)
        moved = (tile != whole).flatten(1).any(dim=1)
        labels = torch.cat([torch.zeros_like(moved), moved]).long().to(images.device, non_blocking=True)
        targets = places(torch.cat([whole, tile]), self.options.target).to(images.device, non_blocking=True)
        features, maps = backbone.maps(torch.cat([images, views]))  # [2n, F], [2n, F, h, w]
        self.last_features = features[: len(images)].detach()
        destruction = classification(self.classifier(features), labels)
        location = averaged(location_loss(self.locator(maps), self.rows, self.columns, targets))
        o = self.options
        return {
            "loss": o.destruction_weight * destruction["loss"] + o.location_weight * location,
            "destruction": destruction["loss"],
            "location": location,
            "accuracy": destruction["accuracy"],
        }


def places(tile: Tensor, target: str) -> Tensor:
    """Where tiles, int64 [n, N, N], belong, around 0: float32 [n, 2, N, N], of N for (row, column), or [n, 1, N, N],
    of N x N for the index, which is (index - 24) / 49 at N = 7, as in the authors' code."""
    n = tile.shape[-1]
    if target == "index":
        return ((tile - (n * n - 1) / 2) / (n * n)).float()[:, None]
    return ((torch.stack([tile // n, tile % n], dim=1) - (n - 1) / 2) / n).float()


def overlaps(parts: int, cells: int) -> Tensor:
    """[parts, cells]: the share that each cell of a line has in each of its equal parts; every row sums to 1."""
    part, cell = torch.arange(parts)[:, None] / parts, torch.arange(cells) / cells
    overlap = torch.minimum(part + 1 / parts, cell + 1 / cells) - torch.maximum(part, cell)
    return overlap.clamp_min(0) * parts


@in_float32
def location_loss(predicted: Tensor, rows: Tensor, columns: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of tanh of ``predicted`` [m, k, h, w], averaged over places, against [m, k, N, N]."""
    pooled = rows @ predicted @ columns.mT
    return (pooled.tanh() - targets).abs().mean()
