"""The page: the article's shape, each figure in its place, nothing unescaped, nothing from outside, equal bytes."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pytest

from sslbench.errors import UserError
from sslbench.report import page
from sslbench.report.page import render
from sslbench.report.render import markdown

HOSTILE = """<script>alert("1")</script> 'q' | `c` *b* _i_ [l](http://x.example) & ünï 漢字 ${x} {{ y }}"""
WEBP = base64.b64encode(b"RIFF0000WEBP").decode()


TRACEBACK = """Traceback (most recent call last):
  File "pretrain.py", line 3, in <module>
    raise ValueError
ValueError: no such thing
and its second line
"""


SCRIPT = (Path(page.__file__).parent / "render" / "templates" / "page.js").read_text()


def scripts(html: str) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def without_scripts(html: str) -> str:
    return re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


def right(n: int, count: int) -> numpy.ndarray:
    return numpy.arange(n) < count


class Read(HTMLParser):
    """Tables as lists of rows of texts by caption, and every attribute that could load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables, self.links, self.tags, self._row, self._cell, self._caption = {}, [], [], None, None, None
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.links += [
            (name, value) for name, value in attributes if name in ("src", "href", "action", "srcset", "data", "style")
        ]
        if tag == "caption":
            self._caption = []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = []
        elif self._cell:
            self._cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag  # well formed
        if tag == "caption":
            self.rows = self.tables.setdefault("".join(self._caption), [])
            self._caption = None
        elif tag == "tr":
            self.rows.append(self._row)
        elif tag in ("td", "th"):
            self._row.append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        for place in (self._caption, self._cell):
            if place is not None:
                place.append(data)

    def table(self, words: str) -> list[list[str]]:
        return next(rows for caption, rows in self.tables.items() if words in caption)


@pytest.fixture
def full(tree, labels):
    """A dataset with every state: done, collapsed, stale, failed, missing, set aside, and both references."""
    tree.model("random", "random", "reference", "Random")
    tree.model("swav", "swav", "clustering", "SwaV")
    tree.dataset("birds", "nabirds", 48_562, 555, "per-class-80-20-seed0", packed=False)
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 712), labels, minutes=61.5, gigabytes=7.25)
    tree.finish(tree.cell("nette", "simclr", "simclr"), right(1000, 655), labels, minutes=20, gpu=False)
    tree.finish(
        tree.cell("nette", "byol", "baseline"),
        right(1000, 345),
        labels,
        verdict="collapsed",
        evidence=("all one point",),
    )
    stale = tree.cell("nette", "byol", "simclr")
    tree.finish(stale, right(1000, 999), labels)
    stale["expected"] = stale["expected"] | {"code": "new"}
    tree.cell("nette", "swav", "baseline")
    tree.log(tree.cell("nette", "swav", "simclr"), TRACEBACK)
    tree.finish(tree.cell("nette", "random", "none", epochs=0), right(1000, 222), labels)
    tree.cell("birds", "simclr", "baseline")["set_aside"] = "ask for it at https://birds.example/form"
    return tree


def test_the_table_has_the_articles_shape_and_each_figure_in_its_cell(full) -> None:
    html, _ = full.pages()
    head, *rows = Read(html).table("nette: Top-1 accuracy")
    assert [h.split(" (")[0] for h in head] == [
        "Model",
        "Family",
        "Batch size",
        "Input size",
        "Epochs",
        "baseline",
        "simclr",
    ]
    by_model = {row[0].split()[0]: row for row in rows}
    assert by_model["SimCLR"][1:5] == ["contrastive", "256", "224", "200"]
    assert by_model["SimCLR"][5].startswith("0.712 0.683–0.739 (61.5 min / 7.2 GB)")
    assert "rank" not in by_model["SimCLR"][5]  # BYOL has collapsed: alone in its column, it is best of nothing
    assert by_model["SimCLR"][6].startswith("0.655") and "8.0 GB RSS" in by_model["SimCLR"][6]
    assert by_model["BYOL"][5].startswith("0.345") and by_model["BYOL"][5].endswith("collapsed")
    assert "rank" not in by_model["BYOL"][5] + by_model["BYOL"][6]
    assert "not today's" in by_model["BYOL"][6]
    assert "not run yet" in by_model["SwaV"][5] and "failed" in by_model["SwaV"][6]
    assert [row[0].split()[0] for row in rows] == ["SimCLR", "BYOL", "SwaV", "Random", "Best"]
    assert by_model["Random"][5] == "0.222 0.197–0.249"
    assert "all one point" in html and "ValueError: no such thing" in html


def test_markdown_has_the_same_rows(full) -> None:
    html, text = full.pages()
    rows = [line for line in text.splitlines() if line.startswith("| SimCLR") and "0.712<br>0.683–0.739" in line]
    assert len(rows) == 1
    assert [cell.strip() for cell in rows[0].split("|")[1:6]] == ["SimCLR", "contrastive", "256", "224", "200"]
    for row in Read(html).table("nette: Top-1 accuracy"):
        assert any(all(word in line for word in markdown.escape(row[0]).split()) for line in text.splitlines()), row[0]
    widths = {line.count("|") for line in text.split("Top-1 accuracy")[1].splitlines()[2:8]}
    assert widths == {8}


def test_the_verdict_counts_every_state_and_ranks_nothing_that_is_not_sound(full) -> None:
    html, text = full.pages()
    assert "2 stale" not in text
    assert (
        "3 of 7 cells are finished and current; 1 stale, 1 missing, 1 failed and 1 set aside. 1 run has collapsed"
        in html
    )
    claim = next(line for line in text.splitlines() if line.startswith("- **nette**"))
    assert "**SimCLR with baseline** is ahead of the 1 other combination, at 0.712" in claim
    assert "Collapsed, and not ranked: BYOL with baseline" in text
    assert "Set aside: ask for it at https" in html


def test_a_page_whose_note_says_that_it_ranks_nothing_has_no_verdicts_but_says_why(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    tree.finish(tree.cell("nette", "byol", "baseline"), right(1000, 300), labels)
    assert tree.report()["claims"]["verdicts"]
    tree.plan["note"] = "These figures rank nothing but the demo."
    for text in tree.pages():
        assert text.count("no sentence of the articles is tested on them") == 1
        assert "contradicted" not in text and "its claims, tested" not in text


def test_the_note_comes_before_any_figure(tree, labels) -> None:
    tree.plan["note"] = "These figures rank nothing but the demo."
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 712), labels)
    html, text = tree.pages()
    assert html.index("rank nothing but the demo") < html.index("0.712")
    assert text.splitlines()[2] == "> **These figures rank nothing but the demo.**"


def test_many_classes_show_top5_and_its_published_figure(tree) -> None:
    tree.dataset("birds", "nabirds", 48_562, 555, "per-class-80-20-seed0")
    tree.transform("lorot")
    labels = numpy.arange(9907) % 555
    tree.finish(tree.cell("birds", "simclr", "lorot"), right(9907, 792), labels, top5=2002 / 9907, classes=555)
    html, _ = tree.pages()
    head, row, *_ = Read(html).table("birds: Top-1 and top-5 accuracy")
    assert [h.split(" (")[0] for h in head[5:]] == ["lorot top-1", "lorot top-5"]
    assert row[5].startswith("0.080") and row[6].startswith("0.202 ")
    beside = Read(html).table("birds beside")[1]
    assert beside[2].startswith("0.079") and "+0.001" in beside[2]
    assert beside[3].startswith("0.197335") and "+0.005" in beside[3]
    assert "every top-5 figure is a multiple of 1/9907" in html


def test_a_difference_is_shown_only_where_the_protocol_matches(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    tree.finish(tree.cell("nette", "byol", "baseline", epochs=10), right(1000, 700), labels)
    rows = {row[0].split()[0]: row for row in Read(tree.pages()[0]).table("nette beside")}
    assert rows["SimCLR"][2].startswith("0.685") and "+0.015" in rows["SimCLR"][2]
    assert rows["BYOL"][2].startswith("–") and "0.6" not in rows["BYOL"][2]
    assert "epochs 10 (published: 200)" in tree.pages()[0]
    tree.plan["cells"] = tree.plan["cells"][1:]
    html, _ = tree.pages()
    assert "No published figure may stand beside these cells: epochs 10 (published: 200)." in html
    assert not any("beside" in caption for caption in Read(html).tables)


def test_hostile_names_are_text_in_both_reports(tree, labels) -> None:
    tree.plan |= {"title": HOSTILE, "note": HOSTILE, "name": HOSTILE, "config_text": HOSTILE + "\n```\n</code>"}
    tree.plan["models"]["simclr"] |= {"title": HOSTILE, "family": HOSTILE}
    tree.finish(
        tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels, verdict="collapsed", evidence=(HOSTILE,)
    )
    tree.log(tree.cell("nette", "byol", "simclr"), f"sslbench: {HOSTILE}\n")
    tree.cell("nette", "byol", "baseline")["set_aside"] = HOSTILE
    html, text = tree.pages({"baseline": {"webp_base64": WEBP, "alt": f'"{HOSTILE}', "width": 4, "height": 4}})
    read = Read(html)
    assert scripts(html)[0] == SCRIPT and html.count(">") > 100
    assert not any("alert(" in script for script in scripts(html))
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in html and "漢字" in html
    row = next(row for row in read.table("Top-1 accuracy") if HOSTILE in row[0])
    assert row[1] == HOSTILE
    before, fenced, after = text.partition("\n````\n")
    assert fenced and "</code>" in after  # a fence longer than the text's own
    assert "<script" not in before
    links = re.findall(r"(?<!\\)\]\(([^)]*)", before)
    assert all(link.startswith("report-charts/") for link in links)  # the charts' own, and none of the names'
    assert "\\| \\`c\\` \\*b\\* \\_i\\_ \\[l\\](http&#58;//x.example) &amp; ünï 漢字" in before
    table = [line for line in before.split("Top-1 accuracy")[1].splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table[:4]} == {8}


def test_nothing_is_loaded_from_outside(full) -> None:
    html, _ = full.pages({"baseline": {"webp_base64": WEBP, "alt": "a", "width": 4, "height": 4}})
    read = Read(html)
    loading = [value for name, value in read.links if name == "src"]
    assert loading == [f"data:image/webp;base64,{WEBP}"]
    anchors = {value for name, value in read.links if name == "href" and not value.startswith("data:")}
    assert anchors and all(re.fullmatch(r"#[a-z0-9-]+", value) for value in anchors)
    assert all(f'id="{value[1:]}"' in html for value in anchors)
    assert {name for name, _ in read.links} == {"src", "href"}
    style = html[html.index("<style>") : html.index("</style>")]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", style)) and "@import" not in style
    assert scripts(html)[0] == SCRIPT and not re.search("https?:|import|fetch|XMLHttpRequest|WebSocket", SCRIPT)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    assert not re.search(r"\son\w+=", without_scripts(html))
    assert "default-src 'none'" in html and "connect-src" not in html  # the browser refuses all else


def test_equal_results_give_equal_bytes(full) -> None:
    first = full.pages()
    assert full.pages() == first
    names = ["cells.csv", "report.json", "report.html", "report.md"]
    before = [(full.out / name).read_bytes() for name in names]
    full.pages()
    assert [(full.out / name).read_bytes() for name in names] == before
    assert not list(full.out.glob(".*"))


def test_nothing_finished_still_makes_a_page(tree) -> None:
    tree.cell("nette", "simclr", "baseline")
    tree.cell("nette", "byol", "baseline")
    html, text = tree.pages()
    assert "0 of 2 cells are finished and current; 2 missing." in html
    assert "Nothing to rank yet." in text
    assert Read(html).table("nette: Top-1 accuracy")[1][0].startswith("SimCLR")
    assert "snakemake --cores all results/nette/simclr/baseline/seed0/linear.json" in text


def test_a_sweep_puts_values_down_and_models_across_in_the_order_of_the_values(tree, labels) -> None:
    values = {"strong": 1.5, "weak": 0.25, "usual": 1.0}
    tree.plan["sweep"] = {"parameter": "jitter.strength", "values": values}
    for count, name in enumerate(values, start=5):
        tree.transform(name, "simclr", jitter={"strength": values[name]})
        for model, more in (("simclr", 0), ("byol", 10)):
            tree.finish(tree.cell("nette", model, name), right(1000, 100 * count + more), labels)
    head, *rows = Read(tree.pages()[0]).table("by jitter.strength")
    assert [h.split()[0] for h in head] == ["jitter.strength", "SimCLR", "BYOL"]
    assert [(r[0], r[1][:5], r[2][:5]) for r in rows] == [
        ("0.25 weak", "0.600", "0.610"), ("1.0 usual", "0.700", "0.710"), ("1.5 strong", "0.500", "0.510"),
    ]  # fmt: skip


def test_provenance_names_versions_that_differ_and_what_changed(full, labels) -> None:
    full.finish(full.cell("nette", "swav", "baseline", seed=1), right(1000, 500), labels, torch="2.11.0")
    html, text = full.pages()
    assert "torch 2.11.0: nette/swav/baseline; all others: torch 2.12.0" in html
    assert "not today's: code changed since" in text.replace("&#39;", "'")
    assert "0123456789ab" in html and "NVIDIA H100" in html and "ab" * 32 in html


def test_the_doctors_findings_are_shown(tree, labels) -> None:
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 500), labels)
    doctor = {"count": 6, "unlabelled": 0, "grey": 2, "classes": [{"class": "n1", "title": "tench", "count": 6}]}
    doctor |= {
        "shortest_side": {"min": 90, "median": 120.0, "max": 160},
        "unreadable": [{"name": "a|b.jpg", "reason": "truncated"}],
    }
    split = {"train": 4, "test": 2, "train_per_class": [4], "test_per_class": [2], "fault": None}
    doctor["splits"] = {"official": split | {"in_both": [{"train": ["t/x.jpg"], "test": ["v/y.jpg"]}]}}
    tree.write(Path(tree.plan["datasets"]["nette"]["pack"]) / "doctor.json", doctor)
    html, text = tree.pages()
    for words in (
        "1 unreadable picture, left out: a|b.jpg (truncated)",
        "1 test picture of the split, official, stands in training too",
        "2 pictures without colour",
        "Split, official: 4 training, 4 to 4 a class; 2 test, 2 to 2 a class",
    ):
        assert words in html
    assert "a\\|b.jpg" in text
    assert Read(html).table("Pictures per class")[1] == ["tench n1", "6", "4", "2"]


def test_a_damaged_input_is_one_line(tree, tmp_path) -> None:
    tree.cell("nette", "simclr", "baseline")
    with pytest.raises(UserError, match="picture of 'baseline' is damaged"):
        tree.pages({"baseline": {"webp_base64": "no base64!", "alt": "", "width": 1, "height": 1}})
    with pytest.raises(UserError, match="run the rule collect first"):
        render(tmp_path / "none.json", None, tmp_path / "a.html", tmp_path / "a.md")
    assert not (tmp_path / "a.html").exists()


def test_the_articles_grid_renders_small(tree) -> None:
    """170 cells, each with a full curve: both reports in a fraction of the page's budget of 6 MB."""
    rng = numpy.random.default_rng(0)
    tree.model("swav", "swav")
    labels = numpy.arange(500) % 10
    names = [f"model{i}" for i in range(17)]
    for name in names:
        tree.model(name, "simclr")
    for name in names:
        for transform in ("baseline", "simclr", *(f"t{i}" for i in range(8))):
            tree.plan["transforms"].setdefault(transform, {"kind": transform, "overrides": {}})
            tree.finish(tree.cell("nette", name, transform), rng.random(500) < 0.6, labels)
    html, text = tree.pages()
    assert len(html.encode()) < 3_000_000
    assert len(text.encode()) < 500_000
    assert "All 170 cells of the grid are finished and current." in html


def test_the_page_says_once_which_views_are_small_and_that_baseline_rotates_by_our_reading(tree, labels) -> None:
    tree.plan["models"]["simclr"] |= {"title": "SimCLR (lightly)", "method_title": "SimCLR", "views": [224, 96]}
    tree.plan["models"]["byol"] |= {"views": [224, 224]}
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    tree.finish(tree.cell("nette", "byol", "baseline"), right(1000, 600), labels)
    for text in tree.pages():
        said = (
            "SimCLR (lightly) takes 1 view of 224 px and 1 view of 96 px: 59,392 px an image, 59 % of two whole views."
        )
        assert text.replace("\xa0", " ").count(said) == 1 and "BYOL takes" not in text
        assert text.count("baseline turns a view by 90 degrees with probability 0.5") == 1
        assert "docs/recipes.md" in text


def test_a_baseline_without_rotation_says_nothing_of_one(tree, labels) -> None:
    tree.transform("baseline", "baseline", rotate={"p": 0})
    tree.finish(tree.cell("nette", "simclr", "baseline"), right(1000, 700), labels)
    assert all("90 degrees" not in text for text in tree.pages())
