"""The stream of views is a function of (seed, epoch, step) and of nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_cells import STEPS, cell

from sslbench.data.pack.read import PackedSet
from sslbench.training.dataloader import Stream
from sslbench.training.device import Device, computing
from sslbench.training.trainer import Training
from sslbench.transforms.pipeline import View


@pytest.fixture
def stream(small_pack):
    packed = PackedSet.open(small_pack)
    settings = cell("vicregl", options={"form": "lightly-1.2"})
    with computing("cpu", 1, settings["train"]) as device:
        yield Stream(packed, packed.split("official")["train"], settings, device, want_locations=True)


def test_an_epoch_shows_every_picture_at_most_once_and_epochs_differ(stream):
    epochs = [torch.cat([stream.indices(epoch, step) for step in range(STEPS)]).tolist() for epoch in range(3)]
    train = set(stream.train.tolist())
    for indices in epochs:
        assert len(indices) == 48 and len(set(indices)) == 48 and set(indices) <= train
    assert epochs[0] != epochs[1] != epochs[2]
    assert set(epochs[0]) != set(epochs[1]), "the same pictures are left out of every epoch"


def test_steps_do_not_depend_on_the_order_in_which_they_are_asked_for(stream):
    forward = {
        (e, s): (stream.indices(e, s), stream.draw(e, s, stream.indices(e, s))) for e in (0, 1) for s in range(3)
    }
    for epoch, step in reversed(forward):
        indices, drawn = forward[epoch, step]
        assert torch.equal(indices, stream.indices(epoch, step))
        again = stream.views(indices, stream.draw(epoch, step, indices), 0, 16)
        for view, other in zip(stream.views(indices, drawn, 0, 16), again, strict=True):
            assert torch.equal(view.images, other.images) and torch.equal(view.locations, other.locations)


def test_parts_of_a_step_are_the_whole_step_cut_up(stream):
    indices = stream.indices(0, 0)
    drawn = stream.draw(0, 0, indices)
    whole = stream.views(indices, drawn, 0, 16)
    parts = [stream.views(indices, drawn, start, start + 4) for start in range(0, 16, 4)]
    assert [tuple(view.images.shape) for view in whole] == [(16, 3, 64, 64), (16, 3, 27, 27)]
    for number, view in enumerate(whole):
        torch.testing.assert_close(torch.cat([p[number].images for p in parts]), view.images, rtol=0, atol=1e-6)


def test_views_steps_epochs_and_seeds_are_drawn_apart(stream):
    def corner(epoch: int, step: int, seed: int = 0) -> list[np.ndarray]:
        stream.seed = seed
        drawn = stream.draw(epoch, step, torch.arange(16))
        return [np.stack([v.numpy() for v in parameters["crop"].values()]) for parameters in drawn]

    seen = [*corner(0, 0), *corner(0, 1), *corner(1, 0), *corner(0, 0, seed=1)]
    for i, one in enumerate(seen):
        assert all(not np.array_equal(one, other) for other in seen[:i])


@pytest.mark.parametrize(("pack_on", "device"), [("cpu", "cpu"), ("cpu", "meta"), ("meta", "meta")])
def test_pictures_are_cropped_on_the_training_device_wherever_the_pack_lies(pack_on, device, small_pack, monkeypatch):
    """The meta device stands in for a GPU. Where pictures lie decides how they are cropped (ops/resize.py)."""
    packed, settings = PackedSet.open(small_pack).to(pack_on), cell("simclr")
    where = Device(device, {"precision": "fp32", "channels_last": True})
    seen = []

    def crop(pictures, *_rest, **_named):
        seen.append(pictures)
        return View(torch.zeros(len(pictures), 3, 8, 8))

    stream = Stream(packed, packed.split("official")["train"], settings, where, want_locations=False)
    stream.makers = [SimpleNamespace(apply=crop)] * 2
    indices = stream.indices(0, 0)
    stream.views(indices, [{}, {}], 4, 12)
    monkeypatch.setattr("sslbench.training.trainer.center_view", crop)
    Training._held_out_images(SimpleNamespace(pack=packed, device=where, settings=settings), indices[:8])
    assert [(len(p), p.device.type, p.buffer.dtype) for p in seen] == [(8, device, torch.uint8)] * 3
    assert seen[0] is seen[1], "they were sent once per view"
