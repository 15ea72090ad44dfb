"""A grid too large for one page: what is shown, that it is said, and that the page no longer grows with the grid."""

import copy
import io
import itertools
import re
import zipfile
from base64 import b64decode

import numpy
import pytest

from sslbench.report import page, truncate
from sslbench.report.blocks import Cell as Place
from sslbench.report.blocks import Column, Part, Row, Section, Table
from sslbench.report.collect import csv_tables
from sslbench.report.sections import downloads
from tests.report.conftest import plain_tree, right_for

MOST = 12


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict:
    """A report of four entries and a reference."""
    tree = plain_tree(tmp_path_factory.mktemp("limits"))
    tree.model("random", "random", "reference")
    labels = numpy.arange(1000) % 10
    for i, (model, transform) in enumerate((m, t) for m in ("simclr", "byol") for t in ("baseline", "simclr")):
        tree.finish(tree.cell("nette", model, transform), right_for(1000, 800 - 40 * i), labels, minutes=60 - i)
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right_for(1000, 300), labels)
    return tree.report()


def grown(report: dict, models: int) -> dict:
    """The same with ``models`` more: each a copy of simclr's entries, a little less accurate than the one before."""
    report = copy.deepcopy(report)
    entries, cells = (
        [x for x in report[key] if (x["name"][1] if key == "entries" else x["model"]) == "simclr"]
        for key in ("entries", "cells")
    )
    for i in range(models):
        name = f"more{i:03}"
        report["models"][name] = report["models"]["simclr"] | {"title": name}
        for entry in copy.deepcopy(entries):
            entry["name"][1] = name
            entry["dataset_rank"] = 10 + i
            entry["top1"]["value"] -= 0.0005 * (i + 1)
            entry["behind"] = {"name": entries[0]["name"], "difference": -0.001, "low": -0.01, "high": 0.0}
            entry["behind"] |= {"p": 0.5, "adjusted": 1.0, "discordant": 0.1}
            # the last is the fastest: nothing beats it in both
            entry["minutes"] -= 30 * (i == models - 1)
            report["entries"].append(entry)
        for cell in copy.deepcopy(cells):
            report["cells"].append(cell | {"model": name, "folder": cell["folder"].replace("simclr", name, 1)})
    return report


def sections(html: str) -> dict[str, str]:
    return dict(re.findall(r'<section id="([\w-]+)">(.*?)</section>', html, re.DOTALL))


def test_a_grid_that_fits_is_shown_whole_and_nothing_is_said(small):
    for choose in (truncate.best, truncate.models, truncate.thrifty):
        assert choose(small) is small
    table = Table("t", (Column("n"),), (Row((Place(("1",)),)),) * truncate.ROWS)
    given = [Section(anchor, anchor, (table,), (Part("nette", (table,)),)) for anchor in ("leaderboard", "curves")]
    assert truncate.told(small, given) == given


@pytest.fixture(scope="module")
def pages(small) -> dict:
    """By models added, the page of the grown grid at a limit of MOST entries."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(truncate, "ENTRIES", MOST)
        patched.setattr(truncate, "ROWS", 2 * MOST)
        return {models: page.build(grown(small, models), {}) for models in (20, 80)}


def test_the_page_does_not_grow_with_the_grid_and_says_in_every_section_what_it_leaves_out(pages):
    found = {models: sections(page.html(built)) for models, built in pages.items()}
    few, many = ({name: len(text) for name, text in of.items() if name != "downloads"} for of in found.values())
    assert sum(many.values()) < 1.02 * sum(few.values())
    told = "This grid has 164 entries; a page shows 12. Here up to 12 of each dataset"
    shown = {name for name, text in found[80].items() if told in text}
    assert shown == {"leaderboard", "accuracy", "paired", "charts", "features", "curves"}
    assert all("under Downloads" in found[80][name] for name in shown)
    assert found[80]["leaderboard"].count("<tr") == 1 + MOST + 1  # heads, entries, the reference
    assert found[80]["accuracy"].count('<th scope="row"><span class="first">more') == 2 * (
        MOST // 2 - 2
    )  # in two tables
    assert "more079" in found[80]["charts"] and "more079" not in found[80]["paired"]  # on the line of the cost chart


def test_counts_and_downloads_are_of_the_whole_grid(small, pages):
    report = grown(small, 20)
    assert "All 44 cells of the grid are finished" in str(pages[20].answer)
    files = {file.name: file for file in pages[20].sections[-1].blocks[0].items}
    assert files["entries.csv"].data.decode() == csv_tables.text(csv_tables.entries(report))
    assert len(csv_tables.entries(report)) == 45


def test_references_collapsed_and_failed_entries_are_counted_where_they_are_not_shown(small, monkeypatch):
    monkeypatch.setattr(truncate, "ENTRIES", MOST)
    report = grown(small, 20)
    for entry in report["entries"][-3:]:
        entry["collapsed"], entry["dataset_rank"] = 1, None
    report["entries"][-4]["states"] = {"failed": 1}
    leaders = truncate.best(report)["entries"]
    assert [e["kind"] for e in leaders].count("reference") == 1 and not any(e["collapsed"] for e in leaders)
    (board,) = truncate.told(report, [Section("leaderboard", "Leaderboard")])
    assert "Of all of them: 1 failed and 3 collapsed." in board.blocks[0].text


def test_datasets_share_a_page_equally_and_one_that_needs_less_is_whole(small, monkeypatch):
    monkeypatch.setattr(truncate, "ENTRIES", MOST)
    report = grown(small, 20)
    for entry in report["entries"][:4]:
        entry["name"][0] = "other"
    kept = [entry["name"][0] for entry in truncate.best(report)["entries"] if entry["kind"] == "grid"]
    assert (kept.count("other"), kept.count("nette")) == (4, MOST // 2)


def test_a_long_table_is_cut_with_a_note_that_says_so_and_keeps_its_references():
    rows = [Row((Place((str(i),)),), "reference" if i > 1200 else "") for i in range(1203)]
    table = Table("t", (Column("n"),), tuple(rows), ("a note",))
    (section,) = truncate.told({"entries": []}, [Section("x", "X", (table,))])
    cut = section.blocks[0]
    assert [row.kind for row in cut.rows] == [""] * truncate.ROWS + ["reference"] * 2
    assert cut.notes == ("a note", "Shown are 1,002 of 1,203 rows, the first ones and the references.")


def test_footnotes_of_rows_that_are_cut_go_and_the_others_are_still_those_of_their_cells(monkeypatch):
    monkeypatch.setattr(truncate, "ROWS", 2)
    numbers = ((3,), (), (1, 4), (4, 3), (2,))  # the last row is a reference
    rows = [Row((Place(("m",)), Place((str(i),), notes=of)), "reference" * (i == 4)) for i, of in enumerate(numbers)]
    table = Table("t", (Column("m"), Column("n")), tuple(rows), ("of 2", "of 4", "of 0 and 3", "of 2 and 3", "of all"))
    (section,) = truncate.told({"entries": []}, [Section("x", "X", (table,))])
    cut = section.blocks[0]
    assert cut.notes[:-1] == ("of 4", "of 0 and 3", "of all") and cut.notes[-1].startswith("Shown are 3 of 5 rows")
    said = {row.cells[1].lines[0]: [cut.notes[n - 1] for n in row.cells[1].notes] for row in cut.rows}
    assert said == {"0": ["of 0 and 3"], "1": [], "4": ["of 4"]}


def entry(model: str, transform: int, value: float, rank: int) -> dict:
    return {"name": ["d", model, str(transform)], "kind": "grid", "dataset_rank": rank, "top1": {"value": value}}


@pytest.mark.parametrize("most", [1, 4, 10])
def test_the_best_model_is_always_shown_and_never_more_than_its_share(monkeypatch, most):
    monkeypatch.setattr(truncate, "ENTRIES", most)
    for sizes in itertools.product((1, 3, 4, 11), repeat=3):
        entries = [
            entry(f"m{place}", i, 0.9 - 0.1 * place - 0.001 * i, place + 1)
            for place, size in enumerate(sizes)
            for i in range(size)
        ]
        if sum(sizes) <= most:
            continue
        kept = truncate.models({"entries": entries[::-1], "cells": []})["entries"]
        names = sorted(e["name"][1:] for e in kept)
        assert len(kept) <= most
        own = [name for name in names if name[0] == "m0"]
        assert sorted(own) == sorted(["m0", str(i)] for i in range(min(sizes[0], most)))
        for place in (1, 2):  # whole, or left out because it no longer fitted
            mine = sum(name[0] == f"m{place}" for name in names)
            before = sum(name[0] < f"m{place}" for name in names)
            assert mine == (sizes[place] if before + sizes[place] <= most else 0)


def test_tables_too_large_for_a_link_stand_in_the_archive_and_the_page_says_where(small, monkeypatch):
    monkeypatch.setattr(downloads, "EMBEDDED", 3000)
    report = grown(small, 20)
    files, told, _ = downloads.blocks(report, [])
    (archive,) = (file for file in files.items if file.kind == "application/zip")
    assert "cells.csv" not in {file.name for file in files.items}
    assert "cells.csv (" in str(told.text) and "out/collected" not in str(told.text)
    with zipfile.ZipFile(io.BytesIO(b64decode(archive.address.partition(",")[2]))) as opened:
        assert opened.read("cells.csv").decode() == csv_tables.text(csv_tables.cells(report))
        assert "cells.json" not in opened.namelist()
    monkeypatch.setattr(downloads, "ARCHIVED", 3000)
    files, told, _ = downloads.blocks(report, [])
    archive = next(file for file in files.items if file.kind == "application/zip")
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        assert "cells.csv" not in opened.namelist() and "entries.csv" in opened.namelist()
    assert "is not in the page; it stands at" in str(told.text)
