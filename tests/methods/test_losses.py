"""Each loss against its paper's formula, written out here in plain numpy float64, index by index."""

import numpy as np
import pytest
import torch

from sslbench.methods.barlowtwins.model import barlow_twins_loss
from sslbench.methods.byol.model import byol_loss
from sslbench.methods.simclr.model import nt_xent_loss
from sslbench.methods.simsiam.model import simsiam_loss
from sslbench.methods.supervised.model import classification_loss
from sslbench.methods.swav.model import sinkhorn, swav_loss
from sslbench.methods.vicreg.model import vicreg_loss

pytestmark = pytest.mark.parity

N, D = 7, 5


def draw(*shape: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_barlow_twins_is_equation_1():
    # Scaled up, so that the batch norm's epsilon, which the paper does not have, vanishes.
    z_a, z_b = draw(N, D, seed=1, scale=30), draw(N, D, seed=2, scale=30)
    a, b = z_a.numpy() - z_a.numpy().mean(0), z_b.numpy() - z_b.numpy().mean(0)
    on, off = 0.0, 0.0
    for i in range(D):
        for j in range(D):
            c = sum(a[n, i] * b[n, j] for n in range(N))
            c /= np.sqrt(sum(a[n, i] ** 2 for n in range(N))) * np.sqrt(sum(b[n, j] ** 2 for n in range(N)))
            on, off = (on + (1 - c) ** 2, off) if i == j else (on, off + c**2)
    parts = barlow_twins_loss(z_a, z_b, 0.05)
    assert parts["loss"].item() == pytest.approx(on + 0.05 * off, rel=1e-6)
    assert parts["invariance"].item() == pytest.approx(on, rel=1e-6)
    assert parts["redundancy"].item() == pytest.approx(off, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_simclr_is_equation_1_over_all_2n_views(temperature):
    z_a, z_b = draw(N, D, seed=3), draw(N, D, seed=4)
    z = np.concatenate([z_a.numpy(), z_b.numpy()])
    total = 0.0
    for i in range(2 * N):
        j = (i + N) % (2 * N)  # the other view of the same picture
        denominator = sum(np.exp(cosine(z[i], z[k]) / temperature) for k in range(2 * N) if k != i)
        total += -np.log(np.exp(cosine(z[i], z[j]) / temperature) / denominator)
    parts = nt_xent_loss(z_a, z_b, temperature)
    assert parts["loss"].item() == pytest.approx(total / (2 * N), rel=1e-10)
    assert (parts["attraction"] + parts["repulsion"]).item() == pytest.approx(total / (2 * N), rel=1e-10)
    attraction = -np.mean([cosine(z[i], z[i + N]) for i in range(N)]) / temperature
    assert parts["attraction"].item() == pytest.approx(attraction, rel=1e-10)


@pytest.mark.parametrize("loss", [simsiam_loss, byol_loss])
def test_simsiam_and_byol_are_the_symmetric_negative_cosine_of_crossed_views(loss):
    p_a, p_b, z_a, z_b = (draw(N, D, seed=s) for s in (5, 6, 7, 8))
    d_ab = -np.mean([cosine(p_a.numpy()[n], z_b.numpy()[n]) for n in range(N)])
    d_ba = -np.mean([cosine(p_b.numpy()[n], z_a.numpy()[n]) for n in range(N)])
    assert loss(p_a, p_b, z_a, z_b).item() == pytest.approx(d_ab / 2 + d_ba / 2, rel=1e-10)


def test_byols_squared_distance_of_unit_vectors_is_two_plus_twice_the_loss():
    p_a, p_b, z_a, z_b = (draw(N, D, seed=s) for s in (5, 6, 7, 8))
    unit = [(x / x.norm(dim=1, keepdim=True)).numpy() for x in (p_a, p_b, z_a, z_b)]
    equation_2 = [((p - z) ** 2).sum(1).mean() for p, z in ((unit[0], unit[3]), (unit[1], unit[2]))]
    assert np.mean(equation_2) == pytest.approx(2 + 2 * byol_loss(p_a, p_b, z_a, z_b).item(), rel=1e-10)


def vicreg_terms(z: np.ndarray, eps: float) -> tuple[float, float]:
    """v(Z) and c(Z) of VICReg's equations 1 to 4."""
    n, d = z.shape
    mean = [sum(z[k, j] for k in range(n)) / n for j in range(d)]
    cov = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            cov[i, j] = sum((z[k, i] - mean[i]) * (z[k, j] - mean[j]) for k in range(n)) / (n - 1)
    v = sum(max(0.0, 1 - np.sqrt(cov[j, j] + eps)) for j in range(d)) / d
    c = sum(cov[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return v, c


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_vicreg_is_equation_6_with_the_authors_half_on_the_variance(scale):
    z_a, z_b = draw(N, D, seed=9, scale=scale), draw(N, D, seed=10, scale=scale)
    (v_a, c_a), (v_b, c_b) = vicreg_terms(z_a.numpy(), 1e-4), vicreg_terms(z_b.numpy(), 1e-4)
    s = np.mean([(x - y) ** 2 for x, y in zip(z_a.numpy().ravel(), z_b.numpy().ravel(), strict=True)])
    parts = vicreg_loss(z_a, z_b, 25, 25, 1, 1e-4)
    assert parts["invariance"].item() == pytest.approx(s, rel=1e-10)
    assert parts["variance"].item() == pytest.approx((v_a + v_b) / 2, rel=1e-10)
    assert parts["covariance"].item() == pytest.approx(c_a + c_b, rel=1e-10)
    assert parts["loss"].item() == pytest.approx(25 * s + 25 * (v_a + v_b) / 2 + c_a + c_b, rel=1e-10)


def sinkhorn_knopp(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """SwAV's equations 3 to 5: Diag(u) exp(scores^T / epsilon) Diag(v), rows to 1/K, columns to 1/B in turn."""
    b, k = scores.shape
    q = np.exp(scores.T.astype(np.float64) / epsilon)
    for _ in range(iterations):
        q = q / q.sum(axis=1, keepdims=True) / k
        q = q / q.sum(axis=0, keepdims=True) / b
    return (q * b).T  # each view's code sums to 1


def swav_write_up(z: list, prototypes: np.ndarray, temperature: float, epsilon: float, iterations: int) -> float:
    scores = []
    for view in z:
        unit = np.stack([row / np.sqrt((row**2).sum()) for row in view.astype(np.float64)])
        scores.append(unit @ prototypes.astype(np.float64).T)
    subtotals = []
    for i in (0, 1):
        q = sinkhorn_knopp(scores[i], epsilon, iterations)
        for v in range(len(z)):
            if v == i:
                continue
            logits = scores[v] / temperature
            log_p = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            log_p = log_p - logits.max(1, keepdims=True)
            subtotals.append(-np.mean([sum(q[n] * log_p[n]) for n in range(len(q))]))
    return float(np.mean(subtotals))


@pytest.mark.parametrize("views", [2, 4])
def test_swav_is_equation_2_with_codes_of_equations_3_to_5(views):
    z = [draw(N, D, seed=20 + v) for v in range(views)]
    prototypes = torch.nn.functional.normalize(draw(11, D, seed=30), dim=1)
    expected = swav_write_up([v.numpy() for v in z], prototypes.numpy(), 0.1, 0.05, 3)
    parts = swav_loss(z, prototypes, 0.1, 0.05, 3)
    assert parts["loss"].item() == pytest.approx(expected, rel=1e-10)
    assert (parts["code_entropy"] + parts["divergence"]).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("length", [1.0, 20.0], ids=["unit prototypes", "where exp overflows float32"])
def test_swav_in_float32_agrees_with_float64_at_3000_prototypes(length):
    z = [draw(N, 16, seed=40 + v).float() for v in (0, 1)]
    prototypes = length * torch.nn.functional.normalize(draw(3000, 16, seed=50), dim=1).float()
    scores = torch.nn.functional.normalize(z[0], dim=1) @ prototypes.T
    assert torch.isfinite(torch.exp(scores / 0.05)).all() == (length == 1)
    q = sinkhorn_knopp(scores.numpy(), 0.05, 3)
    np.testing.assert_allclose(sinkhorn(scores, 0.05, 3).numpy(), q, rtol=2e-3, atol=1e-7)
    expected = swav_write_up([v.numpy() for v in z], prototypes.numpy(), 0.1, 0.05, 3)
    assert swav_loss(z, prototypes, 0.1, 0.05, 3)["loss"].item() == pytest.approx(expected, rel=1e-4)


def test_supervised_is_cross_entropy_over_labelled_pictures():
    logits, labels = draw(N, 3, seed=60), torch.tensor([0, 2, -1, 1, 1, -1, 0])
    terms, right = [], []
    for row, label in zip(logits.numpy(), labels.tolist(), strict=True):
        if label >= 0:
            terms.append(-np.log(np.exp(row[label]) / np.exp(row).sum()))
            right.append(row.argmax() == label)
    parts = classification_loss(logits, labels)
    assert parts["loss"].item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert parts["top1"].item() == pytest.approx(np.mean(right))
    assert classification_loss(logits, torch.full((N,), -1))["loss"].item() == 0
