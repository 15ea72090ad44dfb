"""Charts by Altair: one Vega-Lite specification each, as canonical JSON for the page and as SVG for everyone else.

A chart names its colours by the light scheme of report/render/templates/light.css and by nothing else; rules by
attribute then turn each into the page's variable of that role, so that both drawings follow the scheme without being
drawn again. Nothing here varies between two runs: no hashed names, no clock, numbers of fixed length, fonts that
vl-convert brings along.
"""

import functools
import json
import re
import string
from html import unescape
from importlib import resources
from typing import Any

import altair
import vl_convert
from markupsafe import Markup, escape

from sslbench.report.blocks import Figure
from sslbench.report.files import drawable, slug

DIGITS = 5  # significant, of every number in a specification
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first is in vl-convert; the next two are as wide
_WIDER = 0.16  # DejaVu Sans, which a bare Linux has, than those
SIZE = 11  # px of text, where a chart does not say otherwise
_ROLES = ("ink", "faint", "rule", "grid", "paper", "accent", "bad", *(f"s{i}" for i in range(8)))
_TEMPLATES = resources.files("sslbench.report.render") / "templates"


@functools.cache
def palette() -> dict[str, tuple[str, str]]:
    """Role -> its colour in the light and in the dark scheme, as the page has them."""
    found = [dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", template(f"{name}.css"))) for name in ("light", "dark")]
    return {role: tuple(scheme[role] for scheme in found) for role in _ROLES}


def colour(role: str) -> str:
    """A role's colour for a specification: the light one, which stands for the role."""
    return palette()[role][0]


def series(count: int) -> list[str]:
    """Colours of ``count`` series; they repeat after eight, as shapes and dashes do not all at the same place."""
    return [colour(f"s{i % 8}") for i in range(count)]


SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
DASHES = ([1, 0], [6, 3], [2, 2.5], [8, 3, 2, 3], [1, 3], [10, 4], [4, 4], [3, 1.5])


@functools.cache
def theme() -> dict[str, Any]:
    """Vega-Lite's configuration: what all charts share. It stands in the page once, not in each specification."""
    ink, faint, rule, grid = (colour(role) for role in ("ink", "faint", "rule", "grid"))
    quiet = {"labelColor": faint, "titleColor": faint, "titleFontWeight": "normal", "labelFontSize": SIZE}
    axis = quiet | {"titleFontSize": SIZE, "domain": False, "gridColor": grid, "tickColor": rule, "tickSize": 4}
    return {
        "aria": False,  # the figure says in words what it shows; 65 marks read out one by one do not
        "background": None,
        "font": FONT,
        "padding": 4,
        "view": {"stroke": None},
        "axis": axis | {"labelPadding": 5, "titlePadding": 8, "labelLimit": 280},
        "legend": quiet | {"labelColor": ink, "title": None, "orient": "top", "offset": 10, "symbolStrokeWidth": 1.5}
        | {"labelLimit": 240, "columnPadding": 16},
        "header": {"title": None, "labelColor": ink, "labelFontSize": 12, "labelFontWeight": 600}
        | {"labelAnchor": "start", "labelPadding": 6, "labelLimit": 220},
        "text": {"fill": ink, "fontSize": SIZE},
        "point": {"strokeWidth": 1.5, "opacity": 1},
        "line": {"strokeWidth": 1.6, "strokeJoin": "round"},
    }  # fmt: skip


def figure(
    chart: altair.TopLevelMixin, rows: list[dict], caption: str, told: str, name: tuple[str, ...], **usermeta: object
) -> Figure:
    """A block of the report from a chart without data and its ``rows``, which the specification holds once.

    ``name``: what tells this figure from the others of a page, e.g. its kind and its dataset. ``usermeta``: what
    charts.js should know (see there).
    """
    spec = _inherited(chart.to_dict(validate=False))  # the tests validate; it costs as much as drawing
    for key in ("$schema", "config", "datasets"):  # an address, Altair's own theme, and a name for no data
        spec.pop(key, None)
    spec["data"] = {"values": rows}
    if usermeta:
        spec["usermeta"] = usermeta
    text = _canonical(spec)
    return Figure(Markup(text), drawing(text, slug(*name)), drawable(caption), drawable(told), slug(*name))


def drawing(spec: str, name: str) -> Markup:
    """The SVG of a specification, without anything that a drawing which stands still does not need."""
    svg = vl_convert.vegalite_to_svg(spec, config=theme(), allowed_base_urls=[])
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    body = svg[svg.index(">") + 1 :]
    body = re.sub(r"<[^>]+>", _shortened, body)
    body = re.sub(r'<path d="(?:M0,0h[^"]*)?"(?: [\w-]+="none")*/>', "", body)
    body = _ungrouped(body)
    body = re.sub(r'((?<= id=")|(?<=url\(#)|(?<=href="#))(?=[\w-])', f"{name}-", body)
    room = _room(body)
    wide = f"{float(size[1]) + room:g}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-room} 0 {wide} {size[2]}" '
    return Markup(f'{head}width="{wide}" height="{size[2]}" font-family="{FONT}" font-size="{SIZE}">{body}')


def _room(body: str) -> int:
    """px that labels which end at an axis may need on its left, where the reader has none but wider fonts."""
    labels = re.findall(r'<text text-anchor="end"[^>]*>([^<]*)<', body)
    return round(max((len(unescape(label)) for label in labels), default=0) * SIZE * 0.55 * _WIDER)


def standalone(block: Figure) -> str:
    """A figure as an SVG file that reads on any ground: it brings its paper, and follows the reader's scheme."""
    dark = "".join(_rule(role, dark, "") for role, (_, dark) in palette().items())
    style = f"<style>@media (prefers-color-scheme: dark){{{dark}}}</style>"
    left = re.search(r'viewBox="(\S+)', block.svg)[1]
    paper = f'<rect x="{left}" width="100%" height="100%" fill="{colour("paper")}"/>'
    start = block.svg.index(">") + 1
    title = f"<title>{escape(block.caption)}</title>"
    return f"{block.svg[:start]}{title}{style}{paper}{block.svg[start:]}\n"


def style() -> str:
    """Rules that give the page's variables to the colours of its charts, drawn still or live."""
    return template("charts.css") + "".join(_rule(role, f"var(--{role})", "figure[data-chart] ") for role in palette())


# Whose the script is; their licences ask that a copy says so.
_LICENCE = (
    "/*! Vega, Vega-Lite and Vega-Embed: Copyright University of Washington Interactive Data Lab and contributors, "
    "BSD 3-Clause. D3: Copyright Mike Bostock, ISC. Provided as is, without warranty. */"
)


@functools.cache
def bundle() -> str:
    """Vega, Vega-Lite, vega-embed and charts.js, which draws the figures live: one classic script, no import."""
    boot = string.Template(template("charts.js"))
    script = vl_convert.javascript_bundle(boot.substitute(theme=_canonical(theme())))
    # In a function of its own: the bundle's hundreds of short names would be the page's.
    # Only what would end the element is escaped: "</" alone also stands in regular expressions.
    ended = re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE)
    return _LICENCE + f"(function(){{{ended}}})();".replace("<!--", "<\\!--")


def template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _canonical(value: object) -> str:
    """JSON with sorted keys, short numbers and texts that can be drawn, which may stand inside a script element."""
    text = json.dumps(_short(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _short(value: object) -> object:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    if isinstance(value, str):
        return drawable(value)
    if isinstance(value, float):
        number = float(f"{value:.{DIGITS}g}")
        return int(number) if number.is_integer() and abs(number) < 1e9 else number
    return value


def _inherited(spec: Any) -> Any:
    """A specification whose layers take from above what they share: the data, and encodings that all of them have."""
    if isinstance(spec, list):
        return [_inherited(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    spec = {key: _inherited(value) for key, value in spec.items() if key != "data"}
    encodings = [layer.get("encoding", {}) for layer in spec.get("layer", ())]
    shared = {}
    for channel in sorted(set.intersection(*map(set, encodings)) if encodings else ()):
        told = [encoding[channel] for encoding in encodings]
        shared[channel] = max(told, key=told.count)
    for encoding in encodings:
        for channel in [c for c in shared if encoding[c] == shared[c]]:
            del encoding[channel]
    return spec | ({"encoding": shared} if shared else {})


def _shortened(match: re.Match) -> str:
    """A tag without classes, roles and digits beyond a tenth of a pixel."""
    tag = re.sub(r' (?:class|role|pointer-events|aria-[\w-]+|xmlns:xlink|version)="[^"]*"', "", match[0])
    tag = re.sub(r' (?:transform="translate\(0,0\)"|opacity="1"|stroke-width="1"|stroke-dasharray="1,0")', "", tag)
    tag = re.sub(rf' (?:font-family="{FONT}"|font-size="{SIZE}px")', "", tag)
    return re.sub(r'(?<!opacity)="[^"]*\.[^"]*"', lambda value: re.sub(r"-?\d+\.\d{2,}", _tenths, value[0]), tag)


def _ungrouped(body: str) -> str:
    """The drawing without groups that have no attribute, and so no effect."""
    kept: list[bool] = []

    def chosen(tag: re.Match) -> str:
        if tag[0] != "</g>":
            kept.append(tag[0] != "<g>")
        return tag[0] if (kept.pop() if tag[0] == "</g>" else kept[-1]) else ""

    return re.sub(r"<g(?: [^>]*[^/>])?>|</g>", chosen, body)


def _tenths(number: re.Match) -> str:
    text = f"{float(number[0]):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _rule(role: str, value: str, scope: str) -> str:
    name = colour(role)
    return f'{scope}[fill="{name}"]{{fill:{value}}}{scope}[stroke="{name}"]{{stroke:{value}}}'
