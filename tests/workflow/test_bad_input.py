"""A user's mistake in the pictures: one line that says what, where and what to do, and nothing half-made."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from sslbench.transforms.spec import merge
from tests.workflow.tiny_grid import TINY, our_line


def jpeg(seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)).save(content, "JPEG")
    return content.getvalue()


def archive(path, extra=(), without=(), empty=()):
    """Two classes of eight training and four test pictures in class folders, and what a case adds or leaves out."""
    files = {
        f"mine/{part}/{name}/{i}.jpg": jpeg(i)
        for part, n in (("train", 8), ("test", 4))
        for name in "ab"
        for i in range(n)
    }
    files = {name: content for name, content in files.items() if not any(name.startswith(prefix) for prefix in without)}
    files |= dict(extra)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name in empty:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)


CASES = {
    "truncated": ({}, "mine.tgz"),
    "climbs out of its folder": ({"extra": [("../outside.jpg", jpeg(0))]}, "outside.jpg"),
    "a text file named .jpg": ({"extra": [("mine/train/a/note.jpg", b"not a picture")]}, "note.jpg"),
    "an empty class": ({"empty": ["mine/train/empty"]}, "empty"),
    "a class in test that training lacks": ({"extra": [("mine/test/c/0.jpg", jpeg(0))]}, "'c'"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_pictures_are_answered_in_one_line_and_leave_nothing(project, case):
    contents, named = CASES[case]
    file = project.folder / "mine.tgz"
    archive(file, **contents)
    if case == "truncated":
        file.write_bytes(file.read_bytes()[:-2000])
    overlay = merge(TINY, {"datasets": {"drawn": {"kind": "folder", "archive": "mine.tgz", "pack_size": 32}}})
    overlay["datasets"]["drawn"] = {"kind": "folder", "archive": "mine.tgz", "pack_size": 32}
    overlay["training"] |= {"batch_size": 8}
    line = our_line(project.run(overlay, "drawn"))
    assert line.startswith("sslbench: datasets.drawn: ")
    assert named in line
    packed = project.folder / "data" / "packed"
    assert not [path for path in packed.rglob("*") if path.is_file()]
    assert not (project.folder.parent / "outside.jpg").exists()
