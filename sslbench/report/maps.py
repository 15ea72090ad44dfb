"""Flat maps of the features, one per entry, of the same test pictures."""

import base64
import binascii

import numpy as np
from markupsafe import Markup

from sslbench.errors import UserError
from sslbench.report.content import Block, Maps
from sslbench.report.strips import Tiles, named
from sslbench.report.wording import Labels, listed

SIDE = 1000  # of a drawing, in its own units
MARGIN = 30
STEPS = 65535  # look.py's


def maps(album: dict, dataset: str, labels: Labels) -> tuple[Block, ...]:
    """One drawing per entry: every test picture a mark by its class, where the first two components put it."""
    found = album.get("datasets", {}).get(dataset)
    if not found or not found["points"]["tiles"]:
        return ()
    points, titles = found["points"], found["titles"]
    classes = sorted(set(points["labels"]))
    tiles = Tiles(album, dataset)
    drawings = []
    for drawn in found["maps"]:
        title = named(drawn, labels)
        told = _told(drawn)
        drawings.append((title, told, drawing(places(drawn["xy"], dataset), points["labels"], f"{title}: {told}")))
    of = f"{len(classes)} of {len(titles)} classes, drawn by lot" if len(classes) < len(titles) else "every class"
    caption = f"{labels.dataset(dataset)}: maps of {len(points['tiles'])} test pictures"
    told = (
        f"The same pictures of {of}, at their first two principal components, whose share of the variance stands "
        "below: what lies apart here is apart, but what lies together may be apart in a direction that is not shown. "
        f"So the share of pictures whose nearest other picture is of their class is given with it. Classes: "
        f"{listed([titles[label] for label in classes])}."
    )
    shown = tuple(tiles.tile(n, titles[label]) for n, label in zip(points["tiles"], points["labels"], strict=True))
    return (Maps(caption, told, tuple(titles[label] for label in classes), tuple(drawings), shown),)


def places(text: str, dataset: str) -> np.ndarray:
    """[n, 2] whole units of a drawing from look.json's coordinates."""
    try:
        steps = np.frombuffer(base64.b64decode(text, validate=True), dtype="<u2").reshape(-1, 2)
    except (ValueError, TypeError, binascii.Error):
        raise UserError(f"album: a map of {dataset} is damaged; delete album.json and run again") from None
    return np.rint(MARGIN + steps * ((SIDE - 2 * MARGIN) / STEPS)).astype(int)


def drawing(at: np.ndarray, labels: list[int], told: str) -> Markup:
    """A path per class, in the order of the points, its marks by the page's markers."""
    paths = []
    order = sorted(set(labels))
    for number, label in enumerate(order):
        mine = [at[i] for i, own in enumerate(labels) if own == label]
        d = "".join(f"M{x} {SIDE - y}" for x, y in mine) + "h0"
        paths.append(Markup('<path class="k{}" d="{}"/>').format(number, d))
    box = Markup('<svg class="map" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">').format(SIDE, told)
    return box + Markup("").join(paths) + Markup("</svg>")


def _told(drawn: dict) -> str:
    alike, shares = drawn["alike"], drawn["explained"]
    return (
        f"{_percent(sum(shares))} of the variance is shown. The nearest other picture is of the same class for "
        f"{_percent(alike['all'])} by all features, for {_percent(alike['plane'])} on the map, by chance for "
        f"{_percent(alike['chance'])}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
