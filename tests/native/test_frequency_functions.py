"""Lines of a picture and powers of their frequencies: equal to twins in NumPy, at every level.

The twins use numbers of double precision.
"""

import numpy as np
import pytest

from imgdup.native.frequencies import line_powers, weighted_lines
from native_levels import assert_equal_at, by_level


@pytest.mark.parametrize("shape", [(1, 1), (7, 12), (12, 7), (40, 31)], ids=str)
@pytest.mark.parametrize("n_lines", [1, 5])
@pytest.mark.parametrize("channel", [None, 1])
def test_lines_are_the_middle_of_rows_and_columns_that_are_spread_evenly(shape, n_lines, channel):
    pixels = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)
    plane = pixels[..., 0].copy() if channel is None else pixels[..., channel]
    length = min(shape)
    weights = np.linspace(0.5, 2, length).astype(np.float32)
    expected = []
    for each in (plane, plane.T):
        start = (each.shape[1] - length) // 2
        for line in range(n_lines):
            row = each[int((line + 0.5) * len(each) / n_lines), start : start + length].astype(
                float
            )
            expected.append((row - row.mean()) * weights)

    np.testing.assert_allclose(weighted_lines(plane, n_lines, weights), expected, atol=1e-4)


def test_the_powers_of_lines_are_sums_of_squares():
    rng = np.random.default_rng(8)
    spectra = (rng.normal(size=(6, 11)) + 1j * rng.normal(size=(6, 11))).astype(np.complex64)

    found = line_powers(spectra)

    np.testing.assert_allclose(found, (np.abs(spectra.astype(complex)) ** 2).sum(axis=0), rtol=1e-6)


def test_wrong_planes_and_spectra_have_no_lines_and_no_powers():
    for plane, n_weights in ((np.zeros((3, 4)), 3), (np.zeros((3, 4), np.uint8), 4)):
        with pytest.raises(ValueError, match="as many weights as its shorter side"):
            weighted_lines(plane, 2, np.ones(n_weights, np.float32))
    with pytest.raises(ValueError, match="complex64"):
        line_powers(np.zeros((2, 3), complex))


@by_level
def test_every_level_gives_the_same_lines_and_powers(level):
    rng = np.random.default_rng(4)
    a = rng.integers(0, 256, (61, 83), np.uint8)
    p = rng.uniform(0, 255, (61, 83)).astype(np.float32)

    def results():
        return [weighted_lines(a, 7, p[0, :61]), line_powers(p[:, :82].view(np.complex64))]

    assert_equal_at(level, results)
