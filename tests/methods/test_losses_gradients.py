"""Gradients flow where the paper says, and nowhere else; losses keep float32 under half precision."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, log_softmax, normalize

from sslbench.methods.barlowtwins.model import barlow_twins_loss
from sslbench.methods.byol.model import byol_loss
from sslbench.methods.simclr.model import nt_xent_loss
from sslbench.methods.simsiam.model import simsiam_loss
from sslbench.methods.swav.model import sinkhorn, swav_loss
from sslbench.methods.vicreg.model import vicreg_loss
from sslbench.methods.vicregl.model import vicregl_loss
from sslbench.methods.vicregl.settings import Settings

pytestmark = pytest.mark.parity

N, D = 6, 5
TWO_VIEW_LOSSES = {
    "barlowtwins": lambda z_a, z_b: barlow_twins_loss(z_a, z_b, 5e-3)["loss"],
    "simclr": lambda z_a, z_b: nt_xent_loss(z_a, z_b, 0.5)["loss"],
    "vicreg": lambda z_a, z_b: vicreg_loss(z_a, z_b, 25, 25, 1, 1e-4)["loss"],
}


def leaf(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.to(dtype).requires_grad_()


@pytest.mark.parametrize("loss", [simsiam_loss, byol_loss])
def test_no_gradient_reaches_the_targets_of_simsiam_and_byol(loss):
    p_a, p_b, z_a, z_b = (leaf(N, D, seed=s) for s in range(4))
    loss(p_a, p_b, z_a, z_b).backward()
    assert z_a.grad is None
    assert z_b.grad is None
    (expected,) = torch.autograd.grad(-cosine_similarity(p_a, z_b.detach()).mean() / 2, p_a)
    torch.testing.assert_close(p_a.grad, expected)
    assert p_b.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TWO_VIEW_LOSSES)
def test_both_views_get_gradients_and_agree_with_finite_differences(name):
    z_a, z_b = leaf(N, D, seed=5), leaf(N, D, seed=6)
    TWO_VIEW_LOSSES[name](z_a, z_b).backward()
    assert z_a.grad.abs().sum() > 0
    assert z_b.grad.abs().sum() > 0
    assert torch.autograd.gradcheck(TWO_VIEW_LOSSES[name], (z_a, z_b))


def test_swavs_codes_are_targets_without_gradient():
    z_a, z_b, prototypes = leaf(N, D, seed=7), leaf(N, D, seed=8), leaf(9, D, seed=9)
    swav_loss([z_a, z_b], prototypes, 0.1, 0.05, 3)["loss"].backward()
    s_a, s_b = (normalize(z, dim=1) @ prototypes.T for z in (z_a, z_b))
    q_a, q_b = (sinkhorn(s.detach(), 0.05, 3) for s in (s_a, s_b))  # constants
    cross = [-(q * log_softmax(s / 0.1, dim=1)).sum(1).mean() for q, s in ((q_a, s_b), (q_b, s_a))]
    expected = torch.autograd.grad((cross[0] + cross[1]) / 2, (z_a, z_b, prototypes))
    for tensor, gradient in zip((z_a, z_b, prototypes), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("form", ["lightly-1.2", "paper"])
def test_vicregl_sends_gradients_to_matched_positions_only(form):
    z = [leaf(N, D, seed=s) for s in (10, 11)]
    local = [leaf(N, 9, D, seed=12), leaf(N, 9, D, seed=13)]
    places = [leaf(N, 9, 2, seed=14), leaf(N, 9, 2, seed=15)]
    options = Settings(form=form, alpha=0.5, matches=(2, 1), variance_weight=0, covariance_weight=0)
    vicregl_loss(z, local, places, 1, options)["loss"].backward()
    assert all(x.grad.abs().sum() > 0 for x in z)
    assert all(place.grad is None for place in places)  # where a position lies is data
    touched = (local[0].grad.abs().sum(dim=2) > 0).sum(dim=1)  # positions with a gradient, per picture
    # two matches and one reverse match, by feature and by location
    assert touched.min() >= 2
    assert touched.max() <= 6


@pytest.mark.parametrize("name", TWO_VIEW_LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_projections_are_computed_in_float32(name, dtype):
    z_a, z_b = leaf(64, 32, seed=16, dtype=dtype), leaf(64, 32, seed=17, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = TWO_VIEW_LOSSES[name](z_a, z_b)
    assert loss.dtype == torch.float32
    exact = TWO_VIEW_LOSSES[name](z_a.detach().double(), z_b.detach().double())
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)
    loss.backward()
    assert z_a.grad.dtype == dtype


def test_swav_and_vicregl_widen_the_tensors_in_their_lists():
    z = [leaf(8, D, seed=s, dtype=torch.bfloat16) for s in (18, 19)]
    prototypes = leaf(9, D, seed=20, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        swav = swav_loss(z, prototypes, 0.1, 0.05, 3)["loss"]
        local, places = [x[:, None].expand(8, 4, D) for x in z], [leaf(8, 4, 2, seed=s) for s in (21, 22)]
        vicregl = vicregl_loss(z, local, places, 1, Settings())["loss"]
    wide = [x.detach().double() for x in z]
    torch.testing.assert_close(
        swav.double(), swav_loss(wide, prototypes.double(), 0.1, 0.05, 3)["loss"], rtol=1e-4, atol=0
    )
    assert vicregl.dtype == torch.float32
