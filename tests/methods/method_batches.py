"""Batches of random views and small models, for the tests of methods."""

from types import SimpleNamespace

import torch

from sslbench import registry
from sslbench.methods.base import Batch, Method
from sslbench.nn.backbone import Backbone


def build(
    name: str, backbone: str, size: int, options: dict, seed: int = 0, backbone_options: dict | None = None
) -> Method:
    """A registered method over a timm network; ``options`` over its defaults, as the engine would hand them over."""
    package = (registry.METHODS | registry.REFERENCES)[name]
    settings = registry.load(f"{package}.settings").Settings()
    defaults = settings.model_dump(mode="json", exclude={"recipe"})
    torch.manual_seed(seed)
    model = registry.load(f"{package}.model:Model")(
        Backbone(backbone, backbone_options or {}, size), defaults | options, size
    )
    model.input_size = size
    return model


def make_batch(model: Method, n: int, seed: int = 0, labels: object = None) -> Batch:
    """n random pictures seen through the views that the model's settings ask for, each with its own crop."""
    rng = torch.Generator().manual_seed(seed)
    views = []
    for spec in model.options.views(model.input_size):
        images = torch.randn(n, 3, spec.size, spec.size, generator=rng)
        offset, scale = 100 * torch.rand(n, 2, 1, 1, generator=rng), 0.5 + torch.rand(n, 1, 1, 1, generator=rng)
        centres = torch.arange(spec.size) + 0.5
        pixels = torch.stack(torch.meshgrid(centres, centres, indexing="ij"))  # [2, s, s]
        locations = offset + scale * pixels if model.want_locations else None  # [n, 2, s, s]
        views.append(SimpleNamespace(images=images, locations=locations, spec=spec.model_dump()))
    if labels is None and model.facts.family == "reference":
        labels = torch.randint(0, 4, (n,), generator=rng)
    return Batch(views=views, labels=labels, total_steps=10)
