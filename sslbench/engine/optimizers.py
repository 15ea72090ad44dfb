"""Optimisers, learning-rate schedule and momentum encoders, as a Recipe (methods/spec.py) states them."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from sslbench.errors import UserError


class LARS(Optimizer):
    """SGD with momentum and one trust ratio per parameter tensor (You et al. 2017, arXiv 1708.03888, equation 6).

        d_p = trust * |p| / (|g| + wd * |p| + eps) * (g + wd * p)        v = momentum * v + d_p        p = p - lr * v

    The same numbers as lightly.utils.lars.LARS (tested): a tensor with |p| = 0 or |g| = 0 takes its plain gradient
    without weight decay, and so does every tensor of a group without weight decay. Written anew because that one asks
    the host about every tensor's norm, which stops a GPU some sixty times a step.
    """

    def __init__(self, params, lr: float, momentum=0.9, weight_decay=0.0, trust=1e-3, eps=1e-8) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            updates = [p.grad for p in params]
            if group["weight_decay"] != 0:
                updates = self._scaled(params, updates, group)
            if group["momentum"] != 0:
                fresh = [p for p in params if "momentum_buffer" not in self.state[p]]
                for p in fresh:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                velocity = [self.state[p]["momentum_buffer"] for p in params]
                torch._foreach_mul_(velocity, group["momentum"])
                torch._foreach_add_(velocity, updates)
                updates = velocity
            torch._foreach_add_(params, updates, alpha=-group["lr"])

    @staticmethod
    def _scaled(params: list[Tensor], grads: list[Tensor], group: dict) -> list[Tensor]:
        p_norms = torch.stack(torch._foreach_norm(params))
        g_norms = torch.stack(torch._foreach_norm(grads))
        ratio = group["trust"] * p_norms / (g_norms + group["weight_decay"] * p_norms + group["eps"])
        counts = (p_norms != 0) & (g_norms != 0)
        ratios = torch.where(counts, ratio, 1.0).unbind()
        decayed = torch._foreach_mul(params, (counts.to(p_norms.dtype) * group["weight_decay"]).unbind())
        torch._foreach_add_(decayed, grads)
        torch._foreach_mul_(decayed, ratios)
        return decayed


def peak_lr(recipe: dict, batch_size: int) -> float:
    return recipe["base_lr"] * (batch_size / 256 if recipe["scale_lr"] else 1.0)


def lr_factor(step: int, total_steps: int, warmup_steps: int, end: float) -> float:
    """The share of the peak learning rate at optimiser step ``step`` (from 0) of ``total_steps``.

    Linear over the warm-up, reaching 1 at its last step; then a half cosine from 1 towards ``end``, which the first
    step after the run would take, so that no step is spent at a rate of 0.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


def warmup_steps(recipe: dict, steps_per_epoch: int, total_steps: int) -> int:
    """Steps of the linear warm-up: at most half of the run, so that a short run still reaches its cosine."""
    return min(round(recipe["warmup_epochs"] * steps_per_epoch), total_steps // 2)


def ema_momentum(recipe: dict, step: int, total_steps: int) -> float:
    """The momentum after optimiser step ``step``: constant, or a half cosine (Grill et al. 2020, section 3.2)."""
    start, end = recipe["ema_start"], recipe["ema_end"]
    if end is None:
        return start
    return _half_cosine(start, end, step, total_steps)


def weight_decay(recipe: dict, step: int, total_steps: int) -> float:
    """The weight decay at optimiser step ``step``: constant, or a half cosine (Caron et al. 2021, section 3.2)."""
    start, end = recipe["weight_decay"], recipe["weight_decay_end"]
    if end is None:
        return start
    return _half_cosine(start, end, step, total_steps)


def _half_cosine(start: float, end: float, step: int, total_steps: int) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * step / max(1, total_steps))) / 2


@torch.no_grad()
def update_momentum(online: list[Tensor], targets: list[Tensor], momentum: float) -> None:
    """theta' <- m theta' + (1 - m) theta for each parameter of ``online`` and of ``targets`` (momentum_parameters)."""
    torch._foreach_mul_(targets, momentum)
    torch._foreach_add_(targets, online, alpha=1 - momentum)


def momentum_parameters(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> tuple[list[Tensor], list[Tensor]]:
    """All parameters of the online networks of (online, momentum) ``pairs``, and those of the momentum networks.

    Buffers are left alone: a momentum network's batch statistics come from its own forward passes, as in lightly.
    """
    pairs = list(pairs)
    return [p for online, _ in pairs for p in online.parameters()], [p for _, slow in pairs for p in slow.parameters()]


def build(recipe: dict, groups: list[dict]) -> Optimizer:
    """The recipe's optimiser over parameter groups, in which ``lr`` is set before each step by ``set_rates``.

    On a GPU one kernel steps all parameters (``fused``); LARS is a handful of them anywhere. A group may override
    ``weight_decay`` and may hold ``lr_scale``, a factor on the learning rate (default 1).
    """
    groups = [
        {"lr_scale": 1.0, "scheduled_decay": "weight_decay" not in group, **group, "params": list(group["params"])}
        for group in groups
    ]
    groups = [g | {"params": [p for p in g["params"] if p.requires_grad]} for g in groups]
    groups = [g for g in groups if g["params"]]
    kind, decay = recipe["optimizer"], recipe["weight_decay"]
    # On a CPU torch's plain loop stays: fused it rounds otherwise, and a run of before would come out changed.
    fused = all(p.device.type == "cuda" and p.is_floating_point() for g in groups for p in g["params"]) or None
    match kind:
        case "sgd":
            return SGD(groups, lr=0.0, momentum=recipe["momentum"], weight_decay=decay, fused=fused)
        case "lars":
            return LARS(groups, lr=0.0, momentum=recipe["momentum"], weight_decay=decay)
        case "adam":
            return Adam(groups, lr=0.0, weight_decay=decay, fused=fused)
        case "adamw":
            return AdamW(groups, lr=0.0, weight_decay=decay, fused=fused)
    raise UserError(f"recipe.optimizer is {kind!r}; it is one of sgd, lars, adam, adamw")


def set_rates(optimizer: Optimizer, lr: float, decay: float) -> None:
    """The step's learning rate and weight decay; a group that has its own decay keeps it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
        if group["scheduled_decay"]:
            group["weight_decay"] = decay
