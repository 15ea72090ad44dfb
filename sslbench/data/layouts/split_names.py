"""Which folders, or which values of a table's column, are splits: by their usual names, or as ``split:`` says."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sslbench.data import splits
from sslbench.data.spec import DatasetSettings, Listing
from sslbench.errors import UserError
from sslbench.settings import either
from sslbench.store.canonical_json import canonical

SPELLINGS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
NOT_TRAINED_ON = (*SPELLINGS["val"], *SPELLINGS["test"])
_ROLES = {spelling: role for role, spellings in SPELLINGS.items() for spelling in spellings}
MOST_FOLDS = 100
_USE = {"train": "pretrained and fitted on", "val": "chooses the probe's penalty", "test": "tested on"}

Role = Literal["train", "val", "test"]


class SplitSettings(DatasetSettings):
    """Of kinds whose images come with a split of their own or without."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of each class, where there is no split of its own
    split_seed: Annotated[int, Field(ge=0)] = 0  # chooses which
    # Where there is no split of its own: so many datasets of one pack, <name>@fold1of5 ..., each with another test set.
    # Folds test every image once; repeats draw test_share again, by split_seed and the seeds after it.
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None
    repeats: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None
    # Which folder (of a table: which value) is train, val or test, e.g. {train: training, test: holdout}; none: no
    # folder is a split; null: by their usual names.
    split: Annotated[
        dict[Role, Annotated[str, Field(min_length=1)]] | Literal["none"] | None,
        either("write which is train, val or test, such as {train: training, test: holdout}, or none"),
    ] = None

    @field_validator("split", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """A table's splits may be called 0 and 1."""
        if isinstance(value, dict):
            return {k: str(v) if type(v) is int else v for k, v in value.items()}
        return value.casefold() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _usable(self) -> "SplitSettings":
        if isinstance(self.split, dict):
            if "train" not in self.split or len(self.split) < 2:
                raise ValueError("split needs train and at least one of val and test, e.g. {train: a, test: b}")
            if len(set(self.split.values())) < len(self.split):
                raise ValueError("split gives one name to two of train, val and test")
        if self.folds and self.repeats:
            raise ValueError("folds and repeats are two ways to divide the images: give one")
        if (self.folds or self.repeats) and not (self.labelled and self.evaluate_on is None):
            raise ValueError("folds and repeats divide labelled images: give them to the dataset that has the labels")
        return self

    def grouped_by(self) -> str | None:
        """What a split's name says of the groups that it keeps together; None where there are none."""
        return None

    def split_name(self) -> str:
        """The images' own split where they come with one: that is seen when the pack is opened, not here."""
        return "own-or-" + splits.per_class_name(self.test_share, self.split_seed, self.grouped_by())

    def split_names(self) -> dict[str, str]:
        seed, group = self.split_seed, self.grouped_by()
        if k := self.folds:
            own = "own-or-" if self.own_folds() else ""
            return {f"fold{i}of{k}": own + splits.fold_name(i, k, seed, group) for i in range(1, k + 1)}
        if r := self.repeats:  # named by their seeds alone: with more repeats the first ones stay as they are
            names = [splits.per_class_name(self.test_share, seed + i, group) for i in range(r)]
            return {f"repeat{i}of{r}": f"repeat-{name}" for i, name in enumerate(names, start=1)}
        return super().split_names()

    def own_folds(self) -> bool:
        """Whether a pack of these may hold folds that the images came with."""
        return False

    def split_tag(self) -> str:
        """What a source's name says of ``split``, since it decides what is packed."""
        if self.split is None:
            return ""
        return "-unsplit" if self.split == "none" else f"-split{sha256(canonical(self.split).encode()).hexdigest()[:8]}"

    def split_identity(self) -> dict:
        return {} if self.split is None else {"split": self.split}


def role_of(name: str) -> str | None:
    """train, val or test where ``name`` is a usual one of these, in any case; else None."""
    return _ROLES.get(name.strip().casefold())


def _meant(name: str) -> str | None:
    """The role that a word of ``name`` stands for, as in train_set or val2017; None where there is none, or several."""
    found = {_ROLES.get(word) for word in re.split(r"[^a-z]+", name.casefold())} - {None}
    return found.pop() if len(found) == 1 else None


def assign(names: Iterable[str], settings: SplitSettings, where: str, what: str) -> dict[str, str]:
    """Role -> name for those of ``names`` that are splits, test always among them; {} where none is.

    Of two, the second is the test set whatever it is called. Raises UserError, which asks for ``split:``, where the
    names leave it open. ``what`` is what has these names: folder or value.
    """
    names = list(names)
    if settings.split == "none":
        return {}
    if settings.split is not None:
        if lacking := [name for name in settings.split.values() if name not in names]:
            raise UserError(
                f"{where}: split: speaks of a {what} {lacking[0]!r}, and there are {_listed(names)}; correct split:"
            )
        found = dict(settings.split)
    else:
        called: dict[str, list[str]] = {}
        for name in names:
            if role := role_of(name):
                called.setdefault(role, []).append(name)
        if not called:
            meant: dict[str, list[str]] = {}
            for name in names:
                meant.setdefault(_meant(name) or "", []).append(name)
            if "train" not in meant or "" in meant or len(meant) < 2:
                return {}
            raise UserError(
                f"{where}: {_listed(names)} may be splits or classes: write split: {_example(meant, [])}, or split: "
                "none where they are classes"
            )
        others = [name for name in names if role_of(name) is None]
        twice = next((group for group in called.values() if len(group) > 1), None)
        if twice or others or "train" not in called:
            splits_named = [name for group in called.values() for name in group]
            why = (
                f"{_listed(twice)} are names of one split"
                if twice
                else f"there is no train beside {_listed(splits_named)}"
                if "train" not in called
                else f"{_listed(others)} beside {_listed(splits_named)} is no split"
            )
            raise UserError(
                f"{where}: {why}: write which {what} is which, e.g. split: {_example(called, others)}, or split: none "
                f"to take no {what} as a split"
            )
        found = {role: group[0] for role, group in called.items()}
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    return found


def described(roles: dict[str, str], what: str) -> str:
    """For the log: which folder or value (keys) was read as what."""
    named = {role: [name for name, its in roles.items() if its == role] for role in SPELLINGS}
    return ", ".join(f"{what} {_listed(n)} read as {role} ({_USE[role]})" for role, n in named.items() if n)


def grouped(listing: Listing, groups: Mapping[str, str], where: str, by: str) -> Listing:
    """``listing`` with ``groups`` (path -> group; an image without one is a group of its own), which derived splits and
    folds keep on one side; the listing's own splits stay as they are.

    ``by``: what says which image is of which group. Raises UserError where no split could keep them together.
    """
    found = Counter(groups.values())
    alone, derived = len(listing.records) - found.total(), splits.OFFICIAL not in listing.splits
    if len(found) + alone < 2 and derived:
        raise UserError(
            f"{where}: {by} gives one group, {next(iter(found), '')!r}, and a split needs two: correct or remove it"
        )
    told = f"{where}: {len(found):,} groups by {by}, of up to {max(found.values(), default=0):,} images"
    told += f", and {alone:,} images of no group" if alone else ""
    told += ": each stays on one side of the split" if derived else ""
    return listing._replace(groups=groups, notes=(*listing.notes, told))


def with_derived_split(listing: Listing, group: str | None = None) -> Listing:
    """``listing`` with the per-class split of the default share and seed alone: others are derived when asked for."""
    everything, name = list(range(len(listing.records))), splits.per_class_name(0.2, 0, group)
    paths = [record.path for record in listing.records]
    found = splits.resolve(name, {}, listing.labels(everything), paths, listing.group_numbers(everything))
    derived = {name: {part: positions.tolist() for part, positions in found.items()}}
    return listing._replace(splits=listing.splits | derived)


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _example(called: dict[str, list[str]], others: list[str]) -> str:
    one = others[0] if len(others) == 1 else "..."
    rest = {role: group[0] for role, group in called.items() if role != "train"} or {"test": one}
    chosen = {"train": called.get("train", [one])[0]} | rest
    quoted = {role: name if re.fullmatch(r"[A-Za-z_.][\w.-]*", name) else repr(name) for role, name in chosen.items()}
    return "{" + ", ".join(f"{role}: {name}" for role, name in quoted.items()) + "}"
