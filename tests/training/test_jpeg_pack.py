"""A pack of JPEGs trains like a pack of pixels, and resumes like one."""

import pytest
from small_cells import EQUAL, Crash, cell, crash, run

from sslbench.data.layouts import folder


def test_training_on_jpegs_is_the_same_when_interrupted(jpeg_pack, tmp_path, after_step):
    settings = cell("simclr", batch_size=8)
    settings["dataset"]["split"] = folder.Settings(path="x").split_name()
    straight = run(settings, jpeg_pack, tmp_path / "straight")
    after_step(3, crash)
    with pytest.raises(Crash):
        run(settings, jpeg_pack, tmp_path / "halves", checkpoint_minutes=0)
    resumed = run(settings, jpeg_pack, tmp_path / "halves", checkpoint_minutes=0)
    assert all(straight[name] == resumed[name] for name in EQUAL)
