"""Names from outside are harmless where they are written."""

import csv
import io
import unicodedata

import pytest

from sslbench.jobs.log import job_log
from sslbench.report.collect import csv_tables
from sslbench.runtime.text import csv_value, visible


def test_what_turns_text_round_or_cannot_be_seen_is_written_as_escapes():
    assert visible("safe\u202egpj.exe") == "safe\\u202egpj.exe"
    assert visible("a\u200bb\ufeff\x1b[2J\r\udcff") == "a\\u200bb\\ufeff\\x1b[2J\\r\\udcff"
    for text in (
        "",
        "cat",
        "\u00e9t\u00e9 \u6f22\u5b57 \u05e9\u05dc\u05d5\u05dd",
        "two\nlines\tand a tab",
        "\U0001f99c \u2764\ufe0f",
        "1\u202f000\xa0km",
    ):
        assert visible(text) == text


def test_of_all_of_unicode_every_format_and_control_character_is_escaped_and_nothing_that_shows():
    for number in [*range(0x20000), *range(0xE0000, 0xE1000)]:
        kind = unicodedata.category(character := chr(number))
        shown = visible(character) == character
        if kind in ("Cf", "Cc", "Zl", "Zp", "Cs"):
            # Some marks of format are drawn: Arabic's and Syriac's numbers, Kaithi's, Egyptian joins, shorthand, music
            drawn = (name := unicodedata.name(character, "")).startswith("ARABIC") and "LETTER MARK" not in name
            drawn = drawn or name.startswith(("SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND", "MUSICAL"))
            assert shown == (character in "\n\t" or drawn), hex(number)
        elif kind[0] in "LNPSZ" and "FILLER" not in unicodedata.name(character, ""):
            assert shown, hex(number)


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "=cmd|' /C calc'!A0",
    "-rf",
    "\uff1d1+1",
    "+",
    "-1 to 2",
]
NUMBERS = ["-1", "+0.5", "-.5", "1e-5", "-1.5E+10", "0.7", "3"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_table_is_a_formula_to_a_spreadsheet(text):
    (row,) = csv.DictReader(io.StringIO(csv_tables.text([{"class": text, "top1": -0.5}])))
    assert row["class"] == f"'{visible(text)}" and row["top1"] == "-0.5"


def test_numbers_stay_numbers_and_other_texts_as_they_are():
    for value in [*NUMBERS, "cat", "", "a=b", "\u2013", "\u22121", None, 0, -1, -0.25, True]:
        assert csv_value(value) == value and type(csv_value(value)) is type(value)


def test_a_log_holds_no_character_that_hides_or_turns_text(tmp_path):
    with job_log(tmp_path / "x.log") as log:
        print("left out cat\u202egpj.\x1b[31m\udcff: unreadable", file=log)
    assert (tmp_path / "x.log").read_text() == "left out cat\\u202egpj.\\x1b[31m\\udcff: unreadable\n"
