"""Is a representation alive? Geometry of the training features, class information, the loss, and a verdict.

Measured on the training features, each picture's vector scaled to length 1:

- ``channel_std``: mean over channels of the standard deviation over pictures, times sqrt(F). Random directions give 1,
  identical pictures 0 (Chen & He 2021, arXiv 2011.10566, section 4.1).
- ``effective_rank``: exp of the entropy of the singular values, divided by their sum (Roy & Vetterli 2007), after the
  mean is taken away. A direction that all pictures share says nothing of them, yet it dominates features behind a ReLU.
- ``rankme``: the same of the features as they are (RankMe, Garrido et al. 2023, arXiv 2210.02885), for comparison with
  published values; no verdict rests on it.
- ``dead_share``: channels whose variation over the pictures is below float32 rounding.

Verdicts: ``collapsed`` where features are not finite, where one of the grave signs below holds, or where a mild sign
and chance-level probes come together. ``suspicious``: a mild sign, or chance-level probes, alone. Else ``healthy``.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.evaluation.linear_probe import BLOCK, Standardiser
from sslbench.stats.paired import above_chance

# Why these values: 14 random initialisations (ResNet-18, ResNet-50, ConvNeXt, ViT and three tiny timm networks, two
# seeds each) on 900 real pictures gave channel_std 0.15 to 0.96 and effective ranks of 17 to 70 % of the channels, and
# none of these may count as collapsed. docs/protocol.md has the table, and a case that does.
CONSTANT = 1e-3  # grave, channel_std: the pictures' directions differ by a thousandth of what random ones do
NARROW = 0.05  # mild, channel_std: a third of the lowest random initialisation
LINE = 2.0  # grave, effective rank: less than a plane; not asked below 5 classes, which a line may well serve
RANK_SHARE = 0.05  # mild, effective rank over its largest possible value: a third of the lowest random initialisation
DEAD = 0.9  # mild, share of channels
LOSS_GAP = 0.01  # mild, |final - trivial| over |trivial|
LEVEL = 0.01  # of the one-sided binomial test against chance


class Trivial(NamedTuple):
    """A loss part's value at total collapse, and what the run ended with (None: not recorded)."""

    part: str
    value: float
    final: float | None


class Geometry(NamedTuple):
    channel_std: float
    effective_rank: float
    rankme: float
    dead_share: float


def geometry(features: Tensor) -> Geometry:
    """Of finite training features [n, F], n >= 2."""
    n, width = features.shape
    total = torch.zeros(width, dtype=torch.float64)
    gram = torch.zeros(width, width, dtype=torch.float64)
    raw = torch.zeros_like(gram)
    origin = normalize(features[0].double(), dim=0)
    for block in features.split(BLOCK):
        block = block.double()
        raw += block.T @ block
        centred = normalize(block, dim=1) - origin  # about one picture, so that a shared direction costs no digits
        total += centred.sum(0)
        gram += centred.T @ centred
    gram -= torch.outer(total, total) / n
    deviation = (gram.diagonal() / n).clamp(min=0).sqrt()
    return Geometry(
        float(deviation.mean()) * math.sqrt(width),
        entropy_rank(gram),
        entropy_rank(raw),
        1 - float(Standardiser.of(features).live.double().mean()),
    )


def entropy_rank(gram: Tensor) -> float:
    """exp(entropy) of the singular values whose squares are the eigenvalues of ``gram``; 0 where all are 0."""
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    # The square root lifts the rounding of zero eigenvalues, about 1e-16 of the largest, to 1e-8: keep it out.
    values = values[values > 1e-7 * values.max()]
    if not len(values):
        return 0.0
    share = values / values.sum()
    return float((-(share * share.log()).sum()).exp())


def examine(
    train: Tensor,
    test: Tensor,
    labels: Tensor,
    classes: int,
    top1: dict[str, int | None],
    trivial: Trivial | None,
) -> dict[str, Any]:
    """The health report of one cell.

    Args:
        train, test: features [n, F] and [m, F].
        labels: [m] int64 of the test pictures.
        classes: number of classes.
        top1: correct test pictures per probe, e.g. ``{"linear": 5012, "knn 20": 4870}``; None where it could not run.
        trivial: the loss part to hold against its value at collapse, None where there is none.
    """
    width = train.shape[1]
    # a constant guess scores at most the largest class's share of the test pictures, which may exceed 1 / classes
    chance = float(labels.bincount(minlength=classes).max()) / len(labels)
    report: dict[str, Any] = {"features": width, "n_train": len(train), "classes": classes, "chance": chance}
    report |= dict.fromkeys(("channel_std", "effective_rank", "rank_share", "rankme", "dead_share"))
    broken = {name: int((~x.isfinite()).any(1).sum()) for name, x in (("training", train), ("test", test))}
    report["non_finite"] = sum(broken.values())
    grave, mild, at_chance = [], [], []

    for name, count in broken.items():
        if count:
            grave.append(f"{count} of {len(train if name == 'training' else test)} {name} pictures have features "
                         "that are not finite: the run diverged")  # fmt: skip
    if not report["non_finite"]:
        found = geometry(train)
        report |= found._asdict() | {"rank_share": found.effective_rank / width}
        deep, flat = _signs(found, min(width, len(train) - 1), classes)
        grave += deep
        mild += flat

    report["loss"] = None
    if trivial:
        gap = None if trivial.final is None else (trivial.final - trivial.value) / (abs(trivial.value) or 1.0)
        report["loss"] = trivial._asdict() | {"final": trivial.final if _finite(trivial.final) else None}
        if gap is not None and not math.isfinite(gap):
            grave.append(f"the loss part {trivial.part!r} ended as {trivial.final}: the run diverged")
        elif gap is not None and abs(gap) < LOSS_GAP:
            mild.append(f"the loss part {trivial.part!r} ended at {trivial.final:.4g}, within {LOSS_GAP:.0%} of "
                        f"{trivial.value:.4g}, its value at total collapse")  # fmt: skip
        report["loss_gap"] = gap if _finite(gap) else None
    else:
        report["loss_gap"] = None

    p_values = {}
    for probe, right in top1.items():
        p_values[probe] = None if right is None else above_chance(right, len(labels), chance)
        if right is not None and p_values[probe] > LEVEL:
            at_chance.append(f"{probe}: {right} of {len(labels)} test pictures right ({right / len(labels):.2%}), "
                             f"not above the largest class's {chance:.2%} (p = {p_values[probe]:.2g})")  # fmt: skip
    report["p_chance"] = p_values
    blind = bool(at_chance) and len(at_chance) == sum(right is not None for right in top1.values())

    verdict = "collapsed" if grave or (mild and blind) else "suspicious" if mild or blind else "healthy"
    evidence = grave + mild + at_chance
    if not evidence:
        evidence = [f"channel deviation {report['channel_std']:.3f} (random directions: 1), effective rank "
                    f"{report['effective_rank']:.1f} of {width}, probes above chance"]  # fmt: skip
    return report | {"verdict": verdict, "evidence": evidence}


def without_labels(train: Tensor) -> dict[str, Any]:
    """Verdict and evidence from training features [n, F] alone, where no probe can be asked."""
    n, width = train.shape
    broken = int((~train.isfinite()).any(1).sum())
    if broken:
        evidence = [f"{broken} of {n} training pictures have features that are not finite: the run diverged"]
        return {"features": width, "verdict": "collapsed", "evidence": evidence}
    found = geometry(train)
    grave, mild = _signs(found, min(width, n - 1), math.inf)
    report = {"features": width, "n_train": n} | found._asdict() | {"rank_share": found.effective_rank / width}
    verdict = "collapsed" if grave else "suspicious" if mild else "healthy"
    evidence = grave + mild or [f"channel deviation {found.channel_std:.3f} (random directions: 1), effective rank "
                                f"{found.effective_rank:.1f} of {width}"]  # fmt: skip
    return report | {"verdict": verdict, "evidence": evidence}


def _signs(found: Geometry, full: int, classes: float) -> tuple[list[str], list[str]]:
    """Grave and mild signs of collapse in the features' geometry, whose effective rank can reach ``full``."""
    grave, mild = [], []
    # A classifier of c classes needs c - 1 directions, and a supervised network may keep no more (neural collapse).
    floor = min((classes - 1) / 2, RANK_SHARE * full)
    if found.channel_std < CONSTANT:
        grave.append(f"channel deviation {found.channel_std:.2g}, below {CONSTANT:g}: all pictures share one feature")
    elif found.channel_std < NARROW:
        mild.append(f"channel deviation {found.channel_std:.3f}, below {NARROW:g} (random directions: 1)")
    if found.effective_rank < LINE and classes >= 5:
        grave.append(f"effective rank {found.effective_rank:.2f} of {full}, below {LINE:g}: the features lie on a line")
    elif found.effective_rank < floor:
        mild.append(f"effective rank {found.effective_rank:.1f} of {full}, below {floor:.3g}")
    if found.dead_share > DEAD:
        mild.append(f"{found.dead_share:.0%} of the channels never change, above {DEAD:.0%}")
    return grave, mild


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
