"""What the page lets its reader take along: the bytes of collect, the same as JSON, every table that it shows."""

import base64
import csv
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy
import pandas
import pytest

from sslbench.report.collect import csv_tables
from sslbench.report.sections import downloads
from sslbench.studies.claims import claims
from tests.report.conftest import Tree

OF_FROZEN = {"best_frozen", *(f"frozen_{key}" for key in ("difference", "low", "high", "p", "adjusted"))}
OF_FROZEN |= {"seen_level", "has_seen", "licence"}  # test_frozen_rows.py has them
NOT_SIMULATED = OF_FROZEN | {
    "rankme",
    "alpha",
    "lidar",
    "torchvision",
    "lightly",
    "numpy",
    "views",
}  # no such file is made up here
DOCS = Path(__file__).parents[2] / "docs" / "tables.md"


class Links(HTMLParser):
    """Files that a page offers: name -> (media type, bytes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.files: dict[str, tuple[str, bytes]] = {}
        self.tables = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self.tables += tag == "table"
        if "download" in found:
            head, _, data = found["href"].partition(",")
            raw = base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote_to_bytes(data)
            self.files[found["download"]] = (head.removeprefix("data:").removesuffix(";base64"), raw)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Two seeds of three models, a reference, a cell that is missing, and a name that needs quoting; rendered once."""
    tree, labels = Tree(tmp_path_factory.mktemp("made-up")), numpy.arange(1000) % 10
    tree.dataset("nette", "imagenette2-160", 13_394, 10)
    for name in ("simclr", "byol"):
        tree.model(name, name)
        tree.transform(name)
    tree.transform("baseline")
    tree.model('odd, "name" – ü|<b>', "simclr")
    tree.model("random", "random", "reference")
    rng = numpy.random.default_rng(0)
    for model, share in (("simclr", 0.5), ("byol", 0.7), ('odd, "name" – ü|<b>', 0.6)):
        for seed in (0, 1):
            tree.finish(tree.cell("nette", model, "baseline", seed), rng.random(1000) < share, labels)
    tree.finish(tree.cell("nette", "random", "none", epochs=0), rng.random(1000) < 0.2, labels)
    tree.cell("nette", "byol", "simclr")
    tree.html, tree.markdown = tree.pages()
    return tree


def test_the_page_holds_the_bytes_that_collect_wrote(full) -> None:
    files = Links(full.html).files
    kind, data = files["cells.csv"]
    assert kind == "text/csv;charset=utf-8"
    assert data == (full.out / "cells.csv").read_bytes()
    table = pandas.read_csv(io.BytesIO(data))
    assert list(table["model"]) == [cell["model"] for cell in full.plan["cells"]]
    report = json.loads((full.out / "report.json").read_text())
    assert [v for v in table["top1"] if v == v] == [c["top1"]["value"] for c in report["cells"] if c["top1"]["value"]]


def test_the_archive_has_every_table_as_csv_and_json_and_they_agree(full) -> None:
    links = Links(full.html)
    with zipfile.ZipFile(io.BytesIO(links.files["made-up-tables.zip"][1])) as archive:
        assert archive.testzip() is None
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    for name in ("cells", "entries", "claims"):
        assert held[f"{name}.csv"].encode() == links.files[f"{name}.csv"][1]
        rows = list(csv.DictReader(io.StringIO(held[f"{name}.csv"])))
        as_json = json.loads(held[f"{name}.json"])
        assert len(rows) == len(as_json) > 0
        for row, value in zip(rows, as_json, strict=True):
            assert {k: v for k, v in row.items() if v} == {
                k: str(v) for k, v in value.items() if v is not None and v != ""
            }
    shown = json.loads(held["page.json"])
    assert len(shown) == links.tables > 2
    pages = sorted(name for name in held if name.startswith("page/"))
    assert len(pages) == len(shown)
    for name, table in zip(pages, shown, strict=True):
        assert re.fullmatch(r"page/\d\d-[a-z0-9-]+\.csv", name)
        read = [[text.removeprefix("'") for text in row] for row in csv.reader(io.StringIO(held[name]))]
        assert read == [table["columns"], *table["rows"]]  # what a spreadsheet would compute begins with an apostrophe


def test_equal_results_give_an_equal_archive_whatever_the_clock_says(full, monkeypatch) -> None:
    report = json.loads((full.out / "report.json").read_text())
    archives = []
    for now in (1_000_000_000.0, 2_000_000_000.0):
        monkeypatch.setattr("time.time", lambda now=now: now)
        archives.append(downloads.blocks(report, ())[0].items[-1].data)
    assert archives[0] == archives[1]


def test_the_markdown_names_where_the_files_lie(full) -> None:
    text = full.markdown
    assert "`results/collected/made-up/cells.csv`" in text
    assert "`results/collected/made-up/report.json`" in text


def test_numbers_come_back_exactly_and_what_is_not_known_is_empty() -> None:
    rows = [{"a": 0.1 + 0.2, "b": 3, "c": None}, {"a": float("nan"), "b": None, "d": 'x,"y"\nz'}]
    first, second = csv.DictReader(io.StringIO(csv_tables.text(rows)))
    assert float(first["a"]) == 0.1 + 0.2
    assert first == {"a": repr(0.1 + 0.2), "b": "3", "c": "", "d": ""}
    assert second == {"a": "", "b": "", "c": "", "d": 'x,"y"\nz'}


def test_every_column_is_documented_and_no_other(full) -> None:
    text = DOCS.read_text()
    report = json.loads((full.out / "report.json").read_text())
    for name, make in (("cells", csv_tables.cells), ("entries", csv_tables.entries), ("claims", claims.rows)):
        section = text.split(f"\n## {name}.csv\n")[1].split("\n## ")[0]
        documented = [
            word for line in re.findall(r"^\| (`.*?) \|", section, re.M) for word in re.findall("`(.*?)`", line)
        ]
        tail = "(_low|_high|_sd)?" if "_low" in documented else ""
        patterns = [re.sub(r"<\w+>", "[^,]+", word) + tail * word.endswith(">") for word in documented]
        columns = set(next(csv.reader(io.StringIO(csv_tables.text(make(report))))))
        undocumented = [c for c in columns if not any(re.fullmatch(p, c) for p in patterns)]
        assert not undocumented
        written = [
            word for word in documented if "<" not in word and not word.startswith("_") and word not in NOT_SIMULATED
        ]
        assert set(written) <= columns
