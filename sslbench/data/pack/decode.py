"""One encoded picture to upright RGB bytes, its shortest side at most the pack size."""

import errno
import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

# Set here, in every process that decodes: half a picture is no picture, whatever another library prefers.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
# What pictures are made of, by content and not by name. Left out is what other programs are started for (EPS).
_WANTED = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # AVIF depends on the version of Pillow
JPEG_QUALITY = 95
# Greys of a TIFF that Pillow reads where 0 is black, and not where 0 is white
for _order, _bits, _mode in ((b"II", 12, ("I;16", "I;12")), (b"MM", 16, ("I;16B", "I;16B"))):
    TiffImagePlugin.OPEN_INFO.setdefault((_order, 0, (1,), 1, (_bits,), ()), _mode)
_PHOTOMETRIC, _BITS = 262, 258  # tags of TIFF
_PNG = b"\x89PNG\r\n\x1a\n"
_OF_PIXELS = {b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"}  # chunks of a PNG that may be left out, and are not
_PASSING = (errno.ENOENT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_PERCENTILES = (0.5, 99.5)  # of an image's greys that become black and white
_GAP = 2.0  # JPEGs are decoded at a fraction that is still at least this many times the size wanted


class Decoded(NamedTuple):
    pixels: np.ndarray  # uint8 [height, width, 3]; or [bytes], a baseline RGB JPEG of that size
    height: int  # as stored in the file, after EXIF orientation
    width: int
    grey: bool  # stored without colour
    digest: bytes  # of the file's bytes, 16 bytes
    shape: tuple[int, int]  # height, width as packed
    dark: bool = False  # 16 bits deep, and uses less than a sixteenth of its range: 12 bits or fewer, perhaps
    flat: bool = False  # one colour throughout


def decode_file(file: Path, pack_size: int, encoding: str = "pixels", scale: str = "full") -> Decoded | str:
    """The picture in ``file``, or in one phrase why there is none.

    Whatever a decoder raises on a broken file is that phrase: the formats are many and so are their exceptions. But a
    file that was listed and is gone, or that the disk or a limit keeps from being read just now, is no broken picture:
    that OSError is raised.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        if error.errno in _PASSING and not file.is_symlink():
            raise
        return (error.strerror or str(error)).lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata; errors still come
            return decode(content, pack_size, encoding, scale)
    except Exception as error:
        if isinstance(error, Image.UnidentifiedImageError):
            return "is no picture that can be read"
        return " ".join(str(error).split()) or type(error).__name__


def decode(content: bytes, pack_size: int, encoding: str = "pixels", scale: str = "full") -> Decoded:
    """Decode, turn upright by EXIF, make RGB and shrink the shortest side to ``pack_size`` px; nothing is enlarged.

    Shrinking is Pillow's bilinear filter, which is antialiased: its support grows with the factor. Alpha is laid over
    white; of 16 bits the upper byte is kept, of greys after what lies between the 0.5th and the 99.5th percentile of an
    image has become all of the range where ``scale`` is percentile; a TIFF's 0 is black or white as it says; texts and
    profiles never make a picture unreadable; colour profiles are ignored; of animations the first frame is taken.

    With ``encoding`` jpeg the result is a JPEG: the file itself where it is a baseline one, RGB, upright and no larger
    than that, else one made of the result at quality 95.
    """
    try:
        return _decode(content, pack_size, encoding, scale)
    except Exception:
        lean = _without_metadata(content)
        if lean is None:
            raise
        digest = hashlib.blake2b(content, digest_size=16).digest()
        return _decode(lean, pack_size, encoding, scale)._replace(digest=digest)


def _without_metadata(content: bytes) -> bytes | None:
    """A PNG without the chunks that no pixel depends on: long or damaged texts and profiles, which Pillow refuses. None
    where there are none, or it is no PNG."""
    if not content.startswith(_PNG):
        return None
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunk = content[place : place + 12 + length]
        kind = chunk[4:8]
        critical = not kind[0] & 0x20
        sound = len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if critical or (kind in _OF_PIXELS and sound):
            kept.append(chunk)
        place += 12 + length
    lean = b"".join(kept)
    return lean if len(lean) < len(content) else None


def _decode(content: bytes, pack_size: int, encoding: str, scale: str) -> Decoded:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        deep = _is_deep(image)
        if image.format == "TIFF":
            image.load()  # Pillow turns these upright itself, and afterwards says so
        width, height = image.size
        if not width or not height:
            raise ValueError("has no pixels")
        grey = image.mode in _GREY_MODES
        factor = min(1.0, pack_size / min(width, height))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if factor < 1:
            image.draft(None, (round(size[0] * _GAP), round(size[1] * _GAP)))
        upright = _orientation(image)
        rgb = _rgb(image, scale)
        dark = deep and max(high for _, high in rgb.getextrema()) < 256 // 16
        if rgb.size != size:
            rgb = rgb.resize(size, Image.Resampling.BILINEAR)
        if upright is not None:
            rgb = rgb.transpose(upright)
            if upright in _SIDEWAYS:
                height, width = width, height
        flat = all(low == high for low, high in rgb.getextrema())
        pixels = np.asarray(rgb)  # while the file is open: a picture that needed no change is read only now
        shape = pixels.shape[:2]
        if encoding == "jpeg":
            kept = rgb is image and image.format == "JPEG" and not image.info.get("progressive")
            pixels = np.frombuffer(content if kept else _jpeg(rgb), dtype=np.uint8)
    return Decoded(pixels, height, width, grey, hashlib.blake2b(content, digest_size=16).digest(), shape, dark, flat)


def _jpeg(rgb: Image.Image) -> bytes:
    file = io.BytesIO()
    rgb.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


_TURNS = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_TURNS[value] for value in (5, 6, 7, 8)}


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(0x0112))
    except Exception:  # a broken EXIF block does not make a picture unreadable
        return None


def _is_deep(image: Image.Image) -> bool:
    """Whether a picture that was opened and not read yet has 16 bits a channel."""
    return image.mode.startswith("I") or any(";16" in str(tile[3]) for tile in image.tile)


def _rgb(image: Image.Image, scale: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("holds 32-bit floats, whose range is not stated; store it as 8 or 16 bits")
    if image.mode.startswith("I"):  # greys; Pillow's own conversion would cut them off at 255
        values = np.asarray(image).astype(np.int64)
        if image.mode != "I" and image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # 0 is white
            values = (1 << image.tag_v2[_BITS][0]) - 1 - values
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(
                f"holds whole numbers of {low} to {high}, whose range is not stated; store it as 8 or 16 bits"
            )
        if scale == "percentile" and high > 255:
            low, high = np.percentile(values, _PERCENTILES)
            values = np.clip((values - low) * (65535 / max(high - low, 1)), 0, 65535).astype(np.int64)
        # Only a TIFF can be 32 bits deep; Pillow scales all else that it calls I to 16 bits.
        bits = 0 if image.mode == "I" and image.format == "TIFF" and high <= 255 else 8
        image = Image.fromarray((values >> bits).astype(np.uint8))
    elif image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
