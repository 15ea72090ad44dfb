"""Optimisers, learning-rate schedule and momentum encoders, as a Recipe (methods/spec.py) states them."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from sslbench.errors import UserError


class LARS(Optimizer):
    """SGD with momentum and one trust ratio per parameter tensor (You et al. 2017, arXiv 1708.03888, equation 6).

        v = momentum * v + trust * |p| / norm * (g + wd * p)        p = p - lr * v

    ``norm="sum"`` is |g + wd * p|, as in the official code of Barlow Twins, VICReg and BYOL; where it or |p| is 0 the
    ratio is 1. ``norm="parts"`` is |g| + wd * |p| + eps and equals lightly.utils.lars.LARS (tested): a tensor with
    |p| = 0 or |g| = 0, and every tensor of a group without weight decay, takes its plain gradient. A group with
    ``adapt=False`` has no ratio at all. Not lightly's class, which asks the host for every tensor's norm and so stops
    a GPU some sixty times a step.
    """

    def __init__(
        self, params, lr: float, momentum=0.9, weight_decay=0.0, trust=1e-3, eps=1e-8, norm="sum", adapt=True
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        super().__init__(params, defaults | {"norm": norm, "adapt": adapt})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            updates = [p.grad for p in params]
            if not group["adapt"]:
                if group["weight_decay"] != 0:
                    updates = torch._foreach_add(updates, params, alpha=group["weight_decay"])
            elif group["norm"] == "sum":
                updates = self._scaled_by_sum(params, updates, group)
            elif group["weight_decay"] != 0:
                updates = self._scaled_by_parts(params, updates, group)
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
    def _scaled_by_sum(params: list[Tensor], grads: list[Tensor], group: dict) -> list[Tensor]:
        decayed = torch._foreach_add(grads, params, alpha=group["weight_decay"])
        p_norms = torch.stack(torch._foreach_norm(params))
        d_norms = torch.stack(torch._foreach_norm(decayed))
        counts = (p_norms > 0) & (d_norms > 0)
        ratios = torch.where(counts, group["trust"] * p_norms / torch.where(counts, d_norms, 1.0), 1.0).unbind()
        torch._foreach_mul_(decayed, ratios)
        return decayed

    @staticmethod
    def _scaled_by_parts(params: list[Tensor], grads: list[Tensor], group: dict) -> list[Tensor]:
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
    power = {True: 1.0, "sqrt": 0.5, False: 0.0}[recipe["scale_lr"]]
    return recipe["base_lr"] * (batch_size / 256) ** power


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


def rate_factor(recipe: dict, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """The share of the peak learning rate at optimiser step ``step``, as the recipe's schedule and warm-up say."""
    warmup = warmup_steps(recipe, steps_per_epoch, total_steps)
    if recipe["schedule"] == "epoch":
        step, total_steps = step // steps_per_epoch, total_steps // steps_per_epoch
        warmup = round(warmup / steps_per_epoch)
    if recipe["cosine_ends"] == "last":
        total_steps -= 1
    return lr_factor(step, total_steps, warmup, recipe["end_lr_factor"])


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


def groups(recipe: dict, parameters: Iterable[nn.Parameter], constant: Iterable[nn.Parameter]) -> list[dict]:
    """The ``parameters`` that learn, in groups of equal treatment, each in the order in which they come.

    ``constant``: those whose rate does not decay (``constant_lr``).
    """
    kept = {id(p) for p in constant}
    found: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for p in parameters:
        if p.requires_grad:
            found.setdefault((p.ndim <= 1, id(p) in kept), []).append(p)
    return [{"params": found[key], **_treatment(recipe, *key)} for key in sorted(found)]


def _treatment(recipe: dict, one_dimensional: bool, constant: bool) -> dict:
    """What a group's tensors have of their own. Tensors that are treated alike may still be in two groups."""
    own: dict = {"constant_lr": True} if constant else {}
    if one_dimensional:
        lars = recipe["optimizer"] == "lars"
        if recipe["decay_skips_1d"] or (lars and recipe["lars_skips_1d"]):
            own["weight_decay"] = 0.0
        if lars and recipe["lars_skips_1d"]:
            own["adapt"] = False
        if recipe["base_lr_1d"] is not None:
            own["lr_scale"] = recipe["base_lr_1d"] / recipe["base_lr"]
    return own


def require_gains(recipe: dict, parameters: Iterable[tuple[str, Tensor]]) -> None:
    """Raise UserError where LARS would scale 1-D tensors that begin too small to grow (biases apart).

    Its step is a share of the tensor's own norm, so gains and layer scales that begin near 0 stay there.
    """
    if recipe["optimizer"] != "lars" or recipe["lars_skips_1d"]:
        return
    small = {
        name: rms
        for name, p in parameters
        if p.requires_grad and p.ndim == 1 and not name.endswith("bias")
        if (rms := float(p.detach().double().square().mean().sqrt())) < 0.1
    }
    if small:
        name = next(iter(small))
        raise UserError(
            f"recipe.lars_skips_1d is false, and {len(small)} tensor(s) begin below 0.1 in rms ({name}: "
            f"{small[name]:.2g}), which LARS cannot move from there; set recipe.lars_skips_1d: true or "
            "recipe.residual_gain: 1"
        )


def clip(parameters: Iterable[nn.Parameter], recipe: dict) -> None:
    """Clip the gradients' norm as the recipe says: of all tensors together, or of each by itself."""
    most = recipe["clip_gradient_norm"]
    if most is None:
        return
    if not recipe["clip_each"]:
        torch.nn.utils.clip_grad_norm_(parameters, most)
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(grads))
    torch._foreach_mul_(grads, (most / (norms + 1e-6)).clamp(max=1.0).unbind())


def build(recipe: dict, groups: list[dict]) -> Optimizer:
    """The recipe's optimiser over parameter groups, in which ``lr`` is set before each step by ``set_rates``.

    On a GPU one kernel steps all parameters (``fused``); LARS is a handful of them anywhere. A group may override
    ``weight_decay`` and may hold ``lr_scale``, a factor on the learning rate (default 1), and ``constant_lr``.
    """
    own = {"lr_scale": 1.0, "constant_lr": False}
    groups = [
        {**own, "scheduled_decay": "weight_decay" not in group, **group, "params": list(group["params"])}
        for group in groups
    ]
    groups = [g | {"params": [p for p in g["params"] if p.requires_grad]} for g in groups]
    groups = [g for g in groups if g["params"]]
    kind, decay = recipe["optimizer"], recipe["weight_decay"]
    # On a CPU torch's plain loop stays: fused it rounds otherwise, and a run of before would come out changed.
    fused = all(p.device.type == "cuda" and p.is_floating_point() for g in groups for p in g["params"]) or None
    match kind:
        case "sgd":
            momentum = {"momentum": recipe["momentum"], "nesterov": recipe["nesterov"]}
            return SGD(groups, lr=0.0, **momentum, weight_decay=decay, fused=fused)
        case "lars":
            return LARS(groups, lr=0.0, momentum=recipe["momentum"], weight_decay=decay, norm=recipe["lars_norm"])
        case "adam":
            return Adam(groups, lr=0.0, betas=(0.9, recipe["beta2"]), weight_decay=decay, fused=fused)
        case "adamw":
            return AdamW(groups, lr=0.0, betas=(0.9, recipe["beta2"]), weight_decay=decay, fused=fused)
    raise UserError(f"recipe.optimizer is {kind!r}; it is one of sgd, lars, adam, adamw")


def set_rates(optimizer: Optimizer, lr: float, decay: float, peak: float | None = None) -> None:
    """The step's learning rate and weight decay. A group that has its own decay keeps it, and one of a constant rate
    has ``peak``."""
    for group in optimizer.param_groups:
        rate = peak if group["constant_lr"] and peak is not None else lr
        group["lr"] = rate * group["lr_scale"]
        if group["scheduled_decay"]:
            group["weight_decay"] = decay
