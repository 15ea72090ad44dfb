"""Decoding: every stored form of a picture becomes upright RGB, shrunk without aliasing."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslbench.data.pack.decode import decode, decode_file
from tests.data.data_samples import picture


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_rgb_is_kept_as_it_is_where_it_is_small_enough() -> None:
    pixels = picture(0, 12, 9)
    found = decode(encoded(Image.fromarray(pixels)), 9)
    assert np.array_equal(found.pixels, pixels) and (found.height, found.width, found.grey) == (12, 9, False)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), 500).pixels, pixels)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(60, 40, (30, 20)), (40, 100, (20, 50)), (21, 2000, (20, 1905))]
)
def test_the_shortest_side_becomes_the_pack_size_and_the_shape_stays(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    found = decode(encoded(Image.fromarray(picture(1, height, width))), 20)
    assert found.pixels.shape == (*expected, 3) and (found.height, found.width) == (height, width)


def test_shrinking_is_antialiased() -> None:
    """A one-pixel checker board of black and white is grey when shrunk; without a filter it would stay 0 and 255."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = decode(encoded(Image.fromarray(board)), 16).pixels.astype(float)
    assert np.abs(found[2:-2, 2:-2] - 127.5).max() < 3


@pytest.mark.parametrize("size", [60, 149, 300])
def test_a_jpeg_decoded_at_a_fraction_agrees_with_the_long_way(size: int) -> None:
    detailed = np.array(Image.fromarray(picture(2, 75, 100)).resize((800, 600), Image.Resampling.BICUBIC))
    content = encoded(Image.fromarray(detailed), "JPEG", quality=95)
    short = decode(content, size)
    assert (short.height, short.width) == (600, 800)
    long_way = Image.open(io.BytesIO(content)).resize(short.pixels.shape[1::-1], Image.Resampling.BILINEAR)
    assert np.abs(short.pixels.astype(float) - np.asarray(long_way)).mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """Against the definition: which corner of the stored picture row 0 and column 0 are of the upright one."""
    stored = picture(3, 6, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored.transpose(1, 0, 2)[::-1, ::-1],
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    found = decode(encoded(Image.fromarray(stored), exif=exif), 100)
    assert np.array_equal(found.pixels, upright)
    assert (found.height, found.width) == upright.shape[:2]


def test_percentile_scale_stretches_what_a_12_bit_grey_uses_to_the_whole_range_and_leaves_8_bits_alone() -> None:
    values = np.random.default_rng(0).integers(300, 4096, (64, 64)).astype(np.uint16)
    values[0, 0] = 65535  # one hot pixel
    deep, shallow = encoded(Image.fromarray(values)), encoded(Image.fromarray((values % 97).astype(np.uint8)))
    found = decode(deep, 64, scale="percentile")
    grey = found.pixels[:, :, 0]
    low, high = np.sort(values.ravel())[[20, -21]]  # of 4096 values, 0.5 % at either end
    expected = np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255.996
    assert abs(grey - expected).max() < 1.5
    assert not found.dark and decode(deep, 64).pixels[1:].max() < 16
    assert (decode(shallow, 64, scale="percentile").pixels == decode(shallow, 64).pixels).all()


def test_greys_of_8_and_16_bits_become_equal_channels() -> None:
    values = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
    eight = (values >> 8).astype(np.uint8)
    for image in (Image.fromarray(eight), Image.fromarray(values)):
        found = decode(encoded(image), 100)
        assert found.grey and np.array_equal(found.pixels, np.repeat(eight[..., None], 3, axis=2))
    black = Image.fromarray(eight > 127)
    assert np.array_equal(decode(encoded(black), 100).pixels[..., 0], (eight > 127) * 255)


def test_alpha_is_laid_over_white() -> None:
    pixels = np.dstack([picture(4, 6, 8), picture(5, 6, 8)[..., :1]])
    share = pixels[..., 3:] / 255
    expected = pixels[..., :3] * share + 255 * (1 - share)
    assert np.abs(decode(encoded(Image.fromarray(pixels)), 100).pixels - expected).max() <= 1


def test_palettes_with_and_without_a_transparent_entry() -> None:
    image = Image.new("P", (4, 2), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    assert np.array_equal(decode(encoded(image), 9).pixels[0, :2], [[10, 20, 30], [200, 100, 50]])
    assert np.array_equal(decode(encoded(image, transparency=0), 9).pixels[0, :2], [[255, 255, 255], [200, 100, 50]])


def test_cmyk_is_converted() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = decode(encoded(cmyk, "TIFF"), 100).pixels
    assert found.shape == (8, 8, 3) and found[0, 0, 0] > 200 and found[0, 0, 1:].max() < 60


def test_the_digest_is_of_the_file() -> None:
    image = Image.fromarray(picture(6))
    first, second = encoded(image, compress_level=1), encoded(image, compress_level=9)
    assert np.array_equal(decode(first, 5).pixels, decode(second, 5).pixels)
    assert decode(first, 5).digest != decode(second, 5).digest and len(decode(first, 5).digest) == 16


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"plain text", "no picture"),
        (b"", "no picture"),
        (encoded(Image.fromarray(picture(7, 80, 80)), "JPEG")[:900], "truncated"),
        (encoded(Image.fromarray(picture(7, 80, 80)))[:900], "truncated"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "32-bit floats"),
    ],
)
def test_what_cannot_be_read_gets_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    found = decode_file(tmp_path / "x.jpg", 8)
    assert isinstance(found, str) and reason in found and "\n" not in found


def test_a_missing_file_is_no_unreadable_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_file(tmp_path / "gone.jpg", 8)


def test_a_broken_exif_block_does_not_spoil_a_picture(tmp_path: Path) -> None:
    pixels = Image.fromarray(picture(8, 16, 16))
    (tmp_path / "x.jpg").write_bytes(encoded(pixels, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert decode_file(tmp_path / "x.jpg", 16).pixels.shape == (16, 16, 3)
