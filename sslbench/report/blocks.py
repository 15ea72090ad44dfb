"""What a report is made of, before it is HTML or Markdown: sections of paragraphs, tables, charts, pictures and code.

One definition, two writers: page.py hands these blocks to the HTML template, markdown.py writes the same blocks as
Markdown, and images/static_files.py the charts and pictures that it shows, as files. Text is plain text everywhere;
only a Span says how a piece of it is set, and only the writers escape.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from markupsafe import Markup

_UNQUOTED = "!$()*+,-./:;=?@[]_~|"  # of a data: URI in an attribute; letters and digits besides


@dataclass(frozen=True)
class Span:
    """A piece of text set apart: strong, code, faint (said by the way), or a mark (a word in a frame)."""

    text: str
    kind: Literal[
        "strong",
        "code",
        "faint",
        "tie",
        "healthy",
        "current",
        "collapsed",
        "suspicious",
        "stale",
        "missing",
        "failed",
        "aside",
    ]


Text = str | Span | tuple["str | Span", ...]


@dataclass(frozen=True)
class Cell:
    """A table's cell: lines one below the other, the first the most important."""

    lines: tuple[Text, ...] = ()
    tone: Literal["", "best", "collapsed", "absent", "stale"] = ""
    across: int = 1  # columns that it spans
    notes: tuple[int, ...] = ()  # numbers of the table's footnotes, from 1
    order: float | None = None  # on a board: what the column is sorted by, where that is not the first line's text
    bar: tuple[float, float, float] | None = None  # low, value, high as shares of the cell's width: drawn to scale


@dataclass(frozen=True)
class Column:
    title: str
    kind: Literal["text", "number"] = "number"
    hint: str = ""  # a second, smaller line of the heading
    spare: bool = False  # may be left out on a narrow screen
    choice: bool = False  # on a board: a reader may keep the rows that share one of its values


@dataclass(frozen=True)
class Row:
    """The first cell is the row's heading. ``kind`` sets reference rows and published rows apart."""

    cells: tuple[Cell, ...]
    kind: Literal["", "reference", "published"] = ""


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[Text, ...] = ()
    board: bool = False  # a reader may sort and filter it; without scripts it is a table as any other
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Paragraph:
    text: Text
    tone: Literal["", "lead", "note", "faint"] = ""
    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True)
class Points:
    """A bulleted list."""

    items: tuple[Text, ...]
    kind: str = field(default="points", init=False)


@dataclass(frozen=True)
class Verdict:
    """What holds for one dataset: the claim, what to do about it, then sentences that qualify it."""

    about: str
    claim: Text
    details: tuple[Text, ...]
    advice: Text = ""
    kind: str = field(default="verdict", init=False)


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    items: tuple[tuple[str, Text], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Figure:
    """A chart: live from ``spec`` where there is JavaScript, else ``svg``. ``told`` says in words what it shows."""

    spec: Markup  # canonical JSON of Vega-Lite, with its data; may stand in a script element as it is
    svg: Markup
    caption: str
    told: str
    name: str  # unique on the page: its id, and its SVG's file name
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Pictures:
    """WebP pictures with their titles: (title, what it does, base64, alternative text, width, height)."""

    items: tuple[tuple[str, str, str, str, int, int], ...]
    name: str  # unique on the page: its files' names beside the Markdown begin with it
    kind: str = field(default="pictures", init=False)


@dataclass(frozen=True)
class Tile:
    """A thumbnail: column and row on its sheet, and what it shows."""

    sheet: str
    x: int
    y: int
    title: str
    tone: Literal["", "right", "wrong"] = ""  # its class beside that of the picture it is shown for


@dataclass(frozen=True)
class Sheet:
    """Thumbnails on one WebP picture, square and equally large."""

    name: str  # unique on the page
    columns: int
    rows: int
    data: str  # base64


@dataclass(frozen=True)
class Strip:
    """One entry's neighbours of every query."""

    name: str
    cells: tuple[tuple[Tile, ...], ...]


@dataclass(frozen=True)
class Strips:
    """A table of thumbnails: a column per query, a row per entry."""

    caption: str
    told: str
    queries: tuple[Tile, ...]
    rows: tuple[Strip, ...]
    name: str  # unique on the page: its files' names beside the Markdown begin with it
    kind: str = field(default="strips", init=False)


@dataclass(frozen=True)
class Maps:
    """Drawings of the same points, each with its title and what it shows in words."""

    caption: str
    told: str
    legend: tuple[str, ...]  # classes, in the order of their marks
    drawings: tuple[tuple[str, str, Markup], ...]
    tiles: tuple[Tile, ...]  # of the points, class by class
    name: str  # unique on the page: its files' names beside the Markdown begin with it
    kind: str = field(default="maps", init=False)


@dataclass(frozen=True)
class ConfusedPair:
    """``count`` of ``of`` pictures of class ``true`` are taken for ``guess``; one of them, and one of the other."""

    true: str
    guess: str
    count: int
    of: int
    example: Tile | None
    like: Tile | None


@dataclass(frozen=True)
class Confusions:
    """``matrix``: how often each class (row) is taken for each (column); () where there are too many."""

    caption: str
    told: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    pairs: tuple[ConfusedPair, ...]
    name: str  # unique on the page: its files' names beside the Markdown begin with it
    kind: str = field(default="confusions", init=False)


@dataclass(frozen=True)
class File:
    """A file that the page holds. ``path``: where the same file lies among the results, or "" where it does not."""

    name: str
    told: str
    kind: str  # media type
    data: bytes
    path: str = ""

    @property
    def address(self) -> str:
        """As a data: URI, in the shorter of its two forms; printable ASCII without quotes, &, < and >."""
        encoded = (f";base64,{base64.b64encode(self.data).decode()}", f",{quote(self.data, safe=_UNQUOTED)}")
        return f"data:{self.kind}{min(encoded, key=len)}"

    @property
    def size(self) -> str:
        return f"{len(self.data) / 1e6:.1f} MB" if len(self.data) >= 1e6 else f"{max(len(self.data) / 1e3, 0.1):.1f} kB"


@dataclass(frozen=True)
class Files:
    """Files to take along."""

    items: tuple[File, ...]
    kind: str = field(default="files", init=False)


@dataclass(frozen=True)
class Code:
    text: str
    kind: str = field(default="code", init=False)


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens when wanted."""

    summary: str
    blocks: tuple["Block", ...]
    kind: str = field(default="folded", init=False)


Block = (
    Table
    | Paragraph
    | Points
    | Verdict
    | Facts
    | Figure
    | Pictures
    | Strips
    | Maps
    | Confusions
    | Files
    | Code
    | Folded
)


@dataclass(frozen=True)
class Part:
    """A named part of a section, e.g. one dataset."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Section:
    anchor: str  # unique, [a-z-]
    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[Part, ...] = ()
    short: str = ""  # its title in the navigation, where there is less room


@dataclass(frozen=True)
class Page:
    title: str
    name: str
    note: str  # the caveat that comes before anything else, or ""
    answer: tuple[Block, ...]  # the verdict, in words
    sections: tuple[Section, ...]
    sheets: tuple[Sheet, ...] = ()  # of the thumbnails
    foot: str = ""  # what every printed sheet says at its foot


def spans(text: Text) -> tuple[str | Span, ...]:
    """Any Text as a sequence of its pieces."""
    return text if isinstance(text, tuple) else (text,)


def blocks(page: Page) -> Iterator[Block]:
    """Every block of a page in its order, folded ones behind their fold."""

    def within(some: tuple[Block, ...]) -> Iterator[Block]:
        for block in some:
            yield block
            if isinstance(block, Folded):
                yield from within(block.blocks)

    yield from within(page.answer)
    for section in page.sections:
        for some in (section.blocks, *(part.blocks for part in section.parts)):
            yield from within(some)


def figures(page: Page) -> tuple[Figure, ...]:
    """Every chart of a page, in its order."""
    return tuple(block for block in blocks(page) if isinstance(block, Figure))


def still(block: Pictures | Strips | Maps | Confusions, part: int | str) -> str:
    """The name of the file beside the Markdown that shows a part of ``block``."""
    return f"{block.name}--{part}.{'svg' if isinstance(block, Maps) else 'webp'}"
