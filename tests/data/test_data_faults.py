"""Bad data ends in one line that names what, where and what to do, and leaves nothing half-made."""

import errno
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from sslbench.data.pack.write import pack
from sslbench.data.sources import fetch as fetching
from sslbench.data.sources.fetch import fetch
from sslbench.data.spec import Archive
from sslbench.errors import UserError
from sslbench.runtime import files
from tests.data.data_samples import (
    Server,
    edit_json,
    make_folder,
    make_imagenette,
    make_nabirds,
    packed,
    picture,
    save,
    serving,
    settings_of,
    shapes_settings,
    tar_of,
)
from tests.data.test_fetch import CONTENT, Remote

pytestmark = pytest.mark.fault


def refused(action: Callable[[], object], *words: str) -> None:
    with pytest.raises(UserError) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    monkeypatch.setattr(fetching, "TIMEOUT", 0.1)
    with serving(CONTENT) as started:
        yield started


def remote(server: Server, **changes: object) -> Remote:
    official = {
        "url": server.url,
        "file": "set.tgz",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return Remote(official=Archive(**(official | changes)))


def test_a_missing_download_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    server.plan = [404] * 9
    refused(lambda: fetch(remote(server), tmp_path), server.url, "404", "archive:")
    assert len(server.ranges) == 1 and list(tmp_path.iterdir()) == []


def test_a_checksum_that_differs_sets_the_file_aside(server: Server, tmp_path: Path) -> None:
    server.plan = ["other"]
    expected, found = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    refused(lambda: fetch(remote(server), tmp_path), expected, found, "set.tgz.rejected", "download it anew")
    assert [p.name for p in tmp_path.iterdir()] == ["set.tgz.rejected"]
    fetch(remote(server), tmp_path)  # the next run starts from nothing and succeeds
    assert (tmp_path / "set.tgz").read_bytes() == CONTENT


def test_a_server_with_another_file_is_not_read_to_its_end(server: Server, tmp_path: Path) -> None:
    refused(lambda: fetch(remote(server, size=5), tmp_path), f"{len(CONTENT):,} bytes, not 5")
    assert not (tmp_path / "source.json").exists()


def test_a_dead_server_ends_in_one_line_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut:1000", *["hang"] * 9]
    refused(lambda: fetch(remote(server), tmp_path), "no answer", f"{fetching.TRIES} times in a row", "resumed")
    assert (tmp_path / "set.tgz.part").stat().st_size == 1000
    assert not (tmp_path / "source.json").exists()


def test_a_refused_connection_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    nobody = Remote(official=Archive(url="http://127.0.0.1:9/x.tgz", file="x.tgz", size=9, md5="0" * 32))
    refused(lambda: fetch(nobody, tmp_path), "127.0.0.1:9", "connection failed")


def test_a_disk_too_small_for_the_download_is_noticed_before(server: Server, tmp_path: Path) -> None:
    refused(lambda: fetch(remote(server, size=10**18), tmp_path), "no disk space", "paths.data")
    assert server.ranges == []


def test_nabirds_without_its_archive_says_where_to_get_it(tmp_path: Path) -> None:
    refused(lambda: fetch(settings_of("nabirds"), tmp_path), "https://dl.allaboutbirds.org/nabirds", "archive:")


@pytest.mark.parametrize("key", ["archive", "path"])
def test_a_local_place_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    refused(
        lambda: fetch(settings_of("folder", **{key: tmp_path / "gone.tgz"}), tmp_path / "out"), f"{key}:", "gone.tgz"
    )


def test_a_truncated_archive_is_noticed_when_fetched(tmp_path: Path) -> None:
    archive = tar_of(make_imagenette(tmp_path), tmp_path / "a.tgz")
    archive.write_bytes(archive.read_bytes()[:-100])
    refused(
        lambda: fetch(settings_of("imagenette", archive=archive), tmp_path / "out"), "a.tgz", "damaged or cut short"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_that_climbs_out_is_refused_when_fetched(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as opened:
        info = tarfile.TarInfo("t/../../evil.jpg")
        info.size = 4
        opened.addfile(info, io.BytesIO(b"evil"))
    refused(
        lambda: fetch(settings_of("folder", archive=tmp_path / "a.tgz"), tmp_path / "out"), "evil.jpg", "unsafe path"
    )
    assert not list(tmp_path.rglob("evil.jpg"))


def nothing_but_the_source(root: Path) -> bool:
    return not list((root / "packed").iterdir()) and [p.name for p in (root / "sources" / "made").iterdir()] != []


def test_a_text_file_named_jpg_is_named(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    (pets / "cat" / "notes.jpg").write_text("not a picture")
    (pets / "dog" / "cut.jpg").write_bytes(save(tmp_path / "whole.jpg", picture(1, 90, 90)).read_bytes()[:2000])
    settings = settings_of("folder", path=pets)
    refused(
        lambda: packed(settings, tmp_path),
        "2 of 17",
        "'cat/notes.jpg' is no picture",
        "'dog/cut.jpg'",
        "unreadable_share",
    )
    assert nothing_but_the_source(tmp_path)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    (pets / "ferret").mkdir()
    (pets / "ferret" / "readme.txt").write_text("none yet")
    refused(lambda: packed(settings_of("folder", path=pets), tmp_path), "ferret", "no pictures", ".txt")
    assert nothing_but_the_source(tmp_path)


def test_a_class_whose_pictures_are_all_unreadable_is_named(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    (pets / "ferret").mkdir()
    (pets / "ferret" / "a.jpg").write_text("x")
    settings = settings_of("folder", path=pets, unreadable_share=0.5)
    refused(lambda: packed(settings, tmp_path), "'ferret'", "no readable pictures")


def test_a_class_in_test_that_training_lacks_is_named(tmp_path: Path) -> None:
    save(tmp_path / "p" / "train" / "cat" / "a.png", picture(0))
    save(tmp_path / "p" / "test" / "dog" / "a.png", picture(1))
    refused(lambda: packed(settings_of("folder", path=tmp_path / "p"), tmp_path), "'dog'", "training pictures lack")
    assert nothing_but_the_source(tmp_path)


def test_a_folder_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "p" / "a").mkdir(parents=True)
    (tmp_path / "p" / "a" / "x.heic").write_bytes(b"1")
    refused(lambda: packed(settings_of("folder", path=tmp_path / "p"), tmp_path), "no pictures", ".heic")


def test_a_flat_folder_without_an_evaluation_set_says_which_key_to_set(tmp_path: Path) -> None:
    save(tmp_path / "p" / "a.png", picture(0))
    refused(lambda: packed(settings_of("folder", path=tmp_path / "p"), tmp_path), "no labels", "evaluate_on:")


def test_an_archive_of_another_set_is_called_so_by_its_own_path(tmp_path: Path) -> None:
    archive = tar_of(make_imagenette(tmp_path), tmp_path / "nette.tgz")
    refused(lambda: packed(settings_of("imagewoof", archive=archive), tmp_path), "nette.tgz/", "no class of ImageWoof")
    refused(lambda: packed(settings_of("nabirds", archive=archive), tmp_path), "images.txt", "not NABirds")


def test_nabirds_text_files_that_disagree_are_named(tmp_path: Path) -> None:
    birds = make_nabirds(tmp_path)
    labels = birds / "image_class_labels.txt"
    labels.write_text("\n".join(labels.read_text().splitlines()[1:]) + "\n")
    refused(lambda: packed(settings_of("nabirds", path=birds), tmp_path), "image_class_labels.txt", "images.txt")


def test_no_disk_space_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("folder", path=make_folder(tmp_path))
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=100))
    refused(lambda: packed(settings, tmp_path), "no disk space for packing 15 pictures", "paths.data")
    assert nothing_but_the_source(tmp_path)


def test_a_disk_that_fills_while_packing_leaves_the_old_pack_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    """A file size limit stands in for the full disk: the kernel refuses the write itself."""
    settings = shapes_settings()
    out = packed(settings, tmp_path, pack_size=16)
    before = (out / "manifest.json").read_bytes()
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from sslbench.errors import UserError\n"
        "from sslbench.data.pack.write import pack\n"
        "from tests.data.data_samples import shapes_settings\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))\n"
        "try:\n"
        "    pack(shapes_settings(), Path(sys.argv[1]), Path(sys.argv[2]), 16)\n"
        "except UserError as error:\n"
        "    sys.exit(f'one line: {error}')\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "sources" / "made" / "source.json", out]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("one line: no disk space left") and done.stderr.count("\n") == 1
    assert [p.name for p in (tmp_path / "packed").iterdir()] == ["made"]
    assert (out / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_while_unpacking_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    settings = settings_of("folder", archive=tar_of(make_folder(tmp_path), tmp_path / "a.tgz"))
    original = Path.open

    def full(self: Path, mode: str = "r", *rest: object, **more: object) -> object:
        if "unpacked.part" in str(self) and mode[0] in "wx":
            raise OSError(code, "full")
        return original(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    refused(lambda: packed(settings, tmp_path), "no disk space left", "unpacking a.tgz")
    assert nothing_but_the_source(tmp_path)


def test_a_scratch_folder_of_a_killed_run_is_cleared_away(tmp_path: Path) -> None:
    settings = shapes_settings()
    stale = tmp_path / "packed" / "made.part" / "unpacked"
    stale.mkdir(parents=True)
    (stale / "half.png").write_bytes(b"x")
    out = packed(settings, tmp_path)
    assert [p.name for p in (tmp_path / "packed").iterdir()] == [out.name]


def test_a_source_that_is_gone_or_unreadable_says_what_to_delete(tmp_path: Path) -> None:
    packed(shapes_settings(), tmp_path)
    source = tmp_path / "sources" / "made" / "source.json"
    edit_json(source, file="gone.tar")
    refused(lambda: pack(shapes_settings(), source, tmp_path / "o", 8), "gone.tar", "source.json", "run again")
    source.write_text("{")
    refused(lambda: pack(shapes_settings(), source, tmp_path / "o", 8), "source.json", "delete it")


def test_a_picture_that_would_eat_all_memory_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pets = make_folder(tmp_path)
    save(pets / "cat" / "huge.png", picture(1, 60, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    refused(lambda: packed(settings_of("folder", path=pets), tmp_path), "huge.png", "decompression bomb")
