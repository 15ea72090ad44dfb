"""How the pictures of the ``scenes`` dataset are drawn (layouts/scenes.py says what they are for).

A thing is a region of the square from -1 to 1 (x to the right, y down), put together from discs, boxes and polygons.
Every thing covers the same share of a picture, on average: what is drawn is the share, and its scale follows.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

Region = np.ndarray  # bool, as the coordinates that it is asked about
Generator = np.random.Generator
Thing = Callable[[np.ndarray, np.ndarray], Region]

FINE = 4  # samples per pixel, along each side: antialiasing


def _disc(x: np.ndarray, y: np.ndarray, middle_x: float, middle_y: float, radius: float) -> Region:
    return (x - middle_x) ** 2 + (y - middle_y) ** 2 < radius**2


def _box(x: np.ndarray, y: np.ndarray, left: float, top: float, right: float, bottom: float) -> Region:
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def _polygon(x: np.ndarray, y: np.ndarray, *corners: tuple[float, float]) -> Region:
    """Points from which a ray to the right crosses the outline an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def _boat(x: np.ndarray, y: np.ndarray) -> Region:
    hull = _polygon(x, y, (-1, 0.35), (1, 0.35), (0.6, 0.95), (-0.6, 0.95))
    sails = _polygon(x, y, (0.05, -1), (0.85, 0.2), (0.05, 0.2)) | _polygon(
        x, y, (-0.1, -0.8), (-0.1, 0.2), (-0.8, 0.2)
    )
    return hull | sails


def _cat(x: np.ndarray, y: np.ndarray) -> Region:
    ears = _polygon(x, y, (-0.85, -1), (-0.15, -0.45), (-0.8, 0.1)) | _polygon(
        x, y, (0.85, -1), (0.8, 0.1), (0.15, -0.45)
    )
    eyes = _disc(x, y, -0.35, 0.05, 0.15) | _disc(x, y, 0.35, 0.05, 0.15)
    return (_disc(x, y, 0, 0.2, 0.8) | ears) & ~eyes & ~_box(x, y, -0.3, 0.5, 0.3, 0.64)


def _cup(x: np.ndarray, y: np.ndarray) -> Region:
    handle = _disc(x, y, 0.45, -0.1, 0.55) & ~_disc(x, y, 0.45, -0.1, 0.3)
    body = _polygon(x, y, (-1, -0.85), (0.5, -0.85), (0.25, 0.85), (-0.75, 0.85))
    return body | (handle & (x > 0.3))


def _fir(x: np.ndarray, y: np.ndarray) -> Region:
    tiers = [_polygon(x, y, (0, top), (half, top + 0.75), (-half, top + 0.75)) for top, half in TIERS]
    return tiers[0] | tiers[1] | tiers[2] | _box(x, y, -0.2, 0.5, 0.2, 1)


TIERS = ((-1.0, 0.55), (-0.6, 0.75), (-0.15, 0.95))  # top and half a width


def _flag(x: np.ndarray, y: np.ndarray) -> Region:
    cloth = _polygon(x, y, (-0.6, -0.95), (0.95, -0.95), (0.6, -0.4), (0.95, 0.15), (-0.6, 0.15))
    return cloth | _box(x, y, -0.85, -1, -0.55, 1)


def _heart(x: np.ndarray, y: np.ndarray) -> Region:
    lobes = _disc(x, y, -0.45, -0.4, 0.5) | _disc(x, y, 0.45, -0.4, 0.5)
    return lobes | _polygon(x, y, (-0.9, -0.2), (0, -0.6), (0.9, -0.2), (0, 0.95))


def _house(x: np.ndarray, y: np.ndarray) -> Region:
    roof = _polygon(x, y, (0, -1), (1, -0.1), (-1, -0.1))
    return (roof | _box(x, y, -0.75, -0.1, 0.75, 0.95)) & ~_box(x, y, -0.1, 0.3, 0.35, 1)


def _key(x: np.ndarray, y: np.ndarray) -> Region:
    bow = _disc(x, y, 0, -0.45, 0.55) & ~_disc(x, y, 0, -0.45, 0.22)
    teeth = _box(x, y, 0.1, 0.35, 0.6, 0.58) | _box(x, y, 0.1, 0.75, 0.6, 1)
    return bow | _box(x, y, -0.16, 0, 0.16, 1) | teeth


def _mushroom(x: np.ndarray, y: np.ndarray) -> Region:
    cap = _disc(x, y, 0, 0.05, 1) & (y < 0.05)
    return cap | _polygon(x, y, (-0.25, 0), (0.25, 0), (0.38, 0.95), (-0.38, 0.95))


def _snowman(x: np.ndarray, y: np.ndarray) -> Region:
    hat = _box(x, y, -0.28, -1, 0.28, -0.6) | _box(x, y, -0.5, -0.68, 0.5, -0.55)
    return hat | _disc(x, y, 0, -0.25, 0.4) | _disc(x, y, 0, 0.4, 0.6)


# class (scenes.CLASSES) -> what it looks like
THINGS: dict[str, Thing] = {
    "boat": _boat,
    "cat": _cat,
    "cup": _cup,
    "fir": _fir,
    "flag": _flag,
    "heart": _heart,
    "house": _house,
    "key": _key,
    "mushroom": _mushroom,
    "snowman": _snowman,
}


@cache
def area(name: str) -> float:
    """Of a thing, in its own coordinates, where the square has 4."""
    y, x = (np.mgrid[:400, :400] + 0.5) / 200 - 1
    return 4 * float(THINGS[name](x, y).mean())


def outline(name: str, size: int, rng: Generator) -> np.ndarray:
    """[size, size] in [0, 1]: how much of each pixel the thing covers. In all, a share that no class knows."""
    share = rng.uniform(0.16, 0.3)
    half = np.sqrt(share * 4 / area(name)) / 2  # of the thing's square, in picture widths
    angle = np.deg2rad(rng.uniform(-12, 12))
    reach = min(half * (np.cos(angle) + abs(np.sin(angle))), 0.5)
    middle_x, middle_y = rng.uniform(reach, 1 - reach, size=2)
    mirrored = rng.choice([-1, 1])
    y, x = (np.mgrid[: size * FINE, : size * FINE] + 0.5) / (size * FINE)
    x, y = (x - middle_x) / half, (y - middle_y) / half
    x, y = mirrored * (x * np.cos(angle) + y * np.sin(angle)), y * np.cos(angle) - x * np.sin(angle)
    return THINGS[name](x, y).reshape(size, FINE, size, FINE).mean(axis=(1, 3))


def _behind(size: int, tone: float, rng: Generator) -> np.ndarray:
    """[size, size]: sky and ground, a little apart, with specks that lie about."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    horizon = rng.uniform(0.45, 0.8) + rng.uniform(-0.12, 0.12) * (x - 0.5)
    ground = np.clip((y - horizon) * size + 0.5, 0, 1)
    drawn = tone + rng.choice([-1, 1]) * rng.uniform(0.06, 0.14) * (ground - 0.5)
    for _ in range(rng.integers(3, 7)):
        middle_x, middle_y = rng.uniform(0, 1, size=2)
        distance = np.hypot((x - middle_x) / rng.uniform(0.6, 1.6), y - middle_y)
        drawn = drawn + rng.uniform(-0.25, 0.25) * np.clip((rng.uniform(0.02, 0.06) - distance) * size + 0.5, 0, 1)
    return drawn


def picture(name: str, size: int, rng: Generator) -> np.ndarray:
    """One picture of a class, uint8 [size, size, 3]: two greys with a slight tint, lit from one side, and noise."""
    while True:
        back, front = rng.uniform(0.1, 0.9, size=2)
        if abs(back - front) > 0.3:
            break
    tints = rng.uniform(-0.06, 0.06, size=(2, 3))
    covered = outline(name, size, rng)[..., None]
    drawn = (_behind(size, back, rng)[..., None] + tints[0]) * (1 - covered) + (front + tints[1]) * covered
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    slope_x, slope_y = rng.uniform(-0.15, 0.15, size=2)
    drawn = drawn + (slope_x * x + slope_y * y)[..., None] + rng.normal(0, 0.1, size=drawn.shape)
    return (np.clip(drawn, 0, 1) * 255 + 0.5).astype(np.uint8)
