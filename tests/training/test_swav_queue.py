"""SwAV's queue survives an interruption."""

import signal

import pytest
from small_cells import EQUAL, STEPS, cell, run, send

from sslbench.training.run import Interrupted


def test_swav_with_a_queue_resumes_bit_for_bit_and_uses_what_it_held(small_pack, tmp_path, after_step):
    """Stopped in epoch 2, where the queue of two batches has just come into use."""
    settings = cell("swav", epochs=3)
    settings["method"]["options"] |= {"queue_length": 32, "queue_start_epoch": 1}
    straight = run(settings, small_pack, tmp_path / "straight")
    after_step(STEPS + 1, send(signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(settings, small_pack, tmp_path / "broken")
    resumed = run(settings, small_pack, tmp_path / "broken")
    assert {name: straight[name] for name in EQUAL} == {name: resumed[name] for name in EQUAL}
    settings["method"]["options"]["queue_start_epoch"] = 99
    unused = run(settings, small_pack, tmp_path / "unused")
    epochs = [curve.splitlines() for curve in (straight["curve.csv"], unused["curve.csv"])]
    assert epochs[0][1] == epochs[1][1] and epochs[0][2] != epochs[1][2]
