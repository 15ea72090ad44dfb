"""A user's own folder of images, known by their names alone."""

import pytest


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """The current folder, with pets/: 2 classes of 15 images each."""
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(15):
            (tmp_path / "pets" / label / f"{number}.jpg").write_bytes(b"never opened here")
    return tmp_path
