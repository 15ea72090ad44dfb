"""What the benchmark of views gives to everybody: the same pictures, the same strengths, two views of each."""

import inspect
from argparse import Namespace

import numpy as np
import pytest
from lightly.transforms import SimCLRTransform

from benchmarks import bench, peers, pictures, views

SIZE, BATCH = 32, 4


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn") / "pictures"
    pictures.draw(6, root)
    return root


def test_drawn_pictures_are_always_the_same_and_of_three_shapes(drawn, tmp_path):
    pictures.draw(6, tmp_path / "again")
    for mine, other in zip(sorted(drawn.rglob("*.jpg")), sorted((tmp_path / "again").rglob("*.jpg")), strict=True):
        assert mine.read_bytes() == other.read_bytes()
    sizes = {picture.size for picture in pictures.in_memory(drawn)}
    assert sizes == {(256, 256), (341, 256), (256, 341)}


def test_our_pack_and_the_decoded_pictures_are_the_same_pixels(drawn, tmp_path):
    packed = pictures.packed(drawn, tmp_path, 256)
    files = sorted(drawn.rglob("*.jpg"))
    order = [[str(file.relative_to(drawn)) for file in files].index(name) for name in packed.names]
    decoded = pictures.in_memory(drawn)
    for place, position in enumerate(order):
        mine = packed.batch(views.torch.tensor([place])).picture(0).permute(1, 2, 0).numpy()
        assert np.array_equal(mine, np.asarray(decoded[position]))


def test_lightlys_own_strengths_are_those_given_to_all():
    theirs = {name: p.default for name, p in inspect.signature(SimCLRTransform).parameters.items()}
    mine = peers.SIMCLR
    assert (theirs["cj_bright"], theirs["cj_contrast"], theirs["cj_sat"], theirs["cj_hue"]) == peers.JITTER
    assert theirs["cj_strength"] == mine.jitter.strength == 1 and theirs["cj_prob"] == mine.jitter.p
    assert (theirs["min_scale"], 1.0) == mine.crop.scale
    assert theirs["random_gray_scale"] == mine.gray.p
    assert theirs["gaussian_blur"] == mine.blur.p and tuple(theirs["sigmas"]) == mine.blur.sigmas
    assert theirs["hf_prob"] == mine.flip.p and theirs["vf_prob"] == theirs["rr_prob"] == 0
    assert tuple(theirs["normalize"]["mean"]) == mine.normalize.mean
    assert tuple(theirs["normalize"]["std"]) == mine.normalize.std


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_two_views_of_every_picture_for_all_ways(drawn, tmp_path, workers):
    decoded = pictures.in_memory(drawn)
    ways = [
        peers.lightly_folder(drawn, SIZE, BATCH, workers),
        peers.lightly_memory(decoded, SIZE, BATCH, workers),
        peers.torchvision_v2(decoded, SIZE, BATCH, workers),
    ]
    batches = 4
    ours = views.ours(pictures.packed(drawn, tmp_path, 256), views.branches_of("simclr"), SIZE, BATCH)
    assert ours(batches) == 2 * BATCH * batches
    assert [way(batches) for way in ways] == [2 * BATCH * batches] * 3


def test_a_peer_that_is_not_installed_is_skipped_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    for module, package in peers.PIP.items():
        with pytest.raises(bench.Skipped, match=f"pip install {package}"):
            peers.need(module)


def test_a_folder_without_pictures_is_refused(tmp_path):
    options = Namespace(archive=None, folder=tmp_path, pictures=3)
    with pytest.raises(SystemExit, match="no JPEGs"), pictures.gathered(options):
        pass
