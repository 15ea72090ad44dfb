"""Flat maps of the features, one per entry, of the same test pictures."""

import base64
import binascii
import functools
import re

import numpy as np
from markupsafe import Markup, escape

from sslbench.errors import UserError
from sslbench.report.blocks import Block, Maps
from sslbench.report.charts import vega
from sslbench.report.files import drawable, slug
from sslbench.report.images.neighbours import Tiles, named
from sslbench.report.truncate import pictured
from sslbench.report.wording import Labels, listed

SIDE = 1000  # of a drawing, in its own units
MARGIN = 30
STEPS = 65535  # evaluation/neighbours_and_map.py's
# Around (0, 0): a mark for each of the classes that a map shows, in their order; pictures.css has the colours.
MARKS = (
    "M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0z",
    "M-9-9h18v18h-18z",
    "M0-12l11 19h-22z",
    "M0-12l12 12-12 12-12-12z",
    "M-11-4h7v-7h8v7h7v8h-7v7h-8v-7h-7z",
    "M0 12l-11-19h22z",
    "M-12-5h24v10h-24z",
    "M-5-12h10v24h-10z",
    "M-11-6l5-5 6 6 6-6 5 5-6 6 6 6-5 5-6-6-6 6-5-5 6-6z",
    "M0-12l3 8 9 1-7 5 3 9-8-6-8 6 3-9-7-5 9-1z",
)


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
    ) + pictured(found.get("cut", {}))
    shown = tuple(tiles.tile(n, titles[label]) for n, label in zip(points["tiles"], points["labels"], strict=True))
    legend = tuple(titles[label] for label in classes)
    return (Maps(caption, told, legend, tuple(drawings), shown, slug("map", dataset)),)


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


def standalone(title: str, drawing: Markup, legend: tuple[str, ...]) -> str:
    """A map as an SVG file of its own: with its title, its legend and its paper, in the reader's scheme."""
    inside = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    rows = -(-len(legend) // 2)
    above, high = 84, SIDE + 84 + 24 + 56 * rows
    marks, entries = [], []
    for number, name in enumerate(legend):
        marks.append(
            f'<marker id="k{number}" class="k{number}" markerUnits="userSpaceOnUse" markerWidth="30" markerHeight="30" '
            f'viewBox="-15 -15 30 30"><path d="{MARKS[number]}"/></marker>'
        )
        x, y = 24 + SIDE // 2 * (number // rows), SIDE + 52 + 56 * (number % rows)
        entries.append(
            f'<path class="k{number}" d="M{x} {y}h0"/><text x="{x + 26}" y="{y + 12}">{_short(name, 24)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -{above} {SIDE} {high}" width="320" '
        f'height="{round(0.32 * high)}" font-family="{vega.FONT}" font-size="34"><title>{_short(title, 200)}</title>'
        f'<style>{_style(len(legend))}</style><rect class="paper" y="-{above}" width="100%" height="100%"/>'
        f'<defs>{"".join(marks)}</defs><text x="6" y="-28" font-weight="600">{_short(title, 50)}</text>'
        f'<rect class="frame" x="2" y="2" width="{SIDE - 4}" height="{SIDE - 4}" rx="10"/>'
        f"{inside}{''.join(entries)}</svg>\n"
    )


@functools.cache
def _style(classes: int) -> str:
    """The page's colours, light and dark, and its marks; see pictures.css."""
    sheet = vega.template("pictures.css")
    light = dict(re.findall(r"(?:^|} )\.k(\d) { fill: (#\w{6});", sheet, re.M))
    dark = dict(re.findall(r'data-theme="dark"] \.k(\d) { fill: (#\w{6});', sheet))
    ground = {role: vega.palette()[role] for role in ("paper", "ink", "rule")}
    told = [f"path.k{number}{{marker:url(#k{number})}}" for number in range(classes)]
    told.append("path[class^=k]{marker-end:none}.frame{fill:none;stroke-width:3}")
    for place, colours in enumerate((light, dark)):
        rules = "".join(f".k{n}{{fill:{colours[str(n)]}}}" for n in range(classes) if str(n) in colours)
        paper, ink, rule = (ground[role][place] for role in ground)
        rules += f".paper{{fill:{paper}}}text{{fill:{ink}}}.frame{{stroke:{rule}}}"
        told.append(f"@media (prefers-color-scheme: dark){{{rules}}}" if place else rules)
    return "".join(told)


def _short(text: str, most: int) -> Markup:
    """A name as XML may hold it, on one line of at most ``most`` characters."""
    plain = " ".join(drawable(text).split())
    return escape(plain if len(plain) <= most else plain[: most - 1] + "…")
