"""A source is known by where it is and what is in it: what a look at the user's own files notices, and what it reads."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from sslbench.data.pack import write as packing
from sslbench.data.pack.write import pack
from sslbench.data.sources import content
from sslbench.data.sources.fetch import fetch
from sslbench.data.spec import DatasetSettings
from sslbench.errors import UserError
from sslbench.grid.cell import pack_names
from sslbench.store.entries import digest
from tests.data.data_samples import (
    make_folder,
    make_imagenet,
    make_nabirds,
    packed,
    picture,
    save,
    settings_of,
    tar_of,
)

CAT, DOG = "cat/0 of cat.png", "dog/0 of dog.png"


class Images:
    """Fifteen images in three classes, fetched once."""

    def __init__(self, root: Path, kind: str = "folder", make=make_folder) -> None:
        self.top, self.source = make(root), root / "sources" / "made"
        self.settings = settings_of(kind, path=self.top)
        fetch(self.settings, self.source)
        self.known = self.name()

    def name(self) -> str | None:
        return content.name(self.settings, self.source)

    def said(self) -> bytes:
        return (self.source / "source.json").read_bytes()


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that looks have read since."""
    names: list[str] = []
    monkeypatch.setattr(content, "_sha256", lambda path: names.append(path.name) or hashed(path))
    return names


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put_back(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def overwrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def overwrite_and_put_the_time_back(path: Path) -> None:
    status = path.stat()
    overwrite(path)
    put_back(path, status)


def swap(top: Path) -> None:
    (top / CAT).rename(top / "aside")
    (top / DOG).rename(top / CAT)
    (top / "aside").rename(top / DOG)


def link_over(top: Path) -> None:
    (top / CAT).unlink()
    os.link(top / DOG, top / CAT)


@pytest.mark.parametrize(
    "change",
    [
        lambda top: overwrite(top / CAT),
        lambda top: overwrite_and_put_the_time_back(top / CAT),
        swap,
        link_over,
        lambda top: shutil.copy2(top / DOG, top / CAT),
        lambda top: (top / CAT).rename(top / "cat" / "renamed.png"),
        lambda top: (top / CAT).rename(top / "dog" / "moved.png"),
        lambda top: (top / CAT).unlink(),
        lambda top: save(top / "cat" / "new.png", picture(99)),
        lambda top: (top / "cat").rename(top / "lion"),
    ],
    ids=[
        "overwritten, same size",
        "overwritten, same size and time",
        "two images swapped between classes",
        "replaced by a hard link of another",
        "replaced by an older one (cp -p)",
        "renamed",
        "moved to another class",
        "deleted",
        "added",
        "a class renamed",
    ],
)
def test_a_changed_image_is_fetched_again(images: Images, change) -> None:
    before = images.said()
    change(images.top)
    assert images.name() != images.known
    fetch(images.settings, images.source)
    assert images.said() != before


def litter(top: Path) -> None:
    (top / ".DS_Store").write_bytes(b"x")
    (top / "cat" / "._0 of cat.png").write_bytes(b"x")
    (top / "Thumbs.db").write_bytes(b"x")
    (top / "README.txt").write_text("mine")


def copied(top: Path) -> None:
    """Every file anew, with other inodes and times."""
    shutil.copytree(top, top.with_name("copy"), copy_function=shutil.copyfile)
    shutil.rmtree(top)
    top.with_name("copy").rename(top)


@pytest.mark.parametrize(
    ("change", "files"),
    [
        (lambda top: None, 0),
        (litter, 0),
        (lambda top: [os.utime(path) for path in top.rglob("*.png")], 15),
        (lambda top: (top / CAT).chmod(0o600), 1),
        (copied, 15),
        (lambda top: [swap(top), swap(top)], 2),
    ],
    ids=["nothing", "litter", "touched", "a mode", "every file copied anew", "swapped and swapped back"],
)
def test_what_leaves_the_content_costs_one_look_and_fetches_nothing(images: Images, read, change, files: int) -> None:
    change(images.top)
    assert images.name() == images.known and len(read) == files
    assert images.name() == images.known and len(read) == files  # once
    before = images.said()
    fetch(images.settings, images.source)
    assert images.said() == before and len(read) == files and images.name() == images.known


def test_only_changed_files_are_read_again(images: Images, read) -> None:
    overwrite(images.top / CAT)
    save(images.top / "dog" / "new.png", picture(99))
    fetch(images.settings, images.source)
    assert sorted(read) == sorted([Path(CAT).name, "new.png"])


def test_a_change_that_was_taken_back_before_fetching_fetches_nothing(images: Images) -> None:
    original = (images.top / CAT).read_bytes()
    overwrite(images.top / CAT)
    assert images.name() != images.known
    (images.top / CAT).write_bytes(original)
    assert images.name() == images.known


def test_a_first_look_reads_no_file_and_gives_the_name_that_stays(tmp_path: Path, read) -> None:
    settings, source = settings_of("folder", path=make_folder(tmp_path)), tmp_path / "sources" / "made"
    first = content.name(settings, source)
    assert read == [] and not source.exists()
    fetch(settings, source)
    assert len(read) == 15 and content.name(settings, source) == first


def test_images_put_away_after_packing_fetch_nothing(images: Images) -> None:
    images.top.rename(images.top.with_name("elsewhere"))
    assert images.name() == images.known


@pytest.mark.parametrize("files", [b"", b"[]", b"{", b'{"cat/0 of cat.png": 3}'])
def test_a_record_without_its_files_reads_them_again(images: Images, read, files: bytes) -> None:
    record = images.source / content.KEPT
    record.write_bytes(record.read_bytes().partition(b"\n")[0] + b"\n" + files)
    os.utime(images.top / CAT)
    assert images.name() == images.known and len(read) == 15


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}\n{}", b'{"name": 1}\n{"a": 3}', b""])
def test_a_damaged_record_of_looks_is_made_anew(images: Images, damage: bytes) -> None:
    (images.source / content.KEPT).write_bytes(damage)
    assert images.name()
    before = images.said()
    fetch(images.settings, images.source)
    assert images.said() == before and images.name()


def test_what_cannot_be_kept_is_read_again(images: Images, read, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("read-only")

    monkeypatch.setattr(content, "write_whole", refuse)
    os.utime(images.top / CAT)
    assert images.name() == images.name() == images.known and len(read) == 2


def test_links_are_followed_and_cycles_are_not(images: Images, tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "bird" / "1.png", picture(7)).parent
    (images.top / "bird").symlink_to(outside)
    (images.top / "cat" / "up").symlink_to(images.top)
    (images.top / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    fetch(images.settings, images.source)
    linked = images.name()
    assert linked != images.known
    save(outside / "2.png", picture(8))
    assert images.name() != linked


def test_a_fetched_folder_says_what_is_in_it(images: Images) -> None:
    files = {str(path.relative_to(images.top)): path for path in images.top.rglob("*.png")}
    expected = json.dumps({name: hashed(path) for name, path in files.items()}, sort_keys=True)
    found = json.loads(images.said())
    assert found["sha256"] == hashlib.sha256(expected.encode()).hexdigest()
    assert found["size"] == sum(path.stat().st_size for path in files.values())


@pytest.mark.parametrize(
    ("kind", "make", "file"),
    [
        ("nabirds", make_nabirds, "image_class_labels.txt"),
        ("nabirds", make_nabirds, "train_test_split.txt"),
        ("imagenet", make_imagenet, "LOC_synset_mapping.txt"),
    ],
)
def test_label_files_are_content(tmp_path: Path, kind: str, make, file: str) -> None:
    images = Images(tmp_path, kind, make)
    (images.top / "notes.txt").write_text("mine")
    assert images.name() == images.known
    (images.top / file).write_text((images.top / file).read_text() + "\n")
    assert images.name() != images.known


class Labelled(DatasetSettings):
    """A kind that says nothing of label files, as a plug-in may."""


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "parquet"])
def test_of_a_kind_that_names_none_every_table_and_text_is_content(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "images").mkdir()
    settings = Labelled(path=tmp_path / "images")
    before = content.name(settings, tmp_path / "source")
    (tmp_path / "images" / f"labels.{suffix}").write_text("a")
    assert content.name(settings, tmp_path / "source") != before


class Table(DatasetSettings):
    """A kind that reads a file and a folder beside it."""

    root: Path

    def read_from(self) -> list[Path]:
        return [self.path, self.root]


@pytest.mark.parametrize("changed", ["table.csv", "images/cat/0 of cat.png"])
def test_a_kind_may_read_from_several_places(tmp_path: Path, changed: str) -> None:
    make_folder(tmp_path).rename(tmp_path / "images")
    (tmp_path / "table.csv").write_text("path,label\n")
    settings, source = Table(path=tmp_path / "table.csv", root=tmp_path / "images"), tmp_path / "source"
    content.remember(source, content.look(settings, source))
    known = content.name(settings, source)
    os.utime(tmp_path / changed)
    assert content.name(settings, source) == known
    overwrite(tmp_path / changed)
    assert content.name(settings, source) != known


def test_an_archive_replaced_by_an_older_one_is_fetched_again(tmp_path: Path) -> None:
    archive = tar_of(make_folder(tmp_path), tmp_path / "pets.tar", "w")
    save(tmp_path / "pets" / CAT, picture(99))
    older = tar_of(tmp_path / "pets", tmp_path / "older.tar", "w")
    os.utime(older, (1_000_000_000, 1_000_000_000))
    settings, source = settings_of("folder", archive=archive), tmp_path / "source"
    fetch(settings, source)
    known, before = content.name(settings, source), (source / "source.json").read_bytes()
    os.utime(archive)
    assert content.name(settings, source) == known
    shutil.copy2(older, archive)
    assert archive.stat().st_mtime == 1_000_000_000 and content.name(settings, source) != known
    assert fetch(settings, source)["sha256"] == hashed(older)
    assert (source / "source.json").read_bytes() != before


def names_of(*settings: DatasetSettings, data: Path = Path("data")) -> list[tuple[str, str]]:
    return list(pack_names({f"set{i}": (s, 32) for i, s in enumerate(settings)}, data).values())


@pytest.mark.parametrize("key", ["path", "archive"])
def test_two_places_of_one_name_share_neither_source_nor_pack(tmp_path: Path, key: str) -> None:
    one, two = (settings_of("folder", **{key: tmp_path / parent / "images"}) for parent in ("p1", "p2"))
    alone = names_of(one)[0], names_of(two)[0]
    assert [len({name[part] for name in alone}) for part in (0, 1)] == [2, 2]
    assert tuple(names_of(one, two)) == alone  # in one document or in two


def test_a_link_and_what_it_points_at_are_one_place(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    settings = settings_of("folder", path=tmp_path / "images"), settings_of("folder", path=tmp_path / "link")
    assert content.place(settings[0].path, Path("data")) == content.place(settings[1].path, Path("data"))


def test_official_downloads_keep_their_names() -> None:
    assert names_of(settings_of("imagenette", size=160)) == [("imagenette2-160", "imagenette2-160-32px")]


def test_images_inside_a_checkout_keep_their_name_when_it_moves(tmp_path: Path, monkeypatch) -> None:
    found = []
    for checkout in ("a", "b"):
        make_folder(tmp_path / checkout)
        monkeypatch.chdir(tmp_path / checkout)
        settings = settings_of("folder", path="pets")
        shared = names_of(settings, data=tmp_path / "shared")
        fetch(settings, Path("data/sources/made"))
        assert json.loads(Path("data/sources/made/source.json").read_text())["file"] == "../../../pets"
        found.append((names_of(settings), shared))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]  # where two checkouts share the data, each has its own


def test_a_moved_folder_has_the_data_identity_that_the_store_knows(tmp_path: Path) -> None:
    keys = []
    for place in ("here", "there"):
        made = packed(settings_of("folder", path=make_folder(tmp_path / place)), tmp_path / place, name=f"pets@{place}")
        manifest = json.loads((made / "manifest.json").read_text())
        (split,) = manifest["splits"].values()
        data = {"content_sha256": manifest["content_sha256"], "split_sha256": split["sha256"]}
        keys.append((manifest["source"], digest({"a": 1}, "code", data)))
    assert keys[0][0] != keys[1][0] and keys[0][1] == keys[1][1]


def test_packing_names_an_image_that_changed_since_it_was_fetched(images: Images, tmp_path: Path) -> None:
    overwrite(images.top / CAT)
    (images.top / DOG).unlink()
    with pytest.raises(UserError, match=r"pets: 'cat/0 of cat\.png' and 1 more changed since .* run again"):
        pack(images.settings, images.source / "source.json", tmp_path / "packed", 8)
    assert not (tmp_path / "packed").exists()


def test_packing_names_an_image_that_changes_while_it_packs(images: Images, tmp_path: Path, monkeypatch) -> None:
    original = packing._write

    def write(*arguments: object) -> None:
        original(*arguments)
        overwrite(images.top / CAT)

    monkeypatch.setattr(packing, "_write", write)
    with pytest.raises(UserError, match=r"'cat/0 of cat\.png' changed since"):
        pack(images.settings, images.source / "source.json", tmp_path / "packed", 8)
    assert not (tmp_path / "packed").exists()


def test_touched_images_are_packed_all_the_same(images: Images, tmp_path: Path) -> None:
    os.utime(images.top / CAT)
    pack(images.settings, images.source / "source.json", tmp_path / "packed", 8)
    assert (tmp_path / "packed" / "manifest.json").is_file()


def test_files_in_many_chunks_and_large_ones_are_hashed_as_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for number in range(2 * content._CHUNK + 3):
        (tmp_path / "cat" / f"{number}.png").write_bytes(bytes([number % 256]) * number)
    (tmp_path / "cat" / "large.png").write_bytes(bytes(content._SMALL) + b"end")
    files = content.look(settings_of("folder", path=tmp_path), tmp_path / "source").files
    assert {name: entry[4] for name, entry in files.items()} == {name: hashed(tmp_path / name) for name in files}
    assert len(files) == 2 * content._CHUNK + 4
