"""A server that misbehaves costs time and one line: what came is kept where it can be resumed, and a re-run ends
well.
"""

import email.utils
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslbench.data.sources import fetch as fetching
from sslbench.data.sources.fetch import fetch
from sslbench.errors import UserError
from tests.data.misbehaving import (
    CONTENT,
    Answer,
    Misbehaving,
    cut,
    head,
    misbehaving,
    remote,
    says,
    silent,
    stalls,
    trickles,
    whole,
)
from tests.tally import survived

pytestmark = pytest.mark.fault

LENGTH = len(CONTENT)
HTML = b"<!DOCTYPE html><html><body>Log in first</body></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    monkeypatch.setattr(fetching, "TIMEOUT", 0.15)
    monkeypatch.setattr(fetching, "TRIES", 3)
    with misbehaving() as started:
        yield started


def ends_right(server: Misbehaving, folder: Path) -> None:
    """A plain re-run, the server being well again, has the file and nothing beside it."""
    server.plan = []
    fetch(remote(server.url), folder)
    assert (folder / "set.tgz").read_bytes() == CONTENT
    assert {path.name for path in folder.iterdir()} - {"set.tgz.rejected"} == {"set.tgz", "source.json"}


# what the server does every time: (its answer, words of the line, bytes that are kept of nothing and of a good part)
GOOD = 1_000_000  # bytes of a part that an earlier run left
EVERY_TIME: dict[str, tuple[Answer, str, int]] = {
    "hangs": (silent, "no answer for 0.15 s, 3 times in a row", GOOD),
    "stalls": (stalls, "no answer for 0.15 s, 3 times in a row", GOOD),
    "trickles": (trickles, "fewer than 1000 bytes/s came for 0.15 s, 3 times", GOOD),
    "truncates": (cut(50_000), f"the connection closed after 1,150,000 of {LENGTH:,} bytes, 3 times", GOOD + 150_000),
    "truncates and knows no ranges": (cut(50_000, ranges=False), f"closed after 50,000 of {LENGTH:,}", GOOD),
    "closes at once": (says(b""), "the connection failed", GOOD),
    "404": (says(head("404 Not Found", Content_Length=0)), "the server answers 404 Not Found; name a local", GOOD),
    "429": (says(head("429 Slow Down", Content_Length=0)), "answers 429 Slow Down, 3 times in a row", GOOD),
    "429 for an hour": (says(head("429 Slow Down", Content_Length=0, Retry_After=3600)),
                        "answers 429 Slow Down and asks to be left alone for 3,600 s", GOOD),
    "503": (says(head("503 Away", Content_Length=0)), "the server answers 503 Away, 3 times in a row", GOOD),
    "redirects to itself": (says(head("302 Found", Location="/set.tgz", Content_Length=0)), "redirects in a loop", GOOD),
    "redirects to no address": (says(head("302 Found", Location="http://[x", Content_Length=0)), "connection failed", GOOD),
    "redirects to a file": (says(head("302 Found", Location="file:///etc/passwd", Content_Length=0)), "redirects", GOOD),
    "claims to be longer": (says(head("200 OK", Content_Length=LENGTH + 7) + CONTENT), f"offers {LENGTH + 7:,} bytes, not", GOOD),
    "claims to be shorter": (says(head("200 OK", Content_Length=99) + CONTENT), "offers 99 bytes, not", GOOD),
    "claims a length that is no number": (says(head("200 OK", Content_Length="\xb2") + CONTENT[:9]), "closed after 9 of", GOOD),
    "claims a length of 5,000 digits": (says(head("200 OK", Content_Length="9" * 5000) + CONTENT[:9]), "closed after 9 of", GOOD),
    "sends another range": (says(head("206 Partial Content", Content_Range=f"bytes 5-{LENGTH - 1}/{LENGTH}") + CONTENT[5:]),
                            "another part of the file than was asked for, 3 times", GOOD),
    "sends a web page": (says(head("200 OK", Content_Type="text/html; charset=utf-8") + HTML), "a web page, not the file", GOOD),
    "sends a web page and calls it a file": (says(head("200 OK", Content_Type="application/gzip") + HTML),
                                             "a web page, not the file", GOOD),
    "sends a web page of that length": (says(head("200 OK", Content_Length=LENGTH) + HTML.ljust(LENGTH)), "a web page", GOOD),
    "sends what is no HTTP": (says(b"220 ftp.example ready\r\n"), "the connection failed (", GOOD),
    "sends headers without end": (says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), "the connection failed (got more than", GOOD),
}  # fmt: skip


@pytest.mark.parametrize("case", EVERY_TIME)
def test_a_good_part_outlives_a_server_that_fails_every_time(server: Misbehaving, tmp_path: Path, case: str) -> None:
    answer, words, kept = EVERY_TIME[case]
    (tmp_path / "set.tgz.part").write_bytes(CONTENT[:GOOD])
    server.plan = [answer] * 30
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        fetch(remote(server.url), tmp_path)
    assert time.monotonic() - began < 5  # 3 tries of 0.15 s without a byte, and what a busy machine adds
    line = str(caught.value)
    assert words in line and line.startswith(server.url) and line.isprintable(), line
    assert (tmp_path / "set.tgz.part").read_bytes() == CONTENT[:kept]
    assert not (tmp_path / "source.json").exists()
    ends_right(server, tmp_path)
    assert server.ranges[-1] == f"bytes={kept}-"
    survived("download server", "fetch")


def test_a_server_that_knows_no_ranges_and_drops_out_costs_nothing_that_came(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.plan = [cut(1_500_000), cut(400_000, ranges=False), cut(2_900_000, ranges=False)]
    fetch(remote(server.url), tmp_path)
    assert server.ranges == [None, "bytes=1500000-", "bytes=1500000-", "bytes=2900000-"]
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT
    survived("download server", "fetch")


@pytest.mark.parametrize("dated", [False, True])
def test_a_server_that_asks_for_patience_gets_it(
    server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dated: bool
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", waits.append)
    told = email.utils.formatdate(time.time() + 40, usegmt=True) if dated else 40
    server.plan = [says(head("429 Slow Down", Retry_After=told, Content_Length=0)), whole]
    fetch(remote(server.url), tmp_path)
    assert [round(wait, -1) for wait in waits] == [40] and (tmp_path / "set.tgz").read_bytes() == CONTENT
    survived("download server", "fetch")


def test_a_file_that_changes_midway_is_begun_anew_by_a_server_that_is_told_the_version(
    server: Misbehaving, tmp_path: Path
) -> None:
    other = bytes(LENGTH)
    server.plan = [lambda c, s: c.sendall(head("200 OK", Content_Length=LENGTH, ETag='"old"') + other[:900_000]), whole]
    server.plan[1] = lambda connection, start: whole(connection, None)  # If-Range did not match: 200 and all of it
    fetch(remote(server.url), tmp_path)
    assert 'if-range: "old"' in server.asked[1].lower() and len(server.asked) == 2
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT
    survived("download server", "fetch")


def test_a_file_that_changes_midway_is_begun_anew_where_the_server_ignores_the_version(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.plan = [lambda c, s: c.sendall(head("200 OK", Content_Length=LENGTH, ETag='"old"') + bytes(900_000)), whole]
    lines: list[str] = []
    fetch(remote(server.url), tmp_path, lines.append)
    assert server.ranges == [None, "bytes=900000-", None]
    assert any("the file changed on the server" in line for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.tgz", "source.json"]
    survived("download server", "fetch")


def test_versions_that_alternate_end_in_one_line(server: Misbehaving, tmp_path: Path) -> None:
    server.plan = [cut(1_200_000, f'"{number % 2}"') for number in range(30)]
    with pytest.raises(UserError, match="times in a row"):
        fetch(remote(server.url), tmp_path)
    assert len(server.asked) <= 8
    ends_right(server, tmp_path)
    survived("download server", "fetch")


def test_a_change_that_no_version_tells_is_noticed_by_its_hash_and_the_next_run_mends_it(
    server: Misbehaving, tmp_path: Path
) -> None:
    server.plan = [lambda c, s: c.sendall(head("200 OK", Content_Length=LENGTH) + bytes(900_000))]
    with pytest.raises(UserError, match=r"its sha256 is .* set aside as .*set\.tgz\.rejected: run again"):
        fetch(remote(server.url), tmp_path)
    assert not (tmp_path / "set.tgz.part").exists()
    ends_right(server, tmp_path)
    survived("download server", "fetch")


def test_a_download_of_unknown_length_ends_where_the_server_ends(server: Misbehaving, tmp_path: Path) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (CONTENT[:70_000], CONTENT[70_000:], b""))
    server.plan = [says(head("200 OK", Transfer_Encoding="chunked") + chunks)]
    fetch(remote(server.url, size=None), tmp_path)
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT
    survived("download server", "fetch")
