"""Decide by the spectra of two copies whether the larger was enlarged or the smaller reduced.

Whatever resizes a picture weakens the highest frequencies that it keeps. So of two copies, the one
that holds less of the highest frequencies of the smaller one was made from the other, however sharp
or soft the picture is. An enlarged copy also holds next to nothing beyond these frequencies.

A spectrum is taken along some rows and columns of a picture at full size. It is short, so that it
is kept with the other facts of a file, and no picture is read again to compare it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.native.frequencies import line_powers, weighted_lines

ENLARGED, REDUCED = "enlarged", "reduced"

MIN_SIDE = 32  # pixels of a picture that has a spectrum
MIN_FACTOR, MAX_FACTOR = 1.05, 8.0  # between the sides of pictures that are compared
N_LINES = 24  # in each direction
MAX_LENGTHS = 256  # of lines whose tables are kept
BANDS, OCTAVES = 8, 5  # bands of an octave; octaves below the highest frequency of a picture
UNITS = 100  # of a decade of power; spectra are rounded to integers
_LEAST_POWER = 1e-3  # levels squared; rounding to integers adds 1 / 12

# The shares of the smaller picture's highest frequency between which bands are compared.
_REFERENCE, _BELOW = (0.25, 0.5), (0.5, 0.65)

# In decades of power. Measured on 60 photos in 9 qualities, 26 kinds of copies: a picture that was
# enlarged lacks 0.2 to 0.6 of the highest frequencies of the other one, the original of a reduced
# one has up to 0.5 more. They show this only if they hold more power than compression adds; else
# lower ones may show it, less clearly. So: which frequencies, how much of them an enlarged picture
# lacks at least and at most, and the least power, by the lower quality of the two.
_LEVELS = (
    ((0.77, 0.96), (0.16, 0.9), ((90, 0.7), (50, 1.0), (0, 1.3))),
    ((0.59, 0.78), (0.04, 0.3), ((90, 0.9), (50, 1.4), (0, 1.7))),
)
# An enlarged picture seldom holds more than this beyond them: from which factor on, where, and how
# much. A picture that was reduced without smoothing is as strong in its highest frequencies as if
# the other one had been enlarged, but that one holds more beyond. So what is beyond counts in part.
_BEYOND = ((1.15, (1.04, 1.45), -0.7), (1.4, (1.2, 1.45), -1.0))
_COUNTS = 0.6

Spectrum = tuple[int, ...]
Powers = npt.NDArray[np.float64]

_NUMBERS = np.arange(BANDS * OCTAVES)
_LOW, _HIGH = 2.0 ** (-(_NUMBERS + 1) / BANDS), 2.0 ** (-_NUMBERS / BANDS)
_MIDDLE = np.sqrt(_LOW * _HIGH)


def spectrum(pixels: Pixels) -> Spectrum:
    """Return the power of a picture at full size, gray or RGB, in bands of frequencies.

    It is the decimal logarithm of the mean power in each band, in hundredths, the highest band
    first: `BANDS` for each octave below half a cycle per pixel. Empty of a picture that is too
    small.
    """
    green = pixels if pixels.ndim == 2 else pixels[..., 1]  # nearly the luma, and faster
    length = min(green.shape)
    if length < MIN_SIDE:
        return ()
    weights, whole, share, widths = _tables(length)
    powers = line_powers(np.fft.rfft(weighted_lines(green, N_LINES, weights)))
    total = np.zeros(len(powers) + 2)
    np.cumsum(powers, out=total[1:-1])
    total[-1] = total[-2]
    below = total[whole] + share * (total[whole + 1] - total[whole])
    logarithms = np.log10((below[:-1] - below[1:]) / widths + _LEAST_POWER)
    return tuple(np.rint(UNITS * logarithms).astype(int).tolist())


class _Tables(NamedTuple):
    """What depends on the length of lines alone."""

    weights: npt.NDArray[np.float32]  # of the pixels, which fall to 0 at the ends of a line
    # Where each band ends, in frequencies: the integer and what is behind its point.
    whole: npt.NDArray[np.int64]
    share: Powers
    widths: Powers  # of the bands, times the number of lines in both directions


@lru_cache(MAX_LENGTHS)
def _tables(length: int) -> _Tables:
    weights = np.hanning(length + 2)[1:-1]
    weights /= np.sqrt(np.sum(weights**2))
    ends = length / 2 * 2.0 ** (-np.arange(len(_NUMBERS) + 1) / BANDS) + 0.5
    ends = np.minimum(ends, length // 2 + 1)
    whole = ends.astype(np.int64)
    return _Tables(weights.astype(np.float32), whole, ends - whole, -np.diff(ends) * 2 * N_LINES)


def change_of_size(larger: Spectrum, smaller: Spectrum, factor: float, quality: int) -> str | None:
    """Decide which of two pictures that show the same was made from the other, by their spectra.

    The sides of the larger one are `factor` times as long; `quality` is the lower one of the two
    files. Returns ``enlarged`` if the larger one was made from the smaller one, ``reduced`` if the
    smaller one was; None if they do not show it, as of very soft pictures.
    """
    if not (larger and smaller) or not MIN_FACTOR <= factor <= MAX_FACTOR:
        return None
    of_small, of_large = np.array(smaller) / UNITS, np.array(larger) / UNITS
    at_small = np.interp(_NUMBERS + BANDS * np.log2(factor), _NUMBERS, of_large)
    lacks = of_small - at_small
    lacks -= lacks[_bands_within(_REFERENCE)].mean()
    for shares, (least, most), by_quality in _LEVELS:
        bands = _bands_within(shares)
        power = next(power for lowest, power in by_quality if quality >= lowest)
        if _mean(of_small, bands) >= power:
            lack = float(lacks[bands].mean())
            if lack < least:
                return REDUCED
            needed = least + _COUNTS * _excess_beyond(of_large, factor)
            return ENLARGED if needed <= lack <= most else None
    return None


def _excess_beyond(of_large: Powers, factor: float) -> float:
    """Return how much more than enlarged pictures a larger one holds beyond the smaller one's."""
    below = _mean(of_large, _bands_at(factor, _BELOW))
    return max(
        [0.0]
        + [
            _mean(of_large, _bands_at(factor, shares)) - below - most
            for least_factor, shares, most in _BEYOND
            if factor >= least_factor
        ]
    )


def _bands_within(shares: tuple[float, float]) -> npt.NDArray[np.intp]:
    """Return the bands in a part of a picture's own frequencies."""
    return np.flatnonzero((_LOW >= shares[0]) & (_HIGH <= shares[1]))


def _bands_at(factor: float, shares: tuple[float, float]) -> npt.NDArray[np.intp]:
    """Return the bands of a larger picture in a part of the smaller one's frequencies."""
    at = _MIDDLE * factor
    return np.flatnonzero((at >= shares[0]) & (at <= min(shares[1], 0.97 * factor)))


def _mean(logarithms: Powers, bands: npt.NDArray[np.intp]) -> float:
    """Return the logarithm of the mean power in some bands."""
    return float(np.log10(np.mean(10 ** logarithms[bands])))
