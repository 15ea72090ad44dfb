"""Which images of two sets are near-identical: re-encoded, resized, slightly cropped. numpy and Pillow alone.

Three steps, each on what the one before leaves. An image is known by a 64-bit perceptual hash, the signs of the lowest
frequencies of its grey thumbnail (after Zauner, "Implementation and benchmarking of perceptual image hash functions",
2010); those of two near-identical images differ in at most NEAR bits. Such pairs are found by bands: of 64 bits in 4
bands, 11 that differ leave a band with at most 2 (Norouzi et al., "Fast search in Hamming space with multi-index
hashing", 2012). Their thumbnails are equally light, equally rich in contrast and correlate by ALIKE, which leaves each
image its most alike partner. And what the thumbnails do not show, the detail, correlates by SAME, block by block, where
each block may be shifted a little. What this finds and what it misses: docs/your-own-images.md.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

NEAR = 11  # bits of 64
ALIKE = 0.88  # correlation of two thumbnails
SAME = 0.8  # correlation of their images' detail
LEVELS = 12  # by which the mean and the deviation of two thumbnails may differ
FLAT = 2.0  # grey levels; an image whose thumbnail deviates less has no hash to speak of
SIDE, THUMBNAIL, FINE = 32, 16, 64  # px: what is hashed, what is compared next, and last
BANDS, WIDE = 4, 16  # WIDE bits each
BLOCK, SHIFT = 14, 3  # px of the FINE image: its detail is compared in 4 x 4 blocks
_CANDIDATES = 1 << 20  # compared at a time
_THUMBNAILS = 1 << 15  # the same, of those whose hashes are near
_SETTLED = 0.995  # two images that are so much alike to any need no better partner

Read = Callable[[int], Image.Image]  # an image by its row

_along, _order = np.meshgrid(np.arange(SIDE), np.arange(12))
_COSINES = np.cos(np.pi * (2 * _along + 1) * _order / (2 * SIDE)).astype(np.float32)  # [12, SIDE] of the DCT-II
_LOWEST = sorted(itertools.product(range(12), repeat=2), key=lambda uv: (sum(uv), uv))[1:65]  # without the mean
_DIFFERENCES = [
    sum(1 << bit for bit in bits) for n in range(NEAR // BANDS + 1) for bits in itertools.combinations(range(WIDE), n)
]  # of one band


class Prints(NamedTuple):
    """Of N images."""

    hashes: np.ndarray  # uint64 [N]
    thumbnails: np.ndarray  # uint8 [N, THUMBNAIL * THUMBNAIL], grey
    levels: np.ndarray  # float32 [N, 2], the thumbnails' mean and deviation
    flat: np.ndarray  # bool [N]


def prints(read: Read, count: int, pool: ThreadPoolExecutor) -> Prints:
    """Of the images in rows 0 to ``count``."""
    starts = range(0, max(count, 1), 1024)
    return joined([printed(_greys(read, range(start, min(start + 1024, count)), SIDE, pool)) for start in starts])


def printed(greys: np.ndarray) -> Prints:
    """Of uint8 images [n, SIDE, SIDE]."""
    frequencies = _COSINES @ greys.astype(np.float32) @ _COSINES.T  # [n, 12, 12]
    rows, columns = zip(*_LOWEST, strict=True)
    signs = np.ascontiguousarray(frequencies[:, rows, columns] > 0)  # [n, 64]
    step = SIDE // THUMBNAIL
    means = greys.reshape(-1, THUMBNAIL, step, THUMBNAIL, step).mean((2, 4), dtype=np.float32)
    thumbnails = np.rint(means).astype(np.uint8).reshape(-1, THUMBNAIL**2)
    levels = np.stack([thumbnails.mean(1, dtype=np.float32), thumbnails.std(1, dtype=np.float32)], 1)
    return Prints(np.packbits(signs, axis=1).view(np.uint64).ravel(), thumbnails, levels, levels[:, 1] < FLAT)


def joined(some: Sequence[Prints]) -> Prints:
    return Prints(*map(np.concatenate, zip(*some, strict=True)))


def _greys(read: Read, rows: Sequence[int], side: int, pool: ThreadPoolExecutor) -> np.ndarray:
    """uint8 [n, side, side]."""

    def grey(row: int) -> np.ndarray:
        return np.asarray(read(row).convert("L").resize((side, side), Image.Resampling.BILINEAR))

    return np.stack(list(pool.map(grey, rows))) if len(rows) else np.empty((0, side, side), np.uint8)


def near(
    mine: Prints, other: Prints, wanted: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """int64 [n, 2], rows of mine and of other: what each image of either set is most like, as far as hashes and
    thumbnails tell. Flat images are like nothing.

    ``wanted``: of rows of mine and of other, which pairs count.
    """
    partners = [np.full(len(prints.hashes), -1) for prints in (mine, other)]
    best = [np.zeros(len(prints.hashes), np.float32) for prints in (mine, other)]
    for candidates in _candidates(mine, other):
        if wanted is not None:
            candidates = candidates[wanted(*candidates.T)]
        # One for each image first: of many copies each then has its partner, and not all their pairs are looked at.
        ahead = np.unique(np.concatenate([np.unique(side, return_index=True)[1] for side in candidates.T]))
        for some in (candidates[ahead], candidates):
            some = some[(best[0][some[:, 0]] < _SETTLED) | (best[1][some[:, 1]] < _SETTLED)]
            for start in range(0, len(some), _THUMBNAILS):
                pairs = some[start : start + _THUMBNAILS]
                alike = likeness(mine, other, pairs)
                pairs, alike = pairs[alike >= ALIKE], alike[alike >= ALIKE]
                for side in (0, 1):
                    rows = pairs[:, side]
                    better = alike > best[side][rows]
                    np.maximum.at(best[side], rows, alike)
                    better &= alike == best[side][rows]
                    partners[side][rows[better]] = pairs[better, 1 - side]
    first, second = (np.flatnonzero(partner >= 0) for partner in partners)
    pairs = [np.stack([first, partners[0][first]], 1), np.stack([partners[1][second], second], 1)]
    return np.unique(np.concatenate(pairs), axis=0)


def confirmed(pairs: np.ndarray, mine: Read, other: Read, pool: ThreadPoolExecutor) -> np.ndarray:
    """bool [n]: which pairs of rows, int64 [n, 2], show the same in detail."""
    found = [np.empty(0, bool)]
    for part in np.split(pairs, range(256, len(pairs), 256)) if len(pairs) else []:
        a, b = (_detail(_greys(read, part[:, side].tolist(), FINE, pool)) for side, read in enumerate((mine, other)))
        same = _agreement(a, b, 0) >= SAME
        rest = np.flatnonzero(~same)
        same[rest] = _agreement(a[rest], b[rest], SHIFT) >= SAME
        found.append(same)
    return np.concatenate(found)


def _detail(greys: np.ndarray) -> np.ndarray:
    """float32 [n, FINE, FINE] of uint8 ones: less what a thumbnail shows of them."""
    greys, step = greys.astype(np.float32), FINE // THUMBNAIL
    means = greys.reshape(-1, THUMBNAIL, step, THUMBNAIL, step).mean((2, 4))
    shown = [Image.fromarray(mean).resize((FINE, FINE), Image.Resampling.BILINEAR) for mean in means]
    return greys - np.stack([np.asarray(image) for image in shown])


def _agreement(a: np.ndarray, b: np.ndarray, most: int) -> np.ndarray:
    """float32 [n]: how blocks of a correlate with those of b, shifted by up to ``most`` px, weighted by contrast."""
    if not len(a):
        return np.empty(0, np.float32)
    count = (FINE - 2 * SHIFT) // BLOCK

    def blocks(images: np.ndarray, down: int, right: int) -> np.ndarray:  # [n, count², BLOCK²], norm 1, and the norms
        top, left = SHIFT + down, SHIFT + right
        cut = images[:, top : top + count * BLOCK, left : left + count * BLOCK]
        cut = cut.reshape(-1, count, BLOCK, count, BLOCK).swapaxes(2, 3).reshape(len(images), count**2, BLOCK**2)
        cut = cut - cut.mean(2, keepdims=True)
        norms = np.sqrt(np.einsum("nbk,nbk->nb", cut, cut))
        return cut / np.maximum(norms, 1e-3)[..., None], norms

    own, contrast = blocks(a, 0, 0)
    contrast = contrast * blocks(b, 0, 0)[1]
    best = np.full(contrast.shape, -1, np.float32)
    for shift in itertools.product(range(-most, most + 1), repeat=2):
        np.maximum(best, np.einsum("nbk,nbk->nb", own, blocks(b, *shift)[0]), out=best)
    return (best * contrast).sum(1) / np.maximum(contrast.sum(1), 1e-3)


def likeness(mine: Prints, other: Prints, pairs: np.ndarray) -> np.ndarray:
    """float32 [n]: how the thumbnails of pairs of rows, int64 [n, 2], correlate; 0 where their levels are apart."""
    i, j = pairs.T
    alike = np.zeros(len(pairs), np.float32)
    near = np.flatnonzero((abs(mine.levels[i] - other.levels[j]) <= LEVELS).all(1))
    (mean_a, deviation_a), (mean_b, deviation_b) = mine.levels[i[near]].T, other.levels[j[near]].T
    a, b = mine.thumbnails[i[near]].astype(np.float32), other.thumbnails[j[near]].astype(np.float32)
    product = np.einsum("nk,nk->n", a, b) / a.shape[1] - mean_a * mean_b
    alike[near] = product / np.maximum(deviation_a * deviation_b, 1e-6)
    return alike


def _candidates(mine: Prints, other: Prints) -> Iterator[np.ndarray]:
    """int64 [n, 2], rows of mine and of other whose hashes differ in at most NEAR bits, each pair once."""
    rows, columns = np.flatnonzero(~mine.flat), np.flatnonzero(~other.flat)
    a, b = mine.hashes[rows], other.hashes[columns]
    ordered, begins = [], []
    for band in range(BANDS):
        keys = _band(b, band)
        ordered.append(np.argsort(keys, kind="stable"))
        begins.append(np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << WIDE))]))
    for difference, band in itertools.product(_DIFFERENCES, range(BANDS)):
        keys = _band(a, band) ^ difference
        counts = begins[band][keys + 1] - begins[band][keys]
        some = np.flatnonzero(counts)
        ends = np.cumsum(counts[some])
        cuts = np.searchsorted(ends, np.arange(_CANDIDATES, counts.sum(), _CANDIDATES))
        for part in np.split(some, cuts):
            many = counts[part]
            i = np.repeat(part, many)
            within = np.arange(len(i)) - np.repeat(np.cumsum(many) - many, many)
            j = ordered[band][np.repeat(begins[band][keys[part]], many) + within]
            differing = a[i] ^ b[j]
            close = np.bitwise_count(differing) <= NEAR
            for before in range(band):  # which have found it already
                close &= np.bitwise_count(_band(differing, before)) > NEAR // BANDS
            yield np.stack([rows[i[close]], columns[j[close]]], 1)


def _band(hashes: np.ndarray, number: int) -> np.ndarray:
    return (hashes >> np.uint64(WIDE * number)).astype(np.uint16).astype(np.int64)
