"""Optimisers and schedules against the published formulas and against the libraries they stand in for."""

import copy
import math

import pytest
import torch
from lightly.utils.lars import LARS as LightlyLARS
from lightly.utils.scheduler import CosineWarmupScheduler, cosine_warmup_schedule
from torch import nn

from sslbench.methods.spec import Recipe
from sslbench.training import optimizers
from sslbench.training.optimizers import (
    LARS,
    ema_momentum,
    lr_factor,
    momentum_parameters,
    update_momentum,
    warmup_steps,
)


def recipe(**changes) -> dict:
    return Recipe(**{"optimizer": "sgd", "base_lr": 0.1, "weight_decay": 0.01} | changes).model_dump()


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double()
    with torch.no_grad():
        module[0].bias.zero_()  # a tensor without length, as the biases of norms are at the start
    return module


def gradients(module: nn.Module, step: int) -> None:
    """Set seeded gradients; at step 1 one of them is all zeros."""
    drawn = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(module.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=drawn, dtype=torch.float64)
        if step == 1 and number == 0:
            parameter.grad.zero_()


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_lars_makes_the_same_steps_as_lightlys(weight_decay, momentum):
    ours, theirs = network(), network()
    options = {"lr": 0.3, "momentum": momentum, "weight_decay": weight_decay}
    optimizer = LARS(ours.parameters(), **options, norm="parts")
    reference = LightlyLARS(theirs.parameters(), **options)
    for step in range(5):
        gradients(ours, step)
        gradients(theirs, step)
        optimizer.step()
        reference.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_lars_follows_the_papers_formula():
    """Equation 6 of arXiv 1708.03888, one tensor, plain Python."""
    p, g = [3.0, 4.0], [0.6, 0.8]
    parameter = nn.Parameter(torch.tensor(p, dtype=torch.float64))
    parameter.grad = torch.tensor(g, dtype=torch.float64)
    LARS([parameter], lr=0.5, momentum=0.9, weight_decay=0.1, trust=0.001, eps=0.0, norm="parts").step()
    trust = 0.001 * 5.0 / (1.0 + 0.1 * 5.0)
    expected = [a - 0.5 * trust * (b + 0.1 * a) for a, b in zip(p, g, strict=True)]
    assert parameter.tolist() == pytest.approx(expected, rel=1e-14)


def test_by_default_lars_divides_by_the_norm_of_the_decayed_gradient_even_without_decay():
    """As in the official code of Barlow Twins, VICReg and BYOL; one tensor, plain Python."""
    p, g = [3.0, 4.0], [0.8, -0.6]
    for decay in (0.0, 0.1):
        parameter = nn.Parameter(torch.tensor(p, dtype=torch.float64))
        parameter.grad = torch.tensor(g, dtype=torch.float64)
        LARS([parameter], lr=0.5, weight_decay=decay, trust=0.001).step()
        update = [b + decay * a for a, b in zip(p, g, strict=True)]
        ratio = 0.001 * 5.0 / math.hypot(*update)
        assert parameter.tolist() == pytest.approx(
            [a - 0.5 * ratio * u for a, u in zip(p, update, strict=True)], rel=1e-14
        )


def test_a_tensor_of_zeros_takes_its_plain_gradient_under_lars():
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    parameter.grad = torch.tensor([0.5, -1.0], dtype=torch.float64)
    LARS([parameter], lr=0.1, weight_decay=0.1).step()
    assert parameter.tolist() == pytest.approx([-0.05, 0.1])


def treatment(**changes) -> dict[str, tuple]:
    """Decay, adaptation and rate of every tensor of a small network, at a rate of 1 and a decay of 0.01."""
    module, own = network(), recipe(**changes)
    optimizer = optimizers.build(own, optimizers.groups(own, module.parameters(), [module[3].weight]))
    optimizers.set_rates(optimizer, 1.0, 0.01, peak=4.0)
    names = {id(p): name for name, p in module.named_parameters()}
    found = {
        names[id(p)]: (group["weight_decay"], group.get("adapt", True), group["lr"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert len(found) == sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    return found


def test_a_recipe_says_what_one_dimensional_tensors_are_spared():
    weights, small = ("0.weight", "3.weight"), ("0.bias", "1.weight", "1.bias", "3.bias")
    plain = treatment()
    assert {plain[name] for name in ("0.weight", *small)} == {(0.01, True, 1.0)} and plain["3.weight"] == (
        0.01,
        True,
        4.0,
    )
    for changes, expected in (
        ({"decay_skips_1d": True}, (0.0, True, 1.0)),
        ({"optimizer": "lars"}, (0.0, False, 1.0)),
        ({"optimizer": "lars", "lars_skips_1d": False}, (0.01, True, 1.0)),
        ({"optimizer": "lars", "lars_skips_1d": False, "decay_skips_1d": True}, (0.0, True, 1.0)),
        ({"base_lr_1d": 0.05}, (0.01, True, 0.5)),
    ):
        found = treatment(**changes)
        assert {found[name] for name in small} == {expected}, changes
        assert [found[name][:2] for name in weights] == [(0.01, True)] * 2


def test_a_rate_set_per_epoch_is_torchs_cosine_and_lightlys_warm_up():
    plain = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=10)
    own = recipe(schedule="epoch")
    for epoch in range(10):
        expected = scheduler.get_last_lr()[0]
        assert [optimizers.rate_factor(own, 5 * epoch + i, 5, 50) for i in (0, 4)] == pytest.approx([expected] * 2)
        plain.step()
        scheduler.step()
    warm = recipe(schedule="epoch", warmup_epochs=4)
    rates = [optimizers.rate_factor(warm, 5 * epoch, 5, 50) for epoch in range(5)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_cosine_that_ends_at_the_last_epoch_is_lightlys_warm_up_scheduler():
    own = recipe(schedule="epoch", warmup_epochs=3, cosine_ends="last", end_lr_factor=0.001)
    plain = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = CosineWarmupScheduler(plain, warmup_epochs=3, max_epochs=12, end_value=0.001)
    for epoch in range(12):
        assert optimizers.rate_factor(own, 5 * epoch, 5, 60) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        plain.step()
        theirs.step()


def test_clipping_each_tensor_leaves_short_gradients_alone():
    module = network()
    gradients(module, 0)
    before = [p.grad.clone() for p in module.parameters()]
    middle = sorted(float(g.norm()) for g in before)[3]
    optimizers.clip(module.parameters(), recipe(clip_gradient_norm=middle, clip_each=True))
    for p, g in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(p.grad, g * min(1.0, middle / float(g.norm())), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["sgd", "lars", "adam", "adamw"])
def test_a_saved_optimiser_goes_on_bit_for_bit(kind):
    straight = network()
    optimizer = optimizers.build(recipe(optimizer=kind), [{"params": straight.parameters()}])
    optimizers.set_rates(optimizer, 0.05, 0.01)
    for step in range(6):
        if step == 3:
            resumed = copy.deepcopy(straight)
            saved = copy.deepcopy(optimizer.state_dict())
        gradients(straight, step)
        optimizer.step()
    again = optimizers.build(recipe(optimizer=kind), [{"params": resumed.parameters()}])
    again.load_state_dict(saved)
    for step in range(3, 6):
        gradients(resumed, step)
        again.step()
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weight_decay_reaches_every_parameter_of_one_group_and_frozen_ones_are_left_out():
    module = network()
    module[0].weight.requires_grad_(False)
    optimizer = optimizers.build(recipe(), [{"params": module.parameters()}])
    assert [len(g["params"]) for g in optimizer.param_groups] == [5]
    assert optimizer.param_groups[0]["weight_decay"] == 0.01 and optimizer.param_groups[0]["momentum"] == 0.9


def test_groups_may_scale_the_rate_and_drop_weight_decay():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups = [{"params": [a]}, {"params": [b], "lr_scale": 0.1, "weight_decay": 0.0}]
    optimizer = optimizers.build(recipe(), groups)
    optimizers.set_rates(optimizer, 0.5, 0.03)
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.05]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.03, 0.0]


def test_weight_decay_goes_from_its_start_to_its_end_along_half_a_cosine():
    constant = {"weight_decay": 0.04, "weight_decay_end": None}
    rising = {"weight_decay": 0.04, "weight_decay_end": 0.4}
    assert [optimizers.weight_decay(constant, step, 8) for step in (0, 5, 8)] == [0.04] * 3
    assert [optimizers.weight_decay(rising, step, 8) for step in (0, 4, 8)] == pytest.approx([0.04, 0.22, 0.4])
    assert optimizers.weight_decay(rising, 2, 8) == pytest.approx(0.04 + 0.36 * (1 - 0.5**0.5) / 2)


def test_the_schedule_is_lightlys_warm_up_and_cosine_at_every_step():
    total, warm, end = 50, 10, 1e-3
    for step in range(total):
        # Its half cosine ends one step early, on the last step; ours ends where the run does.
        theirs = cosine_warmup_schedule(step, total + 1, 1.0, end, warm, 0.0)
        assert lr_factor(step, total, warm, end) == pytest.approx(theirs, rel=1e-12)


def test_the_schedule_without_warm_up_is_torchs_cosine_annealing_and_never_zero():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for step in range(30):
        assert lr_factor(step, 30, 0, 0.0) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()
    assert lr_factor(29, 30, 0, 0.0) > 0
    assert lr_factor(0, 1, 0, 0.0) == 1


def test_warm_up_is_clipped_to_half_of_a_short_run():
    assert warmup_steps(recipe(warmup_epochs=10), 5, total_steps=1000) == 50
    assert warmup_steps(recipe(warmup_epochs=10), 5, total_steps=20) == 10
    assert warmup_steps(recipe(warmup_epochs=0.5), 5, total_steps=20) == 2
    assert warmup_steps(recipe(warmup_epochs=10), 1, total_steps=1) == 0


def test_the_rate_scales_with_the_batch_only_where_the_recipe_says_so():
    assert optimizers.peak_lr(recipe(base_lr=0.3), 512) == pytest.approx(0.6)
    assert optimizers.peak_lr(recipe(base_lr=0.3, scale_lr="sqrt"), 1024) == pytest.approx(0.6)
    assert optimizers.peak_lr(recipe(base_lr=0.3, scale_lr=False), 512) == 0.3


def test_the_momentum_rises_as_in_byol_and_is_constant_without_an_end():
    total = 40
    for step in range(total):
        byol = 1 - (1 - 0.996) * (math.cos(math.pi * step / total) + 1) / 2  # Grill et al. 2020, section 3.2
        assert ema_momentum(recipe(ema_start=0.996, ema_end=1.0), step, total) == pytest.approx(byol, rel=1e-12)
        assert ema_momentum(recipe(ema_start=0.99), step, total) == 0.99


def test_momentum_networks_move_by_the_formula_and_keep_their_own_batch_statistics():
    online, target = network(0), network(1)
    before = [p.clone() for p in target.parameters()]
    online[1].running_mean.fill_(7.0)
    update_momentum(*momentum_parameters([(online, target)]), 0.9)
    for p, theta, old in zip(target.parameters(), online.parameters(), before, strict=True):
        torch.testing.assert_close(p, 0.9 * old + 0.1 * theta, rtol=1e-12, atol=1e-14)
    assert not target[1].running_mean.any() and all(p.requires_grad for p in target.parameters())
