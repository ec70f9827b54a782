"""What is usual in windows, and what exceeds it: equal to sorted lists and loops."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.native.difference import block_moments, window_means
from imgdup.native.windows import (
    Agreement,
    Excess,
    Limits,
    Outliers,
    Usual,
    count_agreeing,
    count_agreeing_of,
)
from native_levels import assert_equal_at, by_level, native_level
from native_parts import luma_excess, quantile, raise_chroma

SHAPES = [(1, 1), (1, 60), (7, 7), (9, 6), (30, 40)]
# (factor, most noise, most share), (factor, least, share of the texture)
STRICT, LAX, NO_OUTLIERS = (0.5, 900.0, 0.5), (3.0, 60.0, 1.5), (0.0, 0.0, 0.0)
FEW_RULES = {"strict": (STRICT, LAX), "lax": (LAX, LAX), "noise alone": ((4.0, 9.0, 0.0), STRICT)}


def usual_of(**changes):
    """What is usual, by numbers that small planes tell apart."""
    numbers = {"samples": 3000, "bare": 1.0, "many_bare": 0.05, "quantile": 0.75}
    numbers |= {"least_noise": 3.0, "least_share": 0.01}
    numbers |= {"nearly_all": 0.99, "apart": 3, "few": 40, "least_ratio": 0.5}
    return Usual(**numbers | changes)


def rules_of(squares=STRICT, means=LAX, outliers=NO_OUTLIERS, **usual):
    rules = Excess(usual_of(**usual), Limits(*squares), Limits(*means), Outliers(*outliers))
    rules.even = np.inf
    return rules


def planes_of(shape, n=2):
    """Planes with many equal elements, some of them large."""
    rng = np.random.default_rng(shape)
    return [np.round(rng.gamma(0.4, 20, shape) * 4).astype(np.float32) / 4 for _ in range(n)]


def counts_twin(moments, least, mean_share, correlated):
    """How many windows there are, have structure, and agree, in double precision."""
    a, b, aa, bb, ab, _ = moments.astype(np.float64)
    variances = np.maximum(0, aa - a * a), np.maximum(0, bb - b * b)
    texture = np.maximum(*variances)
    is_structured = texture > max(least, mean_share * texture.mean())
    shared = (ab - a * b) ** 2 / (variances[0] * variances[1] + 1e-3)
    is_agreeing = is_structured & (shared > correlated)
    return moments[0].size, int(is_structured.sum()), int(is_agreeing.sum())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("least", "mean_share"), [(40.0, 0.25), (5.0, 0.9), (1e6, 0.1)])
def test_windows_with_structure_agree_where_both_pictures_correlate(shape, least, mean_share):
    rng = np.random.default_rng(shape)
    a, b = rng.integers(0, 16, (2, *shape)) / 4
    aa, bb = a * a + rng.integers(-4, 90, shape), b * b + rng.integers(-4, 90, shape)
    ab = a * b + rng.integers(-60, 60, shape)
    moments = np.stack([a, b, aa, bb, ab, a]).astype(np.float32)
    rules = Agreement(least=least, mean_share=mean_share, floor=1e-3, correlated=0.4)

    found = count_agreeing(moments, rules)

    assert found == counts_twin(moments, least, mean_share, 0.4)


@pytest.mark.parametrize(("block", "window"), [(4, 4), (1, 2), (5, 1), (16, 1)])
def test_windows_of_pictures_are_counted_by_the_moments_of_their_blocks(block, window):
    rng = np.random.default_rng(block)
    first, second = rng.integers(0, 256, (2, 37, 50), np.uint8)
    second[:, :30] = first[:, :30] // 2
    rules = Agreement(least=40.0, mean_share=0.25, floor=1e-3, correlated=0.4)

    found = count_agreeing_of(first, second, block, window, rules)

    blocks = block_moments(first.astype(np.float32), second.astype(np.float32), block)
    assert found == count_agreeing(window_means(blocks, window), rules)
    assert 0 < found.agreeing < found.structured


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (7, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("window", [1, 2])
def test_the_last_blocks_of_a_picture_are_counted_by_all_of_their_pixels(shape, window):
    rules = Agreement(least=0.0, mean_share=0.0, floor=1e-3, correlated=0.05)
    for first, second in np.random.default_rng(1).integers(0, 256, (50, 2, *shape), np.uint8):
        blocks = block_moments(first.astype(np.float32), second.astype(np.float32), 4)
        expected = count_agreeing(window_means(blocks, window), rules)

        assert count_agreeing_of(first, second, 4, window, rules) == expected


@pytest.mark.parametrize(("block", "window"), [(1, 128), (128, 1), (16, 8)])
def test_the_sums_of_the_largest_windows_do_not_overflow(block, window):
    white, rules = np.full((200, 300), 255, np.uint8), Agreement(least=0.5, correlated=0.4)
    half = np.where(np.arange(300) < 150, white, 0).astype(np.uint8)

    assert count_agreeing_of(white, white, block, window, rules)[1:] == (0, 0)
    found = count_agreeing_of(half, 255 - half, block, window, rules)
    assert 0 < found.agreeing == found.structured < found.windows


@pytest.mark.parametrize(("block", "window"), [(0, 4), (4, 3), (4, 0), (33, 4)])
def test_blocks_without_pixels_and_windows_of_other_sides_are_refused(block, window):
    gray, rules = np.zeros((9, 9), np.uint8), Agreement()

    with pytest.raises(ValueError, match="power of two"):
        count_agreeing_of(gray, gray, block, window, rules)
    with pytest.raises(ValueError, match="uint8"):
        count_agreeing_of(gray, gray[1:], 4, 4, rules)


@given(
    hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-9, 255, width=32)),
    st.sampled_from([0, 0.5, 0.75, 1]),
)
@settings(max_examples=60, deadline=None)
def test_a_quantile_is_the_element_at_that_share_of_the_sorted_ones(values, share):
    expected = sorted(values.tolist())[int(share * (len(values) - 1))]

    assert quantile(values, share) == expected


# Up to 24 values are compared with each other; more are divided into 256 parts of their range.
@by_level
@pytest.mark.parametrize("n", [1, 2, 23, 24, 25, 49, 400, 3000])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_quantiles_of_close_equal_and_far_values_are_those_of_the_sorted_ones(level, n, scale):
    rng = np.random.default_rng(n)
    close = np.nextafter(np.float32(7), np.float32(8)) + rng.integers(0, 3, n) / 2**20
    equal = rng.integers(0, 2, n) * scale
    far = rng.normal(size=n) ** 9 * scale
    shares = (0, 0.3, 0.5, 0.99, 1)

    for values in (each.astype(np.float32) for each in (close, equal, far)):
        with native_level(level):
            found = [quantile(values, share) for share in shares]

        assert found == [np.sort(values)[int(share * (n - 1))] for share in shares]


def moments_of(squares, variances, change=0.0):
    """Moments with these squares and variances, and the same change of the mean everywhere."""
    zeros = np.zeros_like(squares)
    changes = zeros + np.float32(change)
    return np.stack([zeros, changes, variances, variances + changes * changes, zeros, squares])


def near_twin(variances):
    height, width = variances.shape
    return np.array(
        [
            [variances[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max() for x in range(width)]
            for y in range(height)
        ]
    )


def usual_twin(squares, near, usual, clean):
    """What is usual of squares where there is no texture, and as a share of the texture."""
    near, values = near.ravel(), squares.ravel()
    places = list(range(0, near.size, max(1, near.size // usual.samples)))
    textured = [i for i in places if near[i] > usual.bare]
    places = textured if len(textured) > usual.many_bare * len(places) else places
    third = max(1, len(places) // 3)
    flat = sorted(places, key=lambda i: (near[i], i))[:third]
    rich = sorted(places, key=lambda i: (-near[i], i))[:third]
    rank = int(usual.quantile * (third - 1))
    noise = sorted(values[flat].tolist())[rank]
    beyond = [
        max(np.float32(0), values[i] - np.float32(max(noise, usual.least_noise))) for i in rich
    ]
    share = float(sorted(b / (near[i] + 1) for b, i in zip(beyond, rich, strict=True))[rank])
    unclean = 5 * max(noise / usual.least_noise, share / usual.least_share)
    unclean = max(clean, min(1.0, unclean))
    return max(noise, unclean * usual.least_noise), max(share, unclean * usual.least_share)


def unexplained_twin(squares, variances, limits, usual, clean):
    """Mark the squares that exceed what the limits explain, window by window."""
    near = near_twin(variances)
    noise, share = usual_twin(squares, near, usual, clean)
    noise = np.float32(min(limits[0] * noise, limits[1]))
    return squares > noise + near * np.float32(min(limits[0] * share, limits[2]))


def outliers_twin(squares, variances, outliers, usual, clean):
    """Mark the outliers, window by window."""
    (height, width), near = squares.shape, near_twin(variances)
    noise, share = usual_twin(squares, near, usual, clean)
    ratios = squares / (np.float32(noise) + np.float32(share) * near)
    row, column = divmod(int(np.argmax(ratios)), width)
    others = sorted(
        float(ratios[y, x])
        for y in range(height)
        for x in range(width)
        if max(abs(y - row), abs(x - column)) > usual.apart
    )
    if len(others) < usual.few:
        return np.zeros(squares.shape, bool)
    ratio = max(usual.least_ratio, others[int(usual.nearly_all * (len(others) - 1))])
    factor, least, texture_share = outliers
    is_outlier = (ratios > np.float32(factor * ratio)) & (squares > least)
    return is_outlier & (squares > np.float32(texture_share) * near)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("limits", FEW_RULES.values(), ids=FEW_RULES)
@pytest.mark.parametrize(
    "changes", [{}, {"many_bare": 0.9}, {"samples": 300, "bare": 30.0}], ids=str
)
@pytest.mark.parametrize("clean", [0.2, 2.0])
def test_the_excess_of_luma_is_what_exceeds_the_usual_for_the_texture(
    shape, limits, changes, clean
):
    squares, variances = planes_of(shape)
    change, rules = 7.0, rules_of(*limits, **changes)
    marks = unexplained_twin(squares, variances, limits[0], rules.usual, clean)
    evenly = np.full(shape, change**2, np.float32)
    even_marks = unexplained_twin(evenly, variances, limits[1], rules.usual, clean)
    expected = np.maximum(np.where(marks, squares, 0), np.where(even_marks, evenly, 0))

    found = luma_excess(moments_of(squares, variances, change), rules, clean)

    np.testing.assert_array_equal(found, np.sqrt(expected))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["outliers", "faint"])
@pytest.mark.parametrize(
    "outliers", [(1.5, 20.0, 0.0), (3.0, 20.0, 2.0), (1.5, 200.0, 0.5)], ids=str
)
def test_the_excess_holds_squares_that_exceed_nearly_all_others(shape, kind, outliers):
    squares, variances = planes_of(shape)
    everything_is_explained = (1e9, 1e9, 1e9)
    rules = rules_of(everything_is_explained, everything_is_explained)
    setattr(rules, kind, Outliers(*outliers))
    marks = outliers_twin(squares, variances, outliers, rules.usual, 1.0)

    found = luma_excess(moments_of(squares, variances), rules, 1.0)

    np.testing.assert_array_equal(found, np.where(marks, np.sqrt(squares), 0))


@pytest.mark.parametrize("at", [(0, 0), (0, 9), (9, 0), (9, 9), (5, 5)], ids=str)
def test_windows_near_the_largest_one_are_no_others_in_any_corner(at):
    squares, variances = np.ones((10, 10), np.float32), np.zeros((10, 10), np.float32)
    box = np.s_[max(0, at[0] - 3) : at[0] + 4, max(0, at[1] - 3) : at[1] + 4]
    squares[box] = 90
    squares[at] = 100
    rules = rules_of((1e9, 1e9, 1e9), outliers=(3.0, 20.0, 0.0), quantile=0.0)

    found = luma_excess(moments_of(squares, variances), rules, 1.0)

    np.testing.assert_array_equal(found > 0, squares > 80)


def chroma_of(shape):
    """Moments of luma, Cr and Cb of three planes, with repeated values."""
    rng = np.random.default_rng(shape)
    planes = [np.round(rng.gamma(0.6, 20, (6, *shape))).astype(np.float32) for _ in range(3)]
    for each in planes:
        each[2:4] += each[:2] * each[:2] - 10  # some variances are below 0, as rounding makes them
    return planes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("limits", FEW_RULES.values(), ids=FEW_RULES)
@pytest.mark.parametrize("even", [np.inf, 30.0])
def test_the_excess_of_chroma_is_what_both_channels_exceed_together(shape, limits, even):
    light, red, blue = planes = chroma_of(shape)
    rules, excess = rules_of(*limits), np.full(shape, 5, np.float32)
    rules.even, rules.even_share = even, 0.25
    of_light, of_red, of_blue = (np.maximum(0, p[2:4] - p[:2] * p[:2]) for p in planes)
    of_both = of_red + of_blue
    texture = of_both.min(axis=0) + np.float32(0.1) * of_light.min(axis=0)
    means = (red[1] - red[0]) ** 2 + (blue[1] - blue[0]) ** 2
    expected = excess.copy()
    for squares, limit in ((red[5] + blue[5], limits[0]), (means, limits[1])):
        marks = unexplained_twin(squares, texture, limit, rules.usual, 0.5)
        expected = np.maximum(expected, np.where(marks, squares, 0))
    is_too_much = means > np.float32(even) + np.float32(0.25) * of_both.max(axis=0)
    expected = np.maximum(expected, np.where(is_too_much, means, 0))

    raise_chroma(excess, (light, red, blue), rules, 0.5)

    np.testing.assert_array_equal(excess, expected)


@by_level
def test_every_level_finds_the_same_windows(level):
    planes = chroma_of((61, 83))
    rules = rules_of(STRICT, STRICT, (1.5, 20.0, 0.0), samples=2000)
    grays = [np.rint(each[0] % 256).astype(np.uint8) for each in planes[:2]]
    agreement = Agreement(least=40.0, mean_share=0.25, floor=1e-3, correlated=0.1)

    def results():
        excess = np.zeros((61, 83), np.float32)
        raise_chroma(excess, planes, rules, 0.5)
        counts = np.array(count_agreeing_of(*grays, 4, 4, agreement))
        return [excess, counts, *(luma_excess(each, rules, 1.0) for each in planes)]

    assert_equal_at(level, results)
