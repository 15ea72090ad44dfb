"""DINO's head. lightly's is the same but for its weight norm, which deepcopy refuses: no teacher could start as a copy.

Its lengths, when fixed, are parameters without a gradient there, and no parameters here.
"""

import torch
from lightly.models.modules.heads import ProjectionHead
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from sslbench.methods.dino.settings import Settings


class WeightNormedLinear(nn.Module):
    """Linear [n, b] -> [n, K] without bias, each row of whose weight is a direction times a length, 1 at the start."""

    def __init__(self, in_features: int, out_features: int, learned_length: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(in_features, out_features, bias=False).weight.detach())
        self.length = nn.Parameter(torch.ones(out_features, 1)) if learned_length else None

    def forward(self, x: Tensor) -> Tensor:
        weight = normalize(self.weight, dim=1)
        return linear(x, weight if self.length is None else weight * self.length)


class Head(nn.Module):
    """Three layers with GELU, unit length, weight-normed prototypes: [n, F] -> [n, K] (paper, appendix C)."""

    def __init__(self, width: int, o: Settings) -> None:
        super().__init__()
        widths = [(width, o.hidden_dim), (o.hidden_dim, o.hidden_dim)]
        norms = [nn.BatchNorm1d(o.hidden_dim) if o.head_batch_norm else None for _ in widths]
        hidden = [(*shape, norm, nn.GELU()) for shape, norm in zip(widths, norms, strict=True)]
        self.layers = ProjectionHead([*hidden, (o.hidden_dim, o.bottleneck_dim, None, None)])
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                # 0.02 in the authors' code and in lightly's, whose layers have 512 inputs and more. Over a few dozen it
                # leaves outputs near 0, from where unit length makes gradients of thousands.
                narrow = module.in_features < 512
                nn.init.trunc_normal_(module.weight, std=0.02 * ((2048 / module.in_features) ** 0.5 if narrow else 1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.last = WeightNormedLinear(o.bottleneck_dim, o.out_dim, learned_length=not o.norm_last_layer)

    def forward(self, features: Tensor) -> Tensor:
        return self.last(normalize(self.layers(features), dim=1))
