"""Boxes of packed pictures, resized to one size with antialiased bilinear interpolation.

Two ways to the same pixels: picture by picture on a CPU (torch's uint8 kernel: bit-equal to torchvision's resized
crop), and two batched matrix products elsewhere, which round to whole levels where that kernel does and so stay
within one level (1/255) of it.
"""

import torch
from torch import Tensor

from sslbench.data.pack.read import Pictures

Boxes = dict[str, Tensor]  # top, left, height, width: int64 [n] on the CPU, in pixels of each picture

AT_A_TIME = 64  # pictures whose padded boxes are in memory together, on the batched way
GRANULE = 32  # padded boxes grow in these steps, px, so that few shapes occur


def resize_boxes(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """uint8 [n, 3, size, size] on the pictures' device."""
    if pictures.device.type == "cpu":
        return picture_by_picture(pictures, boxes, size)
    return by_matrix_products(pictures, boxes, size)


def picture_by_picture(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """The CPU's way: uint8 [n, 3, size, size], channels last in memory."""
    buffer, start = pictures.buffer, pictures.buffer.storage_offset()
    resized = torch.empty(len(pictures), size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    resize = torch.ops.aten._upsample_bilinear2d_aa.out  # what F.interpolate(antialias=True) calls, without its copy
    columns = (pictures.offsets, pictures.widths, boxes["top"], boxes["left"], boxes["height"], boxes["width"])
    rows = zip(*(column.tolist() for column in columns), resized.split(1), strict=True)
    for offset, across, top, left, height, width, slot in rows:
        strides = (3 * across * height, 1, 3 * across, 3)
        box = buffer.as_strided((1, 3, height, width), strides, start + offset + 3 * (top * across + left))
        resize(box, [size, size], False, None, None, out=slot)
    return resized


def by_matrix_products(pictures: Pictures, boxes: Boxes, size: int) -> Tensor:
    """The accelerator's way: uint8 [n, 3, size, size]. Shapes come from the boxes on the CPU; nothing is waited for."""
    tall = min(_up(int(boxes["height"].max())), pictures.max_height)
    wide = min(_up(int(boxes["width"].max())), pictures.max_width)
    table = table_of(pictures, boxes)
    return torch.cat([_products(pictures.buffer, part, tall, wide, size) for part in table.split(AT_A_TIME, dim=1)])


def table_of(pictures: Pictures, boxes: Boxes) -> Tensor:
    """int64 [6, n] on the pictures' device: offset, picture's width; top, left, height and width of the box."""
    columns = (pictures.offsets, pictures.widths, boxes["top"], boxes["left"], boxes["height"], boxes["width"])
    table = torch.stack(columns)
    if pictures.device.type == "cuda":
        table = table.pin_memory()
    return table.to(pictures.device, non_blocking=True)


def _up(length: int) -> int:
    return -(-length // GRANULE) * GRANULE


def _products(buffer: Tensor, table: Tensor, tall: int, wide: int, size: int) -> Tensor:
    offset, across, top, left, height, width = table
    n, device = len(offset), buffer.device
    # Rows and columns beyond a box repeat its last one; their weights are zero.
    y = top[:, None] + torch.minimum(torch.arange(tall, device=device), height[:, None] - 1)  # [n, tall]
    x = left[:, None] + torch.minimum(torch.arange(wide, device=device), width[:, None] - 1)  # [n, wide]
    first = offset[:, None, None] + 3 * (y[:, :, None] * across[:, None, None] + x[:, None, :])
    pixels = torch.stack([buffer.take(first + channel) for channel in range(3)], dim=1).float()  # [n, 3, tall, wide]

    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # a matrix product in TF32 would miss whole levels
    try:
        columns = weights(width, wide, size).transpose(1, 2)  # [n, wide, size]
        narrow = torch.bmm(pixels.reshape(n, 3 * tall, wide), columns).add_(0.5).floor_().reshape(n, 3, tall, size)
        rows = weights(height, tall, size)[:, None].expand(n, 3, size, tall)
        resized = torch.matmul(rows, narrow).add_(0.5).floor_()
    finally:
        torch.set_float32_matmul_precision(precision)
    return resized.clamp_(0, 255).to(torch.uint8)


def weights(length: Tensor, padded: int, size: int) -> Tensor:
    """float32 [n, size, padded]: the share of each of ``length`` pixels (the rest is padding) in each output pixel.

    A triangle as wide as the output pixel where the picture shrinks, and as the input pixel where it grows, cut off
    at the border and scaled to sum to 1. Rounded, as the CPU's kernel has them, to 16-bit whole numbers over the
    largest power of two that fits: so the products are exact in float32, and ties fall the same way.
    """
    scale = length.double()[:, None, None] / size
    output = torch.arange(size, device=length.device, dtype=torch.float64)[:, None]
    source = torch.arange(padded, device=length.device)
    distance = (source + 0.5 - scale * (output + 0.5)).abs() / scale.clamp_min(1)  # [n, size, padded]
    share = (1 - distance).clamp_min(0) * (source < length[:, None, None])
    share = share / share.sum(-1, keepdim=True)
    finest = torch.exp2(torch.log2((2**15 - 0.5) / share.amax((1, 2), keepdim=True)).floor().clamp_max(22))
    return ((share * finest + 0.5).floor() / finest).float()


def box_locations(boxes: Boxes, size: int) -> Tensor:
    """float32 [n, 2, size, size]: (y, x) of every output pixel's centre, on the scale where the centre of the
    picture's pixel k lies at k. So a box at the picture's edge reaches from -0.5 to length - 0.5."""
    centre = (torch.arange(size, dtype=torch.float64, device=boxes["top"].device) + 0.5) / size
    y = boxes["top"][:, None] + centre * boxes["height"][:, None] - 0.5  # [n, size]
    x = boxes["left"][:, None] + centre * boxes["width"][:, None] - 0.5
    n = len(y)
    return torch.stack([y[:, :, None].expand(n, size, size), x[:, None, :].expand(n, size, size)], dim=1).float()
