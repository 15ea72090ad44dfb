"""Markdown's escaping, held against a Markdown parser: what goes in is what a reader sees."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.report.blocks import Span
from sslbench.report.render.markdown import escape, inline

markdown_it = pytest.importorskip("markdown_it", reason="no Markdown parser here")
PARSER = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PIECES = [*"|`*_<>&[]()!#-+=~\\\"'ab 1.)$:/{}\n", "http://x.y", "漢", "&amp;", "<br>", "```"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def flat(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_line_of_any_text_is_one_paragraph_of_that_text(text: str) -> None:
    shown = PARSER.render(escape(text)) or "<p></p>\n"
    (inside,) = re.fullmatch(r"<p>([^<]*)</p>\n", shown).groups()
    assert html.unescape(inside) == flat(text)


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS)
def test_a_table_cell_of_any_text_or_code_is_one_cell_of_it(text: str, code: str) -> None:
    row = f"| {inline(text, in_table=True)} | {inline(Span(code, 'code'), in_table=True)} |"
    cells = re.findall(r"<td>(.*?)</td>", PARSER.render(f"| a | b |\n| - | - |\n{row}"))
    assert html.unescape(cells[0]) == flat(text)
    assert html.unescape(re.sub(r"</?code>", "", cells[1])) == flat(code)
