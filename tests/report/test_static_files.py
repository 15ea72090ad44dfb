"""The pictures beside the Markdown: all there and no more, of the same data as the page, and safe to name and to
read.
"""

import base64
import fcntl
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import altair
import numpy as np
import pytest
from PIL import Image

from sslbench.errors import UserError
from sslbench.report.charts import vega
from sslbench.report.images.collect import album
from sslbench.report.images.static_files import sweep
from sslbench.report.page import render
from sslbench.runtime.text import visible
from tests.report.seen import Seen

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ["<b>&amp;", "a|b", "![x](y)", "two\nlines", "\x1b[31mred", "caf\udce9", "漢字", '"q"', "`c`", "x" * 90]


def shot(level: int, **more: object) -> dict:
    """A picture as the gallery's rule writes it."""
    stream = io.BytesIO()
    Image.new("RGB", (12, 8), (level, level, level)).save(stream, "WEBP")
    data = base64.b64encode(stream.getvalue()).decode()
    return {"webp_base64": data, "width": 12, "height": 8, "alt": f"level {level}", "does": "Shown as it is."} | more


GALLERY = {
    "baseline": shot(10, operations=[shot(20, title="Mirrored"), shot(30, title="Blur | <i>")]),
    "../up": shot(40),
    "A b": shot(50),
    "a b": shot(60),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory, new_tree):
    """Two finished cells, their report.json, album.json and gallery.json, and a rendering over an older one."""
    made = Seen(new_tree(tmp_path_factory.mktemp("stills")), train=40, test=60, classes=10, side=24)
    for model, right in (("simclr", 0.6), ("byol", 0.3)):
        made.cell(model, "baseline", right)
    out = made.tree.out
    made.tree.report()
    album(out / "report.json", made.tree.results, out / "album.json")
    (out / "gallery.json").write_text(json.dumps(GALLERY))
    made.album = json.loads((out / "album.json").read_text())
    (out / "report-charts").mkdir()
    for name in ("neighbours--nette--77.webp", "map--gone--0.svg", ".map--gone--1.svg.tmp", ".confused--a--0.webp.tmp"):
        (out / "report-charts" / name).write_bytes(b"of yesterday")
    drawn(out, out)
    return made


def drawn(inputs: Path, out: Path, album_json: Path | str | None = "album.json") -> str:
    """The Markdown of a rendering into ``out``."""
    album_json = inputs / album_json if album_json else None
    render(inputs / "report.json", inputs / "gallery.json", out / "report.html", out / "report.md", album_json)
    return (out / "report.md").read_text()


class Images(HTMLParser):
    """(where, alternative text) of every image of a Markdown text, by a parser of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        markdown_it = pytest.importorskip("markdown_it", reason="no Markdown parser here")
        self.found: list[tuple[str, str]] = []
        self.feed(markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(text))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        if tag == "img":
            self.found.append((dict(attributes)["src"], dict(attributes)["alt"]))


def opened(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGBA")).astype(int)


def test_every_picture_of_the_markdown_is_there_opens_and_none_is_left_over(seen) -> None:
    folder, text = seen.tree.out / "report-charts", (seen.tree.out / "report.md").read_text()
    images = Images(text).found
    assert sorted(f"report-charts/{path.name}" for path in folder.iterdir()) == sorted(place for place, _ in images)
    assert all(alt.strip() for _, alt in images)
    for path in folder.iterdir():
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
        else:
            assert Image.open(path).format == "WEBP"
    assert {path.name.split("--")[0] for path in folder.iterdir()} >= {"transform", "neighbours", "map", "confused"}
    assert {path.parent for path in seen.tree.out.rglob("*.webp")} == {folder}  # of "../up", too


def test_a_half_that_another_process_is_writing_stays(tmp_path) -> None:
    (tmp_path / ".b.svg.tmp").write_bytes(b"killed")
    with (tmp_path / ".a.svg.tmp").open("wb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        sweep(tmp_path, set())
        assert [path.name for path in tmp_path.iterdir()] == [".a.svg.tmp"]
    sweep(tmp_path, set())
    assert not [*tmp_path.iterdir()]


def test_a_charts_file_opens_whatever_its_caption_and_its_name_hold() -> None:
    chart = altair.Chart().mark_point().encode(x="n:N")
    block = vega.figure(chart, [{"n": "a\x00b"}], "of \x0c and \udce9", "told \x01", ("kind", "caf\udce9"))
    root = ElementTree.fromstring(vega.standalone(block))
    assert root.find(f"{SVG}title").text == "of \\x0c and \\udce9" and block.told == "told \\x01"
    assert "a\\x00b" in [text.text for text in root.iter(f"{SVG}text")] and block.name.isascii()


def test_equal_results_give_equal_bytes(seen, tmp_path) -> None:
    drawn(seen.tree.out, tmp_path)
    for path in [*(tmp_path / "report-charts").iterdir(), tmp_path / "report.md"]:
        assert path.read_bytes() == (seen.tree.out / path.relative_to(tmp_path)).read_bytes(), path.name


def test_the_gallerys_pictures_are_its_own_bytes_under_a_name_for_each(seen) -> None:
    images = {alt: place for place, alt in Images((seen.tree.out / "report.md").read_text()).found}
    for one in (*GALLERY["baseline"]["operations"], *GALLERY.values()):
        assert (seen.tree.out / images[one["alt"]]).read_bytes() == base64.b64decode(one["webp_base64"])


def test_a_neighbour_has_a_full_green_frame_or_a_dashed_red_one_by_its_label(seen) -> None:
    found = seen.album["datasets"]["nette"]
    tones = set()
    for number, strip in enumerate(found["strips"]):
        picture = opened(seen.tree.out / f"report-charts/neighbours--nette--{number}.webp")
        for place, (query, labels) in enumerate(zip(found["queries"], strip["labels"], strict=True)):
            for which, label in enumerate(labels):
                # 44 px with a frame of 2, one px off, in a field of 52; two beside each other, 14 px to the next two.
                left, top = place * (2 * 52 + 14) + which % 2 * 52, which // 2 * 52
                field = picture[top : top + 52, left : left + 52]
                sides = [field[1:3, 2:-2], field[-3:-1, 2:-2], field[2:-2, 1:3], field[2:-2, -3:-1]]
                ring = np.concatenate([side.reshape(-1, 4) for side in sides])
                painted = ring[ring[:, 3] == 255]
                red, green, _ = painted[:, :3].mean(axis=0)
                share = len(painted) / len(ring)
                right = label == query["label"]
                assert (share == 1 and green > red + 30) if right else (0.5 < share < 0.8 and red > green + 30)
                assert (field[4:-4, 4:-4, 3] == 255).all()
                tones.add(right)
    assert tones == {True, False}


def test_neighbours_line_up_below_the_pictures_that_they_stand_for(seen) -> None:
    found, pack = seen.album["datasets"]["nette"], seen.album["packs"]["nette"]["large"]
    sheet = Image.open(io.BytesIO(base64.b64decode(pack["webp_base64"]))).convert("RGB")
    folder, side = seen.tree.out / "report-charts", pack["tile"]
    asked, first = opened(folder / "neighbours--nette--queries.webp"), opened(folder / "neighbours--nette--0.webp")
    assert asked.shape[1] == first.shape[1]

    def shown(number: int, size: int) -> np.ndarray:
        x, y = number % pack["columns"] * side, number // pack["columns"] * side
        return np.asarray(sheet.crop((x, y, x + side, y + side)).resize((size, size))).astype(int)

    numbers = [query["tile"] for query in found["queries"]]
    for place in range(len(numbers)):
        left = place * 118 + 20
        square = asked[:, left : left + 64, :3]
        apart = [np.abs(square - shown(number, 64)).mean() for number in numbers]
        assert int(np.argmin(apart)) == place
    near = [tiles[0] for tiles in found["strips"][0]["tiles"]]
    for place, number in enumerate(near):
        square = first[4:48, place * 118 + 4 : place * 118 + 48, :3][:30, :30]  # without what a cross covers
        apart = {other: np.abs(square - shown(other, 44)[:30, :30]).mean() for other in near}
        assert min(apart, key=apart.get) == number


def test_a_map_has_its_points_class_by_class_in_the_pages_colours_and_shapes(seen) -> None:
    found, page = seen.album["datasets"]["nette"], (seen.tree.out / "report.html").read_text()
    labels = found["points"]["labels"]
    for number in range(len(found["maps"])):
        text = (seen.tree.out / f"report-charts/map--nette--{number}.svg").read_text()
        paths = [p for p in ElementTree.fromstring(text).iter(f"{SVG}path") if p.get("class")]
        points = [p for p in paths if "h0" in p.get("d") and p.get("d").count("M") > 1]
        assert [p.get("d").count("M") for p in points] == [labels.count(label) for label in sorted(set(labels))]
        assert all(f'<path class="{p.get("class")}" d="{p.get("d")}"' in page for p in points)
        for name in {p.get("class") for p in points}:
            colour = re.search(rf"\.{name} {{ fill: (#\w+); }}", page)[1]  # the light one stands first
            assert f".{name}{{fill:{colour}}}" in text.split("@media")[0]
            shape = re.search(rf'<marker id="{name}".*?<path d="([^"]+)"', page)[1]
            assert f'<path d="{shape}"/></marker>' in text
        assert [t.text for t in ElementTree.fromstring(text).iter(f"{SVG}text")][1:] == found["titles"]


def test_the_matrix_and_the_pairs_are_those_of_the_album(seen) -> None:
    text = (seen.tree.out / "report.md").read_text()
    confusion = seen.album["datasets"]["nette"]["confusion"]
    rows = text.split("| Its class, taken for |")[1].split("\n\n")[0].splitlines()[2:]
    shown = [[int(cell.strip("* ").replace("·", "0")) for cell in row.split("|")[2:-1]] for row in rows]
    assert shown == confusion["matrix"]
    pairs = text.split("| Pictures | Its class |")[1].split("\n\n")[0].splitlines()[2:]
    for number, (row, pair) in enumerate(zip(pairs, confusion["pairs"], strict=True)):
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert f"/confused--nette--{number}.webp)" in cells[0]
        assert cells[1:] == [f"class {pair['true']}", f"class {pair['guess']}", f"{pair['count']} of {pair['of']}"]


def test_hostile_class_names_are_text_in_every_map_and_every_alternative_text(seen, tmp_path) -> None:
    changed = json.loads(json.dumps(seen.album))
    changed["datasets"]["nette"]["titles"] = HOSTILE
    for name in ("report.json", "gallery.json"):
        (tmp_path / name).write_bytes((seen.tree.out / name).read_bytes())
    (tmp_path / "album.json").write_text(json.dumps(changed))
    text = drawn(tmp_path, tmp_path)
    images = Images(text).found
    assert all(re.fullmatch(r"report-charts/[\w.-]+", place) for place, _ in images)
    assert len(images) == len(Images((seen.tree.out / "report.md").read_text()).found)
    asked = next(alt for _, alt in images if alt.startswith("The test pictures: "))
    queries = [HOSTILE[query["label"]] for query in changed["datasets"]["nette"]["queries"]]
    for name in queries:
        assert " ".join(visible(name).split()) in asked
    drawing = ElementTree.parse(tmp_path / "report-charts/map--nette--0.svg")
    legend = [element.text for element in drawing.iter(f"{SVG}text")][1:]
    assert legend[:4] == ["<b>&amp;", "a|b", "![x](y)", "two lines"] and legend[6] == "漢字"
    assert legend[4] == "\\x1b[31mred" and legend[5] == "caf\\udce9" and len(legend[9]) < 30


def test_without_an_album_the_markdown_says_nothing_of_it_and_its_pictures_go(seen, tmp_path) -> None:
    drawn(seen.tree.out, tmp_path)
    text = drawn(seen.tree.out, tmp_path, None)
    assert "What the models see" not in text and "What the transforms do" in text
    kinds = {path.name.split("--")[0] for path in (tmp_path / "report-charts").iterdir()}
    assert "transform" in kinds and not kinds & {"neighbours", "map", "confused"}


@pytest.mark.parametrize("data", ["AAAA", "not base64!"])
def test_thumbnails_that_cannot_be_read_are_one_line(seen, tmp_path, data: str) -> None:
    changed = json.loads(json.dumps(seen.album))
    changed["packs"]["nette"]["large"]["webp_base64"] = data
    (tmp_path / "album.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"album: thumbnails cannot be read .*delete album\.json and run again"):
        drawn(seen.tree.out, tmp_path, tmp_path / "album.json")
