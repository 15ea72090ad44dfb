"""The data doctor: what is worth knowing about a dataset before believing a figure made from it."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sslbench.data import splits
from sslbench.data.pack import format as packformat
from sslbench.data.splits import Split
from sslbench.errors import UserError
from sslbench.runtime.files import read_json


def examine(
    *,
    classes: Sequence[str],
    titles: Sequence[str],
    labels: np.ndarray,
    names: Sequence[str],
    heights: np.ndarray,
    widths: np.ndarray,
    grey: int,
    digests: np.ndarray,
    unreadable: Sequence[tuple[str, str]],
    split_sets: dict[str, Split],
    dark: Sequence[str] = (),
    flat: Sequence[str] = (),
    passed_over: dict[str, int] | None = None,
    groups: np.ndarray | None = None,
) -> dict:
    """The findings, as plain values in a fixed order.

    Args:
        labels: int [N], -1 is unlabelled; ``names`` [N]; ``digests`` uint8 [N, 16] of the pictures' files.
        heights, widths: int [N], of the pictures as found, upright.
        grey: how many are stored without colour.
        unreadable: (name, reason) of what was left out.
        dark: names of pictures 16 bits deep that use less than a sixteenth of their range.
        flat: names of pictures that became one colour.
        passed_over: how many files were not taken for pictures of this dataset, by suffix.
        groups: int [N], of what has to stay on one side of a split.
    """
    return {
        "count": len(names),
        "unlabelled": int((labels < 0).sum()),
        "classes": [
            {"class": name, "title": title, "count": int((labels == label).sum())}
            for label, (name, title) in enumerate(zip(classes, titles, strict=True))
        ],
        "height": _spread(heights),
        "width": _spread(widths),
        "shortest_side": _spread(np.minimum(heights, widths)),
        "grey": int(grey),
        "unreadable": [{"name": name, "reason": reason} for name, reason in unreadable],
        "dark": {"count": len(dark), "first": list(dark[:5])},
        "flat": {"count": len(flat), "first": list(flat[:5])},
        "passed_over": passed_over or {},
        "look_alikes": look_alikes(classes),
        "splits": {
            name: examine_split(split, labels, names, digests, classes, groups) for name, split in split_sets.items()
        },
    }


# Cyrillic and Greek letters in lower case, and what they look like
_LOOK_LATIN = str.maketrans("асдеһіјӏорԛѕуԝхѵαεικνορτυχ", "acdehijlopqsywxvaeiknoptux")


def look_alikes(classes: Sequence[str]) -> list[list[str]]:
    """Classes whose names differ in upper and lower case, blanks, characters without width, letters of other alphabets
    that look like Latin ones, or Unicode form alone."""
    alike = defaultdict(list)
    for name in classes:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        seen = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf").translate(_LOOK_LATIN)
        alike[" ".join(seen.split())].append(name)
    return [names for names in alike.values() if len(names) > 1]


def examine_split(
    split: Split,
    labels: np.ndarray,
    names: Sequence[str],
    digests: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None = None,
) -> dict:
    """Counts per class, classes without test pictures, byte-identical pictures and groups that stand on both sides,
    and what makes the split unusable."""
    sides: dict[str, dict[bytes, list[int]]] = {}
    for part in ("train", "test"):
        sides[part] = defaultdict(list)
        for position in split[part]:
            sides[part][digests[position].tobytes()].append(int(position))
    shared = [digest for digest in sides["test"] if digest in sides["train"]]
    tested = _counts(labels[split["test"]], len(classes))
    return {
        "train": len(split["train"]),
        "test": len(split["test"]),
        "train_per_class": _counts(labels[split["train"]], len(classes)),
        "test_per_class": tested,
        "untested": [name for name, count in zip(classes, tested, strict=True) if not count] if any(tested) else [],
        "in_both": [
            {part: [names[position] for position in sides[part][digest]] for part in ("train", "test")}
            for digest in shared
        ],
        "fault": splits.fault(split, labels, classes),
        **({"val": len(split["val"])} if "val" in split else {}),
        **(_groups_in_both(split, groups, names) if groups is not None else {}),
    }


def _groups_in_both(split: Split, groups: np.ndarray, names: Sequence[str]) -> dict:
    """How many groups stand in more than one part, and two images of the first that does."""
    first = [np.unique(groups[positions], return_index=True) for positions in split.values()]
    found, parts = np.unique(np.concatenate([each for each, _ in first]), return_counts=True)
    torn = found[parts > 1]
    of = [
        positions[at[each == torn[0]]] for (each, at), positions in zip(first, split.values(), strict=True) if len(torn)
    ]
    return {"groups_in_both": len(torn), "of_one_group": [names[int(at[0])] for at in of if len(at)][:2]}


def read(pack: Path, split: str) -> dict:
    """The findings of ``pack``, with those of ``split`` added where it is derived and so not stored."""
    found = read_json(pack / "doctor.json")
    if split not in found["splits"]:
        manifest = packformat.read_manifest(pack)
        try:
            index, names = packformat.read_index(pack, manifest), packformat.read_names(pack, manifest)
            stored = packformat.read_splits(pack, manifest)
            groups = packformat.read_groups(pack, manifest)
            if index["labels"].min() < -1 or index["labels"].max() >= len(manifest["classes"]):
                raise packformat.Unfit("labels.npy speaks of classes that it has not")
        except packformat.Unfit as error:
            raise UserError(f"{pack}: {error}; delete it and run again to pack anew") from error
        positions = splits.resolve(split, stored, index["labels"], names, groups)
        findings = examine_split(positions, index["labels"], names, index["digests"], manifest["classes"], groups)
        found["splits"][split] = findings
    return found


def describe(doctor: dict) -> list[str]:
    """The findings as lines for a log."""
    heights, widths = doctor["height"], doctor["width"]
    lines = [
        f"doctor: {doctor['count']:,} pictures in {len(doctor['classes'])} classes, "
        f"heights {heights['min']} to {heights['max']}, widths {widths['min']} to {widths['max']} px, "
        f"{doctor['grey']} greyscale"
    ]
    if doctor["unlabelled"]:
        lines.append(f"doctor: {doctor['unlabelled']:,} pictures have no label")
    for entry in doctor["unreadable"]:
        lines.append(f"doctor: left out {entry['name']!r}: {entry['reason']}")
    lines += [f"doctor: {line}" for line in warnings(doctor)]
    for name, split in doctor["splits"].items():
        line = f"doctor: split {name}: {split['train']:,} train, {split['test']:,} test"
        line += f", {split['val']:,} val" if "val" in split else ""
        for part in ("train", "test"):
            per_class = split[f"{part}_per_class"]
            if per_class:
                line += f"; {part} per class {min(per_class)} to {max(per_class)}"
        lines.append(line)
        if split["fault"]:
            lines.append(f"doctor: split {name} cannot be used: {split['fault']}")
        if untested := split["untested"]:
            named = ", ".join(map(repr, untested[:5])) + (f" and {len(untested) - 5} more" if untested[5:] else "")
            lines.append(f"doctor: split {name}: no accuracy speaks of classes without test pictures: {named}")
        if count := split.get("groups_in_both"):
            pair = " and ".join(map(repr, split.get("of_one_group", [])))
            other = (
                "fold_column: none derives folds that keep"
                if name.startswith("fold")
                else "split: none derives a split that keeps"
            )
            lines.append(
                f"doctor: split {name}: {count:,} {'group stands' if count == 1 else 'groups stand'} on more than one "
                f"side{pair and f', e.g. of {pair}'}: the test images are not independent of training; {other} groups "
                "together"
            )
        if split["in_both"]:
            first = split["in_both"][0]
            lines.append(
                f"doctor: split {name}: {len(split['in_both'])} pictures stand in train and in test, byte for byte, "
                f"e.g. {first['train'][0]!r} and {first['test'][0]!r}"
            )
    return lines


def warnings(doctor: dict) -> list[str]:
    """What looks as if images were left out or read wrongly: files passed over, 16-bit images almost black, images of
    one colour, classes that look alike."""
    lines = []
    if others := doctor.get("passed_over"):
        count = sum(others.values())
        named = ", ".join(f"{suffix} {number:,}" for suffix, number in list(others.items())[:5])
        lines.append(
            f"{count:,} {'file' if count == 1 else 'files'} passed over ({named}{', ...' * (len(others) > 5)})"
        )
    for names in doctor.get("look_alikes", []):
        named = " and ".join(map(ascii, names))
        lines.append(f"classes {named} look alike and are {len(names)} classes: merge them if they are one")
    if dark := doctor.get("dark", {}).get("count"):
        what = "picture uses" if dark == 1 else "pictures use"
        lines.append(
            f"{dark:,} 16-bit {what} less than a sixteenth of the range and come out black, e.g. "
            f"{doctor['dark']['first'][0]!r}: if they hold 12 bits or fewer, set the dataset's scale: percentile"
        )
    if flat := doctor.get("flat", {}).get("count"):
        what = "image is" if flat == 1 else "images are"
        lines.append(
            f"{flat:,} {what} of one colour throughout, e.g. {doctor['flat']['first'][0]!r}: look at what is "
            "transparent, or remove them"
        )
    return lines


def _spread(values: np.ndarray) -> dict:
    if len(values) == 0:
        return {"min": None, "median": None, "max": None}
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}


def _counts(labels: np.ndarray, classes: int) -> list[int]:
    return np.bincount(labels[labels >= 0], minlength=classes).tolist() if classes else []
