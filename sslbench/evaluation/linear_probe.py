"""The linear probe: multinomial logistic regression on frozen features, solved to a stated tolerance.

The objective is ``mean cross-entropy + penalty / 2 * |W|^2`` over standardised features (mean and deviation of the
training pictures); the bias is not penalised. It is convex, so the answer depends on no learning rate, epoch count or
batch order. The penalty is the one that classifies held-out *training* pictures best, or the split's val pictures.

Solver: L-BFGS (Liu & Nocedal 1989) over the whole set. The features are first turned into their principal axes, which
leaves the problem as it is (the penalty is rotation-invariant) but makes its curvature nearly diagonal: s_j h_c plus
the penalty for axis j and class c, where s_j is the axis' variance and h_c the mean of p(1 - p). That diagonal starts
each L-BFGS direction, so ill-conditioned features cost few more iterations than white ones.

Value and gradient come from one pass over blocks of rows, so beyond the features themselves memory holds one block's
probabilities and the steps that L-BFGS remembers, however many pictures there are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sslbench.nn.random import generator

TOLERANCE = 1e-6  # nats: estimated excess of the objective over its minimum, g' H^-1 g / 2 with the diagonal H above
SEARCH_TOLERANCE = 1e-4  # the same while penalties are compared; docs/protocol.md says why this is enough
PATIENCE = 2  # the search ends after this many penalties in a row without a better held-out accuracy
TOP = 5
MEMORY = 10  # pairs of steps and gradient changes that L-BFGS remembers
BLOCK = 4096  # rows at a time where a whole [n, F] copy is not wanted
BLOCK_VALUES = 2**20  # probabilities at a time: a block of them stays in a core's cache between its uses


def product(a: Tensor, b: Tensor) -> Tensor:
    """a [n, k] times b [m, k] transposed, float32, either in any strides.

    By oneDNN where torch has it: torch's own product is MKL's, which on AMD processors reaches half the rate.
    """
    if ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.T


ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


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
        found = features.new_empty(len(features), len(mean), dtype=torch.float32)
        for block, place in zip(features.split(BLOCK), found.split(BLOCK), strict=True):
            place.copy_((block[:, self.live] - mean) / deviation)
        return found


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


class Memory(NamedTuple):
    """What L-BFGS remembers, newest last: steps, and by how much the *cross-entropy's* gradient changed along them.

    The penalty's share is a known multiple of the step, so the memory of one penalty serves the next.
    """

    steps: list[Tensor]  # each [F + 1, classes]
    changes: list[Tensor]


class Fit(NamedTuple):
    """A solved probe. ``weights`` [F + 1, classes]: the last row is the bias."""

    weights: Tensor
    objective: float  # nats
    iterations: int
    excess: float  # estimated nats above the minimum
    converged: bool
    memory: Memory


def solve(
    design: Tensor,
    labels: Tensor,
    classes: int,
    penalty: float,
    start: Fit | None = None,
    max_iterations: int = 500,
    tolerance: float = TOLERANCE,
) -> Fit:
    """Minimise the probe's objective.

    Args:
        design: [n, F + 1] float32 in principal axes, last column ones.
        labels: [n] int64 in [0, classes).
        penalty: weight of |W|^2 / 2 beside the mean cross-entropy, > 0.
        start: the fit of a problem alike (another penalty, some of the pictures) to start from; zeros where None.
        max_iterations: after these the fit is returned as it is, with ``converged`` False.
        tolerance: nats, see TOLERANCE.
    """
    weights = design.new_zeros(design.shape[1], classes) if start is None else start.weights.clone()
    square = sum(block.square().sum(0) for block in design.split(BLOCK))
    variance = (square / len(design))[:, None]  # [F + 1, 1]
    decay = torch.full_like(variance, penalty)
    decay[-1] = 0  # the bias is free

    def objective(weights: Tensor) -> tuple[float, Tensor, Tensor]:
        """The objective in float64, its gradient and its diagonal curvature, both [F + 1, classes]."""
        fit, slope, spread = cross_entropy(design, labels, weights)
        value = fit + 0.5 * float((decay * weights.square()).sum(dtype=torch.float64))
        return value, slope.addcmul_(decay, weights), variance * spread + decay

    value, slope, curvature = objective(weights)
    memory = Memory([], []) if start is None else Memory(*(list(part) for part in start.memory))
    excess = 0.5 * float((slope.square() / curvature).sum(dtype=torch.float64))
    iteration = 0
    while excess > tolerance and iteration < max_iterations:
        iteration += 1
        changes = [change + decay * step for step, change in zip(*memory, strict=True)]
        direction = two_loops(slope, memory.steps, changes, curvature)
        descent = dot(direction, slope)
        if descent >= 0:  # rounding has spoilt the memory: start it again
            memory = Memory([], [])
            direction = -slope / curvature
            descent = dot(direction, slope)
        step = 1.0
        for _ in range(20):
            trial = weights + step * direction
            new, ahead, ahead_curvature = objective(trial)
            if new <= value + 1e-4 * step * descent + 1e-8 * abs(value):  # Armijo, with room for float32 rounding
                break
            wanted = -0.5 * descent * step * step / max(new - value - step * descent, 1e-30)
            step = min(max(wanted, 0.1 * step), 0.5 * step)
        else:
            break  # no descent is left above rounding
        move, change = trial - weights, ahead - slope
        weights, value, slope, curvature = trial, new, ahead, ahead_curvature
        excess = 0.5 * float((slope.square() / curvature).sum(dtype=torch.float64))
        if dot(change, move) > 0:
            memory.steps.append(move)
            memory.changes.append(change - decay * move)
            del memory.steps[:-MEMORY], memory.changes[:-MEMORY]
    return Fit(weights, value, iteration, excess, excess <= tolerance, memory)


def cross_entropy(design: Tensor, labels: Tensor, weights: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean cross-entropy, its gradient [F + 1, classes], and each class's mean of p(1 - p) [classes].

    Sums over blocks of rows whose probabilities stay in cache; no [n, classes] is ever held.
    """
    n, classes = len(design), weights.shape[1]
    rows = min(max(BLOCK_VALUES // classes, 64), 2 * BLOCK)
    total, slope = 0.0, torch.zeros_like(weights)
    share, square = weights.new_zeros(classes), weights.new_zeros(classes)
    for x, label in zip(design.split(rows), labels.split(rows), strict=True):
        log_p = torch.log_softmax(product(x, weights.T), 1)
        target = label[:, None]
        total -= float(log_p.gather(1, target).sum(dtype=torch.float64))
        p = log_p.exp_()
        share += p.sum(0)
        square += p.square().sum(0)
        p.scatter_add_(1, target, p.new_full((1, 1), -1.0).expand(len(x), 1))
        slope += product(x.T, p.T)
    return total / n, slope / n, ((share - square) / n).clamp(min=1e-8)


def dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))


def two_loops(slope: Tensor, steps: list[Tensor], changes: list[Tensor], curvature: Tensor) -> Tensor:
    """L-BFGS' direction, -H slope, where 1 / ``curvature`` is the first guess of the inverse Hessian H."""
    rates = [1.0 / dot(s, y) for s, y in zip(steps, changes, strict=True)]
    shares = []
    q = slope.clone()
    for s, y, rate in reversed(list(zip(steps, changes, rates, strict=True))):
        shares.append(rate * dot(s, q))
        q.sub_(y, alpha=shares[-1])
    direction = q / curvature
    if steps:
        s, y = steps[-1], changes[-1]
        direction *= dot(s, y) / dot(y, y / curvature)
    for s, y, rate, share in zip(steps, changes, rates, reversed(shares), strict=True):
        direction.add_(s, alpha=share - rate * dot(y, direction))
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
    val: tuple[Tensor, Tensor] | None = None,
) -> Probe:
    """Fit on training features [n, F] and rank the classes for test features [m, F].

    Penalties are tried from strong to weak, each starting from the last solution. The best held-out top-1 wins, the
    stronger penalty where two are equal; then all training pictures are fitted with it. The standardisation is that
    of all training pictures, the held-out ones included: it reads no label.

    With ``val``, features [k, F] and labels [k], the penalty is chosen on these and nothing is held out: they are not
    fitted, neither in the search nor after it.
    """
    standardise = Standardiser.of(train)
    live = int(standardise.live.sum())
    gram = torch.zeros(live, live, dtype=torch.float64)
    for rows in train.split(BLOCK):
        rows = standardise(rows).T
        gram += product(rows, rows)
    axes = torch.linalg.eigh(gram)[1].float()  # [live, live]

    def design(rows: Tensor) -> Tensor:
        return torch.cat([product(standardise(rows), axes.T), rows.new_ones(len(rows), 1)], 1)  # [n, live + 1]

    # held-out pictures last, so that both parts are views of one array
    mask = held_out(labels, holdout) if val is None else torch.zeros(len(labels), dtype=torch.bool)
    order, kept = mask.long().argsort(stable=True), int((~mask).sum())
    labels = labels[order]
    everything = train.new_empty(len(train), live + 1)
    for place, chosen_rows in zip(everything.split(BLOCK), order.split(BLOCK), strict=True):
        place.copy_(design(train[chosen_rows]))
    judge, truths = (everything[kept:], labels[kept:]) if val is None else (design(val[0]), val[1])
    searched: list[dict] = []
    best, fit, chosen = -1.0, None, None
    for penalty in sorted(set(penalties), reverse=True) if len(truths) else []:
        fit = solve(everything[:kept], labels[:kept], classes, penalty, fit, max_iterations, SEARCH_TOLERANCE)
        right = [
            (rank_classes(product(rows, fit.weights.T))[:, 0] == truth).sum()
            for rows, truth in zip(judge.split(BLOCK), truths.split(BLOCK), strict=True)
        ]
        top1 = int(sum(right)) / len(truths)
        searched.append({"penalty": penalty, "top1": top1, "iterations": fit.iterations, "converged": fit.converged})
        if top1 > best:
            best, chosen, behind = top1, (penalty, fit), 0
        elif (behind := behind + 1) == PATIENCE:
            break
    # one picture per class leaves nothing to choose on: the strongest penalty is the cautious one
    penalty, fit = chosen or (max(penalties), None)
    fit = solve(everything, labels, classes, penalty, fit, max_iterations)
    ranking = torch.cat([rank_classes(product(design(rows), fit.weights.T)) for rows in test.split(BLOCK)])
    return Probe(ranking, penalty, searched, fit)


def rank_classes(scores: Tensor) -> Tensor:
    """The up to five best classes of scores [n, classes], best first; equal scores go to the lower class number."""
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :TOP]
