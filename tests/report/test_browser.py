"""The page in a real Chromium: what a reader does with it works, nothing leaves it, and it is accessible."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy
import pytest

from sslbench.report.page import css_text

WHITE = 3 * 200  # sum of red, green and blue above which a background is light


@pytest.fixture(scope="module")
def report(tmp_path_factory, new_tree) -> Path:
    """Two datasets with ties, a collapsed, a stale, a missing cell and references, as a page on disk."""
    tree = new_tree(tmp_path_factory.mktemp("page"))
    labels = numpy.arange(1000) % 10
    tree.model("random", "random", "reference", "Random")
    tree.model("vicregl", "vicregl", "non-contrastive", "VICRegL")
    tree.dataset("woof", "imagewoof2-160", 12_954, 10)
    for i, (model, transform) in enumerate(
        (m, t) for m in ("simclr", "byol", "vicregl") for t in ("baseline", "simclr")
    ):
        for dataset, count in (("nette", 700), ("woof", 400)):
            cell = tree.cell(dataset, model, transform)
            if (i, dataset) == (5, "woof"):
                continue
            verdict = "collapsed" if (i, dataset) == (3, "nette") else "healthy"
            right = numpy.arange(1000) < count - 40 * i
            tree.finish(cell, right, labels, minutes=90 - 7 * i, gigabytes=6 + i, verdict=verdict, evidence=("flat",))
            if (i, dataset) == (4, "nette"):
                cell["expected"] = cell["expected"] | {"code": "new"}
    tree.finish(tree.cell("nette", "random", "none", epochs=0), numpy.arange(1000) < 222, labels, minutes=0.5)
    tree.pages()
    return tree.out / "report.html"


@pytest.fixture
def opened(chromium, report):
    """Opens the page as asked; at the end, no console error and no request but for the page itself may have been."""
    contexts, complaints, requests = [], [], []

    def open_page(**settings: object):
        context = chromium.new_context(**settings)
        contexts.append(context)
        context.route("**/*", lambda route: (requests.append(route.request.url), route.continue_()))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(requests) == {report.as_uri()}


def column(page, title: str, shown: bool = True) -> list[str]:
    """The first lines of a board's column, in the order of the rows."""
    return page.evaluate(
        """([title, shown]) => {
        const board = document.querySelector("figure.board");
        const at = [...board.querySelectorAll("thead th")].findIndex((h) => h.textContent.startsWith(title));
        return [...board.querySelector("tbody").rows].filter((row) => !shown || row.offsetParent !== null)
          .map((row) => row.cells[at].querySelector(".first").textContent.trim());
      }""",
        [title, shown],
    )


def lightness(page, of: str = "body") -> int:
    colour = page.evaluate("of => getComputedStyle(document.querySelector(of)).backgroundColor", of)
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


def test_a_click_or_the_keyboard_sorts_and_what_has_no_figure_stays_last(opened) -> None:
    page = opened()
    before = column(page, "Top-1")
    head = page.locator("figure.board thead th", has_text="Minutes")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    minutes = [float(text) for text in column(page, "Minutes") if text != "–"]
    assert minutes == sorted(minutes) and minutes[0] == 0.5
    assert column(page, "Minutes")[-1] == "–"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = [float(text) for text in column(page, "Minutes") if text != "–"]
    assert falling == minutes[::-1] and column(page, "Minutes")[-1] == "–"
    page.get_by_role("button", name="Top-1", exact=True).click()
    assert page.locator("figure.board [aria-sort]").count() == 1
    shares = [float(text) for text in column(page, "Top-1") if text != "–"]
    assert shares == sorted(shares, reverse=True)
    page.get_by_role("button", name="Show all").click()
    assert column(page, "Top-1") == before and page.locator("[aria-sort]").count() == 0


def test_filters_and_words_keep_the_rows_asked_for_and_say_how_many(opened) -> None:
    page = opened()
    status = page.get_by_role("status")
    assert status.text_content() == "13 rows"
    page.get_by_label("Dataset", exact=True).select_option("woof")
    assert column(page, "Dataset") == ["woof"] * 6 and status.text_content() == "6 of 13 rows"
    page.get_by_label("Model", exact=True).select_option("BYOL")
    assert column(page, "Model") == ["BYOL", "BYOL"]
    page.get_by_label("Find", exact=True).fill("SIMCLR healthy")
    assert column(page, "Transform") == ["simclr"] and status.text_content() == "1 of 13 rows"
    page.get_by_label("Find", exact=True).fill("no such words")
    assert column(page, "Model") == [] and status.text_content() == "0 of 13 rows"
    page.get_by_role("button", name="Show all").click()
    assert status.text_content() == "13 rows" and page.get_by_label("Dataset", exact=True).input_value() == ""
    page.get_by_label("Family", exact=True).select_option("contrastive")
    assert set(column(page, "Model")) == {"SimCLR"}


def test_a_note_is_shown_on_hover_and_on_focus_and_goes_on_escape(opened) -> None:
    page = opened()
    tip, link = page.locator("#tip"), page.locator("figure.board sup a").first
    assert not tip.is_visible()
    link.hover()
    note = page.locator(link.get_attribute("href")).text_content()
    assert tip.text_content() == note != "" and tip.is_visible()
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    link.focus()
    assert tip.is_visible() and link.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    collapsed = page.locator("figure.board tbody tr", has_text="collapsed").locator("sup a").first
    collapsed.hover()
    assert "Called collapsed: flat." in tip.text_content()


def test_colours_follow_the_system_until_the_button_is_pressed_and_stay_so(opened) -> None:
    page = opened(color_scheme="light")
    assert lightness(page) > WHITE
    page.emulate_media(color_scheme="dark")
    assert lightness(page) < WHITE / 3
    page.evaluate("document.addEventListener('themechange', (event) => { window.told = event.detail.dark; })")
    page.get_by_role("button", name="Light colours").click()
    assert lightness(page) > WHITE and page.evaluate("window.told") is False
    page.reload()
    assert lightness(page) > WHITE
    page.get_by_role("button", name="Dark colours").click()
    page.emulate_media(color_scheme="light")
    assert lightness(page) < WHITE / 3
    names = ("--ink", "--paper", "--accent", "--faint", "--grid")
    values = page.evaluate(
        "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(n).trim())", names
    )
    assert all(re.fullmatch("#[0-9a-f]{6}", value) for value in values)  # what the charts read


def test_on_paper_it_is_light_and_without_controls_and_what_is_folded_says_so(opened) -> None:
    page = opened(color_scheme="dark")
    folded = page.locator("main details:not([open])")
    before = folded.count()
    assert before > 0 and page.pdf().startswith(b"%PDF")
    assert folded.count() == before
    page.emulate_media(media="print")
    for gone in ("nav", ".controls", ".skip", "footer"):
        assert not page.locator(gone).first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#161c22"
    assert page.locator("figure.board ol.notes").is_visible()
    told = "one => getComputedStyle(one.querySelector('summary'), '::after').content"
    assert "in the file" in folded.first.evaluate(told)
    folded.first.evaluate("one => { one.open = true; }")
    assert page.locator("main details[open]").first.evaluate(told) == "none"


@pytest.mark.parametrize(("width", "height"), [(297, 210), (279.4, 215.9)], ids=["A4", "Letter"])
def test_nothing_is_wider_than_the_sheet(opened, width, height) -> None:
    page = opened()
    page.emulate_media(media="print")
    inside = int((width - 24) * 96 / 25.4)  # less the margins of @page, in CSS px
    page.set_viewport_size({"width": inside, "height": int((height - 23) * 96 / 25.4)})
    assert page.evaluate("document.documentElement.scrollWidth") <= inside
    cut = "[...document.querySelectorAll('.scroll, pre, .canvas')].filter(e => getComputedStyle(e).overflowX !== 'visible')"
    assert page.evaluate(f"{cut}.length") == 0


def sheets(pdf: bytes, where: Path) -> list[list[str]]:
    """The lines of every sheet, from the top: what pdftotext reads."""
    tool = shutil.which("pdftotext") or pytest.skip("pdftotext (poppler) is not installed")
    where.write_bytes(pdf)
    text = subprocess.run([tool, "-layout", where, "-"], capture_output=True, text=True, check=True).stdout
    return [[line.strip() for line in sheet.splitlines() if line.strip()] for sheet in text.split("\f")[:-1]]


def test_a_printed_table_has_its_head_on_every_sheet_and_no_heading_stands_alone(opened, tmp_path) -> None:
    page = opened()
    # 52 rows, set off by steps, so that the head would fall on the foot of a sheet
    page.evaluate(
        """() => {
        const body = document.querySelector("figure.board tbody");
        for (const row of [...body.rows, ...body.rows, ...body.rows]) body.append(row.cloneNode(true));
      }"""
    )
    for room in (0, 90, 180):
        page.evaluate("room => { document.querySelector('section.answer').style.paddingBottom = `${room}px`; }", room)
        found = sheets(page.pdf(format="A4", landscape=True), tmp_path / "page.pdf")
        assert len(found) <= 20  # two datasets and both articles
        assert all(re.search(r"made-up.*A made-up benchmark.*commit 0123456789ab, clean", sheet[-1]) for sheet in found)
        assert [sheet[-1].split()[-3:] for sheet in found] == [
            [str(i + 1), "/", str(len(found))] for i in range(len(found))
        ]
        board = [i for i, sheet in enumerate(found) for line in sheet if re.match(r"Model\s+Transform\s+Dataset", line)]
        rows = [i for i, sheet in enumerate(found) if any(re.search(r"●\s*healthy", line) for line in sheet)]
        assert len(rows) > 1 and board == rows  # a head where there are rows, and nowhere else
        titles = page.locator("main > section[id] > h2, main h3").all_inner_texts()
        assert not [sheet[-2] for sheet in found if sheet[-2] in titles]


def test_whatever_the_title_holds_the_foot_of_a_sheet_says_it(opened) -> None:
    title = 'α "b" \\ </style> {c} 7'
    rule = f"body::after {{ content: {css_text(title)}; }}"
    assert "<" not in rule and rule.count('"') == 2
    page = opened()
    page.evaluate("rule => { document.querySelector('style').textContent += rule; }", rule)
    assert json.loads(page.evaluate("getComputedStyle(document.body, '::after').content")) == title


def test_at_the_width_of_a_laptop_the_board_fits_and_a_reader_chooses_its_columns(opened) -> None:
    page = opened(viewport={"width": 1280, "height": 800})
    box, family = page.locator("figure.board .scroll"), page.locator("figure.board thead th", has_text="Family")
    wider = "box => box.scrollWidth - box.clientWidth"
    assert box.evaluate(wider) == 0 and not family.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    page.locator(".columns summary").press("Enter")
    tick = page.get_by_role("checkbox", name="Family column")
    assert not tick.is_checked() and page.get_by_role("checkbox", name="Top-1 column").is_checked()
    tick.focus()
    page.keyboard.press("Space")
    assert family.is_visible() and tick.is_checked() and len(column(page, "Family")) == 13
    page.get_by_role("checkbox", name="Minutes column").uncheck()
    assert not page.locator("figure.board th", has_text="Minutes").is_visible()
    page.keyboard.press("Escape")
    assert not tick.is_visible()
    page.get_by_role("button", name="Show all").click()
    assert page.locator("figure.board th", has_text="Minutes").is_visible() and not family.is_visible()
    tucked = "document.querySelectorAll('figure.board thead .tucked').length"
    few = page.evaluate(tucked)
    page.set_viewport_size({"width": 1900, "height": 900})
    page.wait_for_function(f"{tucked} < {few}")
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelectorAll('figure.board thead .tucked').length > 2")
    box.evaluate("box => { box.scrollLeft = 200; }")
    name, edge = page.locator("figure.board tbody th").first.bounding_box(), box.bounding_box()
    assert abs(name["x"] - edge["x"]) < 2  # the names stay where the rest scrolls


def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_navigation_folds(opened) -> None:
    page = opened(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.reload()
    link = page.locator("nav a", has_text="Leaderboard")
    assert not link.is_visible()
    page.locator("nav summary").press("Enter")
    assert link.is_visible()
    link.click()
    assert not link.is_visible()
    page.wait_for_function("document.getElementById('leaderboard').getBoundingClientRect().top < 200")
    page.set_viewport_size({"width": 1300, "height": 800})
    page.wait_for_function("document.querySelector('nav details').open")
    assert link.is_visible()


def test_without_javascript_everything_is_there_and_nothing_that_would_not_work(opened) -> None:
    page = opened(java_script_enabled=False, viewport={"width": 1300, "height": 800})
    assert page.locator("figure.board tbody tr").count() == 13
    assert page.locator("figure.board tbody tr").last.is_visible()
    assert page.get_by_role("button").count() == 0 and page.locator("select, input").count() == 0
    assert page.locator("nav a", has_text="Provenance").is_visible()
    assert page.locator("figure.board ol.notes").is_visible()
    assert page.get_by_text("What to do").count() == 0 and page.locator(".advice").count() == 2
    page.locator("main summary").first.click()
    assert page.locator("main details[open]").count() == 1


def test_no_label_of_a_still_chart_is_cut_in_the_fonts_that_are_here(opened) -> None:
    page = opened(java_script_enabled=False, viewport={"width": 1300, "height": 800})
    labels = page.locator(".still svg text[text-anchor=end]")
    assert labels.count() > 20
    out = labels.evaluate_all(
        "them => them.map(t => [t.textContent, t.getBoundingClientRect().left - "
        "t.ownerSVGElement.getBoundingClientRect().left]).filter(([, room]) => room < 0)"
    )
    assert out == []


def test_the_keyboard_reaches_everything_and_focus_is_seen(opened) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'main'")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unreachable = "[...document.querySelectorAll('main .scroll, main pre')].filter(e => e.tabIndex !== 0).length"
    assert page.evaluate(unreachable) == 0


@pytest.mark.parametrize(
    "settings",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(opened, settings) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened(**settings)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    told = [(one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
    assert [one for one in told if one[1] in ("serious", "critical")] == []
