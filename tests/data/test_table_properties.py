"""Tables: whatever a CSV file holds is read as it is written, or answered in one line."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.data.layouts import table
from sslbench.errors import UserError
from tests.data.data_samples import settings_of
from tests.data.test_data_properties import EDITS, LONG, QUIET, SHORT, edited
from tests.tally import survived

pytestmark = pytest.mark.property

NAMES = ["0.png", "a b.png", "c,d.png", 'e"f.png', "g;h.png", "é.png", "#1.png"]  # as files may be called
# One label a cell: | and ; and brackets say several.
LABELS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="|;[]{}()\ufeff"),
    min_size=1,
    max_size=6,
).filter(str.strip)
ROLES = st.sampled_from(["train", "Training", "TEST", "testing"])


@st.composite
def tables(draw) -> tuple[bytes, dict[str, str], set[str]]:
    """A CSV file's content, and what it says: path -> label, and the paths that test."""
    names = draw(st.permutations(NAMES))
    labels = {name: draw(LABELS) for name in names}
    roles = {name: draw(ROLES) for name in names} | {names[0]: "train", names[1]: "test"}
    columns = {
        "file name": names,
        "Species": list(labels.values()),
        "notes": [draw(st.text("ab ,\n\"'", max_size=5))] * 7,
    }
    if draw(st.booleans()):
        columns["Subset"] = [roles[name] for name in names]
    order = draw(st.permutations(list(columns)))
    text = io.StringIO()
    style = {"delimiter": draw(st.sampled_from(",;\t")), "lineterminator": draw(st.sampled_from(["\n", "\r\n"]))}
    writer = csv.writer(text, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])), **style)
    writer.writerow(order)
    writer.writerows(zip(*(columns[name] for name in order), strict=True))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    tests = {name for name in names if roles[name].lower().startswith("test")} if "Subset" in columns else set()
    return text.getvalue().encode(encoding), labels, tests


def read(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            Path(folder, name).touch()
        file = Path(folder, "t.csv")
        file.write_bytes(content)
        chosen = settings_of("table", table=file)
        return table.scan(table.base(chosen.path, chosen), chosen)


def as_written(written: tuple[bytes, dict[str, str], set[str]]) -> None:
    content, labels, tests = written
    found = read(content)
    assert {record.path: record.label for record in found.records} == labels
    assert found.classes == sorted(set(labels.values()))
    if tests:
        assert {found.records[i].path for i in found.splits["official"]["test"]} == tests


def mangled(written: tuple[bytes, dict[str, str], set[str]], edits: list) -> None:
    try:
        found = read(edited(written[0], edits))
    except UserError as error:
        assert "t.csv" in str(error) and str(error).isprintable()
        return
    assert {record.path for record in found.records} <= set(NAMES)
    assert all(record.label and record.label.strip() for record in found.records)


@settings(max_examples=SHORT, **QUIET)
@given(written=tables())
def test_any_table_is_read_as_it_is_written(written) -> None:
    as_written(written)
    survived("property", "table")


@settings(max_examples=SHORT, **QUIET)
@given(written=tables(), edits=EDITS)
def test_any_damaged_table_is_a_listing_or_one_line(written, edits) -> None:
    mangled(written, edits)
    survived("property", "table")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(written=tables())
def test_any_table_is_read_as_it_is_written_at_length(written) -> None:
    as_written(written)
    survived("property", "table")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(written=tables(), edits=EDITS)
def test_any_damaged_table_is_a_listing_or_one_line_at_length(written, edits) -> None:
    mangled(written, edits)
    survived("property", "table")
