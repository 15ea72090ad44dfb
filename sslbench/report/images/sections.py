"""The page's pictures: what the transforms do, and what every entry sees."""

import base64
import binascii

from sslbench.errors import UserError
from sslbench.report.blocks import Part, Pictures
from sslbench.report.files import slug
from sslbench.report.images import confusions, embedding_map, neighbours
from sslbench.report.wording import Labels


def seen(report: dict, album: dict, labels: Labels) -> tuple[Part, ...]:
    """Per dataset: nearest neighbours, maps and confusions. Raises UserError where the album is damaged."""
    parts = []
    for name in report["datasets"]:
        try:
            blocks = [
                block
                for make in (neighbours.strips, embedding_map.maps, confusions.blocks)
                for block in make(album, name, labels)
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"album: {name} is damaged ({error!r}); delete album.json and run again") from None
        if blocks:
            parts.append(Part(labels.dataset(name), tuple(blocks)))
    return tuple(parts)


def transforms(report: dict, gallery: dict) -> tuple[Part, ...]:
    """Per transform, in the plan's order, then any others: every operation by itself, then whole views."""
    used = dict.fromkeys(entry["name"][2] for entry in report["entries"])
    order = [*(t for t in used if t in gallery), *sorted(t for t in gallery if t not in used)]
    parts = []
    for name in order:
        entry, kind = gallery[name], report["transforms"].get(name, {}).get("kind", name)
        try:
            shots = [*entry.get("operations", []), {"title": "Whole views"} | entry]
            items = tuple(_item(shot) for shot in shots)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise UserError(
                f"gallery: the picture of {name!r} is damaged; delete the gallery's file and run again"
            ) from None
        parts.append(Part(name if kind == name else f"{name} ({kind})", (Pictures(items, slug("transform", name)),)))
    return tuple(parts)


def _item(shot: dict) -> tuple[str, str, str, str, int, int]:
    data = base64.b64encode(base64.b64decode(shot["webp_base64"], validate=True)).decode()
    alt = str(shot.get("alt", ""))
    return str(shot["title"]), str(shot.get("does") or alt), data, alt, int(shot["width"]), int(shot["height"])
