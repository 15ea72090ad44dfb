"""What stands nearest to the same test pictures under every entry, and the thumbnails that the page shows."""

from sslbench.errors import UserError
from sslbench.report.blocks import Block, Sheet, Strip, Strips, Tile
from sslbench.report.files import slug
from sslbench.report.truncate import pictured
from sslbench.report.wording import Labels, counted


def page_sheets(album: dict) -> tuple[Sheet, ...]:
    """All sheets of thumbnails, each once. Raises UserError where the album is not what its rule writes."""
    try:
        return tuple(
            Sheet(f"{place}-{key}", part["columns"], part["rows"], part["webp_base64"])
            for place, pack in enumerate(_packs(album))
            for key, part in album["packs"][pack].items()
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"album: has no {error}; delete album.json and run again") from None


def _packs(album: dict) -> list[str]:
    return sorted(album.get("packs", {}))


class Tiles:
    """The thumbnails of one dataset by their numbers."""

    def __init__(self, album: dict, dataset: str) -> None:
        name = album["datasets"][dataset]["pack"]
        self._place, parts = _packs(album).index(name), album["packs"][name]
        self._parts = {key: parts[key] for key in ("large", "small") if key in parts}

    def tile(self, number: int, title: str, tone: str = "") -> Tile:
        for key, part in self._parts.items():
            if number < part["count"]:
                return Tile(f"{self._place}-{key}", number % part["columns"], number // part["columns"], title, tone)
            number -= part["count"]
        raise UserError("album: a thumbnail is missing; delete album.json and run again")


def strips(album: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """A row per entry, a column per test picture: its nearest training pictures, those of its class set apart."""
    found = album.get("datasets", {}).get(dataset)
    if not found or not found["queries"]:
        return ()
    tiles, titles = Tiles(album, dataset), found["titles"]
    queries = tuple(tiles.tile(query["tile"], titles[query["label"]]) for query in found["queries"])
    rows = []
    for strip in found["strips"]:
        cells = tuple(
            tuple(
                tiles.tile(number, titles[label], "right" if label == query["label"] else "wrong")
                for number, label in zip(numbers, their, strict=True)
            )
            for query, numbers, their in zip(found["queries"], strip["tiles"], strip["labels"], strict=True)
        )
        rows.append(Strip(named(strip, labels), cells))
    k = len(rows[0].cells[0])
    caption = f"{labels.dataset(dataset)}: the {counted(k, 'nearest training picture')} to the same test pictures"
    right = [sum(tile.tone == "right" for cell in row.cells for tile in cell) for row in rows]
    best, most = rows[right.index(max(right))].name, k * len(queries)
    told = (
        "Nearest by the cosine of the frozen features, from the left and the top. A neighbour of the same class has a "
        "full frame, one of another class a dashed frame and a cross. The test pictures were drawn by lot, once, and "
        f"are too few to rank by: {best} has the most right, {max(right)} of {most}."
    ) + pictured(found.get("cut", {}))
    return (Strips(caption, told, queries, tuple(rows), slug("neighbours", dataset)),)


def named(of: dict, labels: Labels) -> str:
    """An entry of the album as the page calls it."""
    return labels.entry({"name": [None, of["model"], of["transform"]]})
