"""Test images among the pretraining images, as the verdict and the data section say it."""

from sslbench.data import leaks
from sslbench.report.blocks import Block, Folded, Pictures, Points, Span, Text
from sslbench.report.files import slug
from sslbench.report.wording import Labels, counted


def caveats(report: dict, name: str, labels: Labels) -> list[Text]:
    """What makes the scores of a dataset's cells too high: copies in pretraining, and in what fits the probe."""
    found = []
    for dataset in dict.fromkeys((name, labels.judge(name) or name)):
        entry = report["datasets"].get(dataset, {}).get("leaks")
        if entry and entry["found"] and not entry["left_out"]:
            of = f"Of {dataset}, " if dataset != name else ""
            told = leaks.told(entry)
            found.append(
                (Span(f"{of}{told}", "strong"), f": scores may be too high. See Data; {_cure(entry, dataset)}.")
            )
    return found


def _cure(entry: dict, dataset: str) -> str:
    if entry["judge"] != dataset:
        return "exclude_test: true leaves them out of pretraining"
    return "remove the copies, or keep what belongs together on one side of the split"


def blocks(entry: dict) -> list[Block]:
    """What was found of a dataset, and the pairs side by side, folded away."""
    found = entry.get("leaks")  # of examples that were kept earlier there is none
    return [Points(tuple(_points(found))), *_pictures(entry["name"], found)] if found else []


def _points(found: dict) -> list[Text]:
    told = leaks.told(found)
    items: list[Text] = [Span(f"{told}.", "strong") if found["found"] else f"{told[0].upper()}{told[1:]}."]
    if found["found"] and found["left_out"]:
        items.append(f"exclude_test has left their {counted(found['copies'], 'copy', 'copies')} out of pretraining.")
    if count := found["two_labels"]["count"]:
        verb = "looks the same and has" if count == 1 else "look the same and have"
        items.append((Span(f"{counted(count, 'pair')} of images {verb} different labels", "strong"), "."))
    return items


def _pictures(name: str, found: dict) -> list[Block]:
    titles = (
        (found, "leaks", "Test images, the least alike first, beside their copies among the pretraining images"),
        (found["two_labels"], "labels", "Images that look the same and have different labels"),
    )
    return [
        Folded(f"{title}: {len(of['shown'])} of {of['count']:,}", (Pictures(_items(of), slug(kind, name)),))
        for of, kind, title in titles
        if of["shown"]
    ]


def _items(of: dict) -> tuple[tuple[str, str, str, str, int, int], ...]:
    keys = ("title", "does", "webp_base64", "alt", "width", "height")
    return tuple(tuple(one[key] for key in keys) for one in of["shown"])
