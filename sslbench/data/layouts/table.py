"""A table of images: CSV, TSV or Parquet with one row per image.

    path, and perhaps label, split, group and fold  columns, named by keys (`label_column: dx`) or found by usual names
    images/1.png,cat,train,patient7                paths are relative to the table, or to `root:`

All values are text as written: 01 stays 01. Without a split column a share of each class tests, and images of one group
(a patient, a video) stay on one side. With `archive:`, the table is a file of ours or one inside it.
"""

import csv
import io
import math
import os
import posixpath
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import model_validator

from sslbench import registry
from sslbench.data import splits
from sslbench.data.layouts import split_names
from sslbench.data.layouts.tree import SUFFIXES, is_picture, listing_of, top_folder
from sslbench.data.spec import Listing, Record, instead
from sslbench.errors import UserError
from sslbench.settings import LocalPath
from sslbench.store.canonical_json import canonical

# Of columns, in any case, with _ for blanks and dashes. An image's column may have several such: the first counts.
USUAL = {
    "path": (
        *("path", "file_path", "filepath", "image_path", "imagepath", "img_path", "relative_path", "file", "filename"),
        *("file_name", "image", "image_file", "image_filename", "image_name", "img", "image_id", "img_id"),
    ),
    "label": (
        "label",
        "labels",
        "class",
        "class_name",
        "classname",
        "category",
        "target",
        "diagnosis",
        "dx",
        "species",
    ),
    "split": ("split", "set", "subset", "partition"),
    "group": (
        *("group", "group_id", "patient", "patient_id", "subject", "subject_id", "video", "video_id", "individual"),
        *("individual_id", "animal_id", "site", "site_id", "location"),
    ),
    "fold": ("fold", "fold_id", "kfold", "cv_fold"),
}
_LOOKED_AT = 100  # rows by which the folder that paths are relative to is chosen
_NAMED = 3  # rows of a fault that are named


class Settings(split_names.SplitSettings):
    label_files: ClassVar[tuple[str, ...]] = ()  # beside the table, which is watched itself

    table: LocalPath | None = None  # .csv, .tsv or .parquet; with archive: also the name of one inside it
    root: LocalPath | None = (
        None  # folder that the paths are relative to; null: the table's. With archive: one inside it
    )
    # Names of columns; null: found by usual names; none: there is no such column, whatever is found.
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    fold_column: str | None = None  # for folds: and nothing else

    @model_validator(mode="before")
    @classmethod
    def _folder(cls, values: object) -> object:
        """``path`` is the folder of the images: ``root``, or the table's own."""
        if not isinstance(values, dict) or values.get("archive") or not isinstance(values.get("table"), (str, Path)):
            return values
        root = values.get("root") or values.get("path") or str(Path(values["table"]).parent)
        if values.get("path") not in (None, root):
            raise ValueError("root and path are two folders of the images: give root")
        return values | {"path": root}

    @model_validator(mode="after")
    def _named(self) -> "Settings":
        if self.table is None and (self.archive or self.path):
            raise ValueError("table is missing: name the CSV, TSV or Parquet file that lists the images")
        return self

    def read_from(self) -> list[Path]:
        if self.archive is not None:
            return [self.archive] + ([] if self._inside else [self.table])
        return [self.table, self.path] if self.table is not None else []

    @property
    def _inside(self) -> bool:
        """Whether the table is a file in the archive."""
        return self.archive is not None and not self.table.is_file()

    def missing(self) -> str | None:
        own = self.table is not None and (self.archive is None or self.table.is_absolute())
        if own and not self.table.is_file():
            return f"table: {instead(self.table, 'file', 'path:')}"
        found = super().missing()
        return found.replace("path:", "root:", 1) if found else None

    def source(self) -> str:
        inside = canonical([str(self.table), str(self.root)]) if self.table and self._inside else ""
        return "table" + (inside and f"-{sha256(inside.encode()).hexdigest()[:8]}") + self.split_tag()

    def how_to_get(self) -> str:
        return "set table: to a CSV, TSV or Parquet file with one row per image (docs/your-own-images.md)"

    def identity(self) -> dict:
        columns = {f"{role}_column": getattr(self, f"{role}_column") for role in USUAL}
        return {"kind": "table"} | self.split_identity() | {k: v for k, v in columns.items() if v is not None}

    def grouped_by(self) -> str | None:
        return None if self.group_column == "none" else self.group_column or "group"

    def own_folds(self) -> bool:
        return self.fold_column != "none"


class _Row(NamedTuple):
    number: int  # as a spreadsheet has it: the header is row 1
    values: list[str]


def base(root: Path, settings: Settings) -> Path:
    """What the user named, whatever it holds; an archive's top folder where the table lies in it."""
    top = root if settings.archive is None else top_folder(root)
    return top if (top / settings.table).is_file() and not settings.table.is_file() else root


def scan(root: Path, settings: Settings) -> Listing:
    """Raises UserError, naming rows, where files are missing or named twice, or labels or splits are not clear."""
    file, folders = _located(root, settings)
    header, rows = read(file)
    columns = _columns(header, settings, file)
    of = {role: (header.index(name) if name is not None else None) for role, name in columns.items()}
    rows = _mended(rows, len(header), {at for at in of.values() if at is not None}, file)
    prefix = _prefix(root, folders, [row.values[of["path"]] for row in rows[:_LOOKED_AT]])
    faults = _Faults(file)
    names = [_file(root, prefix, row, row.values[of["path"]], faults) for row in rows]
    wanted = settings.labelled and settings.evaluate_on is None
    labels = [_label(row, row.values[of["label"]], faults) if wanted else None for row in rows]
    roles = _roles(rows, of["split"], settings, file, faults)
    first: dict[str, int] = {}
    for row, name in zip(rows, names, strict=True):
        if name is not None and first.setdefault(name, row.number) != row.number:
            faults.add(
                "names the file of an earlier row",
                "name the file of an earlier row",
                "keep one row per image",
                row,
                f"{name!r}, as row {first[name]}",
            )
    faults.raise_if_any()

    part_of = [roles.get(row.values[of["split"]].strip()) if roles else "train" for row in rows]
    kept = [i for i, part in enumerate(part_of) if part is not None]
    records = [Record(names[i], labels[i]) for i in kept]
    tests, vals = ({names[i] for i in kept if part_of[i] == part} for part in ("test", "val"))
    classes = sorted({record.label for record in records} - {None})
    derived = wanted and not roles
    own, folds_note = _folds(rows, names, of["fold"], file) if derived and of["fold"] is not None else ({}, ())
    listing = listing_of(records, classes, {}, own if derived else {splits.OFFICIAL: tests}, vals)
    listing = listing._replace(notes=_notes(file, header, columns, roles, len(rows) - len(kept)) + folds_note)
    if of["group"] is not None:
        groups = {names[i]: value for i in kept if (value := rows[i].values[of["group"]].strip())}
        listing = split_names.grouped(listing, groups, str(file), f"column {columns['group']!r}")
    return split_names.with_derived_split(listing, columns["group"]) if derived else listing


def read(file: Path) -> tuple[list[str], list[_Row]]:
    """The header and the rows, all values as text; None and NaN are empty.

    Raises UserError where it is no table, or has no header.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        header, values = _parquet(file) if start == b"PAR1" else _text(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise UserError(f"{file}: two columns are called {twice[0]!r}; rename one")
    rows = [_Row(number, row) for number, row in values if any(value.strip() for value in row)]
    if not rows:
        raise UserError(f"{file}: has no rows below its header; write one row per image")
    return header, rows


def _parquet(file: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.read_table(file)
    except pyarrow.ArrowException as error:
        raise UserError(f"{file}: is no sound Parquet file ({error}); write it again") from error
    columns = [[_as_text(value) for value in column.to_pylist()] for column in found.columns]
    return list(found.column_names), enumerate(map(list, zip(*columns, strict=True)), start=1)


def _as_text(value: object) -> str:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _text(file: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    content = file.read_bytes()
    if content.startswith(b"PK"):
        raise UserError(f"{file}: is a spreadsheet or an archive, not a table of text; save it as CSV")
    text = _decoded(content)
    # Excel's own way to name a separator
    named = re.match(r"sep=(.)\s*\n", text)
    text = "\n" * bool(named) + text[named.end() :] if named else text
    first = next((line for line in text.splitlines() if line.strip()), "")
    unquoted = re.sub(r'"[^"]*"', "", first)
    # The comma where none is there: a table of one column
    separator = named[1] if named else max(",;\t|", key=unquoted.count)
    rows, reader = [], csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows.extend(reader)
    except csv.Error as error:
        raise UserError(
            f"{file}: is no sound CSV file: {error}, in the row that begins on line {_began(rows) + 1}; correct its "
            'quotes, of which one that belongs to a value is written "", or save it again'
        ) from error
    above = next((i for i, row in enumerate(rows) if any(cell.strip() for cell in row)), None)
    if above is None:
        raise UserError(f"{file}: is empty; write a header and one row per image")
    header = [cell.strip() for cell in rows[above]]
    if images := [cell for cell in header if is_picture(cell)]:
        raise UserError(f"{file}: its first row holds {images[0]!r} where names of columns belong; add a header")
    return header, enumerate(rows[above + 1 :], start=above + 2)


def _began(rows: list[list[str]]) -> int:
    """Lines that whole rows take: a quoted value may hold several."""
    return sum(1 + sum(cell.replace("\r\n", "\n").count("\n") for cell in row) for row in rows)


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _located(root: Path, settings: Settings) -> tuple[Path, list[Path]]:
    """The table, and the folders that its paths may be relative to, the likelier first."""
    if settings.archive is None:
        return settings.table, [root, settings.table.resolve().parent]
    tops = list(dict.fromkeys((root, top_folder(root))))
    file = settings.table
    if not file.is_file():
        file = next((top / settings.table for top in tops if (top / settings.table).is_file()), None)
    if file is None:
        raise UserError(
            f"{settings.archive}: holds no {settings.table}, and there is no such file beside it; correct table:"
        )
    if settings.root is not None:
        return file, [top / settings.root for top in tops]
    return file, ([file.parent] if file.is_relative_to(root) else []) + tops


def _columns(header: list[str], settings: Settings, file: Path) -> dict[str, str | None]:
    """Role -> column, None where there is none. Raises UserError where it is not clear."""
    has = f"it has {', '.join(map(repr, header[:12]))}{', ...' * (len(header) > 12)}"
    plain = [re.sub(r"[\s-]+", "_", name.strip().casefold()) for name in header]
    found: dict[str, str | None] = {}
    for role, usual in USUAL.items():
        asked = getattr(settings, f"{role}_column")
        if asked is not None and asked not in header:
            if asked.casefold() != "none":
                guess = registry.nearest(asked, header)
                raise UserError(f"{file}: has no column {asked!r} ({role}_column).{guess} {has[0].upper()}{has[1:]}")
            found[role] = None
            continue
        alike = [asked] if asked else [header[plain.index(name)] for name in usual if name in plain]
        if len(alike) > 1 and role in ("label", "split"):
            raise UserError(f"{file}: {' and '.join(map(repr, alike))} may both be the {role}: write {role}_column:")
        found[role] = alike[0] if alike else None
    if settings.split == "none":
        found["split"] = None
    if found["path"] is None:
        raise UserError(f"{file}: no column is known to name the images ({has}): write path_column:")
    if found["label"] is None and settings.labelled and settings.evaluate_on is None:
        raise UserError(
            f"{file}: no column is known to hold the labels ({has}): write label_column:, or labelled: false where "
            "there are none"
        )
    if isinstance(settings.split, dict) and found["split"] is None:
        raise UserError(f"{file}: no column is known to hold the split: speaks of ({has}): write split_column:")
    return found


class _Faults:
    """What is wrong with rows, all kinds in one line, each with the first rows."""

    def __init__(self, file: Path) -> None:
        self.file, self.rows = file, dict[tuple[str, str, str], list[tuple[int, str]]]()

    def add(self, one: str, many: str, cure: str, row: _Row, value: str = "") -> None:
        self.rows.setdefault((one, many, cure), []).append((row.number, value))

    def raise_if_any(self) -> None:
        told = []
        for (one, many, cure), rows in self.rows.items():
            named = ", ".join(f"{number}{value and f' ({value})'}" for number, value in rows[:_NAMED])
            more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
            what = f"row {named} {one}" if len(rows) == 1 else f"{len(rows):,} rows {many}: {named}{more}"
            told.append(f"{what}; {cure}")
        if told:
            raise UserError(f"{self.file}: {'. '.join(told)}")


def _mended(rows: list[_Row], width: int, used: set[int], file: Path) -> list[_Row]:
    """Cells that a spreadsheet left out at the end are empty. Raises UserError for rows that have too many."""
    faults = _Faults(file)
    for row in rows:
        if any("\n" in row.values[i].strip() for i in used if i < len(row.values)):
            one = "has a line break in a path, label, split, group or fold"
            faults.add(one, one.replace("has", "have", 1), "look for a quote that is not closed", row)
        if any(value.strip() for value in row.values[width:]):
            one = f"has more than the header's {width} cells"
            cure = "quote values that hold the separator"
            faults.add(one, one.replace("has", "have", 1), cure, row)
    faults.raise_if_any()
    return [_Row(row.number, (row.values + [""] * width)[:width]) for row in rows]


def _prefix(root: Path, folders: list[Path], values: list[str]) -> str:
    """The folder that the paths are relative to, itself relative to ``root``: the first that holds one of the files."""
    for folder in folders:
        prefix = os.path.relpath(folder, root)
        if any(_found(root, prefix, value) for value in values):
            return prefix
    return os.path.relpath(folders[0], root)


def _found(root: Path, prefix: str, value: str) -> str | None:
    """The path below ``root`` of the file that a row names; None where there is none, or it lies outside.

    A Windows path has its separators turned, a name without a suffix gets one, as tables of ids need it.
    """
    value = value.strip()
    for name in dict.fromkeys((value, value.replace("\\", "/"))):
        places = [f"{prefix}/{name}"]
        if name.startswith("/"):  # as it is, or through links
            given = Path(name)
            places = [
                os.path.relpath(given, root),
                os.path.relpath(given.parent.resolve() / given.name, root.resolve()),
            ]
        for full in map(posixpath.normpath, places):
            if not name or full.startswith("../"):
                continue
            whole = is_picture(full.rpartition("/")[2])
            for suffix in [""] if whole else (*SUFFIXES, *map(str.upper, SUFFIXES)):
                if os.path.isfile(f"{root}/{full}{suffix}"):  # noqa: PTH113 - a Path for each row takes seconds
                    return full + suffix
    return None


def _file(root: Path, prefix: str, row: _Row, value: str, faults: _Faults) -> str | None:
    name = _found(root, prefix, value)
    if name is None:
        where = os.path.normpath(root / prefix)
        cure = f"paths are relative to {where}: write the folder that they begin in as root:, or remove the rows"
        faults.add("names no image that is there", "name no image that is there", cure, row, repr(value))
    return name


def _label(row: _Row, value: str, faults: _Faults) -> str:
    """The label as it is written. One cell is one label."""
    if not value.strip():
        cure = "write one, or remove the row" + ", or set labelled: false"
        faults.add("has no label", "have no label", cure, row)
    elif re.search(r"[|;]", value) or re.fullmatch(r"\[.*\]|\{.*\}|\(.*,.*\)", value.strip()):
        cure = "a probe needs one label per image: write one, without | and ;"
        faults.add("has several labels", "have several labels", cure, row, repr(value))
    return value


def _roles(rows: list[_Row], at: int | None, settings: Settings, file: Path, faults: _Faults) -> dict[str, str]:
    """Value of the split column -> train, val or test; {} where there is none, or all train."""
    if at is None:
        return {}
    values = dict.fromkeys(row.values[at].strip() for row in rows)
    if isinstance(settings.split, dict):
        split_names.assign(values, settings, str(file), "value")
        roles = {value: role for role, value in settings.split.items()}
    else:
        roles = {value: role for value in values if (role := split_names.role_of(value))}
        cure = (
            "write train, val or test, or say which value is which, as split: {train: ..., test: ...}, or split: none "
            "to derive a split"
        )
        for row in rows:
            if (value := row.values[at].strip()) not in roles:
                faults.add("has an unknown split", "have an unknown split", cure, row, repr(value))
        if roles and "train" not in roles.values():
            split_names.assign(values, settings, str(file), "value")  # asks
    if "test" not in roles.values():
        roles = {value: "test" if role == "val" else role for value, role in roles.items()}
    return roles if "test" in roles.values() else {}


def _folds(rows: list[_Row], names: list[str], at: int, file: Path) -> tuple[dict[str, set[str]], tuple[str, ...]]:
    """Split -> the images that it tests on, one for each value of the column of folds; and a note for the log."""
    faults = _Faults(file)
    for row in rows:
        if not row.values[at].strip():
            cure = "write one, or fold_column: none where the column holds no folds"
            faults.add("has no fold", "have no fold", cure, row)
    faults.raise_if_any()
    of = {name: row.values[at].strip() for row, name in zip(rows, names, strict=True)}
    values = sorted(set(of.values()), key=lambda value: (not value.isdecimal(), value.zfill(20), value))
    if not 2 <= len(values) <= split_names.MOST_FOLDS:
        raise UserError(
            f"{file}: the column of folds holds {len(values):,} different values, and folds are 2 to "
            f"{split_names.MOST_FOLDS}: write fold_column: none where it holds none"
        )
    number = {value: i for i, value in enumerate(values, start=1)}
    tests = {f"fold{i}of{len(values)}": set() for i in number.values()}
    for name, value in of.items():
        tests[f"fold{number[value]}of{len(values)}"].add(name)
    note = f"{file}: {values[0]!r} to {values[-1]!r} are folds 1 to {len(values)}, which folds: {len(values)} uses"
    return tests, (note,)


def _notes(
    file: Path, header: list[str], columns: dict[str, str | None], roles: dict[str, str], beside: int
) -> tuple[str, ...]:
    """What was read as what, for the log."""
    read_as = [f"column {name!r} read as {role}" for role, name in columns.items() if name is not None]
    notes = [f"{file}: {', '.join(read_as)}"]
    if unread := [name for name in header if name not in columns.values()]:
        notes.append(f"{file}: columns not read: {', '.join(map(repr, unread[:12]))}{', ...' * (len(unread) > 12)}")
    if columns["fold"] is not None and roles:
        notes.append(f"{file}: column {columns['fold']!r} is not used: there is a split")
    if roles:
        notes.append(f"{file}: {split_names.described(roles, 'value')}")
    if beside:
        notes.append(f"{file}: {beside:,} rows are of no split that split: names and are left out")
    return tuple(notes)
