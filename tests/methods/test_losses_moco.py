"""MoCo against its paper: the loss written out in numpy float64, and the queue's keys counted by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sslbench.errors import UserError
from sslbench.methods.moco.model import Model, in_groups, moco_loss
from sslbench.training.optimizers import momentum_parameters, update_momentum
from tests.methods.method_batches import build, make_batch

pytestmark = pytest.mark.parity

N, D, K = 6, 5, 9
SMALL = {"hidden_dim": 16, "out_dim": 8, "queue": 10, "symmetric": False, "key_batch_norm": "shuffle"}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moco(**options: object) -> Model:
    return build("moco", "test_resnet", 32, SMALL | options).train()


def keys(value: float, n: int) -> Tensor:
    """n keys that can be told apart: value, value + 1, ..."""
    return torch.arange(value, value + n)[:, None].expand(n, SMALL["out_dim"])


def entered(model: Model, *parts: Tensor) -> list[float]:
    model.before_step(0, 0)
    model.fresh.extend(parts)
    model.after_backward(0, 0)
    return model.queue[:, 0].tolist()


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_the_loss_is_equation_1_over_the_own_key_and_the_queue(temperature):
    q, k, queue = draw(N, D, seed=1), draw(N, D, seed=2), normalize(draw(K, D, seed=3), dim=1)
    total, found = 0.0, 0
    for i in range(N):
        query, key = (x[i].numpy() / np.sqrt((x[i].numpy() ** 2).sum()) for x in (q, k))
        positive = np.exp(query @ key / temperature)
        negatives = [np.exp(query @ queue[j].numpy() / temperature) for j in range(K)]
        total += -np.log(positive / (positive + sum(negatives)))
        found += positive > max(negatives)
    parts = moco_loss(q, k, queue, temperature)
    assert parts["loss"].item() == pytest.approx(total / N, rel=1e-10)
    assert parts["found"].item() == pytest.approx(found / N)


def test_gradients_reach_the_queries_alone():
    q, k, queue = draw(N, D, seed=1).requires_grad_(), draw(N, D, seed=2).requires_grad_(), draw(K, D, seed=3)
    moco_loss(q, k, queue, 0.2)["loss"].backward()
    assert k.grad is None
    assert q.grad.abs().sum() > 0
    assert torch.autograd.gradcheck(lambda x: moco_loss(x, k.detach(), queue, 0.2)["loss"], (q,))


def test_half_precision_is_widened_to_float32():
    q, k, queue = draw(N, D, seed=1), draw(N, D, seed=2), normalize(draw(K, D, seed=3), dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = moco_loss(q.bfloat16(), k.bfloat16(), queue.float(), 0.2)["loss"]
    exact = moco_loss(q.bfloat16().double(), k.bfloat16().double(), queue.float().double(), 0.2)["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)


def test_the_queue_is_first_in_first_out_whether_or_not_batches_divide_it():
    model = moco()
    start = model.queue[:, 0].tolist()
    assert entered(model, keys(100, 4)) == [100, 101, 102, 103, *start[:6]]
    assert entered(model, keys(200, 4)) == [200, 201, 202, 203, 100, 101, 102, 103, *start[:2]]
    assert entered(model, keys(300, 4)) == [300, 301, 302, 303, 200, 201, 202, 203, 100, 101]
    assert entered(model, keys(400, 3), keys(500, 3)) == [500, 501, 502, 400, 401, 402, 300, 301, 302, 303]
    assert len(entered(model, keys(600, 12))) == 10


def test_the_queue_starts_with_unit_keys_from_the_seed_that_made_the_weights():
    model = moco()
    torch.testing.assert_close(model.queue.norm(dim=1), torch.ones(10))
    assert torch.equal(model.queue, moco().queue)
    assert not torch.equal(model.queue, build("moco", "test_resnet", 32, SMALL, seed=1).queue)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_enqueues_the_momentum_networks_normalised_keys_after_its_losses(symmetric):
    model = moco(symmetric=symmetric, queue=32)
    before, batch = model.queue.clone(), make_batch(model, n=4)
    model.before_step(0, 0)
    loss = model.loss(batch)["loss"]
    assert torch.equal(model.queue, before)  # the batch's own keys are no negatives
    loss.backward()
    model.after_backward(0, 0)
    first, second = (
        normalize(model.momentum_projection(model.momentum_backbone(view.images)), dim=1).detach()
        for view in batch.views
    )
    expected = torch.cat([first, second, before] if symmetric else [second, before])[:32]
    torch.testing.assert_close(model.queue, expected)
    assert not model.queue.requires_grad


def test_all_parts_of_an_accumulated_step_enter_the_queue_once_and_leave_nothing_behind():
    model, batch = moco(queue=32), make_batch(moco(), n=4)
    for step in range(2):
        before = model.queue.clone()
        model.before_step(step, 0)
        model.loss(batch)
        model.loss(batch)
        model.after_backward(step, 0)
        assert torch.equal(model.queue[8:], before[:-8])
        assert model.fresh == []


def test_symmetric_is_the_mean_of_both_directions():
    model, mirrored, both = moco(), moco(), moco(symmetric=True)
    batch = make_batch(both, n=4)
    forth = model.loss(batch)["loss"].item()
    batch.views.reverse()
    back = mirrored.loss(batch)["loss"].item()
    batch.views.reverse()
    assert both.loss(batch)["loss"].item() == pytest.approx((forth + back) / 2, rel=1e-5)
    assert forth != back


def test_as_in_algorithm_1_the_keys_come_from_weights_moved_towards_those_of_the_queries():
    model = moco()
    old = [p.clone() for p in model.momentum_backbone.parameters()]
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter += 1  # an optimiser step; the engine then moves the pairs
    update_momentum(*momentum_parameters(model.momentum_pairs()), 0.9)
    for slow, before, online in zip(
        model.momentum_backbone.parameters(), old, model.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, 0.9 * before + 0.1 * online)


def steps(model: Model, first: int, last: int) -> list[float]:
    """Losses of training steps that differ in pictures and draws."""
    losses = []
    for step in range(first, last):
        torch.manual_seed(step)
        model.before_step(step, 0)
        parts = model.loss(make_batch(model, n=8, seed=step))
        parts["loss"].backward()
        model.after_backward(step, 0)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        update_momentum(*momentum_parameters(model.momentum_pairs()), 0.9)
        losses.append(parts["loss"].item())
    return losses


def test_a_run_restored_in_the_middle_goes_on_bit_by_bit():
    options = {"statistics_group": 4, "queue": 27}
    through, halted, resumed = moco(**options), moco(**options), build("moco", "test_resnet", 32, SMALL | options, 9)
    expected = steps(through, 0, 6)
    steps(halted, 0, 3)
    resumed.load_state_dict(halted.state_dict())
    assert steps(resumed.train(), 3, 6) == expected[3:]
    assert torch.equal(resumed.queue, through.queue)


class Centred(nn.Module):
    """Takes the batch's mean away, as batch norm does: the outputs tell who shared a batch."""

    def forward(self, images: Tensor) -> Tensor:
        values = images[:, 0, 0]
        return values - values.mean(dim=0)


def numbered(n: int) -> Tensor:
    return (2.0 ** torch.arange(n))[:, None, None, None].expand(n, 3, 1, 1)  # subsets have different sums


def test_groups_have_statistics_of_their_own_and_cover_every_picture_in_order():
    images = numbered(10)
    outputs = in_groups(Centred(), images, 4)[:, 0]
    values = images[:, 0, 0, 0]
    expected = torch.cat([values[:5] - values[:5].mean(), values[5:] - values[5:].mean()])  # 2 groups of at least 4
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(in_groups(Centred(), images, 6)[:, 0], values - values.mean())


def test_shuffled_groups_are_drawn_anew_and_give_each_picture_its_own_output():
    images, values = numbered(8), 2.0 ** torch.arange(8)
    torch.manual_seed(0)
    groupings = set()
    for _ in range(6):
        means = values - in_groups(Centred(), images, 4, shuffled=True)[:, 0]  # of the group that each picture was in
        assert means.unique().numel() == 2
        for mean in means.unique():
            assert (means == mean).sum() == 4
            assert values[means == mean].mean() == mean
        groupings.add(tuple((means == means[0]).tolist()))
    assert len(groupings) > 1
    assert torch.equal(in_groups(nn.Flatten(), images, 4, shuffled=True)[:, 0], values)


@pytest.mark.parametrize(("kind", "queries", "key_groups"), [("shuffle", 2, 2), ("split", 1, 2), ("plain", 1, 1)])
def test_which_networks_see_groups(kind, queries, key_groups):
    model = moco(key_batch_norm=kind, statistics_group=4)
    seen = {"query": [], "key": []}
    for name, network in (("query", model.backbone), ("key", model.momentum_backbone)):
        network.register_forward_hook(lambda _, args, out, name=name: seen[name].append(args[0]))
    batch = make_batch(model, n=8)
    torch.manual_seed(0)
    model.loss(batch)
    assert (len(seen["query"]), len(seen["key"])) == (queries, key_groups)
    first, second = (view.images for view in batch.views)
    assert torch.equal(torch.cat(seen["query"]), first)
    assert torch.equal(torch.cat(seen["key"]), second) == (kind != "shuffle")
    assert torch.cat(seen["key"]).sum().item() == pytest.approx(second.sum().item(), rel=1e-3)


def test_a_network_without_batch_statistics_sees_the_batch_at_once():
    model = build("moco", "test_vit", 32, SMALL | {"statistics_group": 4}).train()
    sizes = []
    model.backbone.register_forward_hook(lambda _, args, out: sizes.append(len(args[0])))
    model.loss(make_batch(model, n=8))
    assert sizes == [8]


def test_a_queue_as_large_as_the_training_set_is_refused():
    model = moco()
    model.check_pictures(11, 64)
    with pytest.raises(UserError, match=r"queue is 10.*there are 10, so give a queue of, say, 5"):
        model.check_pictures(10, 64)


def test_a_batch_that_makes_no_two_groups_of_statistics_is_refused():
    with pytest.raises(UserError, match=r"groups of 4 pictures, and 7 at a time make no two groups"):
        moco(statistics_group=4).check_pictures(11, 7)
    moco(statistics_group=4, key_batch_norm="plain").check_pictures(11, 7)


def test_version_1_has_a_linear_head():
    model = moco(head="linear")
    assert isinstance(model.projection, nn.Linear)
    assert next(p.shape for p in moco().projection.parameters()) == (16, model.backbone.num_features)


def test_keys_that_are_all_the_same_point_reach_the_trivial_loss():
    model = moco()
    point = normalize(draw(1, 8, seed=4), dim=1).float()
    model.queue.copy_(point.expand(10, 8))
    loss = moco_loss(point.expand(6, 8), point.expand(6, 8), model.queue, 0.2)["loss"]
    trivial = model.trivial_loss()
    assert trivial["part"] == "loss"
    assert loss.item() == pytest.approx(trivial["value"], rel=1e-6)


def test_momentum_networks_start_as_copies():
    for online, slow in moco().momentum_pairs():
        for p, q in zip(online.parameters(), slow.parameters(), strict=True):
            assert torch.equal(p, q)
            assert p.data_ptr() != q.data_ptr()
