"""How the pictures of the ``shapes`` dataset are drawn (layouts/shapes.py says what they are for)."""

from collections.abc import Callable

import numpy as np

Field2d = np.ndarray  # [size, size] float64
Generator = np.random.Generator


def _turned(x: np.ndarray, y: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    angle = np.deg2rad(degrees)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _stripes(degrees: float) -> Callable[[np.ndarray, np.ndarray, Generator], Field2d]:
    def draw(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
        along, _ = _turned(x, y, degrees)
        return np.cos(2 * np.pi * along)

    return draw


def _checker(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    return np.cos(np.pi * x) * np.cos(np.pi * y)


def _dots(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    row = np.round(y / 0.9)
    return -np.hypot((x + 0.5 * (row % 2)) % 1 - 0.5, y - 0.9 * row)  # every second row is shifted by half a period


def _rings(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    middle_x, middle_y = rng.uniform(-1, 1, size=2)
    return np.cos(2 * np.pi * np.hypot(x - x.mean() - middle_x, y - y.mean() - middle_y) + rng.uniform(0, 2 * np.pi))


def _noise(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    return rng.standard_normal(x.shape)


def _blobs(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    total = np.zeros_like(x)
    for angle, shift in zip(rng.uniform(0, np.pi, 12), rng.uniform(0, 2 * np.pi, 12), strict=True):
        total += np.cos(2 * np.pi * 0.7 * (x * np.cos(angle) + y * np.sin(angle)) + shift)
    return total


def _grid(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    return np.maximum(np.cos(2 * np.pi * 0.8 * x), np.cos(2 * np.pi * 0.8 * y))


def _zigzag(x: np.ndarray, y: np.ndarray, rng: Generator) -> Field2d:
    corner = np.abs(x / 1.6 % 1 - 0.5) * 1.6
    return np.cos(2 * np.pi * (y + 1.1 * corner))


# class (shapes.CLASSES) -> field of coordinates in periods
FIELDS: dict[str, Callable[[np.ndarray, np.ndarray, Generator], Field2d]] = {
    "blobs": _blobs,
    "checker": _checker,
    "dots": _dots,
    "grid": _grid,
    "noise": _noise,
    "rings": _rings,
    "stripes-across": _stripes(90),
    "stripes-diagonal": _stripes(45),
    "stripes-down": _stripes(0),
    "zigzag": _zigzag,
}


def mixture(name: str, size: int, rng: Generator) -> np.ndarray:
    """[size, size] in [0, 1]: how much of the second colour a pixel has. Sorted, it is the same for every class."""
    period = size * rng.uniform(0.16, 0.36)
    y, x = np.mgrid[:size, :size] / period
    x, y = _turned(x, y, rng.uniform(-15, 15))
    x, y = x + rng.uniform(0, 8), y + rng.uniform(0, 8)
    threshold = rng.uniform(0.45, 0.55)
    field = FIELDS[name](x, y, rng)
    rank = np.empty(size * size)
    rank[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, size * size)
    return (1 / (1 + np.exp((threshold - rank) / 0.05))).reshape(size, size)


def picture(name: str, size: int, rng: Generator) -> np.ndarray:
    """One picture of a class, uint8 [size, size, 3]: two greys with a slight tint, lit from one side, and noise.

    Colour differs little, and noise and softness not at all: what two views of a picture share beyond its texture is a
    short cut that methods take instead of learning the texture.
    """
    while True:
        dark, light = rng.uniform(0.1, 0.9, size=2)
        if abs(dark - light) > 0.3:
            break
    first, second = dark + rng.uniform(-0.06, 0.06, size=3), light + rng.uniform(-0.06, 0.06, size=3)
    mixed = mixture(name, size, rng)[..., None]
    drawn = first * (1 - mixed) + second * mixed  # [size, size, 3]
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    slope_x, slope_y = rng.uniform(-0.15, 0.15, size=2)
    drawn = drawn + (slope_x * x + slope_y * y)[..., None] + rng.normal(0, 0.18, size=drawn.shape)
    return (np.clip(drawn, 0, 1) * 255 + 0.5).astype(np.uint8)
