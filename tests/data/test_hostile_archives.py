"""Archives made to do harm: each ends in one line, in bounded time and space, with nothing written anywhere."""

import gzip
import io
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sslbench.data.sources import archives
from sslbench.data.sources.archives import extract, verify
from sslbench.errors import UserError
from tests.data.test_archives import tar, tree
from tests.tally import survived

pytestmark = pytest.mark.fault

JPG = b"\xff\xd8\xff"


def header(name: str = "t/a.jpg", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(*pairs: tuple[str, bytes]) -> bytes:
    """A PAX header that speaks of the next member, written by hand: tarfile would refuse some of these."""
    body = b""
    for key, value in pairs:
        rest = b" " + key.encode() + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    return header("x", len(body), tarfile.XHDTYPE) + body + bytes(-len(body) % 512)


END = bytes(1024)


def zip_of(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, modes: int = 0) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as opened:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = modes << 16, method
            opened.writestr(info, data)
    return content.getvalue()


def encrypted() -> bytes:
    content = bytearray(zip_of(("t/a.jpg", JPG)))
    content[6] |= 1  # in the member's own header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory at the end
    return bytes(content)


# case -> (the archive, what the line says)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip, absolute path": (lambda: zip_of(("/etc/x.jpg", JPG)), "unsafe path ('/etc/x.jpg')"),
    "zip, climbs": (lambda: zip_of(("t/../../x.jpg", JPG)), "unsafe path"),
    "zip, backslashes": (lambda: zip_of(("t\\..\\..\\x.jpg", JPG)), "unsafe path"),
    "zip, drive": (lambda: zip_of(("C:/x.jpg", JPG)), "unsafe path"),
    "zip, link out": (lambda: zip_of(("t/l", b"../../outside"), modes=stat.S_IFLNK | 0o777), "link out of the archive"),
    "zip, link with a huge target": (lambda: zip_of(("t/l", b"a" * 9000), modes=stat.S_IFLNK | 0o777), "link out of the archive"),
    "zip, device": (lambda: zip_of(("t/d", b""), modes=stat.S_IFBLK | 0o666), "special file"),
    "zip, socket": (lambda: zip_of(("t/d", b""), modes=stat.S_IFSOCK | 0o666), "special file"),
    "zip, encrypted": (encrypted, "is encrypted"),
    "zip, cut short": (lambda: zip_of(("t/a.jpg", bytes(5000)))[:-30], "damaged or cut short"),
    "zip, another's bytes": (lambda: zip_of(("t/a.jpg", b"A" * 99)).replace(b"A" * 99, b"B" * 99), "Bad CRC-32"),
    "zip, name that is no text": (lambda: zip_of(("t/é.jpg", JPG)).replace("é".encode(), b"\xff\xfe"), "make no sense"),
    "zip, unknown compression": (lambda: zip_of(("t/a.jpg", JPG)).replace(b"\0\0\0\0\0!\0", b"\0\0c\0\0!\0"), "cannot be unpacked"),
    "zip, bomb": (lambda: zip_of(("t/a.jpg", bytes(1 << 24)), method=zipfile.ZIP_DEFLATED), "decompression bomb"),
    "zip, bomb in many parts": (lambda: zip_of(*[(f"t/{i}.jpg", bytes(1 << 20)) for i in range(20)], method=zipfile.ZIP_LZMA),
                                "decompression bomb"),
    "block device": (lambda: header(kind=tarfile.BLKTYPE) + END, "special file"),
    "pipe": (lambda: header(kind=tarfile.FIFOTYPE) + END, "special file"),
    "unknown type": (lambda: header(kind=b"Z") + END, "special file"),
    "NUL in a name": (lambda: extended(("path", b"t/a\0b.jpg")) + header() + END, "unsafe path"),
    "name of 300 letters": (lambda: extended(("path", b"t/" + b"n" * 300)) + header() + END, "File name too long"),
    "path of 6,000 letters": (lambda: extended(("path", b"/".join([b"n" * 99] * 60))) + header() + END, "File name too long"),
    "2,000 folders deep": (lambda: extended(("path", b"a/" * 2000 + b"x.jpg")) + header() + END, "deeper than 100 folders"),
    "one name twice": (lambda: (header(size=3) + JPG.ljust(512, b"\0")) * 2 + END, "'t/a.jpg' is in it twice"),
    "file and folder of one name": (lambda: header("t/a") + header("t/a/b.jpg") + END, "'t/a/b.jpg' is in it twice"),
    "folder and file of one name": (lambda: header("t/a/b.jpg") + header("t/a") + END, "'t/a' is in it twice"),
    "link over a file": (lambda: header("t/a") + header("t/b") + extended(("linkpath", b"t/b")) + header("t/a", kind=tarfile.LNKTYPE) + END,
                         "'t/a' is in it twice"),
    "header larger than all memory": (lambda: header("x", 1 << 40, tarfile.XHDTYPE) + END, "header of 1,099,511,627,776 bytes"),
    "name larger than all memory": (lambda: header("x", 1 << 40, tarfile.GNUTYPE_LONGNAME) + END, "header of 1,099,511,627,776"),
    "file larger than the archive": (lambda: header(size=1 << 40) + JPG, "damaged or cut short"),
    "negative size": (lambda: extended(("size", b"-512")) + header() + END, "ends before it begins"),
    "sparse file of a terabyte": (
        lambda: extended(("GNU.sparse.size", b"1099511627776"), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.map", b"")) + header() + END,
        "a.tar: "),
    "sparse map that is no numbers": (
        lambda: extended(("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"t/a.jpg"),
                         ("GNU.sparse.realsize", b"99")) + header(size=512) + b"x\ny\n".ljust(512, b"\0") + END,
        "damaged"),
    "2,000 headers of one file": (lambda: extended(("path", b"t/a.jpg")) * 2000 + header() + END, "a.tar: "),
    "zeros after its end": (lambda: gzip.compress(header() + END + bytes(1 << 25)), "decompression bomb"),
    "bomb in what is passed over": (lambda: gzip.compress(header("t/.DS_Store", 1 << 25) + bytes(1 << 25) + END), "decompression bomb"),
    "2,000 empty files": (lambda: gzip.compress(b"".join(header(f"t/{i}.jpg") for i in range(2_000)) + END), "decompression bomb"),
    "archive in an archive": (lambda: gzip.compress(gzip.compress(header() + END)), "damaged or cut short"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    make, words = HOSTILE[case]
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    archive = tmp_path / "a.tar"
    archive.write_bytes(make())
    before, began = sorted(tmp_path.rglob("*")), time.monotonic()
    with pytest.raises(UserError) as caught:
        extract(archive, work / "out")
    line = str(caught.value)
    assert words in line and line.isprintable() and len(line) < 7000, line
    assert sorted(tmp_path.rglob("*")) == before and time.monotonic() - began < 10
    survived("hostile archive", "unpack")


def test_too_many_members_end_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 50)
    (tmp_path / "a.zip").write_bytes(zip_of(*[(f"t/{i}.jpg", b"") for i in range(51)]))
    (tmp_path / "b.tar").write_bytes(b"".join(header(f"t/{i}.jpg") for i in range(51)) + END)
    for name in ("a.zip", "b.tar"):
        with pytest.raises(UserError, match="over 50 members; unpack it yourself"):
            verify(tmp_path / name)
        survived("hostile archive", "unpack")


def test_sizes_that_archives_of_pictures_have_are_no_bombs() -> None:
    """ImageNet's 1.28 million files and their headers, at the least shrinking, and a tar of tiny pictures, shrunk."""
    most, block = archives.MAX_RATIO, archives.DISK_BLOCK
    assert most * 1_281_167 * 100_000 > 1_281_167 * (110_000 + 1024 + block)
    assert most * 60_000 * 200 > 60_000 * (512 + 1024 + block)
    assert archives.MAX_MEMBERS > 2 * 1_431_167


NAMES = ["a b.jpg", "a'b\".jpg", "a\nb.jpg", "a\tb.jpg", "-rf.jpg", "\u00e9.jpg", "e\u0301.jpg", "\u202egpj.exe.jpg", "漢字 🦜.jpg",
         "<script>.jpg", "|`*_.jpg", "$(touch x).jpg", "%s{0}.jpg", "\x1b[31m.jpg", "CON.jpg", "A.jpg", "a.jpg"]  # fmt: skip


@pytest.mark.parametrize("form", ["gnu", "pax", "zip"])
def test_odd_names_come_out_as_they_went_in(tmp_path: Path, form: str) -> None:
    archive = tmp_path / "a"
    if form == "zip":
        archive.write_bytes(zip_of(*[(f"t/{name}", name.encode()) for name in NAMES]))
    else:
        kind = tarfile.GNU_FORMAT if form == "gnu" else tarfile.PAX_FORMAT
        with tarfile.open(archive, "w", format=kind) as opened:
            for name in NAMES:
                info = tarfile.TarInfo(f"t/{name}")
                info.size = len(name.encode())
                opened.addfile(info, io.BytesIO(name.encode()))
    extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {f"t/{name}": name.encode() for name in NAMES}
    survived("odd names", "unpack", len(NAMES))


def test_bytes_that_are_no_text_in_a_name_come_out_as_those_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(header("t/\udcff.jpg") + END)
    extract(tmp_path / "a.tar", tmp_path / "out")
    assert [bytes(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.jpg")] == [b"t/\xff.jpg"]
    again = tar(tmp_path / "b.tgz", [("t/\udcff.jpg", "/etc/passwd", tarfile.SYMTYPE)])
    with pytest.raises(UserError) as caught:
        verify(again)
    assert str(caught.value).encode() and "\\udcff" in str(caught.value)
    survived("odd names", "unpack")
