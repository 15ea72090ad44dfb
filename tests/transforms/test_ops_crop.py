"""Crop and resize against torchvision on equal boxes, and its boxes against torchvision's own draws."""

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from sslbench.data.pack.read import Pictures
from sslbench.transforms.cpu import apply, backend
from sslbench.transforms.ops.crop import RandomResizedCrop
from sslbench.transforms.ops.resize import by_matrix_products, picture_by_picture
from sslbench.transforms.pipeline import center_view

pytestmark = pytest.mark.parity

SHAPES = [(72, 96), (64, 64), (150, 72), (37, 200), (256, 341)]
CROP = RandomResizedCrop((0.08, 1.0), (3 / 4, 4 / 3))


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    seed = torch.Generator().manual_seed(0)
    return Pictures.from_list(
        [torch.randint(0, 256, (3, *shape), generator=seed, dtype=torch.uint8) for shape in SHAPES * 4]
    )


def natively(pictures: Pictures, boxes: dict, size: int) -> torch.Tensor:
    native = backend.native()
    if native is None:
        pytest.skip(backend.configure("auto"))
    images, _ = apply.make(native, (pictures, boxes), size, [])
    levels = (images * 255).round().to(torch.uint8)
    assert torch.equal(levels / 255, images)  # in [0, 1], whole levels, divided as torch divides
    return levels


def boxes_of(pictures: Pictures) -> dict:
    return CROP.draw(pictures.heights, pictures.widths, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("way", [picture_by_picture, natively])
@pytest.mark.parametrize("size", [7, 32, 33, 64, 96, 224])
def test_crops_are_bit_equal_to_torchvisions_resized_crop_on_uint8(pictures, size, way):
    boxes = boxes_of(pictures)
    resized = way(pictures, boxes, size)
    for i in range(len(pictures)):
        box = [int(boxes[name][i]) for name in ("top", "left", "height", "width")]
        expected = tv.resized_crop(pictures.picture(i), *box, [size, size], antialias=True)
        assert torch.equal(resized[i], expected), (i, box)


def batch_of(picture: torch.Tensor, n: int) -> Pictures:
    """The same square picture n times."""
    side = picture.shape[1]
    pixels = picture.permute(1, 2, 0).reshape(-1)
    return Pictures(pixels, torch.zeros(n).long(), *[torch.full((n,), side)] * 2, side, side)


def test_native_crops_are_bit_equal_to_torchs_for_every_length_and_size():
    """Noise, so that a single weight that is rounded otherwise shows."""
    seed = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (3, 400, 400), generator=seed, dtype=torch.uint8)
    n = 400
    batch = batch_of(picture, n)
    length = torch.arange(1, n + 1)
    boxes = {"top": n - length, "left": torch.zeros(n).long(), "height": length, "width": length.flip(0)}
    for size in (1, 8, 31, 64, 96, 128, 160, 192, 224, 255):
        if size == 128:  # at large sizes odd heights and even widths, every length on one axis: half the time
            batch, boxes = batch_of(picture, n // 2), {name: values[::2] for name, values in boxes.items()}
        assert torch.equal(natively(batch, boxes, size), picture_by_picture(batch, boxes, size)), size


@pytest.mark.parametrize("height", [1, 3000])
def test_native_crops_of_extreme_shapes_are_bit_equal_to_torchs(height):
    seed = torch.Generator().manual_seed(0)
    batch = Pictures.from_list(
        [torch.randint(0, 256, (3, height, w), generator=seed, dtype=torch.uint8) for w in (1, 7, 2000)]
    )
    whole = {
        "top": torch.zeros(3).long(),
        "left": torch.zeros(3).long(),
        "height": batch.heights,
        "width": batch.widths,
    }
    for size in (1, 2, 64):
        assert torch.equal(natively(batch, whole, size), picture_by_picture(batch, whole, size)), size


@pytest.mark.parametrize("size", [32, 33, 64, 96, 224])
def test_matrix_products_stay_within_one_level_of_the_cpu_way(pictures, size):
    boxes = boxes_of(pictures)
    ours = by_matrix_products(pictures, boxes, size).short()
    error = (ours - picture_by_picture(pictures, boxes, size).short()).abs()
    assert error.max() <= 1
    assert (error > 0).float().mean() < 1e-3  # nearly all are bit-equal, on noise, the worst case


def test_a_crop_of_a_slice_reads_the_right_pictures(pictures):
    """Pictures whose buffer does not start where its storage does."""
    skipped = int(pictures.offsets[2])
    shifted = Pictures(
        buffer=pictures.buffer[skipped:],
        offsets=pictures.offsets[2:] - skipped,
        heights=pictures.heights[2:],
        widths=pictures.widths[2:],
        max_height=pictures.max_height,
        max_width=pictures.max_width,
    )
    boxes = boxes_of(pictures)
    later = {name: values[2:] for name, values in boxes.items()}
    assert torch.equal(picture_by_picture(shifted, later, 33), picture_by_picture(pictures, boxes, 33)[2:])


@pytest.mark.parametrize("mode", ["auto", "eager"])
@pytest.mark.parametrize("ratio", [1.0, 256 / 224])
def test_the_evaluation_crop_is_torchvisions_centre_crop_resized(pictures, ratio, mode):
    try:
        backend.configure(mode)
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
        images = center_view(pictures, 48, ratio, mean=mean, std=std).images
    finally:
        backend.configure("auto")
    for i in range(len(pictures)):
        picture = pictures.picture(i)
        side = round(min(picture.shape[1:]) / ratio)
        top, left = (picture.shape[1] - side) // 2, (picture.shape[2] - side) // 2
        expected = tv.resized_crop(picture, top, left, side, side, [48, 48], antialias=True)
        assert torch.equal(images[i], tv.normalize(expected / 255, mean, std)), i


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (120, 160, (0.08, 1.0), (3 / 4, 4 / 3)),
        (72, 72, (0.15, 1.0), (3 / 4, 4 / 3)),
        (60, 300, (0.5, 1.0), (3 / 4, 4 / 3)),  # mostly the fallback
        (300, 60, (0.5, 1.0), (3 / 4, 4 / 3)),
        (90, 100, (0.05, 0.2), (0.5, 2.0)),
    ],
)
def test_boxes_are_distributed_as_torchvisions(height, width, scale, ratio):
    n = 3000
    ours = RandomResizedCrop(scale, ratio).draw(
        torch.full((n,), height), torch.full((n,), width), torch.Generator().manual_seed(0)
    )
    torch.manual_seed(0)
    theirs, blank = v2.RandomResizedCrop(8, scale=scale, ratio=ratio), torch.empty(3, height, width)
    rows = [theirs.make_params([blank]) for _ in range(n)]
    for name in ("top", "left", "height", "width"):
        assert ks_2samp(ours[name].numpy(), [row[name] for row in rows]).pvalue > 1e-3, name


def test_boxes_always_lie_within_their_pictures():
    heights, widths = torch.tensor([1, 2, 8, 33, 500]).repeat(400), torch.tensor([9, 2, 1, 34, 90]).repeat(400)
    box = CROP.draw(heights, widths, torch.Generator().manual_seed(5))
    assert (box["height"] >= 1).all() and (box["width"] >= 1).all()
    assert (box["top"] >= 0).all() and (box["top"] + box["height"] <= heights).all()
    assert (box["left"] >= 0).all() and (box["left"] + box["width"] <= widths).all()
