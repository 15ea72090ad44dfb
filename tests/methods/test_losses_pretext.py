"""Losses of the pretext tasks, of context prediction and of MAE against plain float64 write-ups, index by index."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, normalize

from sslbench.methods.contextprediction.patches import draw_blurring, draw_places, without_colour
from sslbench.methods.mae.model import mae_loss
from sslbench.methods.pretext_tasks.base import classification
from sslbench.methods.pretext_tasks.dcl.task import Task as Destruction
from sslbench.methods.pretext_tasks.dcl.task import location_loss, overlaps, places
from sslbench.nn.backbone import Backbone
from tests.methods.method_batches import build, make_batch

pytestmark = pytest.mark.parity


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_tasks_loss_is_the_cross_entropy_of_its_classes():
    logits, labels = draw(9, 16, seed=1), torch.tensor([0, 15, 3, 3, 7, 12, 1, 8, 9])
    terms = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row)))
        for row, k in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    parts = classification(logits, labels)
    assert parts["loss"].item() == pytest.approx(np.mean(terms), rel=1e-10)
    right = [max(range(16), key=row.__getitem__) == k for row, k in zip(logits.tolist(), labels.tolist(), strict=True)]
    assert parts["accuracy"].item() == pytest.approx(np.mean(right))


@pytest.mark.parametrize(("tiles", "cells"), [(7, 7), (7, 14), (4, 4), (3, 4)])
def test_dcls_location_loss_is_the_mean_distance_of_tanh_of_each_places_mean(tiles, cells):
    predicted, targets = draw(3, 2, cells, cells, seed=2), draw(3, 2, tiles, tiles, seed=3)
    fine = np.kron(predicted.numpy(), np.ones((1, 1, tiles, tiles)))  # so fine that every place is whole pixels
    errors = []
    for n in range(3):
        for k in range(2):
            for i in range(tiles):
                for j in range(tiles):
                    place = fine[n, k, i * cells : (i + 1) * cells, j * cells : (j + 1) * cells]
                    errors.append(abs(math.tanh(place.mean()) - targets[n, k, i, j].item()))
    weights = overlaps(tiles, cells).double()
    assert location_loss(predicted, weights, weights, targets).item() == pytest.approx(np.mean(errors), rel=1e-6)


def test_dcls_targets_are_the_authors_index_and_the_papers_coordinates():
    tile = torch.randperm(49, generator=torch.Generator().manual_seed(4)).view(1, 7, 7)
    index, coordinates = places(tile, "index"), places(tile, "coordinates")
    for i in range(7):
        for j in range(7):
            t = tile[0, i, j].item()
            assert index[0, 0, i, j].item() == pytest.approx((t - 24) / 49)
            assert coordinates[0, 0, i, j].item() == pytest.approx((t // 7 - 3) / 7)
            assert coordinates[0, 1, i, j].item() == pytest.approx((t % 7 - 3) / 7)


def test_dcls_total_weighs_its_two_terms():
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", {"output_stride": 8}, 32).eval()
    task = Destruction(backbone, {"destruction_weight": 0.25, "location_weight": 3.0}, 32)
    parts = task.loss(torch.randn(6, 3, 32, 32), backbone)
    expected = 0.25 * parts["destruction"] + 3 * parts["location"]
    torch.testing.assert_close(parts["loss"], expected)


@pytest.mark.parametrize(("tiles", "target"), [(4, "coordinates"), (4, "index"), (2, "coordinates")])
def test_dcls_whole_loss_asks_which_half_of_the_batch_is_shuffled_and_where_its_tiles_were(tiles, target):
    """One picture at a time, in float64: what stands at a place of a whole picture belongs there, in a shuffled one it
    belongs where it was cut."""
    torch.manual_seed(0)
    backbone = Backbone("test_resnet", {"output_stride": 8}, 32).double().eval()  # 4 x 4 cells
    weights = {"destruction_weight": 0.7, "location_weight": 1.9}
    task = Destruction(backbone, {"tiles": tiles, "reach": 1, "target": target} | weights, 32).double().eval()
    images, side, cells = draw(6, 3, 32, 32, seed=4), 32 // tiles, 4 // tiles
    torch.manual_seed(7)
    _, tile = task.shuffled(images)
    assert len(tile.unique(dim=0)) > 1
    destruction, location = [], []
    for picture, order in zip(images, tile.tolist(), strict=True):
        ordered = [[i * tiles + j for j in range(tiles)] for i in range(tiles)]
        for told in (ordered, order):
            seen = torch.empty_like(picture)
            for i in range(tiles):
                for j in range(tiles):
                    y, x = (side * k for k in divmod(told[i][j], tiles))
                    here = seen[:, side * i : side * (i + 1), side * j : side * (j + 1)]
                    here.copy_(picture[:, y : y + side, x : x + side])
            with torch.no_grad():
                features, maps = backbone.maps(seen[None])
                logits, found = task.classifier(features)[0].tolist(), task.locator(maps)[0].numpy()
            destruction.append(
                math.log(sum(map(math.exp, logits))) - logits[int(told is not ordered and told != ordered)]
            )
            for i in range(tiles):
                for j in range(tiles):
                    row, column = divmod(told[i][j], tiles)
                    belongs = [(row - (tiles - 1) / 2) / tiles, (column - (tiles - 1) / 2) / tiles]
                    if target == "index":
                        belongs = [(told[i][j] - (tiles**2 - 1) / 2) / tiles**2]
                    place = found[:, cells * i : cells * (i + 1), cells * j : cells * (j + 1)].mean((1, 2))
                    location += [abs(math.tanh(p) - b) for p, b in zip(place, belongs, strict=True)]
    torch.manual_seed(7)
    parts = task.loss(images, backbone)
    assert parts["destruction"].item() == pytest.approx(np.mean(destruction), rel=1e-6)
    assert parts["location"].item() == pytest.approx(np.mean(location), rel=1e-6)
    assert parts["loss"].item() == pytest.approx(0.7 * np.mean(destruction) + 1.9 * np.mean(location), rel=1e-6)


@pytest.mark.parametrize("normalised", [True, False])
def test_mae_is_the_mean_squared_error_over_the_pixels_of_masked_patches(normalised):
    predicted, patches = draw(2, 3, 48, seed=5), 0.5 + 2 * draw(2, 3, 48, seed=6)
    terms = []
    for n in range(2):
        for m in range(3):
            target = patches[n, m].numpy()
            if normalised:  # by the deviation with n - 1, as the authors' code takes it
                target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            terms += list((predicted[n, m].numpy() - target) ** 2)
    assert mae_loss(predicted, patches, normalised).item() == pytest.approx(np.mean(terms), rel=1e-10)


def test_maes_whole_loss_is_that_of_its_own_masked_pixels_and_no_others():
    model = build("mae", "test_vit", 64, {"decoder_dim": 16, "decoder_head_dim": 8, "decoder_depth": 1}).eval()
    batch = make_batch(model, n=3)
    torch.manual_seed(7)
    loss = model.loss(batch)["loss"].item()
    torch.manual_seed(7)
    order = torch.rand(3, 16).argsort(dim=1)  # 4 x 4 patches, of which the first four in this order are seen
    keep = torch.cat([torch.zeros(3, 1, dtype=torch.int64), order[:, :4] + 1], dim=1)
    predicted = model.decode(model.encode(batch.views[0].images, keep), keep, order[:, 4:] + 1)
    terms = []
    for n in range(3):
        for m, patch in enumerate(order[n, 4:].tolist()):
            top, left = 16 * (patch // 4), 16 * (patch % 4)
            target = batch.views[0].images[n, :, top : top + 16, left : left + 16].double().numpy().transpose(1, 2, 0)
            target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            terms.append(((predicted[n, m].detach().double().numpy().reshape(16, 16, 3) - target) ** 2).mean())
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def test_mae_never_sees_a_masked_pixel_nor_is_graded_on_a_seen_one():
    model = build("mae", "test_vit", 64, {"decoder_dim": 16, "decoder_head_dim": 8, "decoder_depth": 1}).eval()
    images = torch.randn(1, 3, 64, 64)
    keep = torch.tensor([[0, 1, 6, 11, 16]])
    mask = torch.tensor([[i for i in range(1, 17) if i not in (1, 6, 11, 16)]])
    hidden = images.clone().requires_grad_()
    model.decode(model.encode(hidden, keep), keep, mask).square().sum().backward()
    seen = torch.zeros(4, 4, dtype=torch.bool)
    seen.view(-1)[keep[0, 1:] - 1] = True
    reached = hidden.grad.abs().sum(dim=(0, 1)).view(4, 16, 4, 16).sum(dim=(1, 3)) > 0
    assert torch.equal(reached, seen)


def test_projection_takes_green_against_magenta_out_and_nothing_else():
    patches = draw(4, 3, 5, 5, seed=8)
    a = np.array([[-1.0, 2.0, -1.0]])
    matrix = np.eye(3) - a.T @ a / (a @ a.T)  # paper, section 3.1
    centred = patches.numpy() - patches.numpy().mean(axis=(2, 3), keepdims=True)
    expected = np.einsum("cd,mdhw->mchw", matrix, centred)
    result = without_colour(patches, "project", torch.zeros(4, dtype=torch.int64), torch.zeros(3, 5, 5))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)
    assert abs((result * torch.tensor([-1.0, 2.0, -1.0]).view(3, 1, 1)).sum(1)).max() < 1e-12


def test_dropping_keeps_one_channel_and_leaves_noise_of_a_hundredth_of_its_deviation():
    patches = draw(3, 3, 40, 40, seed=9)
    noise = draw(3, 40, 40, seed=10)
    kept = torch.tensor([2, 0, 1])
    result = without_colour(patches, "drop", kept, noise)
    for i, k in enumerate(kept.tolist()):
        channel = patches[i, k] - patches[i, k].mean()
        torch.testing.assert_close(result[i, k], channel)
        for other in {0, 1, 2} - {k}:
            assert result[i, other].std().item() == pytest.approx(channel.std().item() / 100, rel=0.1)
            similar = (
                normalize(result[i, other].flatten(), dim=0) * normalize(patches[i, other].flatten(), dim=0)
            ).sum()
            assert abs(similar) < 0.1  # nothing of the dropped channel is left


@pytest.mark.parametrize("colour", ["project", "drop", "keep"])
def test_what_context_prediction_shows_the_network_is_cut_blurred_greyed_and_of_the_authors_contrast(colour):
    """Every patch of a batch against the paper's steps, one after another, in float64 and without matrices."""
    options = {"patch_share": 0.25, "hidden_dim": 8, "colour": colour, "downsampled": 0.5, "pairs": 3}
    model = build("contextprediction", "test_resnet", 64, options)
    images = draw(4, 3, 64, 64, seed=11).float()
    torch.manual_seed(12)
    patches, labels = model.patches(images)
    torch.manual_seed(12)
    size, gap, jitter = model.options.sizes(64)
    top, left, expected_labels = draw_places(12, 64, size, gap, jitter)
    smallest = round(size * 10 / 96)
    sides = draw_blurring(24, 0.5, size, smallest) + smallest
    kept, noise = torch.randint(3, (24,)).tolist(), torch.randn(3, size, size).double()
    assert torch.equal(labels, expected_labels)
    assert 4 < (sides < size).sum() < 20 and len(set(kept)) == 3
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    axis = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64) / math.sqrt(6)
    for m in range(24):
        y, x = top[m // 2, m % 2], left[m // 2, m % 2]
        pixels = images[m // 6, :, y : y + size, x : x + size].double() * std
        if (side := sides[m].item()) < size:
            small = interpolate(pixels[None], (side, side), mode="bilinear", antialias=True)
            pixels = interpolate(small, (size, size), mode="bilinear")[0]
        pixels = pixels - pixels.mean((1, 2), keepdim=True)
        if colour == "drop":
            channel = pixels[kept[m]]
            pixels = noise * channel.square().mean().sqrt() / 100
            pixels[kept[m]] = channel
        if colour == "project":
            pixels = pixels - axis.view(3, 1, 1) * torch.einsum("c,chw->hw", axis, pixels)
        pixels = pixels * (50 / 255) / (pixels.square().mean() + 1e-6).sqrt()
        torch.testing.assert_close(patches[m].double(), pixels / std, atol=1e-4, rtol=1e-4)
