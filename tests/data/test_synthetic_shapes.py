"""The drawn pictures: the same each time, told apart by structure and by nothing cheaper."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sslbench.data.layouts import shapes
from sslbench.data.pack.read import PackedSet
from sslbench.data.synthetic import shapes as drawing
from sslbench.data.synthetic.archive import own_generator
from tests.data.data_samples import packed, settings_of

MEANS = [86.69, 120.53, 133.22, 98.75, 114.42, 135.98, 119.64, 138.92, 150.21, 142.58]  # grey levels


def test_the_archive_has_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    settings = settings_of("shapes", train_per_class=3, test_per_class=2)
    shapes.draw(settings, tmp_path / "here.tar")
    code = (
        "import sys; from pathlib import Path; from sslbench.data.layouts import shapes\n"
        "shapes.draw(shapes.Settings(train_per_class=3, test_per_class=2), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "there.tar"], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "here.tar").read_bytes() == (tmp_path / "there.tar").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here.tar", "there.tar"]


def test_the_pictures_are_those_of_this_drawing_version() -> None:
    """Changing a picture without raising DRAWING would leave old packs in use. A tolerance of one grey level, since
    numpy's sines may differ in their last bit between processors."""
    means = [
        drawing.picture(name, 32, own_generator("shapes", 1, 0, "train", name, 0)).mean() for name in shapes.CLASSES
    ]
    assert shapes.DRAWING == 1 and tuple(drawing.FIELDS) == shapes.CLASSES
    assert np.allclose(means, MEANS, atol=0.05)


def test_more_pictures_change_none_that_were_there(tmp_path: Path) -> None:
    few = PackedSet.open(packed(settings_of("shapes", train_per_class=2, test_per_class=1), tmp_path, 32, name="few"))
    more = PackedSet.open(packed(settings_of("shapes", train_per_class=3, test_per_class=2), tmp_path, 32, name="more"))
    for i, name in enumerate(few.names):
        j = more.names.index(name)
        assert np.array_equal(few.batch(np.array([i])).picture(0), more.batch(np.array([j])).picture(0))


def test_seeds_and_sides_have_pictures_of_their_own(tmp_path: Path) -> None:
    seen = set()
    for seed in (0, 1):
        opened = PackedSet.open(
            packed(settings_of("shapes", train_per_class=4, test_per_class=4, seed=seed), tmp_path, 32)
        )
        everything = opened.batch(np.arange(len(opened)))
        seen |= {hashlib.sha256(everything.picture(i).numpy().tobytes()).digest() for i in range(len(opened))}
    assert len(seen) == 2 * 80


@pytest.mark.parametrize("size", [16, 33, 64])
def test_how_much_of_each_colour_there_is_never_depends_on_the_class(size: int) -> None:
    sorted_mixtures = {
        name: np.sort(drawing.mixture(name, size, np.random.default_rng(5)), axis=None) for name in shapes.CLASSES
    }
    for mixture in sorted_mixtures.values():
        assert np.array_equal(mixture, sorted_mixtures["blobs"])


def drawn(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    pictures = [
        drawing.picture(name, 32, own_generator("test", split, name, i))
        for name in shapes.CLASSES
        for i in range(count)
    ]
    return np.stack(pictures) / 255, np.repeat(np.arange(len(shapes.CLASSES)), count)


CHEAP = {
    "mean colour": lambda x: x.mean(axis=(1, 2)),
    "mean and spread of colour": lambda x: np.concatenate([x.mean(axis=(1, 2)), x.std(axis=(1, 2))], axis=1),
    "where it is bright": lambda x: x.reshape(len(x), 4, 8, 4, 8, 3).mean(axis=(2, 4, 5)).reshape(len(x), -1),
}


@pytest.mark.parametrize("cheap", CHEAP)
def test_neither_colour_nor_position_tells_the_classes_apart(cheap: str) -> None:
    """Chance is 0.1; on 400 test pictures four standard errors are 0.06."""
    train, y = drawn("train", 60)
    test, truth = drawn("test", 40)
    assert KNeighborsClassifier(20).fit(CHEAP[cheap](train), y).score(CHEAP[cheap](test), truth) < 0.16
    scaled = (CHEAP[cheap](train), CHEAP[cheap](test))
    mean, deviation = scaled[0].mean(0), scaled[0].std(0)
    linear = LogisticRegression(max_iter=300).fit((scaled[0] - mean) / deviation, y)
    assert linear.score((scaled[1] - mean) / deviation, truth) < 0.2


def test_structure_does_tell_them_apart() -> None:
    """The spectrum, which knows nothing of colour or place, gives most of them away: the classes are there to learn."""

    def spectrum(pictures: np.ndarray) -> np.ndarray:
        grey = pictures.mean(axis=3)
        power = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True)))[:, :17, :17]
        return np.log(power.reshape(len(grey), -1) + 0.1)

    train, y = drawn("train", 60)
    test, truth = drawn("test", 20)
    assert LogisticRegression(C=0.01, max_iter=300).fit(spectrum(train), y).score(spectrum(test), truth) > 0.5
