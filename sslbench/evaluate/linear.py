"""The linear probe: multinomial logistic regression on frozen features, solved to a stated tolerance.

The objective is ``mean cross-entropy + penalty / 2 * |W|^2`` over standardised features (mean and deviation of the
training pictures); the bias is not penalised. It is convex, so the answer depends on no learning rate, epoch count or
batch order. The penalty is the one that classifies held-out *training* pictures best.

Solver: L-BFGS (Liu & Nocedal 1989) over the whole set. The features are first turned into their principal axes, which
leaves the problem as it is (the penalty is rotation-invariant) but makes its curvature nearly diagonal: s_j h_c plus
the penalty for axis j and class c, where s_j is the axis' variance and h_c the mean of p(1 - p). That diagonal starts
each L-BFGS direction, so ill-conditioned features cost few more iterations than white ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sslbench.randomness import generator

TOLERANCE = 1e-6  # nats: estimated excess of the objective over its minimum, g' H^-1 g / 2 with the diagonal H above
SEARCH_TOLERANCE = 1e-5  # the same while penalties are compared
PATIENCE = 2  # the search ends after this many penalties in a row without a better held-out accuracy
TOP = 5
MEMORY = 10  # pairs of steps and gradient changes that L-BFGS remembers
BLOCK = 4096  # rows at a time where a whole [n, F] copy in float64 is not wanted


class Standardiser(NamedTuple):
    """Per-channel mean and deviation of the training pictures; channels without variation are left out."""

    mean: Tensor  # [F]
    deviation: Tensor  # [F]
    live: Tensor  # [F] bool

    @classmethod
    def of(cls, features: Tensor) -> "Standardiser":
        """From training features [n, F]."""
        mean, square = moments(features)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        # below this share of its own size a channel's variation is float32 rounding, and scaling it up is noise
        live = deviation > 1e-6 * square.sqrt()
        return cls(mean, deviation, live)

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised live channels of features [n, F], float32 [n, live]."""
        mean, deviation = self.mean[self.live], self.deviation[self.live]
        blocks = (((block[:, self.live] - mean) / deviation).float() for block in features.split(BLOCK))
        return torch.cat(list(blocks))


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square of each channel of features [n, F], both float64 [F]."""
    total = features.new_zeros(features.shape[1], dtype=torch.float64)
    square = total.clone()
    # the square is taken about the first picture's value, so that a large mean costs no digits
    origin = features[0].double()
    for block in features.split(BLOCK):
        centred = block.double() - origin
        total += centred.sum(0)
        square += centred.square().sum(0)
    shift = total / len(features)
    return origin + shift, square / len(features) - shift.square() + (origin + shift).square()


class Fit(NamedTuple):
    """A solved probe. ``weights`` [F + 1, classes]: the last row is the bias."""

    weights: Tensor
    objective: float  # nats
    iterations: int
    excess: float  # estimated nats above the minimum
    converged: bool


def solve(
    design: Tensor,
    labels: Tensor,
    classes: int,
    penalty: float,
    start: Tensor | None = None,
    max_iterations: int = 500,
    tolerance: float = TOLERANCE,
) -> Fit:
    """Minimise the probe's objective.

    Args:
        design: [n, F + 1] float32 in principal axes, last column ones.
        labels: [n] int64 in [0, classes).
        penalty: weight of |W|^2 / 2 beside the mean cross-entropy, > 0.
        start: [F + 1, classes] to start from, zeros where None.
        max_iterations: after these the fit is returned as it is, with ``converged`` False.
        tolerance: nats, see TOLERANCE.
    """
    n, axes = design.shape
    weights = design.new_zeros(axes, classes) if start is None else start.clone()
    variance = design.square().mean(0)[:, None]  # [F + 1, 1]
    decay = torch.full_like(variance, penalty)
    decay[-1] = 0  # the bias is free
    target = labels[:, None]

    def cross_entropy(logits: Tensor) -> tuple[float, Tensor]:
        """Mean cross-entropy in float64 and the log-probabilities [n, classes]."""
        log_p = torch.log_softmax(logits, 1)
        return -float(log_p.gather(1, target).double().mean()), log_p

    def gradient(log_p: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of the objective and its diagonal curvature, both [F + 1, classes]. Consumes log_p."""
        p = log_p.exp_()
        spread = (p.mean(0) - p.square().mean(0)).clamp(min=1e-8)  # [classes], h_c
        p.scatter_add_(1, target, p.new_full((1, 1), -1.0).expand(n, 1))
        return design.T @ p / n + decay * weights, variance * spread + decay

    logits = design @ weights
    fit, log_p = cross_entropy(logits)
    value = fit + 0.5 * float((decay * weights.square()).double().sum())
    slope, curvature = gradient(log_p)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    excess = 0.5 * float((slope.square() / curvature).double().sum())
    iteration = 0
    while excess > tolerance and iteration < max_iterations:
        iteration += 1
        direction = two_loops(slope, steps, changes, lambda g, c=curvature: g / c)
        descent = float((direction * slope).double().sum())
        if descent >= 0:  # rounding has spoilt the memory: start it again
            steps.clear()
            changes.clear()
            direction = -slope / curvature
            descent = float((direction * slope).double().sum())
        along = design @ direction  # logits are linear in the step, so a trial costs no further product
        cross = float((decay * weights * direction).double().sum())
        square = float((decay * direction.square()).double().sum())
        ridge = 0.5 * float((decay * weights.square()).double().sum())
        step = 1.0
        for _ in range(20):
            trial = logits + step * along
            fit, log_p = cross_entropy(trial)
            new = fit + ridge + step * cross + 0.5 * step * step * square
            if new <= value + 1e-4 * step * descent + 1e-8 * abs(value):  # Armijo, with room for float32 rounding
                break
            wanted = -0.5 * descent * step * step / max(new - value - step * descent, 1e-30)
            step = min(max(wanted, 0.1 * step), 0.5 * step)
        else:
            break  # no descent is left above rounding
        logits, value, move = trial, new, step * direction
        weights += move
        before = slope
        slope, curvature = gradient(log_p)
        excess = 0.5 * float((slope.square() / curvature).double().sum())
        change = slope - before
        if float((change * move).double().sum()) > 0:
            steps.append(move)
            changes.append(change)
            del steps[:-MEMORY], changes[:-MEMORY]
        if iteration % 50 == 0:
            logits = design @ weights  # sheds the rounding of the running sum
    return Fit(weights, value, iteration, excess, excess <= tolerance)


def two_loops(slope: Tensor, steps: list[Tensor], changes: list[Tensor], inverse: Callable[[Tensor], Tensor]) -> Tensor:
    """L-BFGS' direction, -H slope, where ``inverse`` applies the first guess of the inverse Hessian."""
    rates = [1.0 / float((s * y).double().sum()) for s, y in zip(steps, changes, strict=True)]
    shares = []
    q = slope.clone()
    for s, y, rate in reversed(list(zip(steps, changes, rates, strict=True))):
        shares.append(rate * float((s * q).double().sum()))
        q -= shares[-1] * y
    direction = inverse(q)
    if steps:
        s, y = steps[-1], changes[-1]
        direction = direction * (float((s * y).double().sum()) / float((y * inverse(y)).double().sum()))
    for s, y, rate, share in zip(steps, changes, rates, reversed(shares), strict=True):
        direction += (share - rate * float((y * direction).double().sum())) * s
    return -direction


def held_out(labels: Tensor, share: float) -> Tensor:
    """Mask [n] of the pictures on which the penalty is chosen: ``share`` of each class, never all of a class.

    The draw depends on the labels alone, so every model of a dataset holds out the same pictures.
    """
    order = torch.randperm(len(labels), generator=generator(0, "linear probe", "held out"))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        mask[members[:count]] = True
    return mask


class Probe(NamedTuple):
    """What the probe found. ``ranking`` [n_test, min(5, classes)]: classes by falling score."""

    ranking: Tensor
    penalty: float
    searched: list[dict]  # strong to weak: penalty, held-out top1, iterations, converged
    fit: Fit


def probe(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    classes: int,
    *,
    penalties: list[float],
    holdout: float = 0.2,
    max_iterations: int = 500,
) -> Probe:
    """Fit on training features [n, F] and rank the classes for test features [m, F].

    Penalties are tried from strong to weak, each starting from the last solution. The best held-out top-1 wins, the
    stronger penalty where two are equal; then all training pictures are fitted with it. The standardisation is that
    of all training pictures, the held-out ones included: it reads no label.
    """
    standardise = Standardiser.of(train)
    features = standardise(train)
    axes = torch.linalg.eigh((features.T @ features).double())[1].float()  # [live, live]

    def design(rows: Tensor) -> Tensor:
        return torch.cat([rows @ axes, rows.new_ones(len(rows), 1)], 1)  # [n, live + 1]

    everything = design(features)
    mask = held_out(labels, holdout)
    seen, judged = everything[~mask], everything[mask]
    searched: list[dict] = []
    best, weights, chosen = -1.0, None, None
    for penalty in sorted(set(penalties), reverse=True) if mask.any() else penalties[:0]:
        fit = solve(seen, labels[~mask], classes, penalty, weights, max_iterations, SEARCH_TOLERANCE)
        weights = fit.weights
        top1 = float((rank_classes(judged @ weights)[:, 0] == labels[mask]).double().mean())
        searched.append({"penalty": penalty, "top1": top1, "iterations": fit.iterations, "converged": fit.converged})
        if top1 > best:
            best, chosen, behind = top1, (penalty, weights), 0
        elif (behind := behind + 1) == PATIENCE:
            break
    # one picture per class leaves nothing to choose on: the strongest penalty is the cautious one
    penalty, weights = chosen or (max(penalties), None)
    fit = solve(everything, labels, classes, penalty, weights, max_iterations)
    ranking = torch.cat([rank_classes(design(standardise(rows)) @ fit.weights) for rows in test.split(BLOCK)])
    return Probe(ranking, penalty, searched, fit)


def rank_classes(scores: Tensor) -> Tensor:
    """The up to five best classes of scores [n, classes], best first; equal scores go to the lower class number."""
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :TOP]
