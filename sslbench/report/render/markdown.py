"""Writes a Page as GitHub-flavoured Markdown. Everything that came from outside is escaped, table pipes included."""

import functools
import re

from sslbench.report.blocks import Block, Cell, Page, Row, Span, Table, Text, spans, still
from sslbench.runtime.text import visible

# A backslash before any of these makes it a plain character; < > and & become entities, since HTML passes through.
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~#$@])")
_MARKS = {"tie", "collapsed", "suspicious", "stale", "missing", "failed", "aside"}
_REFERRING = {"figure", "pictures", "strips", "maps", "confusions", "folded"}  # to files, if only inside a fold


def write(page: Page, charts: str = "charts") -> str:
    """The whole report as Markdown, ending in one newline. ``charts``: the folder beside it, which
    images/static_files.py fills.
    """
    blocks = functools.partial(_blocks, charts=charts)
    lines = [f"# {escape(page.title)}", ""]
    if page.note:
        lines += [f"> **{escape(page.note)}**", ""]
    lines += blocks(page.answer)
    for section in page.sections:
        lines += [f"## {escape(section.title)}", "", *blocks(section.blocks)]
        for part in section.parts:
            lines += [f"### {escape(part.title)}", "", *blocks(part.blocks)]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Plain text as Markdown that shows exactly it, on one line."""
    flat = visible(" ".join(str(text).split()))
    entities = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marked = _SPECIAL.sub(r"\\\1", entities)
    # At the start of a line these would open a list or a heading; a bare address would become a link.
    marked = re.sub(r"^(?=[-+](?:\s|$)|[-=][-=\s]*$)", r"\\", re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", marked))
    return re.sub(r"(https?|ftp):(?=//)", r"\1&#58;", re.sub(r"\bwww\.", "www&#46;", marked))


def inline(text: Text, in_table: bool = False) -> str:
    """A Text with its spans."""
    return "".join(_span(piece, in_table) if isinstance(piece, Span) else _edge(piece) for piece in spans(text))


def _edge(piece: str) -> str:
    """Escaped, with one blank kept at either end where there was one."""
    body = escape(piece)
    left = " " if piece[:1].isspace() else ""
    right = " " if piece[-1:].isspace() and body else ""
    return left + body + right


def _span(span: Span, in_table: bool) -> str:
    if span.kind == "code":
        # Code shows backslashes as they are, but a bare pipe would still end a table's cell.
        return _code(span.text.replace("|", "\\|") if in_table else span.text)
    body = escape(span.text)
    if span.kind == "strong":
        return f"**{body}**"
    return f"*{body}*" if span.kind in _MARKS else body


def _code(text: str) -> str:
    """Inline code, by a fence longer than any run of backticks inside."""
    flat = visible(" ".join(text.split()))
    if not flat:
        return ""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _blocks(blocks: tuple[Block, ...], charts: str) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        folder = {"charts": charts} if block.kind in _REFERRING else {}
        lines += [*_WRITERS[block.kind](block, **folder), ""]
    return lines


def _table(table: Table) -> list[str]:
    heads = [escape(c.title) + (f"<br>{escape(c.hint)}" if c.hint else "") for c in table.columns]
    rules = [":--" if column.kind == "text" else "--:" for column in table.columns]
    lines = [f"**{escape(table.caption)}**", "", f"| {' | '.join(heads)} |", f"| {' | '.join(rules)} |"]
    lines += [f"| {' | '.join(_row(row))} |" for row in table.rows]
    if table.notes:
        lines += [""] + [f"{number}. {inline(note)}" for number, note in enumerate(table.notes, start=1)]
    return lines


def _row(row: Row) -> list[str]:
    texts = []
    for cell in row.cells:
        # Markdown has no cells that span: what follows stays empty.
        texts += [_cell(cell)] + [""] * (cell.across - 1)
    if row.kind:
        texts[0] = f"*{texts[0]}*" if "*" not in texts[0] else texts[0]
    return texts


def _cell(cell: Cell) -> str:
    notes = f"<sup>{','.join(map(str, cell.notes))}</sup>" if cell.notes else ""
    return "<br>".join(inline(line, in_table=True) for line in cell.lines) + notes


def _figure(figure: Block, charts: str) -> list[str]:
    return [_image(figure.caption, charts, f"{figure.name}.svg"), "", escape(figure.told)]


def _verdict(verdict: Block) -> list[str]:
    head = f"- **{escape(verdict.about)}**: {inline(verdict.claim)}"
    advice = [f"  - **What to do:** {inline(verdict.advice)}"] if verdict.advice else []
    return [head, *advice, *(f"  - {inline(detail)}" for detail in verdict.details)]


def _pictures(pictures: Block, charts: str) -> list[str]:
    return [
        f"- **{escape(title)}**: {escape(does)}<br>{_image(alt, charts, still(pictures, number))}"
        for number, (title, does, _, alt, *_) in enumerate(pictures.items)
    ]


def _strips(strips: Block, charts: str) -> list[str]:
    """A row per entry: its neighbours of all queries on one picture, and how many are of the query's class."""
    titles = [query.title for query in strips.queries]
    asked = _image(f"The test pictures: {', '.join(titles)}", charts, still(strips, "queries"))
    lines = [f"| Model | {escape(', '.join(titles))} | Of the same class |", "| :-- | :-- | --: |"]
    lines.append(f"| *The test pictures* | {asked} | |")
    for number, row in enumerate(strips.rows):
        right = [sum(tile.tone == "right" for tile in cell) for cell in row.cells]
        each = [f"{title} {n} of {len(c)}" for title, n, c in zip(titles, right, row.cells, strict=True)]
        alt = f"Neighbours by {row.name}, of the same class for {', '.join(each)}"
        shown = f"{_image(alt, charts, still(strips, number))}<br>right: {', '.join(map(str, right))}"
        lines.append(f"| {escape(row.name)} | {shown} | {sum(right)} of {sum(map(len, row.cells))} |")
    return [f"**{escape(strips.caption)}** {escape(strips.told)}", "", *lines]


def _maps(maps: Block, charts: str) -> list[str]:
    """The drawings, which a reader's window breaks into lines; then what each shows."""
    images = [_image(f"{title}: {told}", charts, still(maps, n)) for n, (title, told, _) in enumerate(maps.drawings)]
    told = [f"- {escape(title)}: {escape(told)}" for title, told, _ in maps.drawings]
    return [f"**{escape(maps.caption)}** {escape(maps.told)}", "", *images, "", *told]


def _confusions(confusions: Block, charts: str) -> list[str]:
    lines = [f"**{escape(confusions.caption)}** {escape(confusions.told)}", ""]
    if confusions.matrix:
        names = [escape(name) for name in confusions.classes]
        lines += [f"| Its class, taken for | {' | '.join(names)} |", f"| :-- |{' --: |' * len(names)}"]
        for own, row in enumerate(confusions.matrix):
            counts = [f"**{n}**" if n and place == own else str(n or "·") for place, n in enumerate(row)]
            lines.append(f"| {names[own]} | {' | '.join(counts)} |")
        lines.append("")
    lines += ["| Pictures | Its class | Taken for | How often |", "| :-- | :-- | :-- | --: |"]
    for number, pair in enumerate(confusions.pairs):
        seen = [pair.example and pair.example.title, pair.like and f"one of {pair.like.title}"]
        told = "; beside it ".join(filter(None, seen))
        image = _image(told, charts, still(confusions, number)) if told else ""
        lines.append(f"| {image} | {escape(pair.true)} | {escape(pair.guess)} | {pair.count} of {pair.of} |")
    return lines


def _image(alt: str, charts: str, file: str) -> str:
    return f"![{escape(alt)}]({charts}/{file})"


def _files(files: Block) -> list[str]:
    """Their places among the results; what the HTML page alone holds is named as such."""
    lines = []
    for file in files.items:
        where = _code(file.path) if file.path else f"{_code(file.name)}, inside the HTML page"
        lines.append(f"- {where}: {escape(file.told)}")
    return lines


def _fenced(code: Block) -> list[str]:
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", code.text)), default=0) + 1)
    return [fence, visible(code.text), fence]


def _folded(folded: Block, charts: str) -> list[str]:
    return [f"<details><summary>{escape(folded.summary)}</summary>", "", *_blocks(folded.blocks, charts), "</details>"]


_WRITERS = {
    "table": _table,
    "paragraph": lambda block: [f"> {inline(block.text)}" if block.tone == "note" else inline(block.text)],
    "points": lambda block: [f"- {inline(item)}" for item in block.items],
    "verdict": _verdict,
    "facts": lambda block: [f"- {escape(name)}: {inline(value)}" for name, value in block.items],
    "figure": _figure,
    "pictures": _pictures,
    "strips": _strips,
    "maps": _maps,
    "confusions": _confusions,
    "files": _files,
    "code": _fenced,
    "folded": _folded,
}
