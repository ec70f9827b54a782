"""Where one gray picture lies in another: equal to a search everywhere, and to steps in NumPy."""

import cv2
import numpy as np
import pytest

from encoded import photo
from imgdup.native.places import Found, Mover, inside, search, taken_out
from native_levels import assert_equal_at, by_level
from native_parts import step_sums

GRAY = np.ascontiguousarray(photo(288, 384)[..., 1])
WHOLE = cv2.resize(GRAY, (96, 72), interpolation=cv2.INTER_AREA)
SIZES = [(round(72 * 0.96**i), round(90 * 0.96**i)) for i in range(16)]
IDENTITY = np.eye(2, 3)


def overlaps(n_in, n_out):
    """How much of each pixel lies in each equal part of a side, in whole numbers."""
    parts, pixels = np.arange(n_out)[:, np.newaxis] * n_in, np.arange(n_in) * n_out
    return np.maximum(0, np.minimum(parts + n_in, pixels + n_out) - np.maximum(parts, pixels))


def averaged(pixels, height, width):
    """The rounded averages of equal areas."""
    rows, columns = pixels.shape
    areas = overlaps(rows, height) @ pixels.astype(np.int64) @ overlaps(columns, width).T
    return (2 * areas + rows * columns) // (2 * rows * columns)


def correlations(part, size):
    """The correlation at every place."""
    template = averaged(part, *size)
    windows = np.lib.stride_tricks.sliding_window_view(WHOLE.astype(np.float64), size)
    a = windows - windows.mean(axis=(2, 3), keepdims=True)
    b = template - template.mean()
    return (a * b).sum(axis=(2, 3)) / np.sqrt((a * a).sum(axis=(2, 3)) * (b * b).sum())


ALL = slice(0, 6), slice(0, 7)


def found_everywhere(part, sizes):
    """The best place at every second size and beside the best of these."""
    tried = {}
    for number in [*range(0, len(sizes), 2), None, None]:
        if number is None:
            best = max(tried, key=lambda i: tried[i][0] if i % 2 == 0 else -1)
            number = best + 1 if best + 1 not in tried else best - 1
        if 0 <= number < len(sizes):
            found = correlations(part, sizes[number])
            y, x = divmod(int(np.argmax(found)), found.shape[1])
            tried[number] = float(found[y, x]), x, y
    number = max(tried, key=lambda i: tried[i][0])
    value, x, y = tried[number]
    return Found(value, number, x, y)


@pytest.mark.parametrize(
    ("top", "left", "share"), [(0, 0, 0.95), (40, 30, 0.8), (80, 90, 0.7), (97, 6, 0.6)]
)
def test_a_part_is_found_where_a_search_everywhere_finds_it(top, left, share):
    part = GRAY[top : top + round(288 * share), left : left + round(360 * share)]
    part = np.ascontiguousarray(part)

    found = search(WHOLE, part, SIZES)

    expected = found_everywhere(part, SIZES)
    assert found[1:] == expected[1:]
    assert found.correlation == pytest.approx(expected.correlation, abs=1e-5)


def test_a_part_of_the_same_size_is_only_tried_there():
    found = search(WHOLE, WHOLE, [WHOLE.shape])

    assert found == (pytest.approx(1, abs=1e-6), 0, 0, 0)


def test_a_flat_part_fits_anywhere_and_nothing_is_found_in_a_flat_picture():
    flat = np.full((40, 60), 7, np.uint8)

    assert search(WHOLE, flat, [(30, 38), (28, 36)]) == Found(1.0, 0, 0, 0)
    assert search(flat, WHOLE, [(30, 38), (28, 36)]).correlation == 0


@pytest.mark.parametrize(
    "sizes", [[], [(73, 90)], [(72, 97)], [(1, 9)], [(40, 40), (41, 40)], [(9, 9)] * 25]
)
def test_sizes_that_do_not_descend_or_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="must descend"):
        search(WHOLE, GRAY, sizes)


def test_pictures_that_are_too_large_are_refused():
    many = np.zeros((4096, 4097), np.uint8)

    with pytest.raises(ValueError, match="too large"):
        search(GRAY, GRAY, [(9, 9)])
    with pytest.raises(ValueError, match="16777216 pixels"):
        Mover(many, GRAY, IDENTITY)


def moved(source, goal, matrix, n_rounds):
    """The matrix after so many steps at most, and what the source then shows."""
    mover = Mover(source, goal, matrix)
    mover.move(n_rounds)
    return mover.matrix, mover.taken


def taken_twin(source, shape, matrix):
    """What the source shows, between pixels in proportion; its edges are repeated."""
    height, width = shape
    y, x = ((np.mgrid[:height, :width] + 0.5).T / (width, height)[::-1]).T
    points = np.tensordot(matrix, np.stack([x, y, np.ones(shape)]), axes=1)
    limits = source.shape[1] - 1, source.shape[0] - 1
    x, y = (
        np.clip(each * (limit + 1) - 0.5, 0, limit)
        for each, limit in zip(points, limits, strict=True)
    )
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, limits[0]), np.minimum(top + 1, limits[1])
    levels, x, y = source.astype(np.float64), x - left, y - top
    above = levels[top, left] * (1 - x) + levels[top, right] * x
    return above * (1 - y) + (levels[bottom, left] * (1 - x) + levels[bottom, right] * x) * y


def equations_twin(taken, goal):
    """The weighted parts of a step, shape (n, 8), and what they are to add up to, (n,)."""
    height, width = goal.shape
    y, x = ((np.mgrid[:height, :width] + 0.5).T / (width, height)[::-1]).T
    rows, columns = np.gradient(taken.astype(np.float64))
    gx, gy = columns * width, rows * height
    parts = np.stack([gx * x, gx * y, gx, gy * x, gy * y, gy, taken, np.ones(taken.shape)])
    off = goal.astype(np.float64) - taken
    weights = 1 / (1 + (off / max(4, 2 * np.median(np.abs(off)))) ** 2)
    return (parts * np.sqrt(weights)).reshape(8, -1).T, (goal * np.sqrt(weights)).ravel()


def step_twin(taken, goal, matrix):
    """The matrix after one step, by NumPy's own gradient and solver."""
    found = np.linalg.lstsq(*equations_twin(taken, goal), rcond=None)[0]
    step = found[:6].reshape(2, 3) / found[6] + IDENTITY
    return matrix @ np.vstack([step, [0, 0, 1]])


MATRICES = [
    [[1, 0, 0], [0, 1, 0]],
    [[0.62, 0.02, 0.2], [-0.03, 0.71, 0.11]],
    [[0.9, 0, -0.3], [0, 1.1, 0.2]],
    [[0, 1, 0], [1, 0, 0]],
]


# The ends of the rows inside move: both, only the right one outwards, only the left one.
SLANTED = [
    [[0.9, 0.8, -0.4], [-0.7, 1.1, 0.3]],
    [[1.21, -0.403, 0.4207], [0, 1, 0]],
    [[0.91, 0.403, -0.4007], [0, 1, 0]],
]


@pytest.mark.parametrize("shape", [(2, 2), (9, 300), (50, 61)], ids=str)
@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_what_a_picture_shows_lies_between_its_pixels(matrix, shape):
    matrix = np.array(matrix, np.float64)

    mover = Mover(GRAY, np.zeros(shape, np.uint8), matrix)

    np.testing.assert_array_equal(mover.matrix, matrix)
    assert np.abs(mover.taken - taken_twin(GRAY, shape, matrix)).max() < 0.51


def test_pictures_of_few_pixels_show_them_everywhere():
    taken = Mover(np.full((2, 3), 9, np.uint8), np.zeros((3, 4), np.uint8), IDENTITY).taken

    assert taken.tolist() == [[9] * 4] * 3


@pytest.mark.parametrize("shape", [(2, 2), (3, 17), (9, 300), (50, 61)], ids=str)
@by_level
def test_the_sums_of_a_step_are_those_of_all_pixels(level, shape):
    goal, off = np.random.default_rng(shape).integers(0, 128, (2, *shape), np.uint8)
    taken = np.where(np.arange(shape[1]) % 3, goal + off // 8, goal + off)
    design, wanted = equations_twin(taken, goal)

    found = step_sums(taken, goal)

    sizes = np.sqrt(np.sum(design**2, axis=0))
    products = design.T @ design
    np.testing.assert_allclose(
        found[0] / np.outer(sizes, sizes), products / np.outer(sizes, sizes), atol=1e-5
    )
    np.testing.assert_allclose(found[1] / sizes, design.T @ wanted / sizes, rtol=1e-5, atol=1e-2)
    assert_equal_at(level, lambda: step_sums(taken, goal))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.004, -0.006), (-0.01, 0.002)], ids=str)
@pytest.mark.parametrize("noise", [0, 40])
def test_a_step_is_that_of_weighted_least_squares(shift, noise):
    goal = np.rint(taken_twin(GRAY, (72, 96), np.array([[0.8, 0, 0.1], [0, 0.8, 0.1]])))
    off = np.random.default_rng(noise).integers(-noise, noise + 1, goal.shape)
    goal = np.clip(0.8 * goal + 20 + off, 0, 255).astype(np.uint8)
    matrix = np.array([[0.8, 0, 0.1 + shift[0]], [0, 0.8, 0.1 + shift[1]]])
    taken = np.rint(taken_twin(GRAY, goal.shape, matrix)).astype(np.uint8)

    found = moved(GRAY, goal, matrix, 1)[0]

    np.testing.assert_allclose(found, step_twin(taken, goal, matrix), atol=2e-4)


@pytest.mark.parametrize("changes", [(10, 50), (50, 10), (0, 255)], ids=str)
def test_pixels_count_by_the_middle_between_two_medians(changes):
    goal = np.rint(taken_twin(GRAY, (70, 250), IDENTITY)).astype(np.uint8)
    taken = goal.copy()
    taken[:35] = np.where(goal[:35] < 128, goal[:35] + changes[0], goal[:35] - changes[0])
    taken[35:] = np.where(goal[35:] < 128, goal[35:] + changes[1], goal[35:] - changes[1])

    found = moved(taken, goal, IDENTITY, 1)[0]

    np.testing.assert_allclose(found, step_twin(taken, goal, IDENTITY), atol=2e-4)


def test_steps_of_least_squares_find_the_place():
    right = np.array([[0.8, 0.01, 0.1], [-0.01, 0.8, 0.12]])
    goal = np.rint(taken_twin(GRAY, (72, 96), right)).astype(np.uint8)

    found, taken = moved(GRAY, goal, right + np.array([[0.005, 0, 0.01], [0, -0.005, -0.01]]), 8)

    np.testing.assert_allclose(found, right, atol=2e-4)
    assert np.abs(taken.astype(int) - goal).max() <= 3


def test_more_steps_go_on_where_the_last_ones_ended():
    goal = np.rint(taken_twin(GRAY, (72, 96), np.array([[0.8, 0, 0.1], [0, 0.8, 0.12]])))
    goal, start = goal.astype(np.uint8), np.array([[0.8, 0, 0.11], [0, 0.8, 0.11]])
    expected, mover = moved(GRAY, goal, start, 3), Mover(GRAY, goal, start)

    mover.move(1)
    mover.move(2)

    np.testing.assert_array_equal(mover.matrix, expected[0])
    np.testing.assert_array_equal(mover.taken, expected[1])
    np.testing.assert_array_equal(start, [[0.8, 0, 0.11], [0, 0.8, 0.11]])


def test_a_matrix_whose_columns_lie_one_behind_the_other_means_the_same():
    matrix, goal = np.array([[0.6, 0.1, 0.13], [0.02, 0.5, 0.1]]), np.zeros((40, 50), np.uint8)
    other = np.asfortranarray(matrix)

    assert np.array_equal(Mover(GRAY, goal, other).taken, Mover(GRAY, goal, matrix).taken)
    assert np.array_equal(inside((40, 50), other, 0).ends, inside((40, 50), matrix, 0).ends)


def test_a_mover_goes_on_with_other_arrays_of_its_matrix_and_of_what_is_taken():
    goal, start = GRAY[:72, :96].copy(), np.array([[0.26, 0, 0.01], [0, 0.24, 0]])
    expected, mover = moved(GRAY, goal, start, 3), Mover(GRAY, goal, start)
    mover.matrix, mover.taken = mover.matrix.copy(), mover.taken.copy()

    mover.move(3)

    assert not np.array_equal(mover.matrix, start)
    np.testing.assert_array_equal(mover.matrix, expected[0])
    np.testing.assert_array_equal(mover.taken, expected[1])
    mover.taken = mover.taken[1:]
    with pytest.raises(ValueError, match=r"of shape \(72, 96\)"):
        mover.move(1)


def test_flat_pictures_and_places_far_outside_are_not_moved():
    flat, outside = np.full((40, 40), 9, np.uint8), np.array([[1, 0, 1e30], [0, 1, np.nan]])

    np.testing.assert_array_equal(moved(flat, flat, IDENTITY, 5)[0], IDENTITY)
    assert np.array_equal(moved(GRAY, flat, outside, 5)[0], outside, equal_nan=True)


def places_twin(shape, matrix):
    """Where the pixels of a part lie in the whole, shape (2, height, width)."""
    height, width = shape[:2]
    y, x = ((np.mgrid[:height, :width] + 0.5).T / (width, height)[::-1]).T
    return np.tensordot(matrix, np.stack([x, y, np.ones((height, width))]), axes=1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (40, 130)], ids=str)
@pytest.mark.parametrize("matrix", [*MATRICES, *SLANTED], ids=str)
def test_pixels_inside_the_whole_lie_between_two_ends(matrix, shape):
    places = places_twin(shape, np.array(matrix))
    expected = np.all((places >= -0.01) & (places <= 1.01), axis=0)

    n_pixels, ends, rows, columns = inside(shape, np.array(matrix), 0.01)

    x = np.arange(shape[1])
    np.testing.assert_array_equal((ends[:, :1] <= x) & (x < ends[:, 1:]), expected)
    assert n_pixels == expected.sum()
    for found, axis in ((rows, 1), (columns, 0)):
        marked = np.flatnonzero(expected.any(axis=axis))
        assert found == slice(marked[0], marked[-1] + 1)


def test_nothing_of_a_part_beside_the_whole_is_inside():
    found = inside((3, 4), np.array([[1, 0, 2.0], [0, 1, 0]]), 0.1)

    assert found.n_pixels == 0
    assert found.ends.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("shape", [(2, 2), (5, 7, 3), (40, 330), (33, 61, 4)], ids=str)
@pytest.mark.parametrize("matrix", [*MATRICES, *SLANTED], ids=str)
def test_what_is_taken_out_is_that_of_the_part_outside_of_the_whole(matrix, shape):
    matrix, rng = np.array(matrix, np.float64), np.random.default_rng(1)
    part = rng.integers(0, 256, shape, np.uint8)
    whole = rng.integers(0, 256, (50, 60, *shape[2:]), np.uint8)
    found = inside(shape, matrix, 0.01)
    boxes = [
        (slice(0, shape[0] - 1), slice(1, shape[1])),
        (slice(1, shape[0]), slice(0, 1)),  # perhaps beside what is inside
        (slice(0, shape[0]), slice(shape[1] - 1, shape[1])),
    ]
    channels = np.atleast_3d(whole).transpose(2, 0, 1)
    shown = np.stack([taken_twin(each, shape[:2], matrix) for each in channels], axis=2)
    places = places_twin(shape, matrix)
    is_shown = np.all((places >= -0.01) & (places <= 1.01), axis=0)

    taken = [taken_out(whole, part, matrix, found, *box) for box in boxes]

    expected = np.where(is_shown[:, :, None], shown, np.atleast_3d(part))
    for each, box in zip(taken, boxes, strict=True):
        assert np.abs(np.atleast_3d(each) - expected[box]).max() < 0.51
        assert each.shape == part[box].shape


@pytest.mark.parametrize("whole", [(1, 1), (1, 5), (4, 1), (1, 3, 3)], ids=str)
def test_a_whole_of_one_row_or_column_shows_it_everywhere(whole):
    part = np.full((6, 7, *whole[2:]), 3, np.uint8)

    taken = taken_out(
        np.full(whole, 9, np.uint8), part, IDENTITY, inside((6, 7), IDENTITY, 0.0), *ALL
    )

    assert np.all(taken == 9)


def test_nothing_is_taken_out_beyond_a_part_or_from_another_kind_of_picture():
    part, found = np.zeros((6, 7), np.uint8), inside((6, 7), IDENTITY, 0.0)

    for columns in (slice(0, 8), slice(-1, 7), slice(3, 3)):
        with pytest.raises(ValueError, match="cannot take"):
            taken_out(part, part, IDENTITY, found, ALL[0], columns)
    with pytest.raises(ValueError, match="uint8"):
        taken_out(np.zeros((6, 7, 3), np.uint8), part, IDENTITY, found, *ALL)
    for whole in (part[:0], part[:, :0]):
        with pytest.raises(ValueError, match="cannot take"):
            taken_out(whole, part, IDENTITY, found, *ALL)
    with pytest.raises(ValueError, match="int32"):
        taken_out(part, part, IDENTITY, inside((5, 7), IDENTITY, 0.0), *ALL)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        inside((6, 7), np.eye(3), 0.0)


def test_pictures_of_one_row_and_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="2 pixels a side"):
        Mover(GRAY, GRAY[:1], IDENTITY)
    with pytest.raises(ValueError, match="2 pixels a side"):
        Mover(GRAY[:1], GRAY, IDENTITY)
    with pytest.raises(ValueError, match="uint8"):
        Mover(GRAY.astype(np.float32), GRAY, IDENTITY)


@by_level
def test_every_level_finds_the_same_places(level):
    part = np.ascontiguousarray(GRAY[30:200, 50:301])
    matrix = np.array([[0.6, 0.0, 0.13], [0.0, 0.6, 0.1]])

    def results():
        turned = np.array([[0.9, 0.1, 0.07], [-0.2, 1.1, 0.03]])
        inner = inside(part.shape, turned, 0.001)
        taken = taken_out(GRAY, part, turned, inner, inner.rows, inner.columns)
        found = [np.array(search(WHOLE, part, SIZES)), *moved(GRAY, part, matrix, 5)]
        return [*found, inner.ends, taken]

    assert_equal_at(level, results)
