"""Drawn pictures with an up and a place: ten things, told apart by their outline alone.

The textures of ``shapes`` look alike everywhere and whichever way they are turned, so a task such as "which way up?"
or "which patch lies above?" cannot be learnt from them. Here one thing stands upright, within 12 degrees, before a
horizon, and its parts have their order. Tones, contrast, the share of the picture that it covers, its place,
reflection, clutter, lighting and noise are drawn alike for all classes and say nothing about them.
"""

from pathlib import Path
from typing import ClassVar

from sslbench.data.spec import Listing
from sslbench.data.synthetic.archive import DrawnSettings, write

DRAWING = 1  # raise it when the pictures change
CLASSES = ("boat", "cat", "cup", "fir", "flag", "heart", "house", "key", "mushroom", "snowman")


class Settings(DrawnSettings):
    kind: ClassVar[str] = "scenes"
    drawing: ClassVar[int] = DRAWING
    classes: ClassVar[tuple[str, ...]] = CLASSES


def draw(settings: Settings, archive: Path) -> None:
    """Write the pictures as a .tar of PNGs, with the same bytes each time (for one Pillow and numpy)."""
    from sslbench.data.synthetic import scenes as drawing_scenes  # needs numpy, which reading a config does without

    write(settings, archive, drawing_scenes.picture)


def scan(root: Path, settings: Settings) -> Listing:
    return settings.listing(root)
