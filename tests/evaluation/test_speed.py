"""The time of an image."""

import json

import numpy as np
import pytest
import torch

from sslbench.evaluation import speed


def test_a_network_is_timed_in_both_batches_and_the_file_says_on_what(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    network = {"backbone": {"name": "test_resnet", "options": {}}, "input_size": 32}
    before = torch.get_rng_state()
    speed.speed(network, None, tmp_path / "s.json", "cpu", 1)
    assert torch.equal(torch.get_rng_state(), before)
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["threads"] == 1 and found["device"] and list(found["batches"]) == ["1", "32"]
    for one in found["batches"].values():
        assert one["runs"] == speed.RUNS and 0 < one["low"] <= one["ms"] <= one["high"]


def test_a_batch_that_would_take_too_long_is_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(speed, "timed", lambda model, images, cuda: [0.5] * 7)
    told = {"architecture": "test_resnet", "options": {}}
    (tmp_path / "weights.json").write_text(json.dumps(told))
    network = {"backbone": {"name": "owner/name", "options": {}}, "input_size": 32}
    speed.speed(network, tmp_path / "weights.json", tmp_path / "s.json", "cpu", 1)
    assert json.loads((tmp_path / "s.json").read_text())["batches"] == {
        "1": {"ms": 500.0, "low": 500.0, "high": 500.0, "runs": 7}
    }


def test_runs_become_milliseconds_an_image() -> None:
    found = speed.summary([0.064, 0.032, 0.128], 32)
    assert (found["ms"], found["runs"]) == (pytest.approx(2.0), 3)
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile([1.0, 2.0, 4.0], (25, 75))))
