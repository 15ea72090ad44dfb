"""The gallery: one small, reproducible picture per transform, of the user's own pictures."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench import registry
from sslbench.data import webp
from sslbench.data.pack.read import Pictures
from sslbench.transforms import preview as module
from sslbench.transforms import preview_steps, spec
from sslbench.transforms.preview import DRAWS, GAP, LARGEST, ROWS, TILE, VIEWS, choose, gallery


class Pack:
    """Stands where PackedSet.open would read a pack: eight pictures of four classes: coarse noise."""

    labels = np.array([0, 0, 0, 0, 0, 1, 2, 3])

    @classmethod
    def open(cls, folder, verify=False):
        return cls()

    def batch(self, indices: torch.Tensor) -> Pictures:
        noise = [torch.Generator().manual_seed(int(i)) for i in indices]
        cells = [torch.randint(0, 256, (3, 12, 15), generator=g, dtype=torch.uint8) for g in noise]
        return Pictures.from_list([c.repeat_interleave(10, 1).repeat_interleave(10, 2) for c in cells])


@pytest.fixture
def transforms() -> dict:
    chosen = {name: registry.load(module).Settings() for name, module in registry.TRANSFORMS.items()}
    return {name: [[op.model_dump() for op in s.branch(b)] for b in (0, 1)] for name, s in chosen.items()}


@pytest.mark.parametrize("size", [33, 96])
def test_every_transform_gets_small_webps_and_equal_runs_write_equal_bytes(tmp_path, monkeypatch, transforms, size):
    monkeypatch.setattr(module, "PackedSet", Pack)
    for name in ("a.json", "b.json"):
        gallery(tmp_path, transforms, size, tmp_path / "out" / name, seed=0)
    first, second = ((tmp_path / "out" / name).read_bytes() for name in ("a.json", "b.json"))
    assert first == second
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]
    figures = json.loads(first)
    assert set(figures) == set(transforms)
    for figure in figures.values():
        shots = [figure, *figure["operations"]]
        assert sum(len(base64.b64decode(shot["webp_base64"])) for shot in shots) <= LARGEST
        for shot in shots:
            raw = base64.b64decode(shot["webp_base64"], validate=True)
            sheet = Image.open(io.BytesIO(raw))
            assert sheet.format == "WEBP" and sheet.size == (shot["width"], shot["height"])
            assert shot["alt"] and shot["does"]


def test_even_pure_noise_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(webp, "QUALITIES", webp.QUALITIES[-2:])
    noise = np.random.default_rng(0).integers(0, 256, (ROWS * TILE, (VIEWS + 1) * TILE, 3), dtype=np.uint8)
    row = Image.fromarray(noise[:TILE])  # of one operation, and there are seldom more than eight
    assert sum(map(len, webp.encoded([Image.fromarray(noise), *[row] * 8], LARGEST))) <= LARGEST


def test_a_view_without_augmentation_shows_the_original_in_its_true_colours(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PackedSet", Pack)
    plain = [{"op": "normalize", "mean": (0.2, 0.5, 0.8), "std": (0.3, 0.2, 0.1)}]
    gallery(tmp_path, {"plain": [plain, plain]}, TILE, tmp_path / "g.json", seed=0)
    raw = base64.b64decode(json.loads((tmp_path / "g.json").read_text())["plain"]["webp_base64"])
    sheet = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).astype(float)
    original = sheet[:TILE, :TILE].reshape(-1, 3).mean(0)
    for view in range(VIEWS):
        left = (view + 1) * (TILE + GAP) + GAP
        assert np.abs(sheet[:TILE, left : left + TILE].reshape(-1, 3).mean(0) - original).max() < 2


def test_pictures_are_of_different_classes_where_there_are_enough():
    for seed in range(20):
        assert len(set(Pack.labels[choose(Pack.labels, seed)])) == ROWS
    assert len({tuple(choose(Pack.labels, seed)) for seed in range(20)}) > 5
    unlabelled = choose(np.full(10, -1), 0)
    assert len(set(unlabelled.tolist())) == ROWS
    assert len(choose(np.array([0, 0]), 0)) == 2


def tiles(shot: dict) -> list[np.ndarray]:
    """The first row of a figure's tiles, as float [TILE, TILE, 3]."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["webp_base64"]))).convert("RGB")).astype(float)
    lefts = [place * (TILE + GAP) + (GAP if place else 0) for place in range(shot["width"] // (TILE + GAP))]
    return [sheet[:TILE, left : left + TILE] for left in lefts]


def test_each_operation_is_shown_by_itself_and_its_equal_outcomes_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PackedSet", Pack)
    normalise = {"op": "normalize", "mean": (0.2, 0.5, 0.8), "std": (0.3, 0.2, 0.1)}
    flip, turn = {"op": "horizontal_flip", "p": 0.5}, {"op": "rotate", "p": 0.1, "degrees": 20.0}
    gray = {"op": "grayscale", "p": 0.2}
    branches = [[flip, turn, normalise], [flip, turn, gray, normalise]]
    gallery(tmp_path, {"own": branches}, TILE, tmp_path / "g.json", seed=0)
    shots = json.loads((tmp_path / "g.json").read_text())["own"]["operations"]
    assert [shot["title"] for shot in shots] == [
        "One view, step by step", "Mirrored", "Rotation", "Grayscale (second view)",
    ]  # fmt: skip
    stages, mirrored, turned, grey = map(tiles, shots)
    assert [len(shown) for shown in (stages, mirrored, turned, grey)] == [3, 2, 1 + DRAWS, 2]
    original = mirrored[0]
    assert np.abs(original[:, ::-1] - mirrored[1]).mean() < 9 < np.abs(original - mirrored[1]).mean()
    assert np.abs(stages[1] - mirrored[1]).mean() < 9  # the first of the steps is the flip, made to act
    assert np.abs(grey[1] - grey[1].mean(2, keepdims=True)).mean() < 4
    assert "20.0 %" not in shots[2]["does"] and "10 % of the views" in shots[2]["does"]


@pytest.mark.parametrize("name", sorted(registry.OPERATIONS))
def test_an_operation_in_words_names_its_parameters(name):
    settings = {cls.model_fields["op"].default: cls for cls in spec.Operation.__subclasses__()}[name]
    operation = settings().model_dump()
    assert preview_steps.title(operation)
    if "p" in operation:
        assert ("in every view" if operation["p"] == 1 else f"{100 * operation['p']:g} % of the views") in (
            preview_steps.words(operation).lower()
        )
    for key, value in operation.items():
        if key not in ("op", "p") and isinstance(value, float | int) and not isinstance(value, bool):
            changed = preview_steps.words(operation | {key: value / 3})
            assert changed != preview_steps.words(operation), key
    assert preview_steps.words({"op": "unheard_of", "p": 0.25, "size": (1, 2)}) == "Size 1 to 2. In 25 % of the views."
