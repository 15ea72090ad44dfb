"""Splits: which pictures train and which test, by name.

A pack stores the splits its layout lists. A per-class split, and each fold of a cross-validation, is a function of its
name and of the pack's labels and picture names, so it can be derived whenever a pack is opened: changing the share, the
seed or the number of folds never packs anew.

numpy is imported where it is used: a config is read without it.
"""

import hashlib
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from sslbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

# {"train": positions, "test": positions}, and perhaps "val", which chooses the probe's penalty; int64, ascending
Split = dict[str, "np.ndarray"]

OFFICIAL = "official"
# ``own-or-`` takes the official split where the pack has one, ``repeat-`` refuses it; ``-by-x`` keeps groups together
# where the pack has them
_PER_CLASS = re.compile(r"(own-or-|repeat-)?per-class-(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)-seed(\d+)(-by-\w+)?", re.ASCII)
# ``own-or-`` takes the folds of a table's column where the pack has them
_FOLD = re.compile(r"(own-or-)?fold(\d+)of(\d+)-seed(\d+)(-by-\w+)?", re.ASCII)
_OWN_FOLD = re.compile(r"fold\d+of\d+", re.ASCII)  # of a column, as a pack stores it


def per_class_name(test_share: float, seed: int, group: str | None = None) -> str:
    """The name of a per-class split, e.g. ``per-class-80-20-seed0`` for a test share of 0.2.

    ``group`` names what stays on one side (a table's column): ``per-class-80-20-seed0-by-patient``.
    """
    test = round(Fraction(str(test_share)) * 100, 3)
    return f"per-class-{float(100 - test):g}-{float(test):g}-seed{seed}{_by(group)}"


def fold_name(fold: int, count: int, seed: int, group: str | None = None) -> str:
    """The name of the split that tests on one of ``count`` folds, from 1: ``fold1of5-seed0``."""
    return f"fold{fold}of{count}-seed{seed}{_by(group)}"


def _by(group: str | None) -> str:
    return f"-by-{re.sub('[^a-z0-9]+', '_', group.casefold()).strip('_') or 'group'}" if group else ""


def is_derived(name: str) -> bool:
    """Whether ``name`` alone says what the split is, given labels and names."""
    return _PER_CLASS.fullmatch(name) is not None or _FOLD.fullmatch(name) is not None


def per_class(labels: "np.ndarray", names: Sequence[str], train_share: Fraction, seed: int) -> Split:
    """Of each class of n pictures, floor(n * train_share), and at least one, train; the others test.

    The pictures of a class are ordered by a hash of seed and name: no library's generator is involved, and a picture
    added later moves few others. Unlabelled pictures (-1) train.
    """
    import numpy as np

    keys = _hashed(names, seed)
    is_train = labels < 0
    for label in np.unique(labels[labels >= 0]):
        members = np.flatnonzero(labels == label)
        count = max(1, int(len(members) * train_share))
        is_train[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return {"train": np.flatnonzero(is_train), "test": np.flatnonzero(~is_train)}


def _hashed(names: Sequence[str], seed: int) -> "np.ndarray":
    """uint64 [N], by which images are ordered."""
    import numpy as np

    salt = f"{seed}/".encode()
    hashed = (hashlib.sha256(salt + name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names)
    return np.frombuffer(b"".join(hashed), dtype=">u8")


def per_group(
    labels: "np.ndarray", names: Sequence[str], groups: "np.ndarray", train_share: Fraction, seed: int
) -> Split:
    """As ``per_class``, with all images of a group (int [N]) on one side.

    Groups come in the order of a hash of seed and their first name, so groups that are added or numbered otherwise move
    few others. Each goes to the side that lacks more of its classes' images, as shares of what that side shall have;
    the first of a class to training, so that no class is tested alone. A class of one group only trains.
    """
    import numpy as np

    count = int(labels.max(initial=-1)) + 1
    members: dict[int, list[int]] = {}
    for position in sorted(range(len(names)), key=names.__getitem__):
        members.setdefault(int(groups[position]), []).append(position)
    salt = f"{seed}/".encode()
    first = {g: salt + names[found[0]].encode("utf-8", "surrogatepass") for g, found in members.items()}
    total = np.bincount(labels[labels >= 0], minlength=count)
    train = np.array([max(1, int(int(n) * train_share)) for n in total])  # [classes]
    wanted = np.stack([train, total - train]).astype(float)  # [2, classes]: train, test
    has, is_train = np.zeros_like(wanted), np.zeros(len(labels), dtype=bool)
    for group in sorted(members, key=lambda g: hashlib.sha256(first[g]).digest()):
        positions = np.array(members[group])
        mine = np.bincount(labels[positions][labels[positions] >= 0], minlength=count)
        lack = ((wanted - has) / np.maximum(wanted, 1) * mine).sum(1)  # [2]
        side = 0 if ((mine > 0) & (has[0] == 0)).any() or lack[0] >= lack[1] else 1
        has[side] += mine
        is_train[positions] = side == 0
    return {"train": np.flatnonzero(is_train), "test": np.flatnonzero(~is_train)}


def folds(
    labels: "np.ndarray", names: Sequence[str], groups: "np.ndarray | None", count: int, seed: int
) -> "np.ndarray":
    """The fold of each image, int64 [N], 0 to count - 1; -1 where it is unlabelled, and so only trains.

    Without groups a class of n images has floor(n / count) or one more in every fold, and so has the whole; images come
    in the order of a hash of seed and name. With groups (int [N]) each group goes, the largest first, where its classes
    have the smallest share so far: of equally many images, where most are lacking. Raises UserError where there are
    fewer groups, or images, than folds.
    """
    by_group = None if groups is None else groups.astype("<i8").tobytes()
    return _folds(labels.astype("<i8").tobytes(), tuple(names), by_group, count, seed)


@lru_cache(maxsize=1)  # all folds of a dataset are asked for, one after the other
def _folds(labels: bytes, names: tuple[str, ...], groups: bytes | None, count: int, seed: int) -> "np.ndarray":
    import numpy as np

    labels = np.frombuffer(labels, "<i8")
    fold, keys = np.full(len(labels), -1, dtype=np.int64), _hashed(names, seed)
    labelled = np.flatnonzero(labels >= 0)
    if groups is None:
        _enough(len(labelled), count, "images")
        first = 0  # the fold that takes a class's first image beyond equal parts: so whole folds differ by one at most
        for label in np.unique(labels[labelled]):
            members = np.flatnonzero(labels == label)
            order = np.argsort(keys[members], kind="stable")
            sizes = np.full(count, len(members) // count)
            sizes[(first + np.arange(len(members) % count)) % count] += 1
            fold[members[order]] = np.repeat(np.arange(count), sizes)
            first = (first + len(members)) % count
        return fold
    total = np.bincount(labels[labelled])
    found, of = np.unique(np.frombuffer(groups, "<i8")[labelled], return_inverse=True)
    _enough(len(found), count, "groups")
    key = np.full(len(found), np.iinfo(np.uint64).max)
    np.minimum.at(key, of, keys[labelled].astype(np.uint64))
    by_group = np.split(labelled[np.argsort(of, kind="stable")], np.cumsum(np.bincount(of))[:-1])
    has, images = np.zeros((count, len(total))), np.zeros(count, dtype=np.int64)
    for group in np.lexsort((key, -np.bincount(of))):
        mine, counts = np.unique(labels[by_group[group]], return_counts=True)
        share = (has[:, mine] * (counts / total[mine] ** 2)).sum(1)  # by how much the squares of shares would grow
        at = np.lexsort((images, (share / (share.max() or 1)).round(9)))[0]
        has[at, mine] += counts
        images[at] += counts.sum()
        fold[by_group[group]] = at
    return fold


def _enough(found: int, count: int, what: str) -> None:
    if found < count:
        raise UserError(f"folds: {count}, and there are {found} {what}: every fold needs one; write fewer folds")


def resolve(
    name: str,
    stored: dict[str, Split],
    labels: "np.ndarray",
    names: Sequence[str],
    groups: "np.ndarray | None" = None,
) -> Split:
    """The split called ``name``: one of ``stored``, or derived. Raises UserError where it is neither."""
    if name in stored:
        return stored[name]
    if (match := _FOLD.fullmatch(name)) and 1 <= int(match[2]) <= int(match[3]):
        return _fold(match, stored, labels, names, groups)
    match = _PER_CLASS.fullmatch(name)
    if match is None or Fraction(match[2]) + Fraction(match[3]) != 100:
        known = ", ".join(sorted(stored)) or "none"
        raise UserError(
            f"split {name!r} is unknown: this pack has {known}, or ask for per-class-<train %>-<test %>-seed<n>"
        )
    if match[1] == "repeat-":
        _without_own(stored, "repeats")
    elif match[1] and OFFICIAL in stored:
        return stored[OFFICIAL]
    share, seed = Fraction(match[2]) / 100, int(match[4])
    if match[5] and groups is not None:
        return per_group(labels, names, groups, share, seed)
    return per_class(labels, names, share, seed)


def _fold(
    match: re.Match, stored: dict[str, Split], labels: "np.ndarray", names: Sequence[str], groups: "np.ndarray | None"
) -> Split:
    import numpy as np

    _without_own(stored, "folds")
    count = int(match[3])
    if match[1] and (own := [name for name in stored if _OWN_FOLD.fullmatch(name)]):
        if (wanted := f"fold{match[2]}of{count}") not in stored:
            raise UserError(
                f"folds: {count}, and the table has {len(own)}: write folds: {len(own)}, or fold_column: none to "
                "have them derived"
            )
        return stored[wanted]
    of = folds(labels, names, groups if match[5] else None, count, int(match[4]))
    tests = of == int(match[2]) - 1
    return {"train": np.flatnonzero(~tests), "test": np.flatnonzero(tests)}


def _without_own(stored: dict[str, Split], key: str) -> None:
    if OFFICIAL in stored:
        raise UserError(
            f"{key}: is for images without a split of their own, and these have one: leave {key}: out; to divide all "
            "of them anew, give one tree of class folders, or a table with split: none"
        )


def fault(split: Split, labels: "np.ndarray", classes: Sequence[str]) -> str | None:
    """Why a split cannot be probed or trained on, in one phrase, or None."""
    import numpy as np

    if len(split["train"]) == 0:
        return "it has no training pictures"
    for part in parts(split)[1:]:
        lacking = np.setdiff1d(labels[split[part]], labels[split["train"]])
        if len(lacking):
            named = ", ".join(repr(classes[label]) for label in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            return f"its {part} pictures are of classes that its training pictures lack: {named}{more}"
    return None


def too_few_classes(split: Split, labels: "np.ndarray", classes: Sequence[str]) -> str | None:
    """Which part of a split has fewer than the two classes that a probe needs, in one phrase, or None."""
    import numpy as np

    for part, what in (("train", "training"), ("test", "test")):
        found = np.unique(labels[split[part]])
        found = found[found >= 0]
        if len(found) < 2:
            only = f" ({classes[found[0]]!r})" if len(found) else ""
            return f"its {what} images are of {('no class', 'one class')[len(found)]}{only}"
    return None


def parts(split: Split) -> list[str]:
    """The names of a split's parts in the order in which they are hashed: train, test, and val where it has one."""
    return [part for part in ("train", "test", "val") if part in split]


def sha256(split: Split) -> str:
    """Digest of a split's positions."""
    import numpy as np

    digest = hashlib.sha256()
    for part in parts(split):
        digest.update(f"{part} {len(split[part])} ".encode())
        digest.update(np.ascontiguousarray(split[part], dtype="<i8").tobytes())
    return digest.hexdigest()
