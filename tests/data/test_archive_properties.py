"""Whatever bytes stand in an archive's place, or in a picture's, end in a result or in one line, and nowhere
outside.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sslbench.data.pack.decode import Decoded, decode_file
from sslbench.data.sources.archives import extract, verify
from sslbench.errors import UserError
from tests.data.data_samples import picture
from tests.tally import survived

pytestmark = pytest.mark.property

SHORT, LONG = 80, 4000
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
NAMES = ["t/a.jpg", "t/b c/d.jpg", "/x", "../x", "t/../../x", "t\\..\\x", "t", "t/a.jpg/b", "n" * 120, "t/\n.jpg", "."]
names = st.one_of(st.sampled_from(NAMES), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.XHDTYPE,
         tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, b"Z"]  # fmt: skip
SPARSE = ["GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.numblocks", "GNU.sparse.major", "GNU.sparse.name"]
attributes = st.dictionaries(
    st.sampled_from(["path", "linkpath", "size", "mtime", *SPARSE]),
    st.one_of(names, st.integers(-(10**20), 10**20).map(str), st.sampled_from(["1,2,3", "0", "1", ""])),
    max_size=3,
)
PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Members of any name, kind, link and attributes, whether or not they make sense."""
    content = b""
    for _ in range(draw(st.integers(0, 4))):
        info = tarfile.TarInfo(draw(names))
        info.type, info.linkname = draw(st.sampled_from(KINDS)), draw(names)
        data = draw(st.binary(max_size=40))
        info.size, info.pax_headers = len(data), draw(attributes)
        content += info.tobuf(tarfile.PAX_FORMAT) + data.ljust(-len(data) // 512 * -512, b"\0")
    return draw(st.sampled_from(PACKERS))(content + bytes(1024))


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened, mock.patch("warnings.warn"):
        for _ in range(draw(st.integers(0, 4))):
            info = zipfile.ZipInfo(draw(names))
            info.external_attr = draw(st.sampled_from([0, 0o100644, 0o120777, 0o40755, 0o10644])) << 16
            info.compress_type = draw(st.sampled_from([0, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
            opened.writestr(info, draw(st.binary(max_size=40)))
    return content.getvalue()


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes replaced, taken out or put in."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(content)


ANY_ARCHIVE = st.one_of(damaged(tars()), damaged(zips()), st.binary(max_size=2000))


def unpacks_or_says_why(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        archive, out = root / "a", root / "in" / "out"
        archive.write_bytes(content)
        read = written = None
        try:
            read = verify(archive)
        except UserError as error:
            assert str(error).isprintable()
        try:
            extract(archive, out)
            written = [path for path in out.rglob("*") if path.is_file()]
            assert not any(path.is_symlink() for path in out.rglob("*"))
        except UserError as error:
            assert str(error).isprintable() and not out.exists()
        if written is not None:
            assert read is not None and read["files"] <= len(written)  # links are files once they are made
        allowed = {archive, root / "in"} | ({out} if out.exists() else set())
        outside = {path for path in root.rglob("*") if out not in path.parents}
        assert outside <= allowed, outside


@settings(max_examples=SHORT, **QUIET)
@given(ANY_ARCHIVE)
def test_any_bytes_are_an_archive_or_one_line_and_nothing_is_written_outside(content: bytes) -> None:
    unpacks_or_says_why(content)
    survived("property", "archive")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(ANY_ARCHIVE)
def test_any_bytes_are_an_archive_or_one_line_at_length(content: bytes) -> None:
    unpacks_or_says_why(content)
    survived("property", "archive")


def _samples() -> list[bytes]:
    image, found = Image.fromarray(picture(0, 20, 24)), []
    forms = {"JPEG": {}, "PNG": {}, "GIF": {}, "WEBP": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}, "PPM": {}}
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, options in forms.items():
        for mode in ("RGB", "L", "P"):
            if mode == "P" and form in ("JPEG", "PPM", "WEBP"):
                continue
            buffer = io.BytesIO()
            image.convert(mode).save(buffer, form, **options, **({"exif": exif} if form in ("JPEG", "PNG") else {}))
            found.append(buffer.getvalue())
    return found


PICTURES = damaged(st.sampled_from(_samples()))


def decodes_or_says_why(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "x.jpg"
        file.write_bytes(content)
        for encoding in ("pixels", "jpeg"):
            found = decode_file(file, 8, encoding)
            if isinstance(found, Decoded):
                assert min(found.shape) >= 1 and found.pixels.dtype == "uint8" and found.pixels.size > 0
                assert encoding == "jpeg" or found.pixels.shape == (*found.shape, 3)
            else:
                assert found and "\n" not in found


@settings(max_examples=SHORT, **QUIET)
@given(PICTURES)
def test_any_damage_to_a_picture_ends_in_pixels_or_a_reason(content: bytes) -> None:
    decodes_or_says_why(content)
    survived("property", "picture")


@pytest.mark.long
@settings(max_examples=LONG, **QUIET)
@given(PICTURES)
def test_any_damage_to_a_picture_ends_in_pixels_or_a_reason_at_length(content: bytes) -> None:
    decodes_or_says_why(content)
    survived("property", "picture")
