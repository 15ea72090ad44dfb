"""Drawn pictures for the demo and the tests: ten textures, told apart by structure alone.

Every class is a field over the picture. Its pixels are ranked, and the rank decides how a pixel mixes two random tones,
with a threshold drawn alike for all classes: so the tones and how much of each there is say nothing about the class.
Period, phase, rotation, tone, lighting and noise are nuisances. Rotations are within 15 degrees,
and ``stripes`` come in three directions, so a transform that turns pictures pays for it here.
"""

from pathlib import Path
from typing import ClassVar

from sslbench.data.spec import Listing
from sslbench.data.synthetic.archive import DrawnSettings, write

DRAWING = 1  # raise it when the pictures change
CLASSES = (
    "blobs",
    "checker",
    "dots",
    "grid",
    "noise",
    "rings",
    "stripes-across",
    "stripes-diagonal",
    "stripes-down",
    "zigzag",
)


class Settings(DrawnSettings):
    kind: ClassVar[str] = "shapes"
    drawing: ClassVar[int] = DRAWING
    classes: ClassVar[tuple[str, ...]] = CLASSES


def draw(settings: Settings, archive: Path) -> None:
    """Write the pictures as a .tar of PNGs, with the same bytes each time (for one Pillow and numpy)."""
    from sslbench.data.synthetic import shapes as drawing  # needs numpy, which reading a config does without

    write(settings, archive, drawing.picture)


def scan(root: Path, settings: Settings) -> Listing:
    return settings.listing(root)
