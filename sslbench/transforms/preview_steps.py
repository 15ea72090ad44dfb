"""A transform's operations in words, from their parameters alone. No torch."""

TITLES = {
    "random_resized_crop": "Random resized crop",
    "horizontal_flip": "Mirrored",
    "vertical_flip": "Upside down",
    "rotate": "Rotation",
    "color_jitter": "Colour jitter",
    "gaussian_blur": "Gaussian blur",
    "quarter_turns": "Quarter turns",
    "gaussian_noise": "Gaussian noise",
    "rotate_square": "One square rotated in place",
    "region_confusion": "Tiles shuffled in their neighbourhood",
}  # of an operation of any other name, that name
_SHARE = "{:.3g} %".format


def title(operation: dict) -> str:
    """What the operation is called."""
    name = operation["op"]
    return TITLES.get(name, name.replace("_", " ").capitalize())


def words(operation: dict) -> str:
    """What its parameters say: what it does first, then how often it acts."""
    told = {key: value for key, value in operation.items() if key not in ("op", "p")}
    does = _SAID[operation["op"]](told) if operation["op"] in _SAID else _listed(told)
    often = _often(operation.get("p"))
    return ". ".join(part[0].upper() + part[1:] for part in (does, often) if part) + "." if does or often else ""


def _often(p: float | None) -> str:
    if p is None or p == 1:
        return "in every view"
    return f"in {_SHARE(100 * p)} of the views"


def _listed(told: dict) -> str:
    """Any parameters, by name."""
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in told.items())


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(map(_value, value)) if len(value) == 2 else ", ".join(map(_value, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _crop(told: dict) -> str:
    low, high = (100 * share for share in told["scale"])
    narrow, wide = told["ratio"]
    return f"a box of {low:.3g} to {_SHARE(high)} of the picture, {narrow:.2f} to {wide:.2f} times as wide as high"


def _rotate(told: dict) -> str:
    degrees = told["degrees"]
    return "by exactly 90°" if degrees is None else f"by up to {degrees:g}° either way, black outside"


def _jitter(told: dict) -> str:
    strength = told["strength"]
    by = [f"{key} by up to {_SHARE(100 * strength * told[key])}" for key in ("brightness", "contrast", "saturation")]
    return (
        f"{', '.join(by)} either way, hue by up to {strength * told['hue']:.2g} of the colour circle, in random order"
    )


def _square(told: dict) -> str:
    one = "one for the whole batch" if told["box"] == "batch" else "another in every view"
    return (
        f"a square of {told['smallest']} px to {_SHARE(100 * told['largest_share'])} of the width, {one}, "
        "by 0, 90, 180 or 270°"
    )


def _tiles(told: dict) -> str:
    n, k = told["tiles"], told["reach"]
    code = ", as in the authors' code" if told["variant"] == "code" else ""
    return f"{n} x {n} tiles, each moved by less than {2 * k} rows and columns{code}"


_SAID = {
    "random_resized_crop": _crop,
    "rotate": _rotate,
    "color_jitter": _jitter,
    "solarize": lambda told: f"levels from {_SHARE(100 * told['threshold'])} up are inverted",
    "gaussian_blur": lambda told: f"deviation {told['sigmas'][0]:g} to {told['sigmas'][1]:g} px",
    "quarter_turns": lambda told: "by 90, 180 or 270°",
    "gaussian_noise": lambda told: f"deviation {told['sigmas'][0]:g} to {told['sigmas'][1]:g} of the range of levels",
    "cutout": lambda told: f"a square of {_SHARE(100 * told['share'])} of the width is painted over",
    "rotate_square": _square,
    "region_confusion": _tiles,
}
