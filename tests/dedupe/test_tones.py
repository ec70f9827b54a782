"""Equal tones for two pictures: curves that are applied, lost colours, and the doubts they leave.

Twins: loops over pixels and levels in plain Python, written from the docstrings.
"""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from make_sample import photo

from imgdup.dedupe import colours, curves, tones
from imgdup.images.opencv import through_jpeg
from imgdup.native.levels import level_counts, matched_levels
from tone_curves import CURVES, LEVELS, as_curve

few = settings(max_examples=30)


def levels_of(a, b, weights):
    """What the levels of a picture have become in another one."""
    return curves.Levels(matched_levels(a, b, weights)[0])


SEPIA = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]  # a common filter


@pytest.fixture(scope="module")
def scene():
    """A photo with texture and many colours."""
    return photo(3, 160, 120)


def gray(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


# --- whole pictures


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_tone_curve_is_found_in_both_directions_and_undone(scene, curve, swapped):
    pair = [gray(scene), curve[gray(scene)]]
    found = tones.equal_colours(*(pair[::-1] if swapped else pair))

    off = np.abs(found.first.astype(int) - found.second.astype(int))
    before = np.abs(pair[0].astype(int) - pair[1].astype(int))
    assert found.is_mapped
    assert not found.may_hide_change
    assert off.mean() < 1.5 < 5 < before.mean()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_curve_is_applied_to_the_picture_whose_tones_were_cut_off(scene, swapped):
    cut_off = as_curve(lambda level: 0.5 + 2.5 * (level - 0.5))
    pair = [gray(scene), cut_off[gray(scene)]]

    found = tones.equal_colours(*(pair[::-1] if swapped else pair))

    stayed, changed = (found.first, found.second)[:: 1 if swapped else -1]
    assert found.is_mapped
    assert (stayed == pair[1]).all()
    assert np.abs(changed.astype(int) - pair[1].astype(int)).mean() < 4


def test_equal_pictures_are_not_changed(scene):
    found = tones.equal_colours(gray(scene), gray(scene))

    assert not found.is_mapped
    assert not found.may_hide_change
    assert (found.first == gray(scene)).all()
    assert (found.second == gray(scene)).all()


def test_a_change_of_two_levels_needs_no_curve(scene):
    other = np.clip(gray(scene).astype(int) + 2, 0, 255).astype(np.uint8)

    found = tones.equal_colours(gray(scene), other)

    assert not found.is_mapped
    assert not found.may_hide_change
    assert (found.second == other).all()


def test_another_picture_is_not_brought_nearer_by_a_curve(scene):
    other = gray(photo(8, 160, 120))

    found = tones.equal_colours(gray(scene), other)

    assert not found.is_mapped
    assert (found.first == gray(scene)).all()
    assert (found.second == other).all()


@pytest.mark.parametrize("swapped", [False, True])
def test_beside_a_gray_copy_the_picture_in_colour_is_gray_too(scene, swapped):
    pair = (scene, cv2.cvtColor(gray(scene), cv2.COLOR_GRAY2RGB))

    found = tones.equal_colours(*(pair[::-1] if swapped else pair))

    assert found.first.ndim == found.second.ndim == 2
    assert (np.abs(found.first.astype(int) - found.second.astype(int)) <= 1).all()
    assert not found.may_hide_change


def test_pictures_in_colour_have_two_parts_of_colour(scene):
    found = tones.equal_colours(scene, scene.copy())

    first, second = found.chroma
    assert first.shape == second.shape == (2, *scene.shape[:2])
    assert (first == second).all()
    assert not found.may_hide_change


def test_a_copy_with_all_hues_turned_may_hide_change(scene):
    hsv = cv2.cvtColor(scene, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 20) % 180

    found = tones.equal_colours(scene, cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))

    assert found.may_hide_change


def test_a_smooth_picture_gets_no_curve():
    ramp = np.tile(np.linspace(20, 110, 160).astype(np.uint8), (120, 1))

    found = tones.equal_colours(ramp, CURVES["brighter"][ramp])

    assert not found.is_mapped
    assert not found.may_hide_change
    assert (found.first == ramp).all()
    assert (found.second == CURVES["brighter"][ramp]).all()


# --- gray or not


def test_two_gray_pictures_are_no_gray_pair_with_a_doubt(scene):
    plain = cv2.cvtColor(gray(scene), cv2.COLOR_GRAY2RGB)

    assert colours.is_gray_pair(plain, plain) == (False, False)
    assert colours.is_gray_pair(gray(scene), gray(scene)) == (True, False)


def test_one_coloured_object_in_a_gray_picture_is_a_doubt(scene):
    plain = cv2.cvtColor(gray(scene), cv2.COLOR_GRAY2RGB)
    button = plain.copy()
    button[50:80, 60:90] = (40, 40, 220)

    assert colours.is_gray_pair(plain, button) == (True, True)
    assert colours.is_gray_pair(button, plain) == (True, True)


def test_faint_colour_in_few_places_is_noise_and_no_doubt(scene):
    plain = cv2.cvtColor(gray(scene), cv2.COLOR_GRAY2RGB)
    noisy = plain.copy()
    noisy[10:14, 10:14, 2] = np.minimum(noisy[10:14, 10:14, 2].astype(int) + 15, 255)

    assert colours.is_gray_pair(plain, noisy) == (True, False)


def test_a_tint_that_depends_on_the_brightness_alone_is_a_doubt_and_many_colours_are_none(scene):
    sepia = np.dstack([gray(scene) * share for share in (0.55, 0.75, 0.95)]).astype(np.uint8)
    plain = cv2.cvtColor(gray(scene), cv2.COLOR_GRAY2RGB)

    assert colours.is_gray_pair(plain, sepia) == (True, True)
    assert colours.is_gray_pair(plain, scene) == (True, False)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_a_sepia_copy_of_a_gray_picture_of_strong_contrast_is_a_doubt(seed):
    light = cv2.cvtColor(photo(seed, 320, 240), cv2.COLOR_RGB2GRAY).astype(float)
    gain, base = (2.5, -180) if seed == 2 else (3, -250)  # much is black, or cut off by the filter
    noise = np.random.default_rng(seed).normal(0, 20, light.shape)
    plain = np.dstack([np.clip(gain * light + base + noise, 0, 255).astype(np.uint8)] * 3)
    sepia = np.clip(plain @ np.transpose(SEPIA), 0, 255).astype(np.uint8)

    assert tones.equal_colours(plain, through_jpeg(sepia, 90)).may_hide_change


@pytest.mark.parametrize("swapped", [False, True])
def test_a_gray_copy_of_a_tinted_picture_is_no_doubt_because_it_has_the_same_luma(scene, swapped):
    tinted = np.dstack([np.rint(gray(scene) * share) for share in (1.0, 0.85, 0.6)]).astype(
        np.uint8
    )
    slightly_brighter = np.clip(1.02 * gray(tinted), 0, 255).round().astype(np.uint8)
    order = slice(None, None, -1 if swapped else 1)

    assert colours._is_tinted(tinted)
    assert colours.is_gray_pair(*[tinted, gray(tinted)][order]) == (True, False)
    assert colours.is_gray_pair(*[tinted, slightly_brighter][order]) == (True, True)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64)])
def test_any_size_of_picture_is_tinted_or_not(shape):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)

    assert colours._is_tinted(picture) in (True, False)


@given(hnp.arrays(np.uint8, (5, 4, 3)))
def test_the_colour_of_a_pixel_is_its_largest_channel_less_its_smallest(pixels):
    found = colours._colourfulness(pixels)

    assert found.tolist() == [[int(max(p)) - int(min(p)) for p in row] for row in pixels.tolist()]


def test_gray_pixels_have_no_colour(scene):
    assert not colours._colourfulness(gray(scene)).any()


def test_the_extent_of_marks_is_the_box_around_nearly_all_of_them():
    marks = np.zeros((100, 100), bool)
    marks[20:60, 10:35] = True

    assert colours._extent(marks) == pytest.approx(40 * 25 / 100**2, rel=0.1)
    marks[99, 99] = True  # one far away does not count
    assert colours._extent(marks) == pytest.approx(40 * 25 / 100**2, rel=0.1)


# --- hues and strengths of colours


def chroma(seed=4, power=20):
    return np.random.default_rng(seed).normal(0, power, (12, 16, 2))


def turned(colours, degrees):
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return colours @ np.array([[cosine, sine], [-sine, cosine]])


def hues_are_turned(first, second):
    """Whether they are, by the mean product of complex numbers."""
    first, second = (each[..., 0] + 1j * each[..., 1] for each in (first, second))
    product = np.mean(first.conj() * second)
    return colours._hues_are_turned(
        product.real, product.imag, np.mean(np.abs(second - first) ** 2)
    )


@pytest.mark.parametrize("degrees", [-170, -30, 15, 90, 180])
def test_one_turn_of_all_hues_is_found(degrees):
    assert hues_are_turned(chroma(), turned(chroma(), degrees))


@pytest.mark.parametrize(
    "other",
    [chroma(), 0.6 * chroma(), 1.3 * chroma(), chroma() + chroma(5, 8), turned(chroma(), 1)],
    ids=["equal", "weaker", "stronger", "noisy", "hardly turned"],
)
def test_colours_that_are_not_turned_together_are_not_turned(other):
    assert not hues_are_turned(chroma(), other)


def with_chroma(colours):
    """Cr and Cb, large enough not to be reduced."""
    planes = np.moveaxis(np.clip(colours + 128, 0, 255).astype(np.uint8), 2, 0)
    return np.ascontiguousarray(planes)


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        (chroma(), False),
        (0.8 * chroma(), False),
        (1.1 * chroma(), False),
        (chroma() + np.array([4, 0]), True),
        (chroma() - np.array([0, 4]), True),
        (0.3 * chroma(), True),
        (1.4 * chroma(), True),
        (chroma() + chroma(9, 25), True),
        (turned(chroma(), 25), True),
        (turned(chroma(), 10), True),
    ],
    ids=[
        "equal", "a little weaker", "a little stronger", "shifted in Cr", "shifted in Cb",
        "much weaker", "much stronger", "far off", "turned", "turned a little",
    ],
)  # fmt: skip
def test_colours_differ_everywhere_if_they_are_shifted_turned_or_of_another_strength(other, differ):
    first, second = with_chroma(chroma()), with_chroma(other)

    assert colours.colours_differ_everywhere(first, second) == differ


def test_colours_too_faint_to_have_a_strength_may_vanish():
    faint = chroma(power=3)

    assert not colours.colours_differ_everywhere(with_chroma(faint), with_chroma(0.2 * faint))


# --- what a curve moves


@few
@given(hnp.arrays(np.uint8, (9, 9)), hnp.arrays(bool, 256))
def test_moved_tones_count_as_the_ranges_that_they_would_fill_evenly(pixels, moved):
    ranges = [0.0] * 32
    for level in pixels.ravel().tolist():
        if moved[level]:
            ranges[level // 8] += 1 / pixels.size
    counted = [min(each, tones.COUNTED_SHARE) for each in ranges if each > 0]
    shares = [each / sum(counted) for each in counted]

    n_tones, share = tones._moved_tones(level_counts(pixels), moved)

    assert n_tones == pytest.approx(math.exp(-sum(each * math.log(each) for each in shares)))
    assert share == pytest.approx(sum(ranges))


@pytest.mark.parametrize(("n_tones", "share", "misfit", "expected"), [
    (1, 0.001, 9, False),
    (12, 0.9, 0, True), (14, 0.9, 9, False),
    (14, 0.5, 0, True), (19, 0.5, 1, False), (19, 0.5, 3, True),
    (23, 0.5, 3, False), (23, 0.5, 6, True), (25, 0.5, 60, False),
])  # fmt: skip
def test_one_object_may_have_few_tones_and_more_if_no_number_explains_them(
    n_tones, share, misfit, expected
):
    assert tones._may_be_one_object(n_tones, share, misfit) == expected


@few
@given(hnp.arrays(np.uint8, (7, 8)), hnp.arrays(np.uint8, (7, 8)), st.sampled_from(list(CURVES)))
def test_the_share_that_agrees_is_of_the_pixels_that_move_much(source, target, name):
    curve = CURVES[name].astype(float)
    moved = [
        (int(x), int(y))
        for x, y in zip(source.ravel(), target.ravel(), strict=True)
        if abs(curve[x] - x) > tones.MUCH_MOVED
    ]
    nearer = [abs(curve[x] - y) < abs(x - y) for x, y in moved]

    found = tones._agreeing_share(source, target, curve)

    assert found == pytest.approx(sum(nearer) / len(moved) if moved else 1.0)


@few
@given(hnp.arrays(np.uint8, (5, 6)), st.sampled_from(list(CURVES)))
def test_the_movement_of_a_curve_is_the_mean_square_beyond_noise(pixels, name):
    curve = CURVES[name].astype(float)

    found = tones._movement(level_counts(pixels), curve)

    moves = [max(abs(curve[x] - x) - tones.UNMOVED, 0) ** 2 for x in pixels.ravel().tolist()]
    assert found == pytest.approx(sum(moves) / len(moves))


def test_noise_may_shift_only_levels_near_black_and_white():
    rng = np.random.default_rng(2)
    dark = rng.integers(0, 20, (64, 64)).astype(np.uint8)

    shift = tones._clipping_shift(dark, np.full_like(dark, 128))

    steps = np.abs(np.diff(dark[::4].astype(int), axis=1))
    assert shift[: tones.END].tolist() == [1.5 * np.median(steps)] * tones.END
    assert not shift[tones.END :].any()


def test_the_larger_shift_of_both_pictures_counts():
    rng = np.random.default_rng(2)
    calm, wild = (rng.integers(230, high, (64, 64)).astype(np.uint8) for high in (234, 256))

    shift = tones._clipping_shift(calm, wild)

    assert shift.tolist() == tones._clipping_shift(wild, calm).tolist()
    assert shift[-1] == tones._clipping_shift(wild, wild)[-1]
    assert shift[-1] > tones._clipping_shift(calm, calm)[-1]


# --- what curves are compared with


def test_the_curve_that_takes_most_pixels_nearest_is_chosen_although_some_are_far_off():
    source = np.tile(LEVELS.astype(np.uint8), (10, 1))
    near, far = LEVELS * 0.9, LEVELS * 0.9 + 9.0
    target = np.rint(near).astype(np.uint8)[source]
    target[0] = 255  # an object that was put in, which a mean of squares would follow

    chosen = [tones._nearest_curve(each, source, target) for each in ([near, far], [far, near])]

    assert chosen[0] is chosen[1] is near


@few
@given(hnp.arrays(np.uint8, (6, 7)))
def test_the_spread_is_the_variance_and_at_least_one(pixels):
    values = [int(value) for value in pixels.ravel()]
    mean = sum(values) / len(values)

    found = tones._spread(level_counts(pixels))

    assert found == pytest.approx(max(1, sum((v - mean) ** 2 for v in values) / len(values)))


@pytest.mark.parametrize(
    ("level", "moved_to", "stays"),
    [(0, 0, True), (5, 7, True), (6, 6, False), (255, 253, True), (250, 250, True),
     (249, 249, False), (0, 3, False), (255, 252, False)],
)  # fmt: skip
def test_only_black_and_white_that_did_not_move_are_a_fixed_background(level, moved_to, stays):
    a = np.full((3, 3), level, np.uint8)

    found = tones._stays(levels_of(a, np.full_like(a, moved_to), np.ones_like(a)))

    assert found[level] == stays


@pytest.mark.parametrize("shape", [(20, 30), (128, 128), (300, 400), (2000, 100)])
def test_about_as_many_pixels_of_each_picture_are_compared(shape):
    pixels = np.arange(shape[0] * shape[1]).reshape(shape) % 251

    found = tones._sampled(pixels.astype(np.uint8))

    assert found.size <= 2 * tones.SAMPLED
    assert found.size >= min(pixels.size, tones.SAMPLED // 2)
    assert found[0, 0] == pixels[0, 0]


@pytest.mark.parametrize(("shape", "expected"), [
    ((50, 40), (50, 40)), ((192, 96), (96, 48)), ((96, 192), (48, 96)), ((1000, 1), (96, 1)),
])  # fmt: skip
def test_a_picture_is_reduced_to_a_side_and_never_enlarged(shape, expected):
    assert colours.reduced(np.zeros(shape, np.uint8), 96).shape == expected
    assert colours.reduced(np.zeros((*shape, 3), np.uint8), 96).shape == (*expected, 3)


def test_where_both_pictures_have_gray_parts_neither_is_made_gray(scene):
    half = scene.copy()
    half[:, :80] = gray(scene)[:, :80, np.newaxis]

    assert colours.is_gray_pair(half, scene) == (False, False)
    assert colours.is_gray_pair(gray(scene), scene) == (True, False)
    assert colours.is_gray_pair(scene, gray(scene)) == (True, False)


def test_a_tint_is_found_although_a_channel_is_cut_off_in_bright_places(scene):
    bright = 2.0 * gray(scene)
    sepia = np.dstack([bright * share for share in (1.2, 1.0, 0.75)])
    picture = np.clip(np.rint(sepia), 0, 255).astype(np.uint8)

    assert (picture[..., 0] == 255).mean() > 0.3
    assert colours._is_tinted(picture)
    assert not colours._is_tinted(scene)


def test_colour_that_was_removed_and_another_curve_are_both_undone(scene):
    found = tones.equal_colours(scene, CURVES["gamma"][gray(scene)])

    assert found.is_mapped
    assert not found.may_hide_change
    assert not found.is_exact
    assert found.first.ndim == found.second.ndim == 2
    assert np.abs(found.first.astype(int) - found.second.astype(int)).mean() < 2
