"""Unpacking: what is in the archive comes out, and nothing else, nowhere else."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sslbench.data.sources import archives
from sslbench.data.sources.archives import extract, verify
from sslbench.errors import UserError


def tar(path: Path, members: list[tuple[str, bytes | str, bytes]], mode: str = "w:gz") -> Path:
    """Members are (name, content, type); for links the content is the target."""
    with tarfile.open(path, mode) as opened:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                opened.addfile(info)
    return path


def plain(*names: str) -> list[tuple[str, bytes, bytes]]:
    return [(name, name.encode(), tarfile.REGTYPE) for name in names]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2", "w:xz"])
def test_tar_comes_out_as_it_went_in(tmp_path: Path, mode: str) -> None:
    archive = tar(tmp_path / "a.any", plain("top/a.jpg", "./top/b c/d\n.jpg", "top/é.jpg"), mode)
    extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {
        "top/a.jpg": b"top/a.jpg",
        "top/b c/d\n.jpg": b"./top/b c/d\n.jpg",
        "top/é.jpg": "top/é.jpg".encode(),
    }
    assert verify(archive) == {"files": 3, "unpacked": sum(len(v) for v in tree(tmp_path / "out").values())}


def test_zip_comes_out_as_it_went_in(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("top/a.jpg", b"1")
        opened.writestr("top/deep/b.jpg", b"22")
    extract(tmp_path / "a.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"top/a.jpg": b"1", "top/deep/b.jpg": b"22"}


def test_what_macos_leaves_is_passed_over(tmp_path: Path) -> None:
    extract(tar(tmp_path / "a.tgz", plain("t/.DS_Store", "t/._a.jpg", "__MACOSX/t/a.jpg", "t/a.jpg")), tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["t/a.jpg"]


def test_links_to_files_of_the_archive_become_those_files(tmp_path: Path) -> None:
    links = [
        ("t/two/b.jpg", "../one/a.jpg", tarfile.SYMTYPE),
        ("t/c.jpg", "t/two/b.jpg", tarfile.LNKTYPE),
    ]
    extract(tar(tmp_path / "a.tgz", [*links, *plain("t/one/a.jpg")]), tmp_path / "out")
    assert set(tree(tmp_path / "out").values()) == {b"t/one/a.jpg"}
    assert len(tree(tmp_path / "out")) == 3
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


UNSAFE = {
    "absolute": ("/etc/x.jpg", b"x", tarfile.REGTYPE),
    "climbs": ("t/../../x.jpg", b"x", tarfile.REGTYPE),
    "backslash": ("t\\..\\..\\x.jpg", b"x", tarfile.REGTYPE),
    "drive": ("C:/x.jpg", b"x", tarfile.REGTYPE),
    "symlink out": ("t/l", "../../outside", tarfile.SYMTYPE),
    "symlink absolute": ("t/l", "/etc/passwd", tarfile.SYMTYPE),
    "hard link out": ("t/l", "../outside", tarfile.LNKTYPE),
    "link to nothing": ("t/l", "gone.jpg", tarfile.SYMTYPE),
    "link to itself": ("t/l", "l", tarfile.SYMTYPE),
    "device": ("t/l", "", tarfile.CHRTYPE),
    "pipe": ("t/l", "", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_unsafe_member_is_named_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    archive = tar(tmp_path / "a.tgz", [*plain("t/a.jpg"), UNSAFE[case]])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        extract(archive, work / "out")
    assert repr(UNSAFE[case][0]) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_writing_through_a_link_is_impossible(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    members = [("t/l", "../../outside", tarfile.SYMTYPE), *plain("t/l/x.jpg")]
    with pytest.raises(UserError):
        extract(tar(tmp_path / "a.tgz", members), tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_zip_link_that_leaves_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        info = zipfile.ZipInfo("t/l")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "../../outside")
    with pytest.raises(UserError, match="link out of the archive"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2", "w:xz"])
def test_every_cut_is_noticed(tmp_path: Path, mode: str) -> None:
    whole = tar(tmp_path / "whole", [(f"t/{i}.jpg", bytes(range(256)) * 3, tarfile.REGTYPE) for i in range(5)], mode)
    content = whole.read_bytes()
    end = 5 * (512 + 1024) if mode == "w" else len(content)  # a plain tar's contents end before its padding
    cuts = {1, 100, 511, 512, 513, end // 2, end // 2 // 512 * 512, end - 1, end}
    for cut in sorted(cut for cut in cuts if cut < len(content)):
        (tmp_path / "cut").write_bytes(content[:cut])
        with pytest.raises(UserError):
            verify(tmp_path / "cut")


def test_a_flipped_bit_is_noticed_by_the_archives_own_checksum(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tgz", [("t/a.jpg", bytes(range(256)) * 99, tarfile.REGTYPE)])
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1  # in gzip's CRC
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_stopped_at_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    bomb = tar(tmp_path / "bomb.tgz", [("t/zeros.jpg", bytes(1 << 23), tarfile.REGTYPE)])
    assert bomb.stat().st_size * archives.MAX_RATIO < 1 << 23
    with pytest.raises(UserError, match="decompression bomb"):
        extract(bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_web_page_in_place_of_an_archive_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(UserError, match=r"no \.tar.*<!DOCTYPE html>"):
        verify(tmp_path / "a.tgz")
    (tmp_path / "b.tgz").write_bytes(gzip.compress(b"not a tar" * 100))
    with pytest.raises(UserError, match="damaged"):
        verify(tmp_path / "b.tgz")
