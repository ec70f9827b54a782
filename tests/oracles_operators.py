"""A twin of the hashes in NumPy: a grid is ``rows @ pixels @ columns.T``, with dense matrices.

Quicker than the twin in fractions (``oracles_hashing``), and so for many and large pictures, and
reduced ones as they are. The only rounding is that of float64 sums, but for 8-bit pixels and area
averages, whose sums are exact.
"""

import functools

import numpy as np

PDQ_BOXES = 128  # a side holds so many boxes of PDQ's filter
PDQ_MIN_LENGTH = 5
PERCENT = 100 / 255 * (1 + 1e-9)
TIE = 1e-5  # gray levels
COEFFICIENT_UNIT = 1e-6  # gray levels


def block_bounds(length, reduction, short_first):
    """Full pixels at which the blocks of a reduced axis begin and end."""
    n_blocks = -(-length // reduction)
    overhang = n_blocks * reduction - length if short_first else 0
    return np.clip(np.arange(n_blocks + 1) * reduction - overhang, 0, length)


@functools.lru_cache(maxsize=24)
def area_weights(n_lines, length, reduction, short_first):
    """Parts of a pixel, n_lines to the pixel, of each block that lie in each line's share."""
    edges = block_bounds(length, reduction, short_first) * n_lines
    bounds = np.arange(n_lines + 1) * length
    covered = np.clip(edges, bounds[:-1, None], bounds[1:, None])
    return np.diff(covered, axis=1).astype(np.float64)


def box_of_boxes(n_lines, length):
    """Weights of full pixels: a mean of means, around each sample."""
    box = -(-length // PDQ_BOXES)
    right = (box + 2) // 2 - 1
    left = box - 1 - right
    weights = np.zeros((n_lines, length))
    positions = np.arange(length)
    lows, highs = np.maximum(positions - left, 0), np.minimum(positions + right + 1, length)
    for i in range(n_lines):
        middle = (2 * i + 1) * length // (2 * n_lines)
        middles = range(max(middle - left, 0), min(middle + right, length - 1) + 1)
        steps = np.zeros(length + 1)  # of the weight, from each pixel to the next
        for each in middles:
            share = 1 / ((highs[each] - lows[each]) * len(middles))
            steps[lows[each]] += share
            steps[highs[each]] -= share
        weights[i] = np.cumsum(steps[:-1])
    return weights


@functools.lru_cache(maxsize=8)
def pdq_weights(n_lines, length, reduction, short_first):
    """Weights of blocks: the sums of those of their pixels."""
    if length < PDQ_MIN_LENGTH:
        return np.zeros((n_lines, -(-length // reduction)))
    starts = block_bounds(length, reduction, short_first)[:-1]
    return np.add.reduceat(box_of_boxes(n_lines, length), starts, axis=1)


def grid(gray, weights, n_rows, n_columns):
    rows_short, columns_short = gray.short_first
    rows = weights(n_rows, gray.height, gray.reduction, rows_short)
    columns = weights(n_columns, gray.width, gray.reduction, columns_short)
    return rows @ gray.pixels.astype(np.float64) @ columns.T


def levels(gray, n_rows, n_columns):
    """Area averages, rounded, halves up."""
    sums = grid(gray, area_weights, n_rows, n_columns)
    return np.floor(sums / (gray.height * gray.width) + (0.5 + TIE))


def packed(flags):
    return np.packbits(flags.ravel(), bitorder="little").view("<u8").astype(np.uint64)


def above_median(squares, side):
    """Coefficients (1, 1) to (side, side) of the DCT-II against their lower median."""
    n = len(squares)
    angles = np.arange(1, side + 1)[:, None] * (2 * np.arange(n) + 1) * (np.pi / 2 / n)
    basis = np.cos(angles) * np.sqrt(2 / n / COEFFICIENT_UNIT)
    coefficients = np.rint(basis @ squares @ basis.T)
    return packed(coefficients > np.sort(coefficients.ravel())[side * side // 2 - 1])


def dhash(gray, side):
    found = levels(gray, side, side + 1)
    return packed(found[:, :-1] < found[:, 1:])


def ahash(gray, side):
    found = levels(gray, side, side)
    return packed(found * found.size > found.sum())


def phash(gray, side):
    means = grid(gray, area_weights, 4 * side, 4 * side) / (gray.height * gray.width)
    return above_median(means, side)


def pdq(gray, side):
    return above_median(grid(gray, pdq_weights, 4 * side, 4 * side), side)


def low_frequencies(gray):
    """Coefficients (0, 0) to (15, 15) of the orthonormal DCT-II of 64 x 64 area averages."""
    means = grid(gray, area_weights, 64, 64) / (gray.height * gray.width)
    basis = np.cos(np.arange(16)[:, None] * (2 * np.arange(64) + 1) * (np.pi / 2 / 64))
    basis *= np.sqrt(2 / 64)
    basis[0] /= np.sqrt(2)
    found = np.rint(basis @ means @ basis.T / COEFFICIENT_UNIT) * COEFFICIENT_UNIT
    found[0, 0] = 0  # the mean brightness says nothing
    return found


def match(gray):
    return packed(low_frequencies(gray) > 0)


def quality(gray):
    n_clear = np.sum(np.abs(low_frequencies(gray)) > 1 - COEFFICIENT_UNIT / 2)
    if min(gray.height, gray.width) < 16 or n_clear < 96:
        return 0
    means = grid(gray, area_weights, 64, 64) / (gray.height * gray.width)
    steps = [np.abs(np.diff(means, axis=axis)) * PERCENT for axis in (0, 1)]
    return min(int(sum(np.floor(each).sum() for each in steps)) // 90, 100)


def without_border(gray):
    """What is left if flat borders are cut off; None if there are none, or hardly anything is."""
    pixels = np.floor(np.clip(gray.pixels, 0, 255) + np.float32(0.5)).astype(np.int64)
    whole = pixels.shape

    def outermost(side, box):
        top, bottom, left, right = box
        inside = pixels[top:bottom, left:right]
        return (inside[0], inside[-1], inside[:, 0], inside[:, -1])[side]

    def is_flat(line, level):
        return np.abs(line - level).sum() <= 5 * len(line)

    box = [0, whole[0], 0, whole[1]]
    borders = {}
    for side in range(4):
        line = outermost(side, box)
        level = int(line.sum() + len(line) // 2) // len(line)
        if is_flat(line, level):
            borders[side] = level
    before = None
    while box != before:
        before = list(box)
        for side, level in borders.items():
            while is_flat(outermost(side, box), level):
                box[side] += -1 if side % 2 else 1
                if (box[1] - box[0]) * 4 <= whole[0] or (box[3] - box[2]) * 4 <= whole[1]:
                    return None
    cut = (whole[0] - box[1] + box[0], whole[1] - box[3] + box[2])
    if all(64 * lines < length for lines, length in zip(cut, whole, strict=True)):
        return None
    rows = block_bounds(gray.height, gray.reduction, gray.short_first[0])
    columns = block_bounds(gray.width, gray.reduction, gray.short_first[1])
    top, bottom, left, right = box
    return gray._replace(
        pixels=gray.pixels[top:bottom, left:right],
        height=int(rows[bottom] - rows[top]),
        width=int(columns[right] - columns[left]),
        short_first=(gray.short_first[0] and top == 0, gray.short_first[1] and left == 0),
    )


def trimmed(gray):
    """The match hash of what is inside flat borders; 0 if that or the whole says little."""
    inner = without_border(gray) if quality(gray) >= 50 else None
    if inner is None or quality(inner) < 50:
        return np.zeros(4, np.uint64)
    return match(inner)


OPERATORS = {
    ("dhash", 64): lambda gray: dhash(gray, 8),
    ("dhash", 256): lambda gray: dhash(gray, 16),
    ("ahash", 64): lambda gray: ahash(gray, 8),
    ("ahash", 256): lambda gray: ahash(gray, 16),
    ("phash", 64): lambda gray: phash(gray, 8),
    ("phash", 256): lambda gray: phash(gray, 16),
    ("pdq", 256): lambda gray: pdq(gray, 16),
    ("match", 256): match,
    ("trimmed", 256): trimmed,
}
