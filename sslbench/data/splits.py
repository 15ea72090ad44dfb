"""Splits: which pictures train and which test, by name.

A pack stores the splits its layout lists. A per-class split is a function of its name and of the pack's labels and
picture names, so it can be derived whenever a pack is opened: changing the share or the seed never packs anew.

numpy is imported where it is used: a config is read without it.
"""

import hashlib
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from sslbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

Split = dict[str, "np.ndarray"]  # {"train": positions, "test": positions}, int64, ascending

OFFICIAL = "official"
# ``own-or-`` takes the official split where the pack has one
_PER_CLASS = re.compile(r"(own-or-)?per-class-(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)-seed(\d+)")


def per_class_name(test_share: float, seed: int) -> str:
    """The name of a per-class split, e.g. ``per-class-80-20-seed0`` for a test share of 0.2."""
    test = round(Fraction(str(test_share)) * 100, 3)
    return f"per-class-{float(100 - test):g}-{float(test):g}-seed{seed}"


def is_derived(name: str) -> bool:
    """Whether ``name`` alone says what the split is, given labels and names."""
    return _PER_CLASS.fullmatch(name) is not None


def per_class(labels: "np.ndarray", names: Sequence[str], train_share: Fraction, seed: int) -> Split:
    """Of each class of n pictures, floor(n * train_share), and at least one, train; the others test.

    The pictures of a class are ordered by a hash of seed and name: no library's generator is involved, and a picture
    added later moves few others. Unlabelled pictures (-1) train.
    """
    import numpy as np

    salt = f"{seed}/".encode()
    hashed = (hashlib.sha256(salt + name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names)
    keys = np.frombuffer(b"".join(hashed), dtype=">u8")
    is_train = labels < 0
    for label in np.unique(labels[labels >= 0]):
        members = np.flatnonzero(labels == label)
        count = max(1, int(len(members) * train_share))
        is_train[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return {"train": np.flatnonzero(is_train), "test": np.flatnonzero(~is_train)}


def resolve(name: str, stored: dict[str, Split], labels: "np.ndarray", names: Sequence[str]) -> Split:
    """The split called ``name``: one of ``stored``, or derived. Raises UserError where it is neither."""
    if name in stored:
        return stored[name]
    match = _PER_CLASS.fullmatch(name)
    if match is None or Fraction(match[2]) + Fraction(match[3]) != 100:
        known = ", ".join(sorted(stored)) or "none"
        raise UserError(
            f"split {name!r} is unknown: this pack has {known}, or ask for per-class-<train %>-<test %>-seed<n>"
        )
    if match[1] and OFFICIAL in stored:
        return stored[OFFICIAL]
    return per_class(labels, names, Fraction(match[2]) / 100, int(match[4]))


def fault(split: Split, labels: "np.ndarray", classes: Sequence[str]) -> str | None:
    """Why a split cannot be probed or trained on, in one phrase, or None."""
    import numpy as np

    if len(split["train"]) == 0:
        return "it has no training pictures"
    lacking = np.setdiff1d(labels[split["test"]], labels[split["train"]])
    if len(lacking):
        named = ", ".join(repr(classes[label]) for label in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        return f"its test pictures are of classes that its training pictures lack: {named}{more}"
    return None


def sha256(split: Split) -> str:
    """Digest of a split's positions."""
    import numpy as np

    digest = hashlib.sha256()
    for part in ("train", "test"):
        digest.update(f"{part} {len(split[part])} ".encode())
        digest.update(np.ascontiguousarray(split[part], dtype="<i8").tobytes())
    return digest.hexdigest()
