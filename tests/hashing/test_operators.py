"""Operators: what they weigh, how little they keep, and that many threads may ask for them.

What they make of pictures is tested against slow twins in ``test_hashing``.
"""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdup.hashing import operators
from imgdup.hashing.operators import Axis, Lines, apply, operator

AXES = st.builds(
    Axis,
    length=st.integers(1, 3000),
    reduction=st.sampled_from([1, 2, 4, 8]),
    short_first=st.booleans(),
)


@pytest.fixture
def empty_cache(monkeypatch):
    monkeypatch.setattr(operators, "_cache", {})
    monkeypatch.setattr(operators, "_cached_bytes", 0)


def dense(lines, axis, whole=False):
    """An operator as the matrix of means that it stands for."""
    made = operator(lines, axis, whole=whole)
    products = apply(made, np.eye(axis.blocks, dtype=made.weights.dtype))
    return products.reshape(-1, axis.blocks) / made.divisors[0]


@given(axis=AXES, lines=st.sampled_from([Lines("area", 8), Lines("area", 17), Lines("pdq", 64)]))
def test_every_row_is_a_mean(axis, lines):
    matrix = dense((lines,), axis)

    assert matrix.shape == (lines.rows, axis.blocks)
    assert matrix.min() > -1e-12
    expected = 0 if lines.kind == "pdq" and axis.length < 5 else 1
    assert np.allclose(matrix.sum(axis=1), expected, atol=1e-12)


@given(axis=AXES, lines=st.sampled_from([Lines("area", 8), Lines("area", 9), Lines("pdq", 64)]))
def test_whole_weights_are_the_means_times_their_divisor(axis, lines):
    made = operator((lines,), axis, whole=True)

    assert np.allclose(dense((lines,), axis, whole=True), dense((lines,), axis), atol=1e-7)
    if made.weights.dtype == np.float32:
        assert np.array_equal(made.weights, np.rint(made.weights))
        assert made.weights.sum(axis=2).max() * 255 < 2**24
    else:
        assert made.divisors == (1,)


@pytest.mark.parametrize(("length", "dtype"), [(768, np.float32), (769, np.float64)])
def test_weights_of_short_axes_are_whole(length, dtype):
    made = operator((Lines("pdq", 64), Lines("area", 8)), Axis(length, 2, False), whole=True)

    assert made.weights.dtype == dtype


@given(axis=AXES)
def test_kinds_that_share_an_operator_keep_their_rows(axis):
    kinds = (Lines("pdq", 64), Lines("area", 16))

    shared = apply(operator(kinds, axis, whole=False), np.eye(axis.blocks))

    assert np.allclose(shared[:, :8].reshape(64, -1), dense(kinds[:1], axis), atol=1e-12)
    assert np.allclose(shared[:, 8:].reshape(16, -1), dense(kinds[1:], axis), atol=1e-12)


@given(length=st.integers(5, 2000), reduction=st.sampled_from([2, 4, 8]))
def test_areas_of_a_mirrored_axis_are_the_mirrored_areas(length, reduction):
    lines = (Lines("area", 9),)

    there = dense(lines, Axis(length, reduction, short_first=False))
    back = dense(lines, Axis(length, reduction, short_first=True))

    assert np.allclose(back, there[::-1, ::-1], atol=1e-12)


def test_bands_are_short():
    made = operator(
        (Lines("pdq", 64), Lines("area", 8)), Axis(4000, 1, short_first=False), whole=False
    )

    assert made.weights.shape[:2] == (8, 9)
    assert made.weights.shape[2] < 4000 / 8 * 1.3


def test_an_operator_of_a_long_axis_takes_little():
    made = operator((Lines("pdq", 64),), Axis(1 << 17, 1, short_first=False), whole=False)

    assert made.weights.nbytes < 8 * 64 * (1 << 17) / 5


def test_a_known_axis_is_not_built_again(empty_cache):
    axis = Axis(300, 2, short_first=False)

    assert operator((Lines("pdq", 64),), axis, whole=False) is operator(
        (Lines("pdq", 64),), axis, whole=False
    )


def test_the_cache_stays_below_its_cap(empty_cache, monkeypatch):
    monkeypatch.setattr(operators, "CACHE_BYTES", 1_000_000)

    for length in range(100, 400):
        operator((Lines("pdq", 64),), Axis(length, 1, short_first=False), whole=False)

    kept = sum(made.weights.nbytes for made in operators._cache.values())
    assert 500_000 < kept <= 1_000_000
    assert kept == operators._cached_bytes
    assert Axis(399, 1, short_first=False) in {axis for _, axis, _ in operators._cache}


def test_an_operator_larger_than_the_cache_is_made_and_not_kept(empty_cache, monkeypatch):
    monkeypatch.setattr(operators, "CACHE_BYTES", 1000)

    made = operator((Lines("pdq", 64),), Axis(500, 1, short_first=False), whole=False)

    assert made.weights.nbytes > 1000
    assert operators._cache == {}


def test_threads_share_the_cache(empty_cache, monkeypatch):
    monkeypatch.setattr(operators, "CACHE_BYTES", 300_000)
    failures = []

    def ask(seed):
        rng = np.random.default_rng(seed)
        for length in rng.integers(50, 300, 200).tolist():
            axis = Axis(length, 1, short_first=False)
            matrix = apply(operator((Lines("area", 8),), axis, whole=False), np.ones((length, 1)))
            if not np.allclose(matrix, 1):
                failures.append(length)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    kept = sum(made.weights.nbytes for made in operators._cache.values())
    assert failures == []
    assert kept == operators._cached_bytes <= 300_000
