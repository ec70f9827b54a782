"""Excess in windows of several sizes: equal to that of each size, and to twins in NumPy."""

import numpy as np
import pytest

from imgdup.native.difference import window_means
from imgdup.native.excess import (
    Rules,
    Shapes,
    Structure,
    luma_part,
    raise_to_chroma,
    unlike_shapes,
    unlike_structure,
)
from imgdup.native.windows import Excess, Limits, Outliers, Usual
from native_levels import assert_equal_at, by_level
from native_parts import luma_excess, raise_chroma

USUAL = Usual(3000, 1.0, 0.05, 0.75, 3.0, 0.01, 0.99, 3, 40, 0.5)
RULES = [
    Excess(USUAL, Limits(0.5, most, 0.5), Limits(3.0, most, 1.5), Outliers(), even=9.0)
    for most in (60.0, 40.0, 20.0)
]
SIZES = pytest.mark.parametrize("shape", [(1, 1), (1, 60), (7, 7), (30, 40)], ids=str)


def moments_of(shape, seed=1):
    """The means in blocks of two pictures that are alike in places."""
    rng = np.random.default_rng((seed, *shape))
    a, b = (100 + 9 * rng.standard_normal((*shape, 16)) for _ in range(2))
    b = np.where(rng.random((*shape, 1)) < 0.7, a + 1, b)
    means = [each.mean(axis=2) for each in (a, b, a * a, b * b, a * b, (b - a) ** 2)]
    return np.stack(means).astype(np.float32)


@SIZES
@pytest.mark.parametrize("side", [1, 2, 8])
@by_level
def test_the_excess_of_the_luma_is_that_of_its_windows(level, shape, side):
    moments = moments_of(shape)

    windows, found, differs = luma_part(moments, side, RULES[0], 0.5)

    np.testing.assert_array_equal(windows, window_means(moments, side))
    np.testing.assert_array_equal(found, luma_excess(windows, RULES[0], 0.5))
    assert differs == found.any()
    assert_equal_at(level, lambda: luma_part(moments, side, RULES[0], 0.5)[:2])


@SIZES
@by_level
def test_the_chroma_of_all_sizes_raises_the_excess_of_the_luma(level, shape):
    light, red, blue = (moments_of(shape, seed) for seed in (1, 2, 3))
    luma = [window_means(light, 1 << k) for k in range(3)]
    before = np.full(shape, 4.0, np.float32)

    def found():
        excess = before.copy()
        raise_to_chroma(excess, luma, (red, blue), Rules(RULES), 0.5)
        return excess

    squares = np.zeros(shape, np.float32)
    for k, rules in enumerate(RULES):
        planes = (luma[k], window_means(red, 1 << k), window_means(blue, 1 << k))
        raise_chroma(squares, planes, rules, 0.5)
    np.testing.assert_array_equal(found(), np.maximum(before, np.sqrt(squares)))
    assert_equal_at(level, lambda: [found()])


def shapes_of(**changes):
    numbers = {"side": 4, "faint": 2.0, "floor": 1e-3, "correlated": 0.4, "unlike_share": 0.3}
    numbers |= {"beside_noise": 3.0, "quantile": 0.9, "least_noise": 0.02, "few": 10}
    return Shapes(**numbers | changes)


def unlike_twin(moments, rules):
    """The root of the larger variance where shapes are unlike, in the precision of the planes."""
    a, b = moments[:2]
    products = np.stack([a, b, a * a, b * b, a * b, (b - a) ** 2])
    a, b, aa, bb, ab, dd = window_means(products, rules.side)
    variances = np.maximum(0, aa - a * a), np.maximum(0, bb - b * b)
    larger = np.maximum(*variances)
    both = ab - a * b
    shared = np.minimum(1, both * both / (variances[0] * variances[1] + np.float32(rules.floor)))
    is_shape = larger > np.float32(rules.faint)
    is_unlike = is_shape & (shared < np.float32(rules.correlated))
    if is_unlike.sum() <= rules.unlike_share * is_shape.sum():
        beside = np.sort((dd - (b - a) ** 2)[~is_shape])
        enough = len(beside) >= rules.few
        noise = float(beside[int(rules.quantile * (len(beside) - 1))]) if enough else np.inf
        least = rules.beside_noise * max(noise, rules.least_noise)
        is_unlike &= larger * (1 - shared) > np.float32(least)
    return np.where(is_unlike, np.sqrt(larger), 0)


@SIZES
@pytest.mark.parametrize(
    "changes",
    [{}, {"unlike_share": 0.0}, {"unlike_share": 1.0}, {"few": 1 << 62, "unlike_share": 1.0},
     {"faint": 5.0, "unlike_share": 1.0, "quantile": 0.1, "beside_noise": 0.1},
     {"side": 2, "unlike_share": 1.0, "least_noise": 1.0}],
    ids=str,
)  # fmt: skip
@by_level
def test_shapes_are_unlike_where_few_correlate_or_more_than_noise_differs(level, shape, changes):
    moments, rules = moments_of(shape), shapes_of(**changes)

    found = unlike_shapes(moments, rules)

    np.testing.assert_array_equal(found, unlike_twin(moments, rules))
    assert_equal_at(level, lambda: [unlike_shapes(moments, rules)])


def test_the_twin_finds_unlike_shapes_in_either_way():
    moments = moments_of((30, 40))

    few = [
        np.count_nonzero(unlike_twin(moments, shapes_of(unlike_share=share, beside_noise=noise)))
        for share, noise in [(0.0, 3.0), (1.0, 0.1), (1.0, 1e6)]
    ]

    assert few[0] >= few[1] > few[2] == 0


def structure_twin(windows, rules, limits):
    """The root of what is not shared and more than is explained, in the precision of the planes."""
    a, b, aa, bb, ab, _ = windows
    variances = np.maximum(0, aa - a * a), np.maximum(0, bb - b * b)
    larger, both = np.maximum(*variances), ab - a * b
    shared = np.minimum(1, both * both / (variances[0] * variances[1] + np.float32(rules.floor)))
    unlike = larger * (1 - shared)
    most = np.sort(larger, axis=None)[int(rules.flat_share * (larger.size - 1))]
    flat = np.sort(unlike[larger <= most])
    noise = max(rules.least_noise, float(flat[int(rules.quantile * (len(flat) - 1))]))
    explained = min(limits.factor * noise, limits.most_noise)
    allowed = np.float32(explained) + np.float32(rules.unlike_share) * larger
    return np.where(unlike > allowed, np.sqrt(unlike), 0)


@SIZES
@pytest.mark.parametrize(
    ("limits", "n_marked"), [((1.0, 1e4), None), ((0.5, 2.0), None), ((1e4, 1e4), 0)], ids=str
)
@by_level
def test_structure_is_unlike_where_it_is_not_shared(level, shape, limits, n_marked):
    windows, limits = window_means(moments_of(shape), 2), Limits(*limits, 0.0)
    rules = Structure(floor=1e-3, unlike_share=0.3, flat_share=1 / 3, quantile=0.75, least_noise=3)

    found = unlike_structure(windows, rules, limits)

    np.testing.assert_array_equal(found, structure_twin(windows, rules, limits))
    assert n_marked is None or np.count_nonzero(found) == n_marked
    assert_equal_at(level, lambda: [unlike_structure(windows, rules, limits)])


def test_moments_and_windows_of_other_shapes_are_refused():
    moments = moments_of((7, 7))

    def raised(excess, luma, chroma):
        raise_to_chroma(excess, luma, chroma, Rules(RULES), 0.5)

    excess, fixed, none = (np.zeros(shape, np.float32) for shape in ((7, 7), (7, 7), (6, 0, 7)))
    fixed.flags.writeable = False
    for call in (
        lambda: luma_part(moments[:5], 1, RULES[0], 1.0),
        lambda: luma_part(moments, 3, RULES[0], 1.0),
        lambda: unlike_shapes(moments.astype(float), shapes_of()),
        lambda: unlike_shapes(moments, shapes_of(side=6)),
        lambda: raised(excess, [moments] * 2, (moments, moments)),
        lambda: raised(excess, [moments] * 3, (moments, moments[:, 1:])),
        lambda: raised(excess, [moments, moments, moments[:, 1:]], (moments, moments)),
        lambda: raised(excess[1:], [moments] * 3, (moments, moments)),
        lambda: raised(excess.astype(float), [moments] * 3, (moments, moments)),
        lambda: raised(fixed, [moments] * 3, (moments, moments)),
        lambda: luma_part(none, 1, RULES[0], 1.0),
        lambda: unlike_shapes(none, shapes_of()),
        lambda: unlike_structure(moments.astype(float), Structure(), Limits()),
        lambda: unlike_structure(moments, Structure(flat_share=1.5), Limits()),
        lambda: unlike_structure(moments, Structure(quantile=-0.1), Limits()),
        lambda: unlike_shapes(moments, shapes_of(quantile=np.nan)),
        lambda: unlike_shapes(moments, shapes_of(few=0)),
        lambda: raised(none[0], [none] * 3, (none, none)),
    ):
        with pytest.raises(ValueError, match=r"expected|power of two|read-only"):
            call()
