"""Thumbnails of packed pictures on WebP sheets, every picture once, within a budget of bytes. Without torch."""

import base64
import io

from PIL import Image

from sslbench.data.pack.images import PackedImages

COLUMNS = 24  # tiles of a sheet's row
# Sides of the two sheets' tiles in px with WebP's quality, the best first; the first that fits is taken.
STEPS = (
    *((64, 44, quality) for quality in (80, 70, 60, 50, 40, 30, 20)),
    *((48, 32, quality) for quality in (40, 30, 20, 10)),
    *((32, 24, quality) for quality in (20, 5)),
    *((side, side, 0) for side in (24, 16, 8)),
)


def sheets(pack: PackedImages, large: list[int], small: list[int], most: int) -> dict[str, dict]:
    """Thumbnails of the pictures ``large`` and ``small``, positions in the pack.

    Returns {"large", "small"} -> {"tile" (px), "columns", "rows", "count", "webp_base64"}; the texts are together at
    most ``most`` bytes, unless even the last of STEPS needs more. A sheet of no pictures is left out.
    """
    known: dict[tuple[int, ...], Image.Image] = {}

    def made(step: tuple[int, int, int]) -> dict[str, dict]:
        found = {}
        for name, pictures, side in (("large", large, step[0]), ("small", small, step[1])):
            if not pictures:
                continue
            if (side, len(pictures), name) not in known:
                known[side, len(pictures), name] = _sheet([pack.square(picture, side) for picture in pictures], side)
            stream = io.BytesIO()
            known[side, len(pictures), name].save(stream, "WEBP", quality=step[2], method=4)
            found[name] = {
                "tile": side,
                "columns": COLUMNS,
                "rows": -(-len(pictures) // COLUMNS),
                "count": len(pictures),
                "webp_base64": base64.b64encode(stream.getvalue()).decode(),
            }
        return found

    low, high, best = 0, len(STEPS) - 1, None  # STEPS[high] is taken whatever it needs
    while low < high:
        middle = (low + high) // 2
        found = made(STEPS[middle])
        if sum(len(sheet["webp_base64"]) for sheet in found.values()) <= most:
            high, best = middle, found
        else:
            low = middle + 1
    return best if best is not None else made(STEPS[high])


def _sheet(tiles: list[Image.Image], side: int) -> Image.Image:
    sheet = Image.new("RGB", (COLUMNS * side, -(-len(tiles) // COLUMNS) * side), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % COLUMNS * side, place // COLUMNS * side))
    return sheet
