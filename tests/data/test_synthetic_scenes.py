"""The drawn scenes: the same each time, told apart by outline and by nothing cheaper, with an up of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sslbench.data.layouts import scenes
from sslbench.data.synthetic import scenes as drawing_scenes
from sslbench.data.synthetic.archive import own_generator
from tests.data.data_samples import settings_of

MEANS = [156.13, 91.46, 61.85, 133.9, 140.77, 195.47, 172.92, 86.97, 201.89, 49.46]  # grey levels


def test_the_archive_has_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    settings = settings_of("scenes", train_per_class=2, test_per_class=1)
    scenes.draw(settings, tmp_path / "here.tar")
    code = (
        "import sys; from pathlib import Path; from sslbench.data.layouts import scenes\n"
        "scenes.draw(scenes.Settings(train_per_class=2, test_per_class=1), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "there.tar"], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "here.tar").read_bytes() == (tmp_path / "there.tar").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here.tar", "there.tar"]


def test_the_pictures_are_those_of_this_drawing_version() -> None:
    """As with the shapes: changing a picture without raising DRAWING would leave old packs in use."""
    means = [
        drawing_scenes.picture(name, 32, own_generator("scenes", 1, 0, "train", name, 0)).mean()
        for name in scenes.CLASSES
    ]
    assert scenes.DRAWING == 1 and tuple(drawing_scenes.THINGS) == scenes.CLASSES
    assert np.allclose(means, MEANS, atol=0.05)


@pytest.mark.parametrize("name", scenes.CLASSES)
def test_every_thing_covers_the_share_that_was_drawn_for_it(name: str) -> None:
    """The first number that an outline draws, uniform on 0.16 to 0.3, with nothing cut off at the picture's edge."""
    for seed in range(20):
        share = np.random.default_rng(seed).uniform(0.16, 0.3)
        covered = drawing_scenes.outline(name, 48, np.random.default_rng(seed))
        assert covered.mean() == pytest.approx(share, abs=0.01)


def drawn(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    pictures = [
        drawing_scenes.picture(name, 32, own_generator("test", split, name, i))
        for name in scenes.CLASSES
        for i in range(count)
    ]
    return np.stack(pictures) / 255, np.repeat(np.arange(len(scenes.CLASSES)), count)


@pytest.fixture(scope="module")
def sides() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return *drawn("train", 60), *drawn("test", 40)


def score(train: np.ndarray, y: np.ndarray, test: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Of 20 nearest neighbours and of a linear classifier."""
    mean, deviation = train.mean(0), train.std(0) + 1e-9
    linear = LogisticRegression(max_iter=300).fit((train - mean) / deviation, y)
    neighbours = KNeighborsClassifier(20).fit(train, y)
    return neighbours.score(test, truth), linear.score((test - mean) / deviation, truth)


CHEAP = {
    "mean and spread of colour": lambda x: np.concatenate([x.mean(axis=(1, 2)), x.std(axis=(1, 2))], axis=1),
    "how often each grey level is": lambda x: np.stack(
        [np.histogram(p.mean(axis=2), bins=16, range=(0, 1))[0] for p in x]
    ),
}


def fields(pictures: np.ndarray) -> np.ndarray:
    """Brightness in 4 x 4 fields."""
    return pictures.reshape(len(pictures), 4, 8, 4, 8, 3).mean(axis=(2, 4, 5)).reshape(len(pictures), -1)


@pytest.mark.parametrize("cheap", CHEAP)
def test_neither_colour_nor_brightness_nor_area_tells_the_classes_apart(cheap: str, sides: tuple) -> None:
    """Chance is 0.1; on 400 test pictures four standard errors are 0.06."""
    train, y, test, truth = sides
    assert max(score(CHEAP[cheap](train), y, CHEAP[cheap](test), truth)) < 0.16


def test_no_place_is_brighter_in_one_class_than_in_another(sides: tuple) -> None:
    """Neighbours may see a coarse outline in it, in the tones of one picture or another; a linear classifier cannot."""
    train, y, test, truth = sides
    neighbours, linear = score(fields(train), y, fields(test), truth)
    assert linear < 0.25 and neighbours < 0.35


def edges(pictures: np.ndarray) -> np.ndarray:
    """How much of each of 8 directions there is in each of 4 x 4 fields around the thing's middle, signs aside."""
    grey = pictures.mean(axis=3)
    smooth = sum(np.roll(grey, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    down, right = np.gradient(smooth, axis=(1, 2))
    strength, angle = np.hypot(down, right), np.arctan2(down, right) % np.pi
    strength = np.where(strength > 0.05, strength, 0)
    strength /= strength.sum(axis=(1, 2), keepdims=True) + 1e-9
    n, size = len(grey), grey.shape[1]
    y, x = np.mgrid[:size, :size]
    middle_y, middle_x = ((strength * c).sum(axis=(1, 2)) for c in (y, x))
    row = np.clip((y - middle_y[:, None, None] + 12) // 6, 0, 3).astype(int)
    column = np.clip((x - middle_x[:, None, None] + 12) // 6, 0, 3).astype(int)
    place = ((np.arange(n)[:, None, None] * 4 + row) * 4 + column) * 8 + (angle / np.pi * 8).astype(int) % 8
    return np.sqrt(np.bincount(place.ravel(), strength.ravel(), minlength=n * 128).reshape(n, 128))


def test_outlines_do_tell_them_apart(sides: tuple) -> None:
    """Directions of edges around the middle, which know nothing of tones, give most of them away."""
    train, y, test, truth = sides
    assert score(edges(train), y, edges(test), truth)[1] > 0.9


def test_up_can_be_told_and_not_by_what_lies_behind(sides: tuple) -> None:
    """Edges say how a picture was turned. Brightness in fields, from which one would see a lit sky, says nothing."""
    train, _, test, _ = sides
    turned = [np.concatenate([np.rot90(x, k, (1, 2)) for k in range(4)]) for x in (train, test)]
    turns = [np.repeat(np.arange(4), len(x)) for x in (train, test)]
    assert score(edges(turned[0]), turns[0], edges(turned[1]), turns[1])[1] > 0.5
    bright = [fields(x) for x in turned]
    assert score(bright[0], turns[0], bright[1], turns[1])[1] < 0.33
