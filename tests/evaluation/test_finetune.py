"""Fine-tuning: what it starts from, what it learns from, and that an interruption changes nothing."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from sslbench.data.pack.read import PackedSet
from sslbench.evaluation import finetune, label_fractions
from sslbench.evaluation.label_fractions import draw
from sslbench.training.dataloader import Stream
from sslbench.training.run import Interrupted
from sslbench.training.trainer import Training
from sslbench.transforms.pipeline import center_view
from tests.by_hand import run_of
from tests.training.small_cells import cell, send

SHARES, DRAWS, PICTURES = [0.25, 1.0], 2, 54


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(7)
    file = tmp_path / "backbone.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), file)
    (tmp_path / "run.json").write_text(json.dumps(run_of()))
    return file


def settings(**changes) -> dict:
    """Two draws of 12 labels and one of all 54, at least two epochs and three steps each."""
    one = cell("supervised", epochs=1, holdout=0)
    return {
        "shares": SHARES, "draws": DRAWS, "epochs": 2, "least_steps": 3, "batch_size": 16, "resize_ratio": 1.0,
        "confidence": 0.95, "cell": one,
    } | changes  # fmt: skip


def run(weights: Path, pack: Path, results: Path, asked: dict | None = None, **options) -> bytes:
    results.mkdir(exist_ok=True)
    options = {"state_root": results / ".store", "device": "cpu", "threads": 1} | options
    output = results / "finetune.json"
    finetune.finetune(asked or settings(), "code", weights, weights.parent / "run.json", pack, output, **options)
    return output.read_bytes()


def test_an_interrupted_job_goes_on_where_it_stopped_and_ends_the_same(weights, small_pack, tmp_path, monkeypatch):
    straight = run(weights, small_pack, tmp_path / "straight")
    steps, real = [], Training.advance

    def advance(self):
        real(self)
        steps.append((self.seed, self.total_steps))
        if len(steps) == 5:  # the second draw's second step of three
            send(signal.SIGTERM)()

    monkeypatch.setattr(Training, "advance", advance)
    with pytest.raises(Interrupted, match="after step 2 of 3"):
        run(weights, small_pack, tmp_path / "broken")
    assert run(weights, small_pack, tmp_path / "broken") == straight
    # 2 draws of 3 steps (12 labels are one step, so three epochs), then 54 labels in 2 epochs of 3
    assert steps == [(0, 3)] * 3 + [(1, 3)] * 3 + [(0, 6)] * 6
    steps.clear()
    assert run(weights, small_pack, tmp_path / "broken") == straight
    assert steps == []  # all of it was in the store
    found, store = json.loads(straight), tmp_path / "broken" / ".store"
    assert sorted(found["runs"]) == sorted(path.name for path in store.iterdir())


def test_a_run_starts_at_the_backbone_sees_the_drawn_pictures_alone_and_trains_all_of_it(
    weights, small_pack, tmp_path, monkeypatch
):
    seen, starts, ends = {}, [], []
    indices, prepare, answers = Stream.indices, finetune.Tuning._prepare, finetune.right_answers

    def watched(self, epoch, step):
        found = indices(self, epoch, step)
        seen.setdefault((len(self.train), self.seed), set()).update(found.tolist())
        return found

    def prepared(self):
        prepare(self)
        starts.append({name: value.clone() for name, value in self.method.backbone.timm_state().items()})

    def finished(training, test, size, ratio):
        ends.append({name: value.clone() for name, value in training.method.backbone.timm_state().items()})
        count = answers(training, test, size, ratio)
        pack = PackedSet.open(small_pack)
        images = center_view(pack.batch(torch.from_numpy(test)), size).images
        guess = training.method.classifier(training.method.backbone(images)).argmax(1)
        assert count == int((guess.numpy() == pack.labels[test]).sum())
        return count

    monkeypatch.setattr(Stream, "indices", watched)
    monkeypatch.setattr(finetune.Tuning, "_prepare", prepared)
    monkeypatch.setattr(finetune, "right_answers", finished)
    found = json.loads(run(weights, small_pack, tmp_path / "a"))
    pack = PackedSet.open(small_pack)
    train = np.sort(pack.split("official")["train"])
    for number in range(DRAWS):
        chosen = train[draw(torch.from_numpy(pack.labels[train]), 0.25, number).numpy()]
        assert np.bincount(pack.labels[chosen]).tolist() == [4, 4, 4]
        assert seen[(12, number)] == set(chosen.tolist())
    stored = safetensors.torch.load_file(weights)
    assert all(torch.equal(start[name], stored[name]) for start in starts for name in stored)
    assert all(not torch.equal(ends[-1][name], stored[name]) for name in stored if name.endswith("weight"))
    assert [entry["n_train"] for entry in found["entries"]] == [12, PICTURES]
    assert found["digest"] == run_of()["digest"]
    assert found["n"] == 6
    for entry in found["entries"]:
        assert entry["top1"] == pytest.approx(sum(entry["right"]) / len(entry["right"]) / 6)
        assert len(entry["right"]) == entry["draws"] == (2 if entry["share"] < 1 else 1)


def test_another_backbone_is_another_run_and_nothing_else_of_it_is_kept(weights, small_pack, tmp_path):
    one_draw = settings(shares=[1.0])
    run(weights, small_pack, tmp_path / "a", one_draw)
    before = {path.name for path in (tmp_path / "a" / ".store").iterdir()}
    state = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: value + name.endswith("weight") for name, value in state.items()}, weights)
    run(weights, small_pack, tmp_path / "a", one_draw)
    after = {path.name for path in (tmp_path / "a" / ".store").iterdir()}
    assert before < after and len(after) == 2
    assert not list((tmp_path / "a" / ".store").glob("*/state"))


def stored(results: Path) -> set[str]:
    return {path.name for path in (results / ".store").iterdir()}


def test_other_pictures_drawn_or_another_test_view_are_other_runs(weights, small_pack, tmp_path, monkeypatch):
    """How pictures are drawn is no part of the code that names a run, so the pictures themselves are."""
    asked, home = settings(shares=[0.25], draws=1), tmp_path / "a"
    run(weights, small_pack, home, asked)
    first = stored(home)
    run(weights, small_pack, home, asked | {"confidence": 0.9})
    assert stored(home) == first
    monkeypatch.setattr(finetune, "draw", lambda labels, share, number: label_fractions.draw(labels, share, number + 1))
    run(weights, small_pack, home, asked)
    assert len(stored(home)) == 2
    monkeypatch.undo()
    run(weights, small_pack, home, asked | {"resize_ratio": 1.5})
    assert len(stored(home)) == 3


def test_weights_that_are_not_finite_leave_entries_without_figures(weights, small_pack, tmp_path):
    state = safetensors.torch.load_file(weights)
    next(value for name, value in state.items() if name.endswith("weight")).fill_(float("nan"))
    safetensors.torch.save_file(state, weights)
    found = json.loads(run(weights, small_pack, tmp_path / "a"))
    assert [("top1" in entry, entry["n_train"]) for entry in found["entries"]] == [(False, 12), (False, PICTURES)]
