"""How one picture lies in another: found where it was cut out, and what both show is the same."""

import cv2
import numpy as np
import pytest

from encoded import photo
from imgdup.dedupe import alignment
from imgdup.dedupe.alignment import (
    Place,
    box_in_whole,
    cut_out,
    find_places,
    is_reverse,
    is_unmoved,
    refine,
    within,
)

WHOLE = photo(300, 400)
IDENTITY = np.eye(2, 3)


def place_of(box):
    """The matrix that takes a part to its box in the whole: left, top, width, height, 0 to 1."""
    left, top, width, height = box
    return np.array([[width, 0.0, left], [0.0, height, top]])


def cropped(box, scale=1.0):
    """The part of the whole in a box, at another scale."""
    rows, columns = WHOLE.shape[:2]
    left, top, width, height = box
    part = WHOLE[
        round(top * rows) : round((top + height) * rows),
        round(left * columns) : round((left + width) * columns),
    ]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=way)


def places_of(first, second):
    """The places that are found, refined."""
    return [refine(first, second, place) for place in find_places(first, second)]


BOXES = {
    "middle": (0.1, 0.1, 0.8, 0.8),
    "corner": (0.0, 0.0, 0.7, 0.8),
    "right": (0.25, 0.05, 0.75, 0.9),
}


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_part_is_found_where_it_was_cut_out(box, scale):
    place = places_of(WHOLE, cropped(box, scale))[0]

    left, top, width, height = box
    assert place.part_is_second
    np.testing.assert_allclose(
        box_in_whole(place.matrix), (left, top, left + width, top + height), atol=0.008
    )


def test_the_part_may_be_the_first_of_the_two():
    box = BOXES["middle"]

    place = places_of(cropped(box), WHOLE)[0]

    assert not place.part_is_second
    np.testing.assert_allclose(box_in_whole(place.matrix), (0.1, 0.1, 0.9, 0.9), atol=0.008)


def test_brightness_and_contrast_do_not_move_a_part():
    box = BOXES["corner"]
    darker = (cropped(box) * 0.7 + 20).astype(np.uint8)

    np.testing.assert_allclose(places_of(WHOLE, darker)[0].matrix, place_of(box), atol=0.01)


def test_a_gray_part_is_found_in_a_picture_in_colour():
    box = BOXES["middle"]
    gray = cv2.cvtColor(cropped(box), cv2.COLOR_RGB2GRAY)

    np.testing.assert_allclose(places_of(WHOLE, gray)[0].matrix, place_of(box), atol=0.01)


def test_equal_pictures_lie_on_each_other():
    for place in places_of(WHOLE, WHOLE.copy()):
        assert is_unmoved(place.matrix, WHOLE.shape)


def test_two_places_agree_if_each_is_the_reverse_of_the_other():
    there, back = places_of(WHOLE, cropped(BOXES["middle"]))[0], Place(False, np.eye(2, 3))
    square = np.vstack([there.matrix, [0, 0, 1]])
    reverse = Place(False, np.linalg.inv(square)[:2])

    beside = Place(False, reverse.matrix + np.array([[0, 0, 0.008], [0, 0, 0]]))
    apart = Place(False, reverse.matrix + np.array([[0, 0, 0.015], [0, 0, 0]]))

    assert is_reverse(reverse, there, WHOLE.shape)
    assert is_reverse(beside, there, WHOLE.shape)
    assert not is_reverse(apart, there, WHOLE.shape)
    assert not is_reverse(back, there, WHOLE.shape)
    assert not is_reverse(there, there, WHOLE.shape)


def test_pictures_that_show_different_things_have_no_place():
    noise = np.random.default_rng(3).integers(0, 256, (75, 100), np.uint8)
    other = cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC)

    assert list(find_places(WHOLE, other)) == []


def test_a_place_far_from_the_right_one_is_refined_as_long_as_that_gains():
    rough = Place(True, place_of((0.12, 0.08, 0.84, 0.76)))

    place = refine(WHOLE, cropped(BOXES["middle"]), rough)

    np.testing.assert_allclose(place.matrix, place_of(BOXES["middle"]), atol=1e-3)


def test_a_place_that_shows_something_else_is_not_refined(monkeypatch):
    moves = []
    monkeypatch.setattr(alignment.Mover, "move", lambda mover, n_rounds: moves.append(n_rounds))

    assert refine(WHOLE, np.ascontiguousarray(WHOLE[::-1]), Place(True, IDENTITY)) is None
    assert moves == []


def test_what_both_show_is_the_same_at_the_size_of_the_part():
    box = BOXES["middle"]
    part = cropped(box, 0.5)

    taken, shown, _ = cut_out(WHOLE, part, Place(True, place_of(box)))

    assert taken.shape == shown.shape
    assert np.all(np.divide(shown.shape[:2], part.shape[:2]) > 0.85)  # the edges are left out
    assert np.abs(taken.astype(int) - shown).mean() < 2


def test_a_part_that_lies_outside_for_the_most_part_shows_nothing_in_common():
    part = cropped(BOXES["middle"])

    assert cut_out(WHOLE, part, Place(True, place_of((0.8, 0.8, 0.8, 0.8)))) is None


def test_what_lies_outside_the_whole_is_left_out():
    part = WHOLE[30:270, 40:360]
    whole = np.ascontiguousarray(WHOLE[:, 80:])

    taken, shown, _ = cut_out(whole, part, Place(True, place_of((-0.125, 0.1, 1.0, 0.8))))

    assert taken.shape == shown.shape
    assert shown.shape[1] < 0.875 * part.shape[1]
    assert np.abs(taken.astype(int) - shown).mean() < 3


@pytest.mark.parametrize("part_is_second", [True, False])
def test_the_frame_is_where_the_first_picture_shows_what_both_show(part_is_second):
    part = cropped(BOXES["right"])
    pair = (WHOLE, part) if part_is_second else (part, WHOLE)

    shared = cut_out(*pair, Place(part_is_second, place_of(BOXES["right"])))

    left, top, right, bottom = shared.frame
    rows, columns = pair[0].shape[:2]
    framed = pair[0][
        round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)
    ]
    resized = cv2.resize(framed, shared.first.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(resized.astype(int) - shared.first).mean() < 2


def test_a_box_in_a_frame_lies_within_it():
    assert within((0.5, 0.2, 1.0, 0.6), (0.0, 0.5, 0.5, 1.0)) == pytest.approx(
        (0.5, 0.4, 0.75, 0.6)
    )


def test_the_box_is_kept_within_the_whole():
    assert box_in_whole(place_of((-0.5, 0.25, 1.0, 1.0))) == (0.0, 0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    ("move", "unmoved"), [((0, 0), True), ((0.9, 0), True), ((0, 1.1), False), ((1.1, 0.2), False)]
)
def test_a_picture_is_unmoved_if_its_corners_stay_within_a_pixel(move, unmoved):
    matrix = IDENTITY.copy()
    matrix[:, 2] = move[0] / 400, move[1] / 300

    assert is_unmoved(matrix, (300, 400)) is unmoved


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 7), (40, 3)], ids=str)
def test_tiny_pictures_have_places_of_finite_numbers(shape):
    part = WHOLE[: shape[0], : shape[1]]

    for place in places_of(WHOLE, part) + places_of(part, part):
        assert np.all(np.isfinite(place.matrix))
