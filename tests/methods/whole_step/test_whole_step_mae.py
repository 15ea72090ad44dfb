"""Whole steps of MAE."""

from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from harness import Ours, Step, in_both_lengths, learning, same
from plain import Weights, dense, trained, warm_cosine
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from sslbench.methods.mae import model

pytestmark = pytest.mark.parity

NARROW = {"decoder_dim": 16, "decoder_head_dim": 8, "decoder_depth": 2}
HEADS, PATCHES, KEPT = 2, 16, 4  # patches of 8 px, a quarter of which is kept


def shuffles(step: int) -> Tensor:
    """An order of each image's patches: int64 [8, 16]."""
    return torch.rand(8, PATCHES, generator=torch.Generator().manual_seed(step)).argsort(dim=1)


def at(tokens: Tensor, index: Tensor) -> Tensor:
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def patchified(images: Tensor) -> Tensor:
    """[n, 16, 8 * 8 * 3], a pixel's channels side by side."""
    return images.reshape(-1, 3, 4, 8, 4, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, PATCHES, 192)


def block(w: Weights, name: str, x: Tensor) -> Tensor:
    n, tokens, width = x.shape
    q, k, v = dense(w, f"{name}.attn.qkv", normed(w, f"{name}.norm1", x)).chunk(3, dim=2)
    q, k, v = (part.reshape(n, tokens, HEADS, -1).transpose(1, 2) for part in (q, k, v))
    attention = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)
    x = x + dense(w, f"{name}.attn.proj", (attention @ v).transpose(1, 2).reshape(n, tokens, width))
    return x + dense(w, f"{name}.mlp.fc2", gelu(dense(w, f"{name}.mlp.fc1", normed(w, f"{name}.norm2", x))))


def normed(w: Weights, name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)


def loss_of(w: Weights, images: Tensor, shuffle: Tensor) -> Tensor:
    """models_mae.py, forward_encoder to forward_loss."""
    vit = "backbone.model"
    kernel = w[f"{vit}.patch_embed.proj.weight"].permute(0, 2, 3, 1).reshape(-1, 192)  # as patches are laid out
    x = patchified(images) @ kernel.T + w[f"{vit}.patch_embed.proj.bias"]
    positions = w[f"{vit}.pos_embed"]
    x = at(x + positions[:, 1:], shuffle[:, :KEPT])
    x = torch.cat([(w[f"{vit}.cls_token"] + positions[:, :1]).expand(len(x), -1, -1), x], dim=1)
    for i in range(2):
        x = block(w, f"{vit}.blocks.{i}", x)
    x = dense(w, "embed", normed(w, f"{vit}.norm", x))

    masked = w["decoder.mask_token"].expand(len(x), PATCHES - KEPT, -1)
    patches = at(torch.cat([x[:, 1:], masked], dim=1), shuffle.argsort(dim=1))
    x = torch.cat([x[:, :1], patches], dim=1) + w["decoder.pos_embed"]
    for i in range(2):
        x = block(w, f"decoder.blocks.{i}", x)
    predicted = dense(w, "predict", normed(w, "decoder.norm", x))[:, 1:]

    target = patchified(images)
    target = (target - target.mean(dim=2, keepdim=True)) / (target.var(dim=2, keepdim=True) + 1e-6).sqrt()
    mask = torch.ones(len(x), PATCHES).scatter(1, shuffle[:, :KEPT], 0.0)
    return ((predicted - target).square().mean(dim=2) * mask).sum() / mask.sum()


def authors(ours: Ours) -> Iterator[Step]:
    """main_pretrain.py, util/lr_sched.py and the command in PRETRAIN.md; tokens decay, 1-D tensors do not."""
    w = learning(ours.start, ours.method)
    decayed, spared = ([p for p in trained(w) if (p.ndim == 1) == one] for one in (False, True))
    groups = [{"params": spared, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.05}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    for step, views in enumerate(ours.views):
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-4 * 8 / 256 * warm_cosine(ours.plan, step)
        loss = loss_of(w, views[0].images, shuffles(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss, w


@in_both_lengths
def test_mae_by_its_authors_script(plan):
    step = iter(range(plan.total))

    def masks(*_: object, **__: object) -> tuple[Tensor, Tensor]:
        tokens = shuffles(next(step)) + 1
        return torch.cat([torch.zeros(8, 1, dtype=torch.long), tokens[:, :KEPT]], dim=1), tokens[:, KEPT:]

    with mock.patch.object(model, "random_grid_token_mask", masks):
        same(Ours("mae", "authors", plan, NARROW), authors)
