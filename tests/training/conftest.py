"""A small real pack, for tests that train."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslbench.data.layouts import folder
from sslbench.data.pack.write import pack
from sslbench.data.sources.fetch import fetch
from sslbench.training.trainer import Training
from tests.data.test_jpeg import root  # noqa: F401 - a fixture of jpeg_pack's


@pytest.fixture(scope="session")
def small_pack(tmp_path_factory) -> Path:
    """54 + 6 pictures of 3 classes: colour and stripe width differ by class, sizes by picture."""
    pictures = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for part, count in (("train", 18), ("val", 2)):
        for label in range(3):
            (pictures / part / f"class{label}").mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(36, 60, 2)
                stripes = np.sin(np.arange(width) * (0.3 + 0.5 * label))[None, :, None] * 60
                pixels = 128 + stripes + 40 * (np.arange(3) == label) + random.normal(0, 20, (height, width, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    pictures / part / f"class{label}" / f"{number}.png"
                )
    settings = folder.Settings(path=pictures)
    made = tmp_path_factory.mktemp("packs")
    fetch(settings, made / "source")
    pack(settings, made / "source" / "source.json", made / "pack", 36)
    return made / "pack"


@pytest.fixture
def jpeg_pack(root, tmp_path) -> Path:  # noqa: F811
    """20 JPEGs of 2 classes, packed as they are."""
    settings = folder.Settings(path=root, encoding="jpeg")
    fetch(settings, tmp_path / "source")
    pack(settings, tmp_path / "source" / "source.json", tmp_path / "jpegs", 36)
    return tmp_path / "jpegs"


@pytest.fixture
def after_step(monkeypatch):
    """``after_step(n, action)``: call ``action`` right after optimiser step n of whatever trains in this process."""
    real, actions = Training.advance, {}

    def advance(self):
        real(self)
        if self.step in actions:
            actions.pop(self.step)()

    monkeypatch.setattr(Training, "advance", advance)
    return actions.__setitem__
