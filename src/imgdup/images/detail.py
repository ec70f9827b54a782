"""Estimate from the pixels of a picture whether it was enlarged, toned, or has been a JPEG file.

The luma at full size shows the share of the frequencies that hold detail, and the quality of the
JPEG file that the pixels were decoded from; the levels show whether brightness or contrast were
changed.

The first two are read off the discrete cosine transform of 8 pixels in a row, or of 8 x 8, on the
grid of JPEG: what JPEG sets to zero stays zero there, and compression adds no detail of its own.
"""

from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.native import detail as native
from imgdup.native.blocks import clipped_blocks, on_steps
from imgdup.native.levels import luma

BLOCK = 8  # pixels, the side of a block of JPEG
MAX_SIDE = 2048  # of the centre that is looked at
MIN_SIDE = 32  # smaller pictures are not judged
UPSCALED = 0.75  # less detail than this is that of an enlarged picture, or of a blurred one

_LEAST_SHARE = 0.3  # of the detail in the best low frequency; less counts in proportion
_ROUNDING = 1 / 12  # variance of pixels that are rounded to integers
_LEAST_VARIANCE = 0.5  # of the lowest frequencies, in levels squared; less is a flat picture

_DARK, _BRIGHT = 0, 255  # what colours beyond are set to
_TOLERANCE = 1.5  # levels by which rounding moves a coefficient
_MIN_STEP = 5  # of a quantization that is found
_MIN_COEFFICIENTS = 6  # other than zero, of a frequency that is judged
_SMALL_STEP, _MIN_OF_SMALL = 20, 12  # and for steps below this one, on which more fall by chance
_MIN_ON_STEPS = 0.8  # of the coefficients, of a quantized frequency
_MIN_FREQUENCIES = 4  # that are quantized in what was a JPEG file
_MAX_MISFIT = 1.15  # factor between most steps and those of the nearest table
_MAX_BLOCKS = 1 << 14

STRONG_QUALITY = 60  # the highest quality that `strong_quality` finds
_MAX_LOOKED_AT = 600  # blocks, about
_MAX_TRIED = 400  # coefficients, about
_NEARLY_ALL_ZERO = 0.95  # of the coefficients of high frequencies, after strong compression
_COARSE = np.array([8 * row + column for row in range(5) for column in range(5 - row)], np.int32)[
    1:
]
_COARSE_QUALITY = 30  # a table of up to this quality is preferred to one that fits better
_MIN_ON_TABLE = 0.7  # of the coefficients of the low frequencies, without the mean

# Of the levels of a channel. On photos, originals have no missing levels and, even after JPEG of
# quality 20, 10 % doubled ones; brighter copies have 4 % missing, darker ones 13 % doubled.
_MAX_COUNTED = 1 << 20  # pixels, about
_COMMON = 32  # pixels of a level, and of both levels beside one that is judged
_MIN_COMMON = 64
_MISSING = 0.1  # of the rarer neighbour
_DOUBLED = 1.7  # times the more common neighbour
_MANY_MISSING, _MANY_DOUBLED = 0.02, 0.12

# Annex K.1 of ITU-T T.81: the luminance table that libjpeg scales, in rows.
_STANDARD_TABLE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)

Pixel = TypeVar("Pixel", bound=np.generic)
Plane = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@cache
def standard_tables() -> npt.NDArray[np.int64]:
    """Return the luminance tables of libjpeg for the qualities 1 to 100, shape (100, 64)."""
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = np.asarray(np.clip((_STANDARD_TABLE * scales[:, None] + 50) // 100, 1, 255))
    tables.flags.writeable = False
    return tables


def central_luma(pixels: Pixels) -> Plane:
    """Return the luma of the centre of a picture, at most `MAX_SIDE` a side, on JPEG's grid."""
    centre = _centre(pixels)
    return centre.astype(np.float32) if centre.ndim == 2 else luma(centre)


def _centre(pixels: Pixels) -> Pixels:
    starts = (max(0, side - MAX_SIDE) // 2 // BLOCK * BLOCK for side in pixels.shape[:2])
    top, left = starts
    return pixels[top : top + MAX_SIDE, left : left + MAX_SIDE]


def detail_share(gray: Plane) -> float:
    """Estimate the share of a picture's resolution, along a side, that shows detail, from its luma.

    An enlarged picture holds as little in its upper frequencies as before; a photo holds about as
    much in each octave. It is over 0 and at most 1: 1 for a sharp picture and for one that is too
    small or too flat to judge; about 0.5 for a sharp one that was enlarged to twice its size.
    """
    return native.detail_share(gray, _rules())


@cache
def _rules() -> native.DetailRules:
    return native.DetailRules(
        cosines=_cosines(),
        min_side=MIN_SIDE,
        rounding=_ROUNDING,
        least_variance=_LEAST_VARIANCE,
        least_share=_LEAST_SHARE,
        sharp=UPSCALED,
    )


@cache
def _cosines() -> Plane:
    """Return the orthonormal discrete cosine transform of 8 values."""
    places = (2 * np.arange(BLOCK) + 1) * np.arange(BLOCK)[:, None]
    transform = np.cos(np.pi / (2 * BLOCK) * places) / 2
    transform[0] /= np.sqrt(2)
    return np.asarray(transform, dtype=np.float32)


def trace_quality(pixels: Pixels) -> int | None:
    """Estimate the quality of the JPEG file that the pixels of a lossless file were decoded from.

    Decoded coefficients lie on multiples of their quantization step, which is read off for each low
    frequency; the quality is that of the table of libjpeg with the nearest steps. It is 1 to about
    85; None if there is no trace, as after resizing, or with finer steps.
    """
    gray = central_luma(pixels)
    top, left = native.grid_start(gray, MIN_SIDE)
    is_whole = ~clipped_blocks(_centre(pixels)[top:, left:], _DARK, _BRIGHT)
    steps = _steps(_coefficients(blocks(gray[top:, left:])[is_whole]))
    known = steps > 0
    if np.count_nonzero(known) < _MIN_FREQUENCIES:
        return None
    factors = np.abs(np.log(standard_tables()[:, known] / steps[known]))
    misfits = np.median(factors, axis=1)
    nearest = int(np.argmin(misfits))
    return nearest + 1 if misfits[nearest] <= np.log(_MAX_MISFIT) else None


def strong_quality(pixels: Pixels) -> int | None:
    """Return the quality of the JPEG file that a picture was decoded from, if that is low.

    It is faster than `trace_quality`, but finds only the tables of libjpeg, up to `STRONG_QUALITY`,
    and only if the first block begins with the picture. None if most coefficients lie on the steps
    of no such table.
    """
    rows, columns = (side // BLOCK for side in pixels.shape[:2])
    apart = max(1, rows * columns // _MAX_LOOKED_AT)
    strips = pixels[: rows * BLOCK].reshape(rows, BLOCK, *pixels.shape[1:])[::apart]
    taken = strips.reshape(-1, *pixels.shape[1:])
    is_whole = ~clipped_blocks(_centre(taken), _DARK, _BRIGHT)
    found = _coefficients(blocks(central_luma(taken))[is_whole])
    fine = np.abs(found.reshape(-1, BLOCK, BLOCK)[:, BLOCK // 2 :, BLOCK // 2 :])
    if len(found) == 0 or np.mean(fine < _TOLERANCE) < _NEARLY_ALL_ZERO:
        return None
    coarse = np.abs(found[:, _COARSE])
    block, place = np.nonzero(coarse > _TOLERANCE)
    if len(block) < _MIN_OF_SMALL:
        return None
    apart = max(1, len(block) // _MAX_TRIED)
    block, place = block[::apart], place[::apart]
    values = coarse[block, place]
    shares = on_steps(values, _COARSE[place], _strong_tables(), _TOLERANCE) / len(values)
    best = int(np.argmax(shares))
    coarse_best = int(np.argmax(shares[:_COARSE_QUALITY]))
    if shares[coarse_best] >= _MIN_ON_TABLE:
        best = coarse_best  # multiples of its steps lie on finer ones, too
    return best + 1 if shares[best] >= _MIN_ON_TABLE else None


@cache
def _strong_tables() -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(standard_tables()[:STRONG_QUALITY], dtype=np.int32)


def _coefficients(found: Plane) -> Plane:
    """Return the cosine transforms of about `_MAX_BLOCKS` of some blocks of 8 x 8 pixels."""
    found = found[:: max(1, len(found) // _MAX_BLOCKS)]
    return np.asarray(found.reshape(-1, BLOCK * BLOCK) @ block_cosines().T, dtype=np.float32)


@cache
def block_cosines() -> Plane:
    """Return the transform of 8 x 8 pixels, rows and columns at once, shape (64, 64)."""
    transform = np.kron(_cosines(), _cosines())
    transform.flags.writeable = False
    return transform


def blocks(plane: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
    """Cut a plane into blocks, shape (n, 8, 8), without what is left over at its end."""
    rows, columns = (side // BLOCK for side in plane.shape)
    cut = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return cut.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _steps(coefficients: Plane) -> npt.NDArray[np.int64]:
    """Return the quantization step of each frequency, shape (64,); 0 where none is found."""
    steps = np.zeros(BLOCK * BLOCK, dtype=np.int64)
    for frequency in range(1, BLOCK * BLOCK):
        values = np.abs(coefficients[:, frequency])
        values = values[values > _TOLERANCE]
        if len(values) >= _MIN_COEFFICIENTS:
            steps[frequency] = _step(values)
    return steps


def _step(values: Plane) -> int:
    """Return the step on whose multiples, but 0, most values lie; 0 if there is none."""
    middle = float(np.quantile(values, 0.2))  # near the step itself, or one of its multiples
    best, found = _MIN_ON_STEPS, 0
    first = _MIN_STEP if len(values) >= _MIN_OF_SMALL else _SMALL_STEP
    for step in range(first, min(255, round(middle + 2 * _TOLERANCE)) + 1):
        multiples = np.round(values / step)
        tolerance = min(_TOLERANCE, step / 5)
        on_steps = (np.abs(values - multiples * step) <= tolerance) & (multiples > 0)
        share = float(np.mean(on_steps))
        if share >= best:
            best, found = share, step
    return found


def is_toned(pixels: Pixels) -> bool:
    """Return whether levels are missing or doubled, as after a change of brightness or contrast.

    Such a change moves 256 levels to fewer or more places, so that between common levels some are
    missing, or some get the pixels of two. JPEG compression fills the gaps again, so only files
    that are stored without loss show it.
    """
    sampled = pixels[:: max(1, pixels.shape[0] * pixels.shape[1] // _MAX_COUNTED)]
    n_common = n_missing = n_doubled = 0
    for channel in np.moveaxis(sampled.reshape(-1, 1 if pixels.ndim == 2 else 3), 1, 0):
        counts = np.bincount(channel, minlength=256)
        levels, below, above = counts[5:-5], counts[4:-6], counts[6:-4]  # clipping fills the ends
        least, most = np.minimum(below, above), np.maximum(below, above)
        is_common = least >= _COMMON
        n_common += int(np.count_nonzero(is_common))
        n_missing += int(np.count_nonzero(is_common & (levels < _MISSING * least)))
        n_doubled += int(np.count_nonzero(is_common & (levels > _DOUBLED * most)))
    if n_common < _MIN_COMMON:
        return False
    return n_missing > _MANY_MISSING * n_common or n_doubled > _MANY_DOUBLED * n_common
