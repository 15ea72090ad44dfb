"""Pretext tasks: labels say what was done to the pixels, gradients reach backbone and head, and they can be learnt."""

import math
import re

import numpy as np
import pytest
import torch

from sslbench import registry
from sslbench.errors import UserError
from sslbench.methods.contextprediction.patches import blurring, cut, draw_blurring, draw_places, of_equal_contrast
from sslbench.methods.contextprediction.settings import Settings as ContextPrediction
from sslbench.methods.pretext_tasks.dcl.task import Task as Destruction
from sslbench.methods.pretext_tasks.lorot.task import Task as LoRot
from sslbench.methods.pretext_tasks.rotation.task import Task as Rotation
from sslbench.nn.backbone import Backbone
from tests.methods.method_batches import build

SIZE = 32


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("test_resnet", {"output_stride": 8}, SIZE)


def pictures(n: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_rotation_shows_each_view_in_all_four_turns_or_in_the_one_of_its_label(backbone):
    images = pictures(5)
    views, labels = Rotation(backbone, {"turns": "all"}, SIZE).turned(images)
    assert labels.tolist() == [q for q in range(4) for _ in range(5)]
    drawn, drawn_labels = Rotation(backbone, {"turns": "one"}, SIZE).turned(pictures(40))
    assert set(drawn_labels.tolist()) == {0, 1, 2, 3}
    for originals, turned, turns in ((images.repeat(4, 1, 1, 1), views, labels), (pictures(40), drawn, drawn_labels)):
        for original, view, q in zip(originals, turned, turns.tolist(), strict=True):
            np.testing.assert_array_equal(view.numpy(), np.rot90(original.numpy(), q, axes=(1, 2)))


def test_lorot_e_turns_the_quadrant_of_its_label_and_no_other(backbone):
    images = pictures(200)
    views, labels = LoRot(backbone, {"variant": "explicit"}, SIZE).turned(images)
    assert set(labels.tolist()) == set(range(16))
    half = SIZE // 2
    for original, view, label in zip(images, views, labels.tolist(), strict=True):
        expected, (quadrant, q) = original.numpy().copy(), divmod(label, 4)
        rows, columns = slice(half * (quadrant // 2), None), slice(half * (quadrant % 2), None)
        part = expected[:, rows, columns][:, :half, :half]
        expected[:, rows, columns][:, :half, :half] = np.rot90(part, q, axes=(1, 2)).copy()
        np.testing.assert_array_equal(view.numpy(), expected)


def test_lorot_i_turns_one_square_by_the_turns_of_its_label(backbone):
    images = pictures(100)
    views, labels = LoRot(backbone, {}, SIZE).turned(images)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    for original, view, q in zip(images.numpy(), views.numpy(), labels.tolist(), strict=True):
        changed = (original != view).any(0)
        if q == 0:
            assert not changed.any()
            continue
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        top, left, side = rows[0], columns[0], rows[-1] + 1 - rows[0]
        assert side == columns[-1] + 1 - columns[0] <= SIZE // 2
        square = (slice(None), slice(top, top + side), slice(left, left + side))
        np.testing.assert_array_equal(view[square], np.rot90(original[square], q, axes=(1, 2)))


def test_dcls_tiles_are_where_their_indices_say(backbone):
    task = Destruction(backbone, {}, SIZE)
    assert task.tiles == 4  # as many as the map has cells across
    images = pictures(20)
    views, tile = task.shuffled(images)
    side = SIZE // 4
    for original, view, got in zip(images, views, tile, strict=True):
        for i in range(4):
            for j in range(4):
                a, b = divmod(got[i, j].item(), 4)
                from_there = original[:, a * side : (a + 1) * side, b * side : (b + 1) * side]
                assert torch.equal(view[:, i * side : (i + 1) * side, j * side : (j + 1) * side], from_there)


def test_dcl_calls_a_shuffle_that_moved_nothing_original(backbone, monkeypatch):
    task = Destruction(backbone, {}, SIZE).eval()
    still = torch.arange(16).view(1, 4, 4).expand(4, -1, -1)
    monkeypatch.setattr(task, "shuffled", lambda images: (images, still))
    parts = task.loss(pictures(4), backbone.eval())
    with torch.no_grad():
        logits = task.classifier(backbone(pictures(4)))
    expected = -logits.log_softmax(dim=1)[:, 0].mean()
    torch.testing.assert_close(parts["destruction"], expected)


def test_dcl_needs_a_cell_of_the_map_for_every_tile(backbone):
    with pytest.raises(UserError, match="each of 5 x 5 tiles needs a cell of the map"):
        Destruction(backbone, {"tiles": 5}, SIZE)
    with pytest.raises(UserError, match="at input_size 32 is 1x1"):
        Destruction(Backbone("test_resnet", {}, SIZE), {}, SIZE)


@pytest.mark.parametrize("name", registry.PRETEXT)
def test_gradients_of_a_task_reach_the_backbone_and_every_head_and_views_stay_as_they_are(name):
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", {"output_stride": 8}, SIZE)
    task = registry.load(f"{registry.PRETEXT[name]}.task:Task")(backbone, {}, SIZE)
    images = pictures(8)
    parts = task.loss(images, backbone)
    parts["loss"].backward()
    assert torch.equal(images, pictures(8))
    assert not any("backbone" in key for key in task.state_dict())
    assert all(p.grad.abs().sum() > 0 for p in task.parameters())
    assert sum(p.grad.abs().sum() for p in backbone.parameters()) > 0
    assert task.last_features.shape == (8, backbone.num_features)
    assert all(re.fullmatch(r"[a-z_]+", part) and value.shape == () for part, value in parts.items())


def ramps(n: int, size: int) -> torch.Tensor:
    """Pictures that are dark at the top and light below, each in colours of its own."""
    rng = torch.Generator().manual_seed(2)
    slope = torch.linspace(-1, 1, size).view(1, 1, -1, 1)
    return slope * (1 + torch.rand(n, 3, 1, 1, generator=rng)) + 0.05 * torch.randn(n, 3, size, size, generator=rng)


@pytest.mark.parametrize(
    ("name", "options", "chance"), [("rotation", {"turns": "all"}, 1 / 4), ("lorot", {"smallest": 12}, 1 / 4),
                                    ("lorot", {"variant": "explicit"}, 1 / 16), ("dcl", {"tiles": 4}, 1 / 2)],
    ids=["rotation", "lorot-i", "lorot-e", "dcl"],
)  # fmt: skip
def test_a_task_is_learnt_on_pictures_that_show_their_orientation(name, options, chance):
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", {"output_stride": 8}, SIZE)
    task = registry.load(f"{registry.PRETEXT[name]}.task:Task")(backbone, options, SIZE)
    optimizer = torch.optim.Adam([*backbone.parameters(), *task.parameters()], lr=3e-3)
    accuracies = []
    for _ in range(30):
        parts = task.loss(ramps(16, SIZE), backbone)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        accuracies.append(parts["accuracy"].item())
    assert accuracies[0] < chance + 0.25
    assert np.mean(accuracies[-5:]) > chance + 0.3


@pytest.mark.parametrize("size", [32, 64, 96, 128, 160, 224])
def test_patches_lie_in_the_view_apart_from_each_other_and_where_their_label_says(size):
    patch, gap, jitter = ContextPrediction().sizes(size)
    torch.manual_seed(0)
    top, left, label = draw_places(4000, size, patch, gap, jitter)
    assert set(label.tolist()) == set(range(8))
    for place in (top, left):
        assert place.min() >= 0
        assert place.max() + patch <= size
    neighbours = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]  # down and right are 1
    for (y0, y1), (x0, x1), k in zip(top.tolist(), left.tolist(), label.tolist(), strict=True):
        down, right = neighbours[k]
        assert abs(y1 - y0 - down * (patch + gap)) <= 2 * jitter
        assert abs(x1 - x0 - right * (patch + gap)) <= 2 * jitter
        assert abs(y1 - y0) >= patch or abs(x1 - x0) >= patch  # no pixel is in both
    assert top[:, 0].unique().numel() > 2 * jitter  # the grid moves through the view
    assert abs(top[:, 0].double().mean() - (size - patch) / 2) < 0.6


def test_context_predictions_sizes_at_224_px_are_half_of_the_authors():
    assert ContextPrediction().sizes(224) == (48, 24, 4)
    assert ContextPrediction(patch_share=0.25).sizes(32) == (8, 3, 1)


def test_where_rounding_up_leaves_no_room_for_three_patches_they_are_smaller():
    assert ContextPrediction(patch_share=1 / 3, gap_share=0, jitter_share=0).sizes(32) == (10, 0, 0)
    tight = ContextPrediction(patch_share=0.27, gap_share=0.07, jitter_share=0.025)
    for size in range(16, 300):
        patch, gap, jitter = tight.sizes(size)
        assert 3 * patch + 2 * gap + 2 * jitter <= size < 3 * (patch + 2) + 2 * gap + 2 * jitter
        assert gap >= 2 * jitter


def test_a_grid_that_does_not_fit_or_could_overlap_is_refused():
    with pytest.raises(ValueError, match="the 3 x 3 grid does not fit"):
        ContextPrediction(patch_share=0.3)
    with pytest.raises(ValueError, match="patches could overlap"):
        ContextPrediction(gap_share=0.01)


def test_patches_are_the_views_pixels():
    images = pictures(3)
    top, left = torch.tensor([[0, 3], [24, 7], [5, 5]]), torch.tensor([[1, 24], [0, 9], [2, 20]])
    patches = cut(images, top, left, 8)
    for n in range(3):
        for k in range(2):
            y, x = top[n, k].item(), left[n, k].item()
            assert torch.equal(patches[n, k], images[n, :, y : y + 8, x : x + 8])


def test_a_third_of_the_patches_is_made_small_and_large_again_and_the_others_stay_sharp():
    torch.manual_seed(0)
    rows = draw_blurring(30_000, 1 / 3, 48, 5)
    assert (rows != 43).float().mean().item() == pytest.approx(1 / 3, abs=0.01)
    side = (rows[rows != 43] + 5).double()
    assert side.min() == 5
    assert side.max() == 46  # below the largest, 47, which a draw of 1 would give
    assert (side**2).mean().item() == pytest.approx((25 + 47**2) / 2, rel=0.04)  # the number of pixels is uniform
    matrix = blurring(48, 5)
    assert torch.equal(matrix[-1], torch.eye(48))
    patch = pictures(1, 48)[:, :1]
    for row, small in ((0, 5), (19, 24)):
        resized = torch.nn.functional.interpolate(patch, (small, small), mode="bilinear", antialias=True)
        resized = torch.nn.functional.interpolate(resized, (48, 48), mode="bilinear")
        torch.testing.assert_close(matrix[row] @ patch @ matrix[row].T, resized, atol=1e-5, rtol=1e-4)


def test_patches_have_the_authors_contrast_and_flat_ones_stay_flat():
    patches = 0.01 * pictures(4)
    patches[3] = 1e-7
    power = of_equal_contrast(patches).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(power[:3], torch.full((3,), 50 / 255), rtol=0.01, atol=0)
    assert power[3] < 1e-3


def test_context_prediction_is_learnt_on_pictures_that_show_their_places():
    model = build("contextprediction", "test_resnet", SIZE, {"patch_share": 0.25, "hidden_dim": 64}).train()
    rng = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.linspace(0, 3, SIZE), torch.linspace(0, 3, SIZE), indexing="ij")
    # The lower a place, the finer its stripes across; the farther right, the finer those down.
    scene = torch.sin(4 * y**2) + torch.sin(4 * x**2)
    images = scene.expand(16, 3, -1, -1) + 0.05 * torch.randn(16, 3, SIZE, SIZE, generator=rng)
    batch = type("Batch", (), {"views": [type("View", (), {"images": images})]})
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(50):
        parts = model.loss(batch)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(parts["loss"].item())
    assert np.mean(losses[-5:]) < math.log(8) - 0.5
    assert parts["accuracy"] > 0.35


def test_context_predictions_head_has_the_only_batch_norm_without_scale_and_shift():
    model = build("contextprediction", "test_resnet", 64, {"hidden_dim": 16})
    norms = [m for m in model.head if isinstance(m, torch.nn.BatchNorm1d)]
    assert [norm.affine for norm in norms] == [False]
    assert [(m.in_features, m.out_features) for m in model.head if isinstance(m, torch.nn.Linear)] == [
        (2 * model.backbone.num_features, 16),
        (16, 16),
        (16, 8),
    ]


def test_mae_refuses_networks_and_sizes_that_it_cannot_mask():
    small = {"decoder_dim": 16, "decoder_head_dim": 8}
    with pytest.raises(UserError, match=r"resnet18 is none .* set training: \{backbone: vit_tiny_patch16_224\}"):
        build("mae", "resnet18", 64, small)
    with pytest.raises(UserError, match="input_size 72 is no multiple of the patch"):
        build("mae", "test_vit", 72, small)
    with pytest.raises(UserError, match=r"of 1 patches a mask_ratio of 0\.75 leaves none"):
        build("mae", "test_vit", 16, small)
