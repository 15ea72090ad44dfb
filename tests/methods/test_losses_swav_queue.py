"""SwAV's queue: codes found among earlier features (Caron et al. 2020, section 3.1), against numpy written out here."""

import numpy as np
import pytest
import torch
from test_losses import draw, sinkhorn_knopp, swav_write_up

from sslbench.methods.swav.model import swav_loss
from tests.methods.method_batches import build, make_batch

pytestmark = pytest.mark.parity

N, D, K, Q = 5, 4, 7, 11
CONSTANTS = (0.1, 0.05, 3)
SMALL = {"hidden_dim": 24, "out_dim": 24, "prototypes": 24}


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)


def write_up(z: list[np.ndarray], prototypes: np.ndarray, queue: np.ndarray) -> float:
    """The swapped prediction with codes of the batch and the queue together, of which the batch's are kept."""
    unit_z = [view / np.sqrt((view**2).sum(1, keepdims=True)) for view in z]
    terms = []
    for i in (0, 1):
        rows = [c @ prototypes.T for c in (*queue[i], *unit_z[i])]  # the queue first, as in the authors' code
        q = sinkhorn_knopp(np.stack(rows), 0.05, 3)[-N:]
        for v in range(len(z)):
            if v != i:
                p = np.exp(unit_z[v] @ prototypes.T / 0.1)
                p /= p.sum(1, keepdims=True)
                terms.append(-np.mean([sum(q[n] * np.log(p[n])) for n in range(N)]))
    return float(np.mean(terms))


@pytest.mark.parametrize("views", [2, 4])
def test_codes_with_a_queue_are_those_of_batch_and_queue_together(views):
    z, prototypes, queue = (
        [draw(N, D, seed=v) for v in range(views)],
        unit(draw(K, D, seed=9)),
        unit(draw(2, Q, D, seed=8)),
    )
    expected = write_up([v.numpy() for v in z], prototypes.numpy(), queue.numpy())
    loss = swav_loss(z, prototypes, *CONSTANTS, queue)["loss"].item()
    assert loss == pytest.approx(expected, rel=1e-10)
    without = swav_write_up([v.numpy() for v in z], prototypes.numpy(), *CONSTANTS)
    assert loss != pytest.approx(without, rel=1e-3)
    assert swav_loss(z, prototypes, *CONSTANTS)["loss"].item() == pytest.approx(without, rel=1e-10)


def test_one_sinkhorn_step_by_hand():
    """Two prototypes at right angles, one picture on the first, and a queue of three: two on the first, one on the
    second. With e = exp(1 / epsilon), after a step over prototypes and one over rows the picture's code is
    (e / (3 e + 1), 1 / (e + 3)), scaled to sum to 1. Alone it would be (1/2, 1/2)."""
    prototypes = torch.eye(2, dtype=torch.float64)
    z = [torch.tensor([[2.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, 1.0]], dtype=torch.float64)]
    queue = torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.float64).expand(2, 3, 2)
    e = np.exp(1 / 0.5)
    first, second = e / (3 * e + 1), 1 / (e + 3)
    code = np.array([first, second]) / (first + second)
    entropy = -(code * np.log(code)).sum()
    # The other view's code is found among (s, s), (e, 1), (e, 1), (1, e) with s = exp(cos 45 / epsilon).
    s = np.exp(np.sqrt(0.5) / 0.5)
    first, second = s / (s + 2 * e + 1), s / (s + e + 2)
    other = np.array([first, second]) / (first + second)
    parts = swav_loss(z, prototypes, 0.1, 0.5, 1, queue)
    assert parts["code_entropy"].item() == pytest.approx((entropy - (other * np.log(other)).sum()) / 2, rel=1e-12)


def test_no_gradient_flows_to_the_queue_nor_through_it_to_the_prototypes():
    z = [draw(N, D, seed=v).requires_grad_() for v in (0, 1)]
    prototypes, queue = unit(draw(K, D, seed=9)).requires_grad_(), unit(draw(2, Q, D, seed=8)).requires_grad_()
    loss = swav_loss(z, prototypes, *CONSTANTS, queue)["loss"]
    into = torch.autograd.grad(loss, [*z, prototypes, queue], allow_unused=True)
    assert into[3] is None and all(gradient.abs().sum() > 0 for gradient in into[:3])
    # That of the cross-entropy with the codes held fixed, and nothing else.
    codes = [torch.tensor(sinkhorn_knopp(torch.cat([unit(z[i]), queue[i]]).detach().numpy() @ prototypes.detach().numpy().T,
                                         0.05, 3)[:N]) for i in (0, 1)]  # fmt: skip
    log_p = [(unit(view) @ prototypes.T / 0.1).log_softmax(1) for view in z]
    held = -((codes[0] * log_p[1]).sum(1).mean() + (codes[1] * log_p[0]).sum(1).mean()) / 2
    torch.testing.assert_close(torch.autograd.grad(held, prototypes)[0], into[2], rtol=1e-8, atol=1e-10)


def step(model, number: int, epoch: int, n: int = 6, parts: int = 1):
    """One optimiser step but for the optimiser: the losses of its parts, and each view's unit features of all parts."""
    losses, features = [], []
    model.projection.register_forward_hook(lambda _m, _i, out: features.append(unit(out.detach())))
    model.before_step(number, epoch)
    for part in range(parts):
        batch = make_batch(model, n, seed=10 * number + part)
        batch.step, batch.epoch, batch.steps_per_epoch = number, epoch, 3
        losses.append(model.loss(batch)["loss"])
    model.after_backward(number, epoch)
    model.projection._forward_hooks.clear()
    per_part = len(features) // parts
    return losses, [torch.cat(features[view::per_part]) for view in (0, 1)]


def test_the_queue_holds_the_newest_features_first_of_each_view_and_all_parts_of_a_step():
    model = build(
        "swav", "test_resnet", 32, SMALL | {"queue_length": 10, "queue_start_epoch": 0, "local_views": 1}
    ).train()
    _, first = step(model, 0, 0)
    _, second = step(model, 1, 0, n=3, parts=2)
    for view in (0, 1):
        # Parts of a step come one before the other: the second part's three, the first part's three, then step 0's.
        newest = torch.cat([second[view][3:], second[view][:3], first[view]])[:10]
        torch.testing.assert_close(model.queue[view], newest)


@pytest.mark.parametrize(("number", "used"), [(5, False), (6, False), (7, False), (8, True), (12, True)])
def test_the_queue_is_used_once_the_steps_since_its_epoch_have_filled_it(number, used):
    """Three steps an epoch, so that step 6 is the first to fill it; two steps of 6 images do."""
    epoch = number // 3
    model = build("swav", "test_resnet", 32, SMALL | {"queue_length": 12, "queue_start_epoch": 2}).train()
    model.queue.copy_(unit(torch.randn(2, 12, 24)))
    before = model.queue.clone()
    torch.manual_seed(0)
    (loss,), z = step(model, number, epoch)
    queue = before if used else None
    expected = swav_loss(z, model.prototypes.weight, 0.1, 0.05, 3, queue)["loss"]
    other = swav_loss(z, model.prototypes.weight, 0.1, 0.05, 3, None if used else before)["loss"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert abs(loss.item() - expected.item()) < 0.1 * abs(other.item() - expected.item())


def test_without_a_queue_parameters_state_and_loss_are_as_they_were():
    plain, queued = (build("swav", "test_resnet", 32, SMALL | {"queue_length": q}) for q in (0, 12))
    assert set(queued.state_dict()) - set(plain.state_dict()) == {"queue"}
    assert all(torch.equal(value, queued.state_dict()[name]) for name, value in plain.state_dict().items())
    losses = [step(model.train(), 7, epoch)[0][0] for model, epoch in ((plain, 99), (queued, 0))]
    assert torch.equal(*losses) and plain.fresh == []
