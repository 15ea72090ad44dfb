"""The page's charts and pictures as files beside its Markdown, made of the same blocks and the same thumbnails."""

import base64
import binascii
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from sslbench.data.webp import encoded
from sslbench.errors import UserError
from sslbench.report.blocks import Block, Confusions, Maps, Page, Pictures, Strips, Tile, blocks, still
from sslbench.report.charts import vega
from sslbench.report.images import embedding_map
from sslbench.runtime.files import drop_half, refused, write_whole

NEIGHBOUR, QUERY, EXAMPLE = 44, 64, 56  # px of a tile, as the page has them
ACROSS = 2  # neighbours of a query that stand beside each other
RING, APART = 4, 14  # px around a neighbour for its frame, and between two queries' neighbours
MOST = 240_000  # bytes of one dataset's neighbours, and of its pairs
RIGHT, WRONG, CROSS = "#1a8f66", "#d4456a", "#8f1d39"  # 3:1 and more on white and on black alike
DASH = (5, 3)  # px drawn, px left out


def write(page: Page, folder: Path) -> set[str]:
    """Write what the Markdown of ``page`` shows into ``folder``; returns the files' names. Equal pages, equal bytes.

    Raises UserError where the disk refuses or the album's thumbnails cannot be read.
    """
    made = files(page)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(refused(folder, error)) from error
    for name, content in made.items():
        write_whole(folder / name, content)
    return set(made)


def sweep(folder: Path, kept: set[str]) -> None:
    """Remove the files of an earlier rendering, once no Markdown refers to them, and halves that a killed one left."""
    for old in [*folder.glob("*.svg"), *folder.glob("*.webp")]:
        if old.name not in kept:
            old.unlink(missing_ok=True)
    for kind in ("svg", "webp"):
        for half in folder.glob(f".*.{kind}.tmp"):
            drop_half(half)


def files(page: Page) -> dict[str, bytes]:
    """Name -> content of every file."""
    cut = _Tiles(page)
    found: dict[str, bytes] = {}
    for block in blocks(page):
        if block.kind in _MAKERS:
            found |= _MAKERS[block.kind](block, cut)
    return found


class _Tiles:
    """The page's thumbnails."""

    def __init__(self, page: Page) -> None:
        self._sheets, self._opened = {sheet.name: sheet for sheet in page.sheets}, {}

    def __call__(self, tile: Tile, side: int) -> Image.Image:
        """One of them, ``side`` px wide."""
        try:
            sheet = self._sheets[tile.sheet]
            if tile.sheet not in self._opened:
                data = io.BytesIO(base64.b64decode(sheet.data, validate=True))
                self._opened[tile.sheet] = Image.open(data).convert("RGB")
            picture = self._opened[tile.sheet]
            own = picture.width // sheet.columns
            if not own or tile.x >= sheet.columns or (tile.y + 1) * own > picture.height:
                raise ValueError(f"{picture.width} x {picture.height} px hold no tile at {tile.x}, {tile.y}")
        except (KeyError, OSError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
            raise UserError(f"album: thumbnails cannot be read ({error}); delete album.json and run again") from None
        box = (tile.x * own, tile.y * own, (tile.x + 1) * own, (tile.y + 1) * own)
        return picture.resize((side, side), Image.Resampling.LANCZOS, box)


def _gallery(block: Pictures, cut: _Tiles) -> dict[str, bytes]:
    return {still(block, number): base64.b64decode(data) for number, (_, _, data, *_) in enumerate(block.items)}


def _neighbours(block: Strips, cut: _Tiles) -> dict[str, bytes]:
    """A picture of the queries and one per entry, all of one width, so that they line up below each other."""
    step = NEIGHBOUR + 2 * RING
    group, most = ACROSS * step, max(len(cell) for row in block.rows for cell in row.cells)
    width = len(block.queries) * (group + APART) - APART
    drawn = {"queries": Image.new("RGBA", (width, QUERY))}
    for place, query in enumerate(block.queries):
        drawn["queries"].paste(cut(query, QUERY), (place * (group + APART) + (group - QUERY) // 2, 0))
    for number, row in enumerate(block.rows):
        drawn[number] = Image.new("RGBA", (width, -(-most // ACROSS) * step))
        for place, cell in enumerate(row.cells):
            for which, tile in enumerate(cell):
                left = place * (group + APART) + which % ACROSS * step + RING
                top = which // ACROSS * step + RING
                drawn[number].paste(cut(tile, NEIGHBOUR), (left, top))
                _frame(ImageDraw.Draw(drawn[number]), left, top, NEIGHBOUR, tile.tone)
    return _named(block, drawn)


def _frame(draw: ImageDraw.ImageDraw, left: int, top: int, side: int, tone: str) -> None:
    """Two px wide, one px off: full where the tile is right; dashed, with a cross in the corner, where it is wrong."""
    low, high = -3, side + 2
    if tone == "right":
        draw.rectangle((left + low, top + low, left + high, top + high), outline=RIGHT, width=2)
    elif tone == "wrong":
        for start in range(low, high, sum(DASH)):
            end = min(start + DASH[0] - 1, high)
            for edge in (low, high - 1):
                draw.rectangle((left + start, top + edge, left + end, top + edge + 1), fill=WRONG)
                draw.rectangle((left + edge, top + start, left + edge + 1, top + end), fill=WRONG)
        corner = side - 12
        draw.rectangle((left + corner, top + corner, left + side - 1, top + side - 1), fill=CROSS)
        for a, b in ((3, 8), (8, 3)):
            draw.line((left + corner + a, top + corner + 3, left + corner + b, top + corner + 8), fill="white", width=2)


def _maps(block: Maps, cut: _Tiles) -> dict[str, bytes]:
    return {
        still(block, number): embedding_map.standalone(title, drawing, block.legend).encode()
        for number, (title, _, drawing) in enumerate(block.drawings)
    }


def _pairs(block: Confusions, cut: _Tiles) -> dict[str, bytes]:
    """A picture that was mistaken, and beside it one of the class that it was taken for."""
    drawn = {}
    for number, pair in enumerate(block.pairs):
        shown = [tile for tile in (pair.example, pair.like) if tile]
        if not shown:
            continue
        drawn[number] = Image.new("RGBA", (len(shown) * (EXAMPLE + 8) - 8, EXAMPLE))
        for place, tile in enumerate(shown):
            drawn[number].paste(cut(tile, EXAMPLE), (place * (EXAMPLE + 8), 0))
    return _named(block, drawn)


def _named(block: Strips | Confusions, drawn: dict[str | int, Image.Image]) -> dict[str, bytes]:
    parts: Iterable[bytes] = encoded([*drawn.values()], MOST)
    return dict(zip((still(block, part) for part in drawn), parts, strict=True))


_MAKERS: dict[str, Callable[[Block, _Tiles], dict[str, bytes]]] = {
    "figure": lambda block, cut: {f"{block.name}.svg": vega.standalone(block).encode("utf-8", "backslashreplace")},
    "pictures": _gallery,
    "strips": _neighbours,
    "maps": _maps,
    "confusions": _pairs,
}
