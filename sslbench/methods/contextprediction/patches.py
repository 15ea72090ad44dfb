"""Pairs of patches as Doersch, Gupta and Efros 2015 cut and blur them, so that nothing but content tells their places.

Draws come from torch's global generator on the CPU; all else runs where the views are.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sslbench.nn.precision import in_float32

MEAN_SQUARE = (50 / 255) ** 2  # of a patch's pixels in [0, 1]; authors' code: a root mean square of 50 of 255
FLAT = 1e-3**2  # added under that root, so that a patch without content is not blown up to noise
AXIS = (-1.0, 2.0, -1.0)  # green against magenta, in RGB; paper, section 3.1


def draw_places(count: int, size: int, patch: int, gap: int, jitter: int) -> tuple[Tensor, Tensor, Tensor]:
    """``top`` and ``left`` int64 [count, 2] of a first patch and a second in a view of ``size`` px, and labels.

    The first is the centre of a 3 x 3 grid that lies anywhere in the view, the second one of its eight neighbours;
    each is moved by up to ``jitter`` px. Labels int64 [count] count the neighbours along rows, from 0, top left.
    Draws, in this order: labels, the grid's corner, the patches' jitter.
    """
    label = torch.randint(8, (count,))
    cell = label + (label >= 4)  # of 9, the centre left out
    corner = torch.randint(jitter, size - 3 * patch - 2 * gap - jitter + 1, (count, 2))
    moved = torch.randint(-jitter, jitter + 1, (count, 2, 2))  # patch, axis
    second = torch.stack([cell // 3, cell % 3], dim=1)
    steps = torch.stack([torch.ones_like(second), second], dim=1)  # [count, patch, axis]
    places = corner[:, None] + (patch + gap) * steps + moved
    return places[..., 0], places[..., 1], label


def cut(images: Tensor, top: Tensor, left: Tensor, patch: int) -> Tensor:
    """Patches [n, k, 3, patch, patch] of ``images`` [n, 3, s, s] at ``top`` and ``left`` [n, k]."""
    n, channels, _, width = images.shape
    along = torch.arange(patch, device=images.device)
    rows, columns = top[:, :, None] + along, left[:, :, None] + along  # [n, k, patch]
    reads = (rows[..., :, None] * width + columns[..., None, :]).reshape(n, 1, -1).expand(n, channels, -1)
    patches = images.reshape(n, channels, -1).gather(2, reads)
    return patches.view(n, channels, -1, patch, patch).transpose(1, 2)


def blurring(patch: int, smallest: int) -> Tensor:
    """[patch - smallest + 1, patch, patch]: what brings a line of pixels to ``smallest`` .. ``patch`` px and back."""
    line = torch.eye(patch)[None, None]
    sizes = [(side, patch) for side in range(smallest, patch)]
    small = [interpolate(line, size, mode="bilinear", antialias=True) for size in sizes]
    back = [interpolate(s, (patch, patch), mode="bilinear", align_corners=False) for s in small]
    return torch.cat([*back, line]).squeeze(1)


def draw_blurring(count: int, share: float, patch: int, smallest: int) -> Tensor:
    """int64 [count]: a row of ``blurring`` for each patch, the last one for those that stay sharp.

    A patch's number of pixels is uniform between the smallest square and the largest, as in the authors' code.
    """
    fires, pixels = torch.rand(count) < share, torch.rand(count)
    side = (smallest**2 + pixels * ((patch - 1) ** 2 - smallest**2)).clamp_min(smallest**2).sqrt().long()
    return torch.where(fires, side - smallest, patch - smallest).clamp(0, patch - smallest)


@in_float32
def prepared(patches: Tensor, blur: Tensor, kept: Tensor, noise: Tensor, deviation: Tensor, colour: str) -> Tensor:
    """``patches`` [m, 3, p, p] of normalised views made blurred, colourless and of equal contrast, and normalised.

    blur: [m, p, p], rows of ``blurring``. deviation: [3, 1, 1], what pixels of [0, 1] were divided by. Their mean,
    which was taken off before, goes here in any case.
    """
    pixels = blur[:, None] @ (patches * deviation) @ blur.mT[:, None]
    return of_equal_contrast(without_colour(pixels, colour, kept, noise)) / deviation


def without_colour(patches: Tensor, colour: str, kept: Tensor, noise: Tensor) -> Tensor:
    """``patches`` [m, 3, p, p] of pixel values after the defence ``colour``, each channel's mean taken off.

    Where channels are dropped, ``kept`` [m] says which stays, and the others become ``noise`` [3, p, p] of unit
    deviation at a hundredth of the kept channel's deviation (paper, section 3.1). All patches of a step share it: it
    only fills channels that tell nothing.
    """
    patches = patches - patches.mean(dim=(2, 3), keepdim=True)
    if colour == "drop":
        stays = torch.arange(3, device=patches.device) == kept[:, None]  # [m, 3]
        stays = stays[:, :, None, None]
        deviation = (patches * stays).square().sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True).sqrt()
        patches = torch.where(stays, patches, noise * deviation / 100)
    if colour == "project":
        a, b, c = (channel[:, None] for channel in patches.unbind(1))
        share = (AXIS[0] * a + AXIS[1] * b + AXIS[2] * c) / sum(x * x for x in AXIS)
        patches = torch.cat([a - AXIS[0] * share, b - AXIS[1] * share, c - AXIS[2] * share], dim=1)
    return patches


def of_equal_contrast(patches: Tensor) -> Tensor:
    """``patches`` [m, 3, p, p] at the authors' root mean square over a patch's pixels and channels."""
    power = patches.square().mean(dim=(1, 2, 3), keepdim=True)
    return patches * (MEAN_SQUARE / (power + FLAT)).sqrt()
