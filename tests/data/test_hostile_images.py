"""Pictures of every odd kind: what is done with each is what docs/your-own-images.md says."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from sslbench.data import doctor
from sslbench.data.pack.decode import FORMATS, decode, decode_file
from sslbench.data.pack.read import PackedSet
from sslbench.data.splits import per_class_name
from sslbench.errors import UserError
from sslbench.transforms.pipeline import ViewMaker
from sslbench.transforms.spec import RandomResizedCrop
from tests.data.data_samples import make_folder, packed, picture, save, settings_of
from tests.data.test_decode import encoded
from tests.tally import survived

pytestmark = pytest.mark.fault


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """Written by hand, so that nothing but the format's definition is trusted."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


SMALL = picture(1, 6, 8)
EXIF = Image.Exif()
EXIF[0x0112] = 6
BILLION = png(40_000, 25_000, b"")

UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a billion pixels": (lambda: BILLION, "could be decompression bomb"),
    "no bytes": (lambda: b"", "is no picture"),
    "text": (lambda: b"hello", "is no picture"),
    "cut short": (lambda: encoded(Image.fromarray(picture(2, 80, 80)), "JPEG")[:1500], "truncated"),
    "a program for a printer": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "is no picture"),
    "a page of vectors": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
    "a text that is too long before a billion pixels": (
        lambda: png(40_000, 25_000, b"", more=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**21)))), "decompression bomb"),
    "no pixels": (lambda: png(0, 0, b""), "no p"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_picture_is_named_or_left_out_and_counted(tmp_path: Path, case: str) -> None:
    make, reason = UNREADABLE[case]
    pets = make_folder(tmp_path)
    (pets / "cat" / "odd.png").write_bytes(make())
    with pytest.raises(UserError) as caught:
        packed(settings_of("folder", path=pets), tmp_path)
    assert "1 of 16 pictures" in str(caught.value) and "'cat/odd.png'" in str(caught.value)
    assert reason in str(caught.value), str(caught.value)
    out = packed(settings_of("folder", path=pets, unreadable_share=0.1), tmp_path)
    assert len(PackedSet.open(out)) == 15
    survived("hostile picture", "pack")


def test_nothing_but_the_formats_of_pictures_is_opened_for_the_estimate_either(tmp_path: Path, monkeypatch) -> None:
    opened, real = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **more: opened.append(more.get("formats")) or real(*args, **more))
    pets = make_folder(tmp_path)
    (pets / "cat" / "odd.png").write_bytes(UNREADABLE["a program for a printer"][0]())
    packed(settings_of("folder", path=pets, unreadable_share=0.1), tmp_path)
    assert len(opened) >= 16 and all(formats and "EPS" not in formats for formats in opened)


def flat(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (16, 16), colour)


RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)
FRAMES = [flat(RED), flat(GREEN), flat(BLUE)]
MOVING = {"save_all": True, "append_images": FRAMES[1:], "duration": 100}


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    content = encoded(FRAMES[0], form, **MOVING, **({"lossless": True} if form == "WEBP" else {}))
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 3
    assert np.abs(decode(content, 99).pixels.astype(int) - RED).max() <= 2
    survived("hostile picture", "decode")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_applies_it(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(picture(3, 6, 9)), form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(decode(content, 99).pixels, upright)
    survived("hostile picture", "decode")


def test_a_jpeg_in_cmyk_has_the_colours_that_its_inks_print() -> None:
    for inks in ((0, 255, 255, 0), (255, 0, 0, 0), (30, 60, 90, 40)):
        content = encoded(flat(inks, "CMYK"), "JPEG", quality=95)
        c, m, y, k = (1 - ink / 255 for ink in inks)
        expected = np.array([c * k, m * k, y * k]) * 255
        assert np.abs(decode(content, 99).pixels.reshape(-1, 3) - expected).max() < 8
        survived("hostile picture", "decode")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_the_upper_8_are_taken_and_alpha_is_laid_over_white(colour: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 8, channels)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    upper = (values >> 8).astype(float)
    if channels in (2, 4):
        share = upper[..., -1:] / 255
        upper = upper[..., :-1] * share + 255 * (1 - share)
    expected = np.broadcast_to(upper, (6, 8, 3))
    found = decode(png(8, 6, rows, depth=16, colour=colour), 99).pixels
    assert np.abs(found - expected).max() <= 1
    survived("hostile picture", "decode")


def deep(values: np.ndarray, form: str = "TIFF") -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, form)
    return file.getvalue()


def test_whole_numbers_of_32_bits_are_taken_by_their_range() -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 8))
    values[0, 0] = 255
    for factor, content in ((1, deep(values.astype(np.int32))), (256, deep((values * 256).astype(np.int32)))):
        assert np.array_equal(decode(content, 99).pixels[..., 0], values), factor
        survived("hostile picture", "decode")
    for outside in (-1, 65536):
        values[0, 0] = outside
        with pytest.raises(ValueError, match="whose range is not stated; store it as 8 or 16 bits"):
            decode(deep(values.astype(np.int32)), 99)
        survived("hostile picture", "decode")


def test_an_almost_black_deep_pgm_is_not_taken_for_8_bits() -> None:
    """Pillow calls it I, as it does a TIFF of 32 bits."""
    content = b"P5 4 1 65535\n" + np.array([0, 100, 200, 255], ">u2").tobytes()
    assert decode(content, 99).pixels.max() == 0


def tiff(samples: np.ndarray, bits: int, photometric: int, order: str = "<") -> bytes:
    """One strip of greys, by TIFF 6.0's definition: ``samples`` [H, W] of ``bits`` each, rows padded to bytes."""
    height, width = samples.shape
    if bits == 16:
        strip = samples.astype(f"{order}u2").tobytes()
    else:
        places = (samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        strip = np.packbits(places.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: height}
    tags[279] = len(strip)
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + strip


@pytest.mark.parametrize(
    ("bits", "order"), [(bits, order) for bits in (1, 2, 4, 8, 16) for order in "<>"] + [(12, "<")]
)
def test_a_tiff_whose_0_is_white_is_the_negative_of_one_whose_0_is_black_at_every_depth(bits: int, order: str) -> None:
    top = (1 << bits) - 1
    samples = np.random.default_rng(bits).integers(0, top + 1, (7, 9))
    samples[0, :2] = 0, top
    shown = {1: samples, 0: top - samples}
    for photometric, values in shown.items():
        grey = values >> 8 if bits > 8 else np.rint(values * 255 / top)
        found = decode(tiff(samples, bits, photometric, order), 99)
        assert found.grey and np.array_equal(found.pixels, np.repeat(grey[..., None], 3, -1)), photometric
        survived("hostile picture", "decode")


def test_16_bit_samples_of_2560_where_0_is_white_are_245_as_8_bit_samples_of_10_are() -> None:
    assert set(decode(tiff(np.full((16, 16), 2560), 16, 0), 99).pixels.flat) == {245}
    assert set(decode(tiff(np.full((16, 16), 10), 8, 0), 99).pixels.flat) == {245}


LONG = zlib.compress(bytes(2**21))
ROWS = b"".join(b"\0" + row.tobytes() for row in SMALL)
TEXT = b"k\0" + b"x" * 9
METADATA = {
    "a compressed text of 2 MB": chunk(b"zTXt", b"k\0\0" + LONG),
    "a compressed text of 100 MB": chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))),
    "an international text of 2 MB": chunk(b"iTXt", b"k\0\1\0\0\0" + LONG),
    "texts of 65 MB together": 65 * chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**20))),
    "a colour profile of 2 MB": chunk(b"iCCP", b"k\0\0" + LONG),
    "a text compressed in an unknown way": chunk(b"zTXt", b"k\0\7x"),
    "a text whose checksum is wrong": chunk(b"tEXt", TEXT)[:-1] + b"?",
    "a time that is cut short": chunk(b"tIME", b"x"),
    "physical sizes that are cut short": chunk(b"pHYs", b"x"),
    "a gamma that is cut short": chunk(b"gAMA", b"x"),
    "an EXIF block whose checksum is wrong": chunk(b"eXIf", EXIF.tobytes()[6:])[:-1] + b"?",
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_never_makes_a_sound_png_unreadable(case: str) -> None:
    content = png(8, 6, ROWS, more=METADATA[case])
    found = decode(content, 99)
    assert np.array_equal(found.pixels, SMALL)
    assert found.digest == decode(content, 99).digest != decode(png(8, 6, ROWS), 99).digest  # of the file as it is
    late = png(8, 6, ROWS)[:-12] + METADATA[case] + chunk(b"IEND", b"")
    late = decode(late, 99).pixels  # Pillow believes an EXIF block that stands there
    assert np.array_equal(late, np.rot90(SMALL, -1) if "EXIF" in case else SMALL)
    survived("hostile picture", "decode", 2)


def test_what_pixels_depend_on_is_kept_where_a_text_is_left_out() -> None:
    long = METADATA["a compressed text of 2 MB"]
    turned = png(8, 6, ROWS, more=chunk(b"eXIf", EXIF.tobytes()[6:]) + long)
    assert np.array_equal(decode(turned, 99).pixels, np.rot90(SMALL, -1))
    clear = chunk(b"PLTE", bytes([0, 0, 0, 9, 9, 9])) + chunk(b"tRNS", b"\0\xff")
    found = decode(png(2, 1, b"\0\0\1", colour=3, more=long + clear), 99).pixels
    assert found.tolist() == [[[255] * 3, [9] * 3]]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF"])
def test_nor_do_long_or_broken_blocks_in_other_formats(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    image = Image.fromarray(picture(8, 9, 9))
    plain = decode(encoded(image, form, **options), 99).pixels
    broken = b"Exif\0\0II*\0" + b"\xff" * 60
    for more in (
        {"icc_profile": bytes(2**21)},
        {"exif": broken},
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87i\0\4\0\0\0\1\xff\xff\xff\xff"},
        {"comment": b"x" * 65_000} if form == "JPEG" else {"xmp": b"<x" * 10**6} if form == "WEBP" else {},
    ):
        try:
            content = encoded(image, form, **options, **more)
        except Exception:  # Pillow writes no such file of this format
            continue
        assert np.array_equal(decode(content, 99).pixels, plain), list(more)
        survived("hostile picture", "decode")


def test_images_that_become_one_colour_are_counted_and_named(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    clear = np.random.default_rng(0).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    clear[..., 3] = 0
    Image.fromarray(clear).save(pets / "cat" / "clear.png")
    flat(RED).save(pets / "dog" / "red.png")
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(pets / "dog" / "grey.png")
    almost = np.full((9, 9, 3), 7, np.uint8)
    almost[4, 4] = 8
    Image.fromarray(almost).save(pets / "dog" / "almost.png")
    found = doctor.read(
        packed(settings_of("folder", path=pets), tmp_path, pack_size=9), "own-or-" + per_class_name(0.2, 0)
    )
    assert found["flat"] == {"count": 3, "first": ["cat/clear.png", "dog/grey.png", "dog/red.png"]}
    (line,) = [line for line in doctor.describe(found) if "one colour" in line]
    assert line.startswith("doctor: 3 images are of one colour throughout, e.g. 'cat/clear.png'")
    survived("hostile picture", "pack", 3)


def test_pictures_of_12_bits_in_16_are_told_of(tmp_path: Path) -> None:
    pets, lines = make_folder(tmp_path), []
    values = np.random.default_rng(0).integers(0, 4096, (9, 9, 1)).astype(">u2")
    colour = np.repeat(values, 3, -1)
    (pets / "cat" / "grey.png").write_bytes(deep(values[..., 0].astype(np.uint16)))
    rows = b"".join(b"\0" + row.tobytes() for row in colour)
    (pets / "cat" / "rgb.png").write_bytes(png(9, 9, rows, depth=16))
    (pets / "dog" / "whole.png").write_bytes(deep((values[..., 0] * 16).astype(np.uint16)))
    found = doctor.read(packed(settings_of("folder", path=pets), tmp_path), "own-or-" + per_class_name(0.2, 0))
    assert found["dark"] == {"count": 2, "first": ["cat/grey.png", "cat/rgb.png"]}
    lines = doctor.describe(found)
    assert any(line.startswith("doctor: 2 16-bit pictures use less than a sixteenth of the range") for line in lines)
    survived("hostile picture", "pack", 2)


def test_files_that_are_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    for number in range(3):
        (pets / "cat" / f"{number}.HEIC").write_bytes(b"x")
        encoded_as = {"jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000", "avif": "AVIF"}
        for suffix, form in encoded_as.items():
            if form in FORMATS:
                (pets / "dog" / f"{number}.{suffix}").write_bytes(encoded(Image.fromarray(picture(number)), form))
    (pets / "notes").write_text("x")
    (pets / ".hidden").write_text("x")
    (pets / "cat" / "again").symlink_to(pets / "cat")
    found = doctor.read(packed(settings_of("folder", path=pets), tmp_path), "own-or-" + per_class_name(0.2, 0))
    assert found["count"] == 15 + 3 * (2 + ("JPEG2000" in FORMATS) + ("AVIF" in FORMATS))
    assert found["passed_over"] == {".heic": 3, "other": 1}
    assert "doctor: 4 files passed over (.heic 3, other 1)" in doctor.describe(found)
    survived("hostile picture", "pack", 4)


def test_a_palette_with_half_transparent_entries_is_laid_over_white() -> None:
    palette, alpha = bytes([0, 0, 0, 200, 100, 50]), bytes([0, 128])
    content = png(2, 1, b"\0\0\1", colour=3, more=chunk(b"PLTE", palette) + chunk(b"tRNS", alpha))
    half = [round(value * 128 / 255 + 255 * 127 / 255) for value in (200, 100, 50)]
    assert np.abs(decode(content, 99).pixels[0].astype(int) - [[255, 255, 255], half]).max() <= 1
    survived("hostile picture", "decode")


@pytest.mark.parametrize("profile", [b"", b"not a profile", bytes(5000), b"\xff" * 128])
def test_a_broken_colour_profile_changes_no_pixel(profile: bytes) -> None:
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        image = Image.fromarray(picture(4, 9, 9))
        options = {"lossless": True} if form == "WEBP" else {}
        with_one, without = (encoded(image, form, icc_profile=p, **options) for p in (profile, None))
        assert np.array_equal(decode(with_one, 99).pixels, decode(without, 99).pixels)
    damaged = png(8, 6, b"".join(b"\0" + row.tobytes() for row in SMALL), more=chunk(b"iCCP", b"x\0\0" + profile))
    assert np.array_equal(decode(damaged, 99).pixels, SMALL)
    survived("hostile picture", "decode", 5)


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_the_content_counts_and_not_the_name(tmp_path: Path, form: str) -> None:
    content = encoded(flat(RED), form, **({"lossless": True} if form == "WEBP" else {}))
    (tmp_path / "x.jpg").write_bytes(content)
    assert np.abs(decode_file(tmp_path / "x.jpg", 99).pixels.astype(int) - RED).max() <= 2
    survived("hostile picture", "decode")


def test_pictures_of_one_pixel_and_of_one_row_are_kept_and_give_views(tmp_path: Path) -> None:
    pets = make_folder(tmp_path)
    save(pets / "cat" / "dot.png", picture(5, 1, 1))
    save(pets / "cat" / "row.png", picture(6, 1, 5000))
    save(pets / "cat" / "column.png", picture(7, 5000, 1))
    opened = PackedSet.open(packed(settings_of("folder", path=pets), tmp_path), verify=True)
    places = [opened.names.index(f"cat/{name}.png") for name in ("dot", "row", "column")]
    assert [(int(opened.heights[i]), int(opened.widths[i])) for i in places] == [(1, 1), (1, 5000), (5000, 1)]
    maker = ViewMaker([RandomResizedCrop().model_dump()], 16)
    view = maker.make(opened.batch(torch.tensor(places)), torch.Generator().manual_seed(0))
    images = view.images
    assert images.shape == (3, 3, 16, 16) and torch.isfinite(images).all()
    assert (images[0] == images[0, :, :1, :1]).all()  # of one pixel, one colour
    survived("hostile picture", "views", 3)
