"""SVG as text: what every drawing of the report is made of. Fixed digits, so that equal data give equal bytes."""

from collections.abc import Iterable

from markupsafe import Markup, escape


def text(x: float, y: float, text: str, classes: str) -> Markup:
    return tag("text", {"class": classes, "x": x, "y": y}, escape(text))


def drawing(width: int, height: int, title: str, parts: Iterable[Markup], classes: str) -> Markup:
    told = {"role": "img", "aria-label": title} if title else {"aria-hidden": "true"}
    box = {"class": classes, "viewBox": f"0 0 {width} {height}", "width": width, "height": height}
    return tag("svg", box | told, *parts)


def tag(name: str, attributes: dict, *children: Markup | str) -> Markup:
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(key), f"{value:.1f}" if isinstance(value, float) else value)
        for key, value in attributes.items()
        if value != ""
    )
    inside = Markup("").join(children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)
