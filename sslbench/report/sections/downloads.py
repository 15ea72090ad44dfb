"""What a reader takes along: every figure as CSV and JSON, inside the page, so that the page stays one file.

cells.csv, entries.csv and the tables of studies stand there as they are. One archive holds them, the same as JSON, and
each table of the page as it is shown. docs/tables.md says what the columns hold.
"""

import io
import json
import re
import zipfile
from collections.abc import Container, Iterable, Iterator
from pathlib import PurePath

from sslbench.report import studies
from sslbench.report.blocks import Block, File, Files, Paragraph, Section, Span, Table, Text, spans
from sslbench.report.collect import csv_tables
from sslbench.report.wording import listed

EMBEDDED = 700_000  # bytes of one table that the page holds by itself; larger ones stand in the archive alone
ARCHIVED = 16_000_000  # bytes of all cells, beyond which they stand beside the page's data and not in it
_LONGEST = 60  # characters of a file's name in the archive
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the archive's clock stands still: equal tables give equal bytes


def blocks(report: dict, sections: Iterable[Section]) -> tuple[Block, ...]:
    """The downloads of a page that is made of ``report`` and ``sections``."""
    if not report["cells"]:
        return ()
    found = {name: (make(report), told) for name, (make, told) in _TABLES.items()}
    for tables in studies.asked(report, "tables"):
        found |= tables(report)
    kept = {name: rows for name, (rows, _) in found.items() if rows}
    collected = _collected(report)
    texts = {name: _bytes(csv_tables.text(rows)) for name, rows in kept.items()}
    large = {name: f"{name}.csv ({len(text) / 1e6:.1f} MB)" for name, text in texts.items() if len(text) > EMBEDDED}
    left_out = "cells" in large and len(texts["cells"]) > ARCHIVED
    inside = {name: rows for name, rows in kept.items() if not (left_out and name == "cells")}
    archive = _archive(inside, large, sections)
    items = [
        File(
            f"{name}.csv", found[name][1], "text/csv;charset=utf-8", text, f"{collected}/{name}.csv" * (name == "cells")
        )
        for name, text in texts.items()
        if name not in large
    ]
    name = f"{report['plan']['name']}-tables.zip"
    items.append(File(name, "all of these, also as JSON, and every table of this page", "application/zip", archive))
    told = (
        "What the columns hold: ",
        Span("docs/tables.md", "code"),
        ". Everything that this page shows, in one file: ",
    )
    last = Paragraph((*told, Span(f"{collected}/report.json", "code"), "."), "faint")
    return (Files(tuple(items)), *_large(large, left_out, collected), last)


def _large(large: dict[str, str], left_out: bool, collected: str) -> tuple[Block, ...]:
    """What is too large for a link of its own, and where it is."""
    if not large:
        return ()
    inside = [told for name, told in large.items() if not (left_out and name == "cells")]
    text = f"Too large for a link of their own, and as CSV alone in the archive: {listed(inside)}. " if inside else ""
    if "cells" in large:
        where = "is not in the page; it stands at" if left_out else "also stands at"
        return (Paragraph((f"{text}{large['cells']} {where} ", Span(f"{collected}/cells.csv", "code"), ".")),)
    return (Paragraph(text.strip()),)


def shown(sections: Iterable[Section]) -> list[dict]:
    """Every table of the page as plain values, in the page's order."""
    tables = []
    for section in sections:
        for title, held in (("", section.blocks), *((part.title, part.blocks) for part in section.parts)):
            for table in _tables(held):
                tables.append({"section": section.title, "part": title, **_values(table)})
    return tables


def _tables(held: Iterable[Block]) -> Iterator[Table]:
    for block in held:
        if block.kind == "table":
            yield block
        elif block.kind == "folded":
            yield from _tables(block.blocks)


def _values(table: Table) -> dict:
    columns = [" ".join(filter(None, (column.title, column.hint))) for column in table.columns]
    rows = []
    for row in table.rows:
        cells = [[" | ".join(map(plain, cell.lines))] + [""] * (cell.across - 1) for cell in row.cells]
        rows.append([text for group in cells for text in group])
    return {"caption": table.caption, "columns": columns, "rows": rows, "notes": list(map(plain, table.notes))}


def plain(text: Text) -> str:
    return "".join(piece.text if isinstance(piece, Span) else piece for piece in spans(text))


def _archive(kept: dict[str, list[dict]], large: Container[str], sections: Iterable[Section]) -> bytes:
    files, tables = {}, shown(sections)
    for name, rows in kept.items():
        files[f"{name}.csv"] = csv_tables.text(rows)
        if name not in large:
            files[f"{name}.json"] = _json(rows)
    for number, table in enumerate(tables, 1):
        name = re.sub(r"[^a-z0-9]+", "-", " ".join((table["section"], table["part"], table["caption"])).lower())
        rows = [dict(enumerate(row)) for row in (table["columns"], *table["rows"])]
        files[f"page/{number:02}-{name.strip('-')[:_LONGEST].strip('-')}.csv"] = csv_tables.text(rows).partition("\n")[
            2
        ]
    files["page.json"] = _json(tables)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same whatever system writes it
            archive.writestr(entry, _bytes(text))
    return out.getvalue()


def _json(rows: list[dict]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows) + "\n]\n"


def _bytes(text: str) -> bytes:
    """As the page itself writes names that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace")


def _collected(report: dict) -> str:
    """The folder of what collect wrote, as the cells' own folders begin."""
    return str(PurePath(report["cells"][0]["folder"]).parents[3] / "collected" / report["plan"]["name"])


_TABLES = {
    "cells": (csv_tables.cells, "a row per dataset, model, transform and seed"),
    "entries": (
        csv_tables.entries,
        "a row per dataset, model and transform, over its seeds: ranks, ties, differences to the best",
    ),
}
