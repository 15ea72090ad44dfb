"""Your own pictures: one folder per class, or one flat folder without labels.

    <class>/...                     split per class, seeded: `test_share` of each class tests
    train/<class>/..., test/<class>/...    your own split; also val: split_names.py has the names
    *.jpg                           no labels: everything trains; `evaluate_on` names a labelled dataset to judge by,
                                    or `labelled: false` says that there is none

Pictures may lie deeper than their class folder. Other files are passed over.
"""

import re
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from sslbench.data import splits
from sslbench.data.layouts import split_names
from sslbench.data.layouts.tree import (
    SUFFIXES,
    archives_hint,
    entries,
    is_picture,
    left_out,
    listing_of,
    pictures_below,
    top_folder,
)
from sslbench.data.spec import Listing, Record
from sslbench.errors import UserError


class Settings(split_names.SplitSettings):
    label_files: ClassVar[tuple[str, ...]] = ()  # folders say what images show

    # A regular expression that is searched for in each image's path below the folder around the classes; what its one
    # group, or the one called `group`, matches is what must not be torn apart, e.g. a patient: ([^/]+)_\d+\.png
    group: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("group")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        try:
            found = re.compile(value or "()")
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"it is no regular expression ({error})") from None
        if found.groups != 1 and "group" not in found.groupindex:
            raise ValueError(
                f"it has {found.groups or 'no'} groups: put what says which patient or video in parentheses, e.g. "
                "(p\\d+), or, where there are others, in (?P<group>...)"
            )
        return value

    def source(self) -> str:
        by = f"-group{sha256(self.group.encode()).hexdigest()[:8]}" if self.group else ""
        return "folder" + self.split_tag() + by

    def identity(self) -> dict:
        return {"kind": "folder"} | self.split_identity() | ({"group": self.group} if self.group else {})

    def grouped_by(self) -> str | None:
        return "group" if self.group else None


def base(root: Path, settings: Settings) -> Path:
    """A test set alone is no folder around the images."""
    return top_folder(root, _ends(settings))


def _ends(settings: Settings) -> set[str]:
    """Casefolded names of folders that are not gone into in search of the classes."""
    if settings.split == "none":
        return set()
    asked = settings.split.values() if isinstance(settings.split, dict) else ()
    return {*split_names.NOT_TRAINED_ON, *(name.casefold() for name in asked)}


def scan(root: Path, settings: Settings) -> Listing:
    """Raises UserError where there are no pictures, an empty class, or pictures both beside and in folders, or where
    ``settings.group`` does not say of every picture which group it is of."""
    listing = _scan(root, settings)
    if settings.group:
        groups = _groups(root, listing, settings.group)
        listing = split_names.grouped(listing, groups, str(root), f"group: '{settings.group}'")
    return listing if listing.splits else split_names.with_derived_split(listing, settings.grouped_by())


def _groups(root: Path, listing: Listing, pattern: str) -> dict[str, str]:
    """Path -> what the pattern's group matches there; an empty match is no group."""
    compiled = re.compile(pattern)
    which = "group" if "group" in compiled.groupindex else 1
    found = {record.path: compiled.search(record.path) for record in listing.records}
    lacking = [path for path, match in found.items() if match is None]
    if lacking:
        count = "none" if len(lacking) == len(found) else f"{len(found) - len(lacking):,}"
        cure = f", or let it match them too, as '.*?(?:{pattern})|', to make each a group of its own"
        raise UserError(
            f"{root}: group: '{pattern}' matches the path of {count} of {len(found):,} images, e.g. not of "
            f"{lacking[0]!r}: correct it{cure if len(lacking) < len(found) else ''}"
        )
    return {path: match[which] for path, match in found.items() if match[which]}


def _scan(root: Path, settings: Settings) -> Listing:
    top, prefix = root, ""
    folders, loose = _contents(root)
    # A file beside the folder around the images, such as a README, is no reason to take that folder for a class.
    while len(folders) == 1 and not loose and folders[0].name.casefold() not in _ends(settings):
        below = _contents(folders[0])
        if not any(below):
            break
        root, prefix = folders[0], f"{prefix}{folders[0].name}/"
        folders, loose = below
    if loose and folders:
        raise UserError(
            f"{root}: has pictures ({loose[0]!r}) beside folders ({folders[0].name!r}): give every class its folder, "
            "or put all pictures into one flat folder"
        )
    if loose:
        _refuse_unlabelled(root, top, settings)
        return listing_of([Record(prefix + name, None) for name in loose], [], {}, {splits.OFFICIAL: ()})
    roles = split_names.assign([folder.name for folder in folders], settings, str(root), "folder")
    if roles:
        found = _own_split(root, prefix, roles, settings)
        return found._replace(
            notes=(f"{root}: {split_names.described({name: role for role, name in roles.items()}, 'folder')}",)
        )
    if settings.split is None:
        _refuse_splits_in_classes(folders)
    records = [record for folder in folders for record in _of_class(folder, prefix + folder.name, folder.name)]
    if not records:
        raise UserError(_no_pictures(root))
    return listing_of(records, sorted(folder.name for folder in folders), {}, {})


def _contents(folder: Path) -> tuple[list[Path], list[str]]:
    """The folders in it, and the names of the pictures that lie in none of them."""
    found = entries(folder)
    folders = [Path(entry.path) for entry in found if entry.is_dir()]
    return folders, [entry.name for entry in found if not entry.is_dir() and is_picture(entry.name)]


def _refuse_unlabelled(root: Path, top: Path, settings: Settings) -> None:
    if settings.labelled and settings.evaluate_on is None:
        tables = [e.name for e in entries(top) if e.name.lower().endswith((".csv", ".tsv", ".parquet"))]
        table = f"kind: table with table: {tables[0]}" if tables else "kind: table with a table of them"
        raise UserError(
            f"{root}: holds pictures without class folders, so there are no labels to probe with: give every class its "
            f"folder, name their labels ({table}), set evaluate_on: to the name of a labelled dataset, or "
            "labelled: false to be measured without any"
        )


def _refuse_splits_in_classes(folders: list[Path]) -> None:
    for folder in folders:
        roles = {split_names.role_of(below.name): below.name for below in _contents(folder)[0]}
        if "train" in roles and len(roles.keys() - {None}) > 1:
            named = " and ".join(repr(name) for role, name in roles.items() if role)
            raise UserError(
                f"{folder}: holds {named}, splits within a class: move them above the classes, as "
                f"{roles['train']}/{folder.name}, name them in a table (kind: table), or write split: none"
            )


def _own_split(root: Path, prefix: str, roles: dict[str, str], settings: Settings) -> Listing:
    parts = {role: (root / name, *_contents(root / name)) for role, name in roles.items()}
    flat = not any(folders for _, folders, _ in parts.values())
    records, classes, paths = [], set(), {}
    for role, (part, folders, loose) in parts.items():
        if loose and (folders or not flat):
            kept = ", ".join(f"{other}: {name}" for other, name in roles.items() if parts[other][1])
            raise UserError(
                f"{part}: has pictures ({loose[0]!r}) outside class folders; give every class its folder"
                + (f", or leave {part.name!r} out, as split: {{{kept}}}" if not folders and "," in kept else "")
            )
        if loose:
            _refuse_unlabelled(part, root, settings)
        found = [Record(f"{prefix}{part.name}/{name}", None) for name in loose]
        for folder in folders:
            classes.add(folder.name)
            found += _of_class(folder, f"{prefix}{part.name}/{folder.name}", folder.name)
        if not found:
            raise UserError(_no_pictures(part))
        records += found
        paths[role] = {record.path for record in found}
    return listing_of(records, sorted(classes), {}, {splits.OFFICIAL: paths["test"]}, paths.get("val", ()))


def _of_class(folder: Path, prefix: str, label: str) -> list[Record]:
    found = pictures_below(folder)
    if not found:
        raise UserError(_no_pictures(folder, "this class"))
    return [Record(f"{prefix}/{name}", label) for name in found]


def _no_pictures(folder: Path, what: str = "it") -> str:
    found = (path for path in folder.rglob("*") if path.is_file() and not left_out(path.name))
    others = Counter(path.suffix.lower() or path.name for path in found)
    seen = f" (it has {', '.join(name for name, _ in others.most_common(3))} files)" if others else ""
    if hint := archives_hint(folder):
        return f"{folder}: {what} has no pictures; {hint}"
    return f"{folder}: {what} has no pictures{seen}; add some ({', '.join(SUFFIXES)}) or remove the folder"
