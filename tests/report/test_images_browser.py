"""The maps in a real Chromium: a picture under the pointer, by the keyboard, and by class; all to be read without."""

import re

import pytest

from sslbench.report.images.collect import album
from sslbench.report.page import render
from tests.report.seen import Seen


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, new_tree):
    tree = new_tree(tmp_path_factory.mktemp("seen"))
    seen = Seen(tree, train=40, test=60, classes=10, side=24)
    for model in ("simclr", "byol"):
        seen.cell(model, "baseline", 0.6)
    tree.report()
    album(tree.out / "report.json", tree.results, tree.out / "album.json")
    render(tree.out / "report.json", None, tree.out / "r.html", tree.out / "r.md", tree.out / "album.json")
    return tree.out / "r.html"


def test_a_map_shows_the_picture_that_is_pointed_at_stepped_to_or_of_a_chosen_class(chromium, page_file):
    page = chromium.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(page_file.as_uri())
    drawing = page.locator("svg.map").first
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    x, y = map(int, re.match(r"M(\d+) (\d+)", page.locator("svg.map path.k3").first.get_attribute("d")).groups())
    page.mouse.move(box["x"] + x * box["width"] / 1000, box["y"] + y * box["height"] / 1000)
    tip = page.locator(".map-tip")
    assert tip.is_visible() and tip.inner_text() == "class 3"
    picture = tip.locator(".tile").evaluate("it => getComputedStyle(it).backgroundImage")
    assert picture.startswith('url("data:image/webp;base64,')
    assert page.locator("circle.ring[visibility=visible]").count() == 2  # the same picture on both maps
    drawing.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("figure.maps [role=status]").inner_text() == "class 0, picture 1 of 60"
    page.get_by_role("button", name="class 7").click()
    assert page.locator("svg.map").first.locator("path.kept").count() == 1
    assert not complaints
    page.close()


def test_without_scripts_maps_neighbours_and_confusions_are_all_there(chromium, page_file):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("svg.map").count() == 2 and page.locator("svg.map").first.is_visible()
    assert page.locator("figure.strips tbody tr").count() == 2
    assert "of the variance is shown" in page.locator("figure.maps").inner_text()
    context.close()
