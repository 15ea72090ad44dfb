"""timm's networks behind one face: pooled features, and a spatial map where a method asks for one.

Convolutional networks, channels-last ones (NHWC) and vision transformers answer alike.
"""

import math
from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.models import list_models
from timm.models._registry import _deprecated_models
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.nn import architectures
from sslbench.registry import nearest

# What networks with a size of their own take so that they accept the run's, and smaller local views; the first that
# the architecture knows is used. With padding, a view need not be a multiple of the patch.
SIZE_OPTIONS = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},  # ViT, DeiT, EVA, BEiT
    {"strict_img_size": False},  # Swin
    {},
)


class Backbone(nn.Module):
    """A timm network without its classifier, randomly initialised from torch's global generator.

    Args:
        name: timm's name of an architecture, e.g. ``resnet18``.
        options: further keyword arguments of ``timm.create_model``, e.g. ``{"zero_init_last": False}``.
        input_size: px, square. Networks with position embeddings are built for it.
        residual_gain: the last gain of every residual branch at the start; None: timm's own start.

    Attributes:
        model: the timm network.
        timm_options: what ``timm.create_model(name, num_classes=0, **timm_options)`` needs to build the same shapes.
        num_features: width F of the pooled features.
        map_features: width of the map, which is F in most networks.
        batch_statistics: whether a picture's features depend, in training, on the others of its batch.

    Raises:
        UserError: unknown name or one of weights, options that ask for weights or that the network does not take, or a
            size that it cannot take.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any] | None = None,
        input_size: int = 224,
        residual_gain: int | None = None,
    ) -> None:
        super().__init__()
        if fault := architectures.fault_of_name(name):
            raise UserError(f"backbone: {name!r} is not allowed: {fault}")
        if name in _deprecated_models:  # e.g. vit_small_patch16_224_dino
            current = _deprecated_models[name].partition(".")[0]
            raise UserError(f"backbone: {name!r} is a former name, most of which name weights; write {current}")
        if not timm.is_model(name):
            raise UserError(
                f"backbone: timm has no {name!r}.{nearest(name, list_models())} Names: https://huggingface.co/timm"
            )
        options = dict(options or {})
        if fault := architectures.fault_of_options(options):
            raise UserError(f"backbone_options: {fault}")
        self.name, self.input_size = name, input_size
        self.model, self.timm_options = _create(name, options, input_size, residual_gain)
        pooled, spatial = self._dry_run(input_size)
        if pooled.ndim != 2:
            shape = " x ".join(map(str, pooled.shape[1:]))
            raise UserError(
                f"backbone_options: with {options} {name} gives {shape} numbers for an image and not one vector of "
                "features; leave global_pool out, or write avg"
            )
        self.num_features, self.map_features = pooled.shape[1], spatial.shape[1]
        self._map_sizes = {input_size: tuple(spatial.shape[2:])}
        self.batch_statistics = any(hasattr(m, "running_var") or hasattr(m, "running_mean") for m in self.modules())

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features [n, F] of images [n, 3, s, s]."""
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features [n, F] and the map [n, map_features, h, w] they are pooled from, by one forward pass."""
        features = self.model.forward_features(images)
        return self.model.forward_head(features, pre_logits=True), self._as_map(features, images)

    def each(self, views: list[Tensor]) -> list[Tensor]:
        """``forward`` of each view [n, 3, s, s]; see ``_share``."""
        return self._share(self.forward, views)

    def each_maps(self, views: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """``maps`` of each view [n, 3, s, s]; see ``_share``."""
        return self._share(self.maps, views)

    def _share(self, run: Callable, views: list[Tensor]) -> list[Any]:
        """Views of one size share a pass, unless the network has batch statistics, which must not mix two views."""
        if self.batch_statistics:
            return [run(view) for view in views]
        answers: list[Any] = [None] * len(views)
        for size in dict.fromkeys(view.shape[1:] for view in views):
            mine = [i for i, view in enumerate(views) if view.shape[1:] == size]
            counts = [len(views[i]) for i in mine]
            answer = run(torch.cat([views[i] for i in mine]) if len(mine) > 1 else views[mine[0]])
            whole = isinstance(answer, Tensor)
            parts = answer.split(counts) if whole else zip(*(a.split(counts) for a in answer), strict=True)
            for i, part in zip(mine, parts, strict=True):
                answers[i] = part
        return answers

    def map_size(self, input_size: int) -> tuple[int, int]:
        """Height and width of the map of a picture of ``input_size`` px. Leaves weights and random state alone."""
        if input_size not in self._map_sizes:
            self._map_sizes[input_size] = tuple(self._dry_run(input_size)[1].shape[2:])
        return self._map_sizes[input_size]

    def timm_state(self) -> dict[str, Tensor]:
        """The weights on the CPU as timm names them: saved, ``checkpoint_path`` of create_model reads them."""
        return {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}

    def _as_map(self, features: Tensor, images: Tensor) -> Tensor:
        if features.ndim == 4:  # [n, F, h, w], or [n, h, w, F] in Swin and its like
            last = str(getattr(self.model, "output_fmt", "NCHW")) == "NHWC"
            return features.permute(0, 3, 1, 2) if last else features
        tokens = features[:, getattr(self.model, "num_prefix_tokens", 0) :]  # [n, h*w, F], without class tokens
        embedding = getattr(self.model, "patch_embed", None)
        if hasattr(embedding, "dynamic_feat_size"):
            height, width = embedding.dynamic_feat_size(tuple(images.shape[-2:]))
        else:
            height = width = math.isqrt(tokens.shape[1])
        return tokens.transpose(1, 2).unflatten(2, (height, width))  # [n, F, h, w]

    def _dry_run(self, size: int) -> tuple[Tensor, Tensor]:
        training = self.training
        device = next(self.model.parameters()).device
        self.eval()  # no batch statistics move, nothing is dropped, so nothing is drawn
        try:
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                pooled, spatial = self.maps(torch.zeros(1, 3, size, size, device=device))
        except Exception as error:  # whatever timm raises: its networks fail in many ways
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(f"backbone: {self.name!r} cannot take pictures of {size} px: {reason}") from error
        finally:
            self.train(training)
        return pooled, spatial


def _create(
    name: str, options: dict[str, Any], input_size: int, residual_gain: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    start = {} if residual_gain is None else {"zero_init_last": residual_gain == 0}
    attempts = [{}]
    if timm.get_pretrained_cfg(name, allow_unregistered=False).fixed_input_size:
        attempts = [{"img_size": input_size} | extra for extra in SIZE_OPTIONS]
    state = torch.get_rng_state()
    for extra in attempts:
        torch.set_rng_state(state)  # the weights depend on the seed, not on how many attempts were made
        try:
            return timm.create_model(name, num_classes=0, **options | start, **extra), options | extra
        except TypeError as error:  # a keyword that this architecture does not know
            reason = error
        except Exception as error:
            reason = error
            break
    raise UserError(f"backbone: timm cannot build {name!r} with backbone_options {options}: {reason}") from reason
