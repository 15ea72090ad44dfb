"""Class and file names of every kind, from the disk through the pack to the report's two forms: text, and only text."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pytest

from sslbench.data import doctor
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from tests.data.data_samples import packed, picture, save, settings_of
from tests.report.conftest import Tree
from tests.tally import survived

pytestmark = pytest.mark.fault

CLASSES = {
    "blanks": "two  words ",
    "quotes": 'it\'s "so"',
    "newline": "line\nbreak",
    "tab": "a\tb",
    "accents": "\u00e9t\u00e9",
    "combining": "e\u0301te\u0301",
    "right to left": "\u05e9\u05dc\u05d5\u05dd",
    "turned round": "safe\u202egpj.exe",
    "turned round and back": "\u2067a\u2069\u061cb",
    "of no width": "ca\u200bt\ufeff\xad",
    "formula": "=1+1",
    "sum": "+1+1",
    "at": "@SUM(A1)",
    "tagged": "cat\U000e0041",
    "wide": "漢字 \U0001f99c",
    "dash": "-rf",
    "markup": "<script>alert(1)<",
    "attribute": '" onload="alert(1)',
    "entity": "&lt;b&gt; &amp",
    "markdown": "*a* _b_ `c` [l](http:x) | # ~~d~~ \\",
    "table": "|---|",
    "template": "{{ 7*7 }} {% x %} ${y} %s {0}",
    "escape": "\x1b[31mred\x07",
    "not UTF-8": os.fsdecode(b"caf\xe9"),
    "shell": "$(touch pwned);`id`&",
}


class Texts(HTMLParser):
    """All text of a page, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts, self.tags, self.attributes = [], set(), set()
        self.scripts: list[list[str]] = []  # type, text
        self.led: list[str] = []  # where to
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.led += [value for name, value in attributes if name in ("href", "src")]
        if tag == "script":
            self.scripts.append([dict(attributes).get("type", ""), ""])

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1][1] += data
        self.texts.append(data)


def readable(name: str) -> str:
    """A name as a reader sees it: blanks run together, and what is no text escaped."""
    shown = (c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in name)
    return " ".join("".join(shown).split())


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every class is named hostilely, and so is a picture of it; one is unreadable, one stands in train and test."""
    root = tmp_path_factory.mktemp("names")
    for number, name in enumerate(CLASSES.values()):
        for part, count in (("train", 2), ("test", 1)):
            for i in range(count):
                save(
                    root / "set" / part / name / f"{i} {name}.png", picture(10 * number + (0 if part == "test" else i))
                )
        (root / "set" / "train" / name / f"bad {name}.jpg").write_text("not a picture")
    return packed(settings_of("folder", path=root / "set", unreadable_share=0.5), root)


def test_names_come_back_from_the_pack_as_they_are_on_the_disk(pack: Path) -> None:
    opened = PackedSet.open(pack, verify=True)
    assert opened.classes == sorted(CLASSES.values())
    expected = {
        f"{part}/{c}/{i} {c}.png" for c in CLASSES.values() for part, i in (("train", 0), ("train", 1), ("test", 0))
    }
    assert set(opened.names) == expected
    assert [opened.classes[label] for label in opened.labels] == [name.split("/")[1] for name in opened.names]
    survived("odd names", "pack", len(CLASSES))


def test_a_log_says_each_on_one_line_that_any_terminal_can_show(pack: Path) -> None:
    lines = doctor.describe(doctor.read(pack, "official"))
    assert sum("left out" in line for line in lines) == len(CLASSES)
    assert all(line.isprintable() and line.encode() for line in lines)
    survived("odd names", "log", len(CLASSES))


@pytest.mark.parametrize("name", CLASSES.values(), ids=list(CLASSES))
def test_an_error_that_names_it_is_one_line_that_any_file_and_terminal_can_hold(name: str) -> None:
    line = str(UserError(f"/data/{name}/x.jpg: is no picture"))
    assert line.isprintable() and line.encode() and "\x1b" not in line and "\u202e" not in line
    survived("odd names", "error", 1)


def test_the_report_shows_them_as_text_in_both_forms(pack: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.dataset("nette", "folder", 1, len(CLASSES), packed=False)
    tree.plan["datasets"]["nette"]["pack"] = str(pack)
    tree.model("simclr", "simclr", title="SimCLR")
    tree.transform("baseline")
    labels = numpy.arange(100) % len(CLASSES)
    tree.finish(tree.cell("nette", "simclr", "baseline"), numpy.arange(100) < 70, labels, classes=len(CLASSES))
    page, text = tree.pages()
    hidden = {c for name in CLASSES.values() for c in name if not c.isprintable()} - {"\n", "\t"}
    assert len(hidden) > 6 and not hidden & set(page + text)
    found = Texts(page)
    shown = " ".join(" ".join(found.texts).split())
    assert not found.tags & {"iframe", "object", "link", "form", "base"}
    code = [script for kind, script in found.scripts if kind != "application/json"]
    assert len(code) == page.count("<script>")  # all of it the page's own:
    assert not any("alert(1)" in script for script in code)
    for kind, script in found.scripts:
        assert kind in ("", "application/json") and (not kind or json.loads(script))
    assert not {name for name in found.attributes if name.startswith("on")}
    table = {" ".join(piece.split()) for piece in found.texts}
    for name in CLASSES.values():
        assert readable(name) in table, name  # the class, alone in its cell
        assert readable(f"train/{name}/bad {name}.jpg") in shown or "more" in shown
    assert "<script" not in text and "\n|---|\n" not in text
    markdown_it = pytest.importorskip("markdown_it", reason="no Markdown parser here")
    parser = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    again = Texts(parser.render(text))
    assert not again.tags & {"script", "a", "s"}, again.tags
    assert all(place.startswith("report-charts/") for place in again.led)
    cells = {" ".join(piece.split()) for piece in again.texts}
    for name in CLASSES.values():
        assert readable(name) in cells, name
    survived("odd names", "report", len(CLASSES))


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "-x", "", ".", "a\n", "é", "<b>", "a|b", "a'b", 'a"b', "$(x)"])
def test_a_dataset_of_such_a_name_is_refused_in_one_line_since_it_names_a_folder(name: str) -> None:
    import yaml

    from sslbench.grid.expand import load

    config = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
    config["datasets"][name] = {"kind": "shapes"}
    with pytest.raises(UserError, match=r"^config: datasets\."):
        load(config)
    survived("odd names", "config")
