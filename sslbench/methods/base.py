"""What a method is to the engine: a loss over views, and a few facts about its networks.

A method knows nothing of devices, precision, optimisers, logging or files. Of several processes it knows where the
pictures of a batch meet (nn/distributed.py).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.methods.spec import MethodFacts, MethodSettings
from sslbench.nn.backbone import Backbone
from sslbench.nn.precision import widened

if TYPE_CHECKING:
    from sslbench.transforms.pipeline import View


@dataclass
class Batch:
    """The views of n pictures, in the order in which the method's settings ask for them.

    With several processes they are this one's share of the batch (nn/distributed.py).
    """

    views: list["View"]  # each: images [n, 3, s, s], and locations [n, 2, s, s] where the method wants them
    labels: Tensor | None = None  # [n] int64, -1 where unknown; only references may read them
    epoch: int = 0
    step: int = 0  # optimiser steps made so far in the run
    total_steps: int = 1
    steps_per_epoch: int = 1


class Method(nn.Module):
    """Base of every method: heads around a backbone, and a loss.

    Args:
        backbone: the network to be trained.
        options: ``Settings.model_dump()`` of the method without its recipe; read as ``self.options.<key>``.
        input_size: px of the global views.

    Raises:
        UserError: the method needs a spatial map and the backbone's is 1x1 at this size, or the backbone cannot take a
            view as small as the method makes.
    """

    settings: ClassVar[type[MethodSettings]]
    facts: ClassVar[MethodFacts]
    want_locations: ClassVar[bool] = False  # True: views come with their pixels' places in the source picture

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        super().__init__()
        self.options = self.settings.model_validate(options)
        if self.facts.needs_map and backbone.map_size(input_size) == (1, 1):
            raise UserError(
                f"training: {self.facts.title} matches places of a spatial map, and that of {backbone.name} at "
                f"input_size {input_size} is 1x1; raise input_size or choose another backbone"
            )
        for view in self.options.views(input_size):
            try:
                backbone.map_size(view.size)
            except UserError as error:
                raise UserError(f"{error}. {self.facts.title} makes such views at input_size {input_size}") from error
        self.backbone = backbone
        self.last_features: Tensor | None = None  # [n, F], detached: view 0 of the last loss, for the online head
        self.last_watched: dict[str, Tensor] = {}  # the same of each network in `watched`

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The scalar to minimise under "loss", and scalars worth plotting under names of their own."""
        raise NotImplementedError

    @property
    def evaluated(self) -> Backbone:
        """The network that is published and probed."""
        return self.backbone

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(online, momentum) networks; after each step the engine moves the second's parameters towards the first's."""
        return []

    def watched(self) -> dict[str, Backbone]:
        """Networks beside the trained one whose online accuracy the curve follows, as online_top1_<name>."""
        return {}

    def check_pictures(self, n: int, together: int, devices: int = 1) -> None:
        """Called before training: n training pictures, of which ``together``, on all ``devices``, pass one ``loss``.

        And before the first job of a run, with an n beyond any: what only the number together and devices decide.

        Raises:
            UserError: the method cannot be trained so.
        """
        if fault := self.options.fault(n):
            raise UserError(fault)

    def before_step(self, step: int, epoch: int) -> None:
        """Called before each optimiser step's first loss."""

    def after_backward(self, step: int, epoch: int) -> None:
        """Called once the step's gradients are complete, before they are clipped and used."""

    def parts(self) -> dict[str, nn.Module]:
        """The parts that a recipe can name (constant_lr, frozen_epochs): those of ``settings.parts``."""
        return {}

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any] | None:
        """{"part": name, "value": its value at total collapse}, or None where that tells nothing.

        It tells nothing where collapse is the loss's optimum. ``batch_size`` is the number of pictures in one call
        of ``loss``; where the value depends on it, it is None without.
        """
        return None

    def features(self, views: list["View"]) -> list[Tensor]:
        """Pooled features [n, F] of each view; batch statistics never mix two views (Backbone.each)."""
        features = self.backbone.each([view.images for view in views])
        self.last_features = features[0].detach()
        return features


@torch.no_grad()
def spread(z: Tensor) -> Tensor:
    """Standard deviation of the normalised outputs z [n, d] times sqrt(d): about 1 where they fill the sphere, 0 where
    they are one point (Chen and He 2021, figure 2)."""
    z = nn.functional.normalize(widened(z), dim=1)
    return z.std(dim=0, correction=0).mean() * z.shape[1] ** 0.5
