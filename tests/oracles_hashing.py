"""Slow twins of the hashes, written down from their definitions: plain loops, nothing of imgdup.

`tutorial_dhash` and `tutorial_key` are the functions that the tutorial publishes.

A picture is a list of rows of numbers, or an array; a hash is a Python integer whose bit ``i`` is
the ``i``-th comparison. Grids of area averages are exact, in fractions; PDQ and the DCT are in
Python floats.
"""

import itertools
import math
from fractions import Fraction

import cv2
import numpy as np

TIE = Fraction(1, 100_000)  # gray levels below a half that count as a half


def full_size(pixels, height, width, reduction, short_first=(False, False)):
    """What a reduced picture stands for: each pixel a block, the surplus cut off."""
    rows_skipped = len(pixels) * reduction - height if short_first[0] else 0
    columns_skipped = len(pixels[0]) * reduction - width if short_first[1] else 0
    return [
        [
            pixels[(y + rows_skipped) // reduction][(x + columns_skipped) // reduction]
            for x in range(width)
        ]
        for y in range(height)
    ]


def shares(i, count, length):
    """The pixels that lie in the i-th of equal parts of an axis, and how far they do."""
    low, high = Fraction(i * length, count), Fraction((i + 1) * length, count)
    for pixel in range(math.floor(low), math.ceil(high)):
        yield pixel, min(high, pixel + 1) - max(low, pixel)


def area_averages(pixels, rows, columns):
    """Means over a grid of equal rectangles: fractions."""
    height, width = len(pixels), len(pixels[0])
    area = Fraction(height * width, rows * columns)
    exact = [[Fraction(float(pixel)) for pixel in row] for row in pixels]
    grid = []
    for i in range(rows):
        line = [Fraction(0)] * width
        for y, part in shares(i, rows, height):
            line = [total + part * pixel for total, pixel in zip(line, exact[y], strict=True)]
        cells = (
            sum(part * line[x] for x, part in shares(j, columns, width)) for j in range(columns)
        )
        grid.append([total / area for total in cells])
    return grid


def rounded(grid):
    return [[math.floor(value + Fraction(1, 2) + TIE) for value in row] for row in grid]


def as_integer(flags):
    return sum(1 << i for i, flag in enumerate(flags) if flag)


def dhash(pixels, side):
    """The tutorial's: bit i = i-th comparison, left < right, row by row."""
    levels = rounded(area_averages(pixels, side, side + 1))
    return as_integer(row[x] < row[x + 1] for row in levels for x in range(side))


def tutorial_dhash(gray):
    """Source: A. Rosebrock, "Building an Image Hashing Search Engine with VP-Trees and OpenCV"."""
    resized = cv2.resize(gray, (9, 8))
    diff = resized[:, 1:] > resized[:, :-1]
    return sum(2**i for (i, v) in enumerate(diff.flatten()) if v)


def tutorial_dhash_of_file(path):
    return tutorial_dhash(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY))


def tutorial_key(value):
    """What the tutorial calls convert_hash: the key in its dictionary, rounded by float64."""
    return int(np.array(value, dtype="float64"))


def ahash(pixels, side):
    levels = [level for row in rounded(area_averages(pixels, side, side)) for level in row]
    mean = Fraction(sum(levels), len(levels))
    return as_integer(level > mean for level in levels)


def cosine_transform(grid, side, first=1):
    """Coefficients (first, first) and the following of the orthonormal DCT-II of a square grid."""
    size = len(grid)

    def wave(frequency, place):
        scale = math.sqrt((2 if frequency else 1) / size)
        return scale * math.cos(math.pi / 2 / size * frequency * (2 * place + 1))

    waves = [[wave(f, place) for place in range(size)] for f in range(first, first + side)]
    half = [
        [sum(a * float(b) for a, b in zip(waves[j], row, strict=True)) for row in grid]
        for j in range(side)
    ]
    return [
        [sum(a * b for a, b in zip(waves[i], half[j], strict=True)) for j in range(side)]
        for i in range(side)
    ]


def above_median(coefficients):
    flat = [round(value, 6) for row in coefficients for value in row]
    median = sorted(flat)[len(flat) // 2 - 1]
    return as_integer(value > median for value in flat)


def phash(pixels, side):
    return above_median(cosine_transform(area_averages(pixels, 4 * side, 4 * side), side))


def box_filtered(line, window):
    """PDQ's box: a mean over a window that is cut off at the ends, one further to the right."""
    reach_right = (window + 2) // 2 - 1
    reach_left = window - 1 - reach_right
    result = []
    for i in range(len(line)):
        part = line[max(0, i - reach_left) : i + reach_right + 1]
        result.append(sum(part) / len(part))
    return result


def transposed(pixels):
    return [list(column) for column in zip(*pixels, strict=True)]


def pdq_samples(pixels):
    """Two box passes along each axis, then 64 x 64 of their pixels."""
    rows = [[float(p) for p in row] for row in pixels]
    height, width = len(rows), len(rows[0])
    for _ in range(2):
        rows = [box_filtered(row, math.ceil(width / 128)) for row in rows]
        columns = [box_filtered(column, math.ceil(height / 128)) for column in transposed(rows)]
        rows = transposed(columns)
    ys = [int((i + 0.5) * height / 64) for i in range(64)]
    xs = [int((j + 0.5) * width / 64) for j in range(64)]
    return [[rows[y][x] for x in xs] for y in ys]


def match_hash(pixels):
    """The match hash as an integer, and the quality."""
    grid = area_averages(pixels, 64, 64)
    flat = [round(c, 6) for row in cosine_transform(grid, 16, first=0) for c in row]
    flat[0] = 0  # of the mean brightness
    n_clear = sum(abs(c) >= 1 for c in flat)
    says_nothing = min(len(pixels), len(pixels[0])) < 16 or n_clear < 96
    return as_integer(c > 0 for c in flat), 0 if says_nothing else quality(grid)


def quality(samples):
    """Whole percents of all differences between neighbours, 90 of them a point, 100 at most."""
    total = 0
    for grid in (samples, transposed(samples)):
        for upper, lower in itertools.pairwise(grid):
            total += sum(
                int(abs(u - v) * 100 / 255 * (1 + 1e-9)) for u, v in zip(upper, lower, strict=True)
            )
    return min(total // 90, 100)


def pdq(pixels):
    """PDQ hash as an integer; that of a picture with a side under 5 is 0."""
    if min(len(pixels), len(pixels[0])) < 5:
        return 0
    return above_median(cosine_transform(pdq_samples(pixels), 16))
