"""Fetching: what source.json says was verified, however the network behaves."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslbench.data.sources import fetch as fetching
from sslbench.data.sources.checksums import ARCHIVES, BASE
from sslbench.data.sources.fetch import fetch, read_source
from sslbench.data.spec import Archive, DatasetSettings
from sslbench.errors import UserError
from tests.data.data_samples import Server, make_folder, serving, settings_of, tar_of

CONTENT = bytes(range(256)) * 4000


class Remote(DatasetSettings):
    """A dataset with a download."""

    official: Archive

    def source(self) -> str:
        return "set"

    def downloads(self) -> tuple[Archive, ...]:
        return (self.official,)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    with serving(CONTENT) as started:
        yield started


def remote(server: Server, **changes: object) -> Remote:
    right = {
        "size": len(CONTENT),
        "md5": hashlib.md5(CONTENT).hexdigest(),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return Remote(official=Archive(url=server.url, file="set.tgz", **(right | changes)))


def test_a_download_is_recorded_with_its_hash(server: Server, tmp_path: Path) -> None:
    found = fetch(remote(server), tmp_path)
    assert found == json.loads((tmp_path / "source.json").read_text())
    assert found == {
        "source": "set",
        "kind": "download",
        "file": "set.tgz",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "official": True,
    }
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.tgz", "source.json"]


def test_a_verified_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch(remote(server), tmp_path)
    (tmp_path / "source.json").unlink()
    fetch(remote(server), tmp_path)
    assert len(server.ranges) == 1


def test_a_dropped_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut:300000", 522, "cut:200000"]  # 522: a proxy cannot reach the server behind it
    fetch(remote(server), tmp_path)
    assert server.ranges == [None, "bytes=300000-", "bytes=300000-", "bytes=500000-"]
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT


def test_an_interrupted_run_is_resumed_by_the_next(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.tgz.part").write_bytes(CONTENT[:123_456])
    fetch(remote(server), tmp_path)
    assert server.ranges == ["bytes=123456-"]
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT[:1000], CONTENT + b"too long"])
def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "set.tgz.part").write_bytes(part)
    server.plan = ["no-range"]
    fetch(remote(server), tmp_path)
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT


def test_a_part_beyond_the_servers_file_is_started_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.tgz.part").write_bytes(CONTENT + b"x")
    fetch(remote(server, size=None), tmp_path)
    assert server.ranges == [f"bytes={len(CONTENT) + 1}-", None]


def test_a_server_that_hangs_is_left_and_asked_again(server: Server, tmp_path: Path) -> None:
    server.plan = ["hang"]
    lines: list[str] = []
    fetch(remote(server), tmp_path, lines.append)
    assert len(server.ranges) == 2
    assert any("no answer for 0.3 s; trying again" in line for line in lines)


def test_progress_may_be_a_stream(server: Server, tmp_path: Path) -> None:
    log = io.StringIO()
    fetch(remote(server), tmp_path, log)
    assert log.getvalue() == "set: download set.tgz verified\n"


def test_a_local_archive_is_read_through_and_is_not_called_official(tmp_path: Path) -> None:
    archive = tar_of(make_folder(tmp_path), tmp_path / "pets.tgz")
    found = fetch(settings_of("imagenette", archive=archive), tmp_path / "out")
    assert found["official"] is False and found["kind"] == "archive" and found["file"] == str(archive)
    assert found["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found["unpacked"] == sum(p.stat().st_size for p in (tmp_path / "pets").rglob("*.png"))


def test_a_local_copy_of_the_official_archive_is_called_official(tmp_path: Path) -> None:
    archive = tar_of(make_folder(tmp_path), tmp_path / "pets.tgz")
    content = archive.read_bytes()
    right = Archive(url="-", file="-", size=len(content), md5=hashlib.md5(content).hexdigest())
    assert fetch(Remote(official=right, archive=archive), tmp_path / "out")["official"] is True
    wrong = right.model_copy(update={"md5": "0" * 32})
    with pytest.raises(UserError, match=f"md5 is {right.md5}, not 0000"):
        fetch(Remote(official=wrong, archive=archive), tmp_path / "other")
    assert not (tmp_path / "other" / "source.json").exists()


def test_a_folder_is_used_in_place(tmp_path: Path) -> None:
    found = fetch(settings_of("folder", path=make_folder(tmp_path)), tmp_path / "out")
    assert found["kind"] == "folder" and Path(found["file"]) == (tmp_path / "pets").resolve()
    assert read_source(tmp_path / "out" / "source.json")[1] == (tmp_path / "pets").resolve()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["looked.json", "source.json"]


def test_an_archive_that_changed_after_fetching_is_not_read(tmp_path: Path) -> None:
    archive = tar_of(make_folder(tmp_path), tmp_path / "pets.tgz")
    fetch(settings_of("folder", archive=archive), tmp_path / "out")
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="changed since it was fetched"):
        read_source(tmp_path / "out" / "source.json")


def test_the_table_covers_every_kind_with_a_download_and_is_well_formed() -> None:
    wanted = {settings_of("imagenette", version=v, size=s).source() for v in (1, 2) for s in ("full", 320, 160)}
    wanted |= {settings_of("imagewoof", size=s).source() for s in ("full", 320, 160)}
    assert set(ARCHIVES) == wanted
    for name, archive in ARCHIVES.items():
        assert archive.url == f"{BASE}{name}.tgz" and archive.size > 80e6
        assert archive.md5 or archive.sha256
        assert len(archive.md5 or "0" * 32) == 32 and len(archive.sha256 or "0" * 64) == 64
    assert ARCHIVES["imagenette2-160"].md5 == "e793b78cc4c9e9a4ccc0c1155377a412"


def test_archive_and_path_together_are_refused() -> None:
    with pytest.raises(ValueError, match="two places"):
        settings_of("folder", archive="a.tgz", path="b")
