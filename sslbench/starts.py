"""Untrained rows: which networks models begin from, and what the row of each is called. No torch.

A row's name says what its network is where that is not training's own, and depends on nothing else: not on the grid,
its order, or the other models. So a model on another backbone adds a row and renames none.
"""

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sslbench.canonical import canonical

if TYPE_CHECKING:
    from sslbench.config import Training

RANDOM = "random"  # the method; and the row of training's own network
PREFIX = f"{RANDOM}-"  # of the rows of others; no model of the config may be called so
_PLAIN = re.compile(r"[A-Za-z0-9_.+]+")  # without the hyphen, which parts a name
_LONGEST = 60  # characters of options that a folder's name spells out


def network(training: "Training") -> dict[str, Any]:
    """What an untrained network depends on, bar seed and pictures, as fields of ``training``."""
    return {key: getattr(training, key) for key in ("backbone", "backbone_options", "input_size")}


def row(training: "Training", own: "Training") -> str:
    """The untrained row of what is trained as ``training`` says, where ``own`` is the config's `training:`.

    `random`, or `random-<backbone>` with the backbone's options, where it has any, and the size, where it is another.
    """
    mine = network(training)
    if canonical(mine) == canonical(network(own)):
        return RANDOM
    size = [] if training.input_size == own.input_size else [f"{training.input_size}px"]
    return PREFIX + "-".join([_backbone(training.backbone), *_options(training.backbone_options), *size])


def told(training: "Training", own: "Training") -> dict[str, Any]:
    """What tells the row from others of its backbone: options, and the size where it is not ``own``'s."""
    size = {} if training.input_size == own.input_size else {"input_size": training.input_size}
    return training.backbone_options | size


def _backbone(name: str) -> str:
    """A timm name as it is; of a place (hf-hub:..., local-dir:...) what a folder's name may hold, and a digest."""
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
