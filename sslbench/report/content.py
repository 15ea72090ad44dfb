"""What a report is made of, before it is HTML or Markdown: sections of paragraphs, tables, charts, pictures and code.

One definition, two writers: page.py hands these blocks to the HTML template, markdown.py writes the same blocks as
Markdown. Text is plain text everywhere; only a Span says how a piece of it is set, and only the writers escape.
"""

from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup


@dataclass(frozen=True)
class Span:
    """A piece of text set apart: strong, code, faint (said by the way), or a mark (a word in a frame)."""

    text: str
    kind: Literal["strong", "code", "faint", "tie", "collapsed", "suspicious", "stale", "missing", "failed", "aside"]


Text = str | Span | tuple["str | Span", ...]


@dataclass(frozen=True)
class Cell:
    """A table's cell: lines one below the other, the first the most important."""

    lines: tuple[Text, ...] = ()
    tone: Literal["", "best", "collapsed", "absent", "stale"] = ""
    across: int = 1  # columns that it spans
    notes: tuple[int, ...] = ()  # numbers of the table's footnotes, from 1


@dataclass(frozen=True)
class Column:
    title: str
    kind: Literal["text", "number"] = "number"
    hint: str = ""  # a second, smaller line of the heading
    spare: bool = False  # may be left out on a narrow screen


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
    """What holds for one dataset: the claim, then sentences that qualify it."""

    about: str
    claim: Text
    details: tuple[Text, ...]
    kind: str = field(default="verdict", init=False)


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    items: tuple[tuple[str, Text], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Chart:
    """One or more SVG drawings under one caption. ``told`` says in words what they show, for those who see none."""

    drawings: tuple[tuple[str, Markup], ...]  # (title or "", svg)
    caption: str
    told: str
    legend: tuple[tuple[Markup, str], ...] = ()
    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Pictures:
    """WebP pictures with their titles: (title, what it does, base64, alternative text, width, height)."""

    items: tuple[tuple[str, str, str, str, int, int], ...]
    kind: str = field(default="pictures", init=False)


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


Block = Table | Paragraph | Points | Verdict | Facts | Chart | Pictures | Code | Folded


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


@dataclass(frozen=True)
class Page:
    title: str
    name: str
    note: str  # the caveat that comes before anything else, or ""
    answer: tuple[Block, ...]  # the verdict, in words
    sections: tuple[Section, ...]


def spans(text: Text) -> tuple[str | Span, ...]:
    """Any Text as a sequence of its pieces."""
    return text if isinstance(text, tuple) else (text,)
