"""Whatever bytes a server answers with, a download ends in the verified file or in one line."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.data.sources import fetch as fetching
from sslbench.data.sources.fetch import fetch
from sslbench.errors import UserError
from tests.data.misbehaving import CONTENT, Misbehaving, head, misbehaving, remote, says
from tests.tally import survived

pytestmark = pytest.mark.property

SHORT, LONG = 40, 2000
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
SMALL = CONTENT[:3000]

text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)
number = st.one_of(st.integers(-5, 4000).map(str), st.sampled_from(["3000", "2000", "9" * 5000, "\xb2", "1e3", ""]))
HEADERS = st.fixed_dictionaries({}, optional={
    "Content_Length": number,
    "Content_Range": st.one_of(text, st.builds("bytes {}-{}/{}".format, number, number, number)),
    "Content_Type": st.one_of(text, st.sampled_from(["text/html", "text/html; charset=\xff", "application/gzip", ";", "//"])),
    "Transfer_Encoding": st.sampled_from(["chunked", "gzip", ""]),
    "ETag": st.one_of(text, text.map('"{}"'.format), st.just('W/"a"')),
    "Location": st.one_of(text, st.sampled_from(["http://[", "//", "file:///etc/passwd", "http://127.0.0.1:1/x", "/set.tgz"])),
    "Retry_After": st.one_of(number, text, st.just("Sun, 06 Nov 1994 08:49:37 GMT"), st.just("Fri, 31 Dec 9999 23:59:59 GMT")),
    "Connection": st.sampled_from(["close", "keep-alive"]),
})  # fmt: skip
STATUS = st.one_of(st.sampled_from(["200 OK", "206 Part", "302 Found", "416 No", "429 Slow", "503 Away", "100 Go on", "204 None"]),
                   st.integers(0, 1200).map(str), text)  # fmt: skip
BODY = st.one_of(
    st.just(SMALL), st.just(SMALL[1000:]), st.binary(max_size=50), st.just(b"bb8\r\n" + SMALL + b"\r\n0\r\n\r\n")
)
ANSWER = st.one_of(st.builds(lambda s, h, b: head(s, **h) + b, STATUS, HEADERS, BODY), st.binary(max_size=60))
ANSWERS = st.lists(ANSWER, min_size=1, max_size=3)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setattr(fetching, "LONGEST", 0.0)
    monkeypatch.setattr(fetching, "TIMEOUT", 2.0)
    monkeypatch.setattr(fetching, "TRIES", 3)
    with misbehaving() as started:
        yield started


def ends_well(server: Misbehaving, answers: list[bytes], part: bytes) -> None:
    import hashlib

    wanted = remote(server.url, size=len(SMALL), sha256=hashlib.sha256(SMALL).hexdigest())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "set.tgz.part").write_bytes(part)
        server.plan = [says(answer) for answer in answers * 3][:9] + [says(b"")] * 9
        try:
            fetch(wanted, folder)
        except UserError as error:
            assert str(error).isprintable() and str(error).startswith(server.url)
            assert not (folder / "source.json").exists() and not (folder / "set.tgz").exists()
        else:
            assert (folder / "set.tgz").read_bytes() == SMALL
        server.plan = [says(head("200 OK", Content_Length=len(SMALL)) + SMALL)] * 4
        for _ in range(2):  # one more where the first had to set a wrong file aside
            try:
                fetch(wanted, folder)
            except UserError as error:
                assert "set aside" in str(error)
        assert (folder / "set.tgz").read_bytes() == SMALL


@settings(max_examples=SHORT, **QUIET)
@given(answers=ANSWERS, part=st.sampled_from([b"", SMALL[:1000], bytes(1000), SMALL + b"x"]))
def test_any_answers_end_in_the_file_or_one_line_and_a_run_or_two_later_in_the_file(
    server: Misbehaving, answers: list[bytes], part: bytes
) -> None:
    ends_well(server, answers, part)
    survived("property", "download")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(answers=ANSWERS, part=st.sampled_from([b"", SMALL[:1000], bytes(1000), SMALL + b"x"]))
def test_any_answers_end_in_the_file_or_one_line_at_length(
    server: Misbehaving, answers: list[bytes], part: bytes
) -> None:
    ends_well(server, answers, part)
    survived("property", "download")
