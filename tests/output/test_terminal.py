"""Tables for a terminal: no line is wider than the terminal and no text is lost.

The oracle for "nothing is lost" is the text itself: without blanks and line ends, what a table
shows of its fields is the fields.
"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdup.output.lines import shown
from imgdup.output.terminal import display_width, facts_table, fold, rows_as_table

HEADER = ["dist", "pdq", "dup", "size", "path"]
ROW = [3, 12, True, "640x480", b"/photos/2024/summer/beach/IMG_0001 (copy).jpg"]
NAMES = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("写真\u0301\u202e\n\t\\ a")),
    min_size=1,
    max_size=60,
).map(lambda text: text.encode())


def widest(text):
    return max(display_width(line) for line in text.split("\n"))


def without_blanks(text):
    return "".join(text.split())


@given(name=NAMES, width=st.integers(20, 100))
def test_no_line_is_wider_than_the_terminal(name, width):
    table = rows_as_table(HEADER, [[3, 12, True, "640x480", name]], width=width)

    assert widest(table) <= width


@given(name=NAMES, width=st.integers(20, 100))
def test_names_are_folded_but_never_cut(name, width):
    table = rows_as_table(["dist", "path"], [[3, name]], width=width)

    assert without_blanks(table).endswith(without_blanks(shown(name)))


@given(name=NAMES, width=st.integers(20, 100), encoding=st.sampled_from(["ascii", "cp437"]))
def test_a_table_can_be_written_to_a_stream_of_any_encoding(name, width, encoding):
    table = rows_as_table(["dist", "path"], [[3, name]], width=width, encoding=encoding)

    assert table.encode(encoding)


def test_columns_are_aligned_and_numbers_stand_right():
    table = rows_as_table(["n", "name", "path"], [[7, "a", b"x"], [1234, "bcd", b"y"]])

    assert table == "    n  name  path\n    7  a     x\n1,234  bcd   y\n"


def test_an_unknown_number_does_not_move_its_column():
    table = rows_as_table(["pdq", "path"], [[None, b"x"], [12, b"y"]])

    assert table == "pdq  path\n  -  x\n 12  y\n"


def test_wide_characters_count_twice():
    table = rows_as_table(["name", "path"], [["写真", b"x"], ["photo", b"y"]])

    assert table == "name   path\n写真   x\nphoto  y\n"


def test_a_long_name_is_folded_under_its_column():
    table = rows_as_table(HEADER, [ROW], width=60)

    assert table == (
        "dist  pdq  dup  size     path\n"
        "   3   12  yes  640x480  /photos/2024/summer/beach/IMG_0001 \n"
        "                         (copy).jpg\n"
    )


def test_a_narrow_terminal_gets_a_line_a_field():
    table = rows_as_table(HEADER, [ROW], width=20)

    assert table == (
        "dist  3\n"
        "pdq   12\n"
        "dup   yes\n"
        "size  640x480\n"
        "path  /photos/2024/s\n"
        "      ummer/beach/IM\n"
        "      G_0001 (copy).\n"
        "      jpg\n"
    )


def test_rows_of_a_narrow_terminal_are_kept_apart():
    table = rows_as_table(HEADER, [ROW, ROW], width=20)

    assert table.count("\n\ndist") == 1


def test_no_rows_give_no_table():
    assert rows_as_table(HEADER, []) == ""


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError):
        rows_as_table(HEADER, [[1]])


@given(text=st.text(), width=st.integers(2, 30))
def test_fold_keeps_every_character(text, width):
    assert "".join(fold(text, width)) == text


@given(text=st.text())
def test_display_width_counts_marks_and_wide_characters(text):
    expected = sum(
        0
        if unicodedata.category(c) in {"Mn", "Me", "Cf"}
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )

    assert display_width(text) == expected


def test_facts_are_a_name_and_a_value_a_line():
    table = facts_table({"images": 1, "roots": [b"/a", b"/b"], "failed": [], "safe": True})

    assert table == "images  1\nroots   /a\n        /b\nfailed  -\nsafe    yes\n"


def test_long_facts_are_folded():
    assert widest(facts_table({"index": b"/x" * 40}, width=20)) == 20
