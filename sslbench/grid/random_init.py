"""Untrained rows: which networks models begin from, and what the row of each is called. No torch.

A row's name says what its network is where that is not training's own, and depends on nothing else: not on the grid,
its order, or the other models. So a model on another backbone adds a row and renames none.
"""

import json
import re
from hashlib import sha256
from typing import Any

from sslbench.config.models import Training
from sslbench.store.canonical_json import canonical

RANDOM = "random"  # the method; and the row of training's own network
PREFIX = f"{RANDOM}-"  # of the rows of others; no model of the config may be called so
# timm's networks whose residual branches end in a gain that may begin at 0, its option zero_init_last (tested).
_GAINS = re.compile(
    r"((test_|wide_|bat_|eca_|eca|gc|se|sk|csp)?res(net|next|nest)|res2ne|senet154|regnet|gernet|repvgg|mobileone|test_byobnet"
    r"|cs3|(csp|se)?darknet).*"
)
_PLAIN = re.compile(r"[A-Za-z0-9_.+]+")  # without the hyphen, which parts a name
_LONGEST = 60  # characters of options that a folder's name spells out


def network(training: Training) -> dict[str, Any]:
    """What a random-init network depends on, bar seed, images and residual gain, as fields of ``training``."""
    return {key: getattr(training, key) for key in ("backbone", "backbone_options", "input_size")}


def has_residual_gains(backbone: str) -> bool:
    """Whether the timm network's residual branches end in a gain that may begin at 0 or at 1."""
    return _GAINS.fullmatch(backbone.partition(".")[0]) is not None


def row(training: Training, own: Training, gain: int | None = None) -> str:
    """The random-init row of what is trained as ``training`` says, where ``own`` is the config's `training:`.

    `random`, or `random-<backbone>` with the backbone's options, where it has any, the size, where it is another, and
    `gain0` where its residual gains begin at 0.
    """
    mine = network(training)
    if canonical(mine) == canonical(network(own)) and gain != 0:
        return RANDOM
    size = [] if training.input_size == own.input_size else [f"{training.input_size}px"]
    gains = ["gain0"] if gain == 0 else []
    return PREFIX + "-".join([_backbone(training.backbone), *_options(training.backbone_options), *size, *gains])


def told(training: Training, own: Training, gain: int | None = None) -> dict[str, Any]:
    """What tells the row from others of its backbone: options, size where it is not ``own``'s, and a gain of 0."""
    size = {} if training.input_size == own.input_size else {"input_size": training.input_size}
    return training.backbone_options | size | ({"residual_gain": 0} if gain == 0 else {})


def _backbone(name: str) -> str:
    """An architecture's name as it is; of any other what a folder's name may hold, and a digest."""
    return name if _PLAIN.fullmatch(name) else f"{re.sub(r'[^A-Za-z0-9_.+]', '_', name)[-_LONGEST:]}_{_digest(name)}"


def _options(options: dict[str, Any]) -> list[str]:
    """`patch_size-4` for every option, in the order of their names; a digest where that is not plain or too long."""
    told = [part for key in sorted(options) for part in (key, _value(options[key]))]
    plain = all(_PLAIN.fullmatch(part) for part in told) and len("-".join(told)) <= _LONGEST
    return told if plain else ["options", _digest(options)]


def _value(value: Any) -> str:
    """A value in words of one kind: the text "4" is not plain, so that it cannot be taken for the number."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)


def _digest(value: Any) -> str:
    return sha256(canonical(value).encode()).hexdigest()[:8]
