"""What a pretrained network's features of an image can be: its own pool, tokens of several kinds, or two in one."""

import torch
from torch import Tensor, nn


def pools(model: nn.Module) -> list[str]:
    """What timm's network can give of an image, its own way first; of any but a network of tokens that alone."""
    own = str(getattr(model, "global_pool", "") or "")
    if not hasattr(model, "num_prefix_tokens") or not own:
        return ["pooled"]
    first = {"token": "class token", "map": "attention pool"}.get(own, "mean of patch tokens")
    if first != "mean of patch tokens":
        return [first, "mean of patch tokens"]
    return [first, "class token"] if getattr(model, "cls_token", None) is not None else [first]


def columns(model: nn.Module, width: int) -> dict[str, slice]:
    """Where in ``features`` each of ``pools`` is, ``width`` columns each, and, of two, both of them."""
    names = pools(model)
    found = {name: slice(i * width, (i + 1) * width) for i, name in enumerate(names)}
    return found | ({" and ".join(names): slice(0, width * len(names))} if len(names) > 1 else {})


def features(model: nn.Module, images: Tensor) -> Tensor:
    """What ``pools`` names, side by side: [n, F] or [n, 2 F] of images [n, 3, s, s]."""
    return pooled(model, model.forward_features(images))


def pooled(model: nn.Module, found: Tensor) -> Tensor:
    """The same of what the network's ``forward_features`` found."""
    own = model.forward_head(found, pre_logits=True)
    named = pools(model)
    if len(named) == 1:
        return own
    normalise = getattr(model, "fc_norm", None) or nn.Identity()  # after the pool, in networks that have none before
    other = found[:, 0] if named[1] == "class token" else found[:, model.num_prefix_tokens :].mean(1)
    return torch.cat([own, normalise(other)], 1)
