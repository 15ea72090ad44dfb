"""What cells were made on and with: one environment where they agree, a numbered list where they do not."""

from typing import NamedTuple

from sslbench.report.blocks import Block, Cell, Column, Paragraph, Row, Span, Table
from sslbench.report.wording import counted, listed

_ALONE = "torch"  # whose version may change figures by itself; the first to be named
_MOST = 6  # of names in a sentence


class Environment(NamedTuple):
    """Facts in a fixed order, name -> value in words, and the cells that were made so."""

    facts: dict[str, str]
    cells: list[dict]


def environments(shown: list[dict]) -> list[Environment]:
    """The environments of ``shown``, the most frequent first."""
    found: dict[tuple, Environment] = {}
    names = sorted({name for cell in shown for name in versions(cell)})
    for cell in shown:
        facts = _facts(cell, names)
        found.setdefault(tuple(facts.values()), Environment(facts, [])).cells.append(cell)
    return sorted(found.values(), key=lambda one: (-len(one.cells), list(one.facts.values())))


def table(found: list[Environment]) -> tuple[Block, ...]:
    """The facts in which the environments differ, a row for each; nothing where there is one."""
    if len(found) < 2:
        return ()
    names = [name for name in found[0].facts if len({one.facts[name] for one in found}) > 1]
    columns = (Column("Environment"), *(Column(name, "text") for name in names), Column("Cells"))
    rows = [
        Row((Cell((str(number),)), *(Cell((one.facts[name],)) for name in names), Cell((str(len(one.cells)),))))
        for number, one in enumerate(found, 1)
    ]
    return (Table("Environments in which the cells were made, where they differ", columns, tuple(rows)),)


def numbers(found: list[Environment]) -> dict[int, int]:
    """The environment's number by identity of the cell, from 1."""
    return {id(cell): number for number, one in enumerate(found, 1) for cell in one.cells}


def warnings(shown: list[dict]) -> list[Block]:
    """What of the making may matter to figures: versions of torch that differ, and trees that no commit holds."""
    blocks: list[Block] = []
    by_version: dict[str, list[str]] = {}
    for cell in shown:
        if version := versions(cell).get(_ALONE):
            by_version.setdefault(str(version), []).append(_name(cell))
    if len(by_version) > 1:
        *fewer, (most, _) = sorted(by_version.items(), key=lambda item: (len(item[1]), item[0]))
        told = "; ".join(f"torch {version}: {listed(sorted(set(names)))}" for version, names in fewer)
        text = "Cells differ in their version of torch, and may differ in their figures for that alone."
        blocks.append(Paragraph(f"{text} {told}; all others: torch {most}.", "note"))
    if dirty := [_name(cell) for cell in shown if cell["made"]["clean"] is False]:
        which = "all of them" if len(dirty) == len(shown) else listed(sorted(set(dirty)), most=_MOST)
        were = "cell was" if len(dirty) == 1 else "cells were"
        text = f"{len(dirty):,} {were} made from a tree with uncommitted changes ({which}): no commit holds their code."
        blocks.append(Paragraph(text, "note"))
    for note in dict.fromkeys(note for cell in shown for note in cell["made"].get("notes") or []):
        count = sum(note in (cell["made"].get("notes") or []) for cell in shown)
        blocks.append(
            Paragraph(f"Not quite as asked for, in {counted(count, 'cell')}: {note}.".replace("..", "."), "note")
        )
    return blocks


def versions(cell: dict) -> dict:
    """Without the threads, which have a line of their own."""
    return {name: found for name, found in (cell["run"].get("versions") or {}).items() if name != "threads"}


def commit(cell: dict) -> str:
    made = cell["made"]
    if not made["commit"]:
        return "not known"
    tree = {True: ", clean", False: " with uncommitted changes"}.get(made["clean"], "")
    return f"{made['commit'][:12]}{tree}"


def hardware(cell: dict) -> str:
    made, several = cell["made"], cell["made"].get("devices") or 1
    device = str(made["device"] or "not known")
    return f"{several} x {device}" if several > 1 else device


def digests(shown: list[dict], found: list[Environment]) -> Table:
    """A row per dataset, model and transform: its folder, each seed's digest, and the environment where they differ."""
    number, several = numbers(found), len(found) > 1
    rows: dict[str, list[dict]] = {}
    for cell in shown:
        rows.setdefault(cell["folder"].rpartition("/")[0], []).append(cell)
    columns = [Column("Folder", "text"), Column("Digest, by seed", "text")]
    columns += [Column("Environment", "text")] if several else []
    lines = []
    for folder, cells in rows.items():
        found_ = [
            Span(f"{c['folder'].rpartition('/')[2]} {str(c['run'].get('digest') or '')[:16]}", "code") for c in cells
        ]
        used = list(dict.fromkeys(str(number[id(c)]) for c in cells))
        made = (tuple(str(number[id(c)]) for c in cells) if len(used) > 1 else tuple(used),) if several else ()
        lines.append(Row((Cell((Span(folder, "code"),)), Cell(tuple(found_)), *(Cell(one) for one in made))))
    caption = "Digest of settings, code and data (first 16 digits) of every finished cell; in full in cells.csv"
    return Table(caption, tuple(columns), tuple(lines))


def _facts(cell: dict, names: list[str]) -> dict[str, str]:
    made = cell["made"]
    facts = {"Commit": commit(cell), "Hardware": hardware(cell)}
    facts |= {"CPU threads": str(made["threads"] or "not known"), "System": str(made.get("platform") or "not known")}
    return facts | {f"Version of {name}": str(versions(cell).get(name)) for name in names}


def _name(cell: dict) -> str:
    return "/".join((cell["dataset"], cell["model"], cell["transform"]))
