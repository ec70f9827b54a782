"""The parts of a root: their text, what each holds, and how they join."""

import re

import pytest
from hypothesis import given, strategies as st

from imgdup.index.parts import MAX_PARTS, WHOLE, Part


@st.composite
def some_parts(draw):
    of = draw(st.integers(2, 30))
    numbers = draw(st.sets(st.integers(1, of), min_size=1, max_size=of - 1))
    return Part(tuple(sorted(numbers)), of)


@given(some_parts())
def test_a_part_is_read_as_it_was_written(part):
    assert Part.parse(str(part)) == part


@given(some_parts(), st.data())
def test_joined_parts_hold_what_one_of_them_holds(part, data):
    numbers = data.draw(st.sets(st.integers(1, part.of), min_size=1))
    other = Part(tuple(sorted(numbers)), part.of)

    for name in (b"%d" % i for i in range(200)):
        assert (part | other).holds(name) == (part.holds(name) or other.holds(name))


@pytest.mark.parametrize("of", [1, 2, 7, 100])
def test_every_name_is_in_exactly_one_part(of):
    parts = [Part((number,), of) for number in range(1, of + 1)]

    for name in (b"n%07d" % i for i in range(300)):
        assert sum(part.holds(name) for part in parts) == 1


def test_a_thousand_names_are_divided_evenly():
    sizes = [sum(Part((i,), 7).holds(b"n%07d" % name) for name in range(1000)) for i in range(1, 8)]

    assert max(sizes) < 1.2 * 1000 / 7


def test_what_is_in_a_folder_is_in_the_part_of_the_folder():
    part = next(p for p in (Part((1,), 3), Part((2,), 3), Part((3,), 3)) if p.holds(b"cats"))

    assert part.holds_path(b"cats/1.jpg")
    assert part.holds_path(b"cats/kittens/1.jpg")


def test_all_parts_together_are_the_whole():
    joined = Part((1, 3), 3) | Part((2,), 3)

    assert joined == WHOLE == Part.parse("1-3/3") == Part.parse("1/1")


def test_parts_of_two_divisions_do_not_join():
    with pytest.raises(ValueError, match=re.escape("1/2 and 1/3 are not of one division")):
        _ = Part((1,), 2) | Part((1,), 3)


@pytest.mark.parametrize(
    "text",
    [
        *["", "3", "3/", "/7", "0/7", "8/7", "3/0", "-1/7", "1.5/7", "1/7 ", "1 /7", "٣/7"],
        *["2-1/7", "1,1/7", "2,1/7", "1-3,3/7", "1-2-3/7", f"1/{MAX_PARTS + 1}", "1/100000"],
        ",".join(["1-9999"] * 9) + "/9999",
    ],
)
def test_text_that_names_no_part_is_refused(text):
    with pytest.raises(ValueError, match=r"is no part|expected ascending"):
        Part.parse(text)
