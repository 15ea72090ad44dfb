"""JPEG-packed pictures, decoded by the batch: for sets too large to be decoded ahead."""

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def decode(contents: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The pictures in ``contents`` (uint8 [bytes] each, on the CPU), uint8 [3, h, w] on ``device``.

    On a CPU by Pillow, on torch.get_num_threads() threads; on a GPU by nvJPEG through torchvision, whose pixels differ
    from Pillow's by a level or so. Raises RuntimeError where a GPU is asked for and torchvision cannot use it.
    """
    if device.type == "cuda":
        from torchvision.io import ImageReadMode, decode_jpeg

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision 0.29 calls it deprecated
            return decode_jpeg([content.clone() for content in contents], ImageReadMode.RGB, device=device)
    threads = torch.get_num_threads()
    if threads == 1:
        return [_decode(content) for content in contents]
    with ThreadPoolExecutor(threads) as pool:  # decoding does not hold Python's lock
        return list(pool.map(_decode, contents))


def usable(device: torch.device) -> bool:
    """Whether ``decode`` works on ``device``: tried on a picture of 16 px."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    try:
        decode([torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)], device)
    except (ImportError, AttributeError, RuntimeError):
        return False
    return True


def _decode(content: Tensor) -> Tensor:
    with Image.open(io.BytesIO(content.numpy()), formats=["JPEG"]) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
