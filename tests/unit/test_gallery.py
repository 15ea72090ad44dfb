"""The gallery: one small, reproducible picture per transform, of the user's own pictures."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench import registry
from sslbench.data.packed import Pictures
from sslbench.report import gallery as module
from sslbench.report.gallery import GAP, LARGEST, ROWS, TILE, VIEWS, choose, gallery


class Pack:
    """Stands where PackedSet.open would read a pack: eight pictures of four classes: coarse noise."""

    labels = np.array([0, 0, 0, 0, 0, 1, 2, 3])

    @classmethod
    def open(cls, folder):
        return cls()

    def batch(self, indices: torch.Tensor) -> Pictures:
        noise = [torch.Generator().manual_seed(int(i)) for i in indices]
        cells = [torch.randint(0, 256, (3, 12, 15), generator=g, dtype=torch.uint8) for g in noise]
        return Pictures.from_list([c.repeat_interleave(10, 1).repeat_interleave(10, 2) for c in cells])


@pytest.fixture
def transforms() -> dict:
    chosen = {name: registry.load(module).Settings() for name, module in registry.TRANSFORMS.items()}
    return {name: [[op.model_dump() for op in s.branch(b)] for b in (0, 1)] for name, s in chosen.items()}


@pytest.mark.parametrize("size", [33, 128])
def test_every_transform_gets_one_small_webp_and_equal_runs_write_equal_bytes(tmp_path, monkeypatch, transforms, size):
    monkeypatch.setattr(module, "PackedSet", Pack)
    for name in ("a.json", "b.json"):
        gallery(tmp_path, transforms, size, tmp_path / "out" / name, seed=0)
    first, second = ((tmp_path / "out" / name).read_bytes() for name in ("a.json", "b.json"))
    assert first == second
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]
    figures = json.loads(first)
    assert set(figures) == set(transforms)
    for figure in figures.values():
        raw = base64.b64decode(figure["webp_base64"], validate=True)
        sheet = Image.open(io.BytesIO(raw))
        assert sheet.format == "WEBP" and sheet.size == (figure["width"], figure["height"])
        assert len(raw) <= LARGEST and figure["alt"]


def test_even_pure_noise_fits(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (ROWS * TILE, (VIEWS + 1) * TILE, 3), dtype=np.uint8)
    assert len(module._encoded(Image.fromarray(noise))) <= LARGEST


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
