"""Tables for a terminal: no line is wider than the terminal and no text is lost.

The oracle for "nothing is lost" is the text itself: without blanks and line ends, a table shows
exactly its fields. Widths are counted by Python's own Unicode tables.
"""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from imgdup.output import facts_lines, shown
from imgdup.output.tables import BLOCK_ROWS, table

HEADER = ["dist", "match", "dup", "size", "path"]
ROW = [3, 12, True, "640x480", b"/photos/2024/summer/beach/IMG_0001 (copy).jpg"]
NAMES = st.text(
    st.one_of(
        st.characters(
            codec="utf-8",
            max_codepoint=0x2FFF,
            exclude_categories=["Cn", "Mc", "Lo"],
            exclude_characters="\u200d\ufe0f",  # rich counts what they join as one character
        ),
        st.sampled_from("写真\u0301\u202e\n\t\\ a[]:"),
    ),
    min_size=1,
    max_size=60,
).map(lambda text: text.encode())
MARKUP = b"/[red]a[/red]/:smile:/[link=x]b/*c*/https://d/123.jpg"


def printed(*args, **options):
    return "".join(table(*args, **options))


def display_width(text):
    return sum(
        0
        if unicodedata.category(c) in {"Mn", "Me", "Cf"}
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def widest(text):
    return max(map(display_width, text.split("\n")))


@given(name=NAMES, width=st.integers(20, 100))
def test_a_path_is_one_piece_whatever_the_width(name, width):
    text = printed(HEADER, [[3, 12, True, "640x480", name]], width=width)

    assert shown(name).rstrip() in text


@given(name=NAMES, width=st.integers(20, 100), encoding=st.sampled_from(["ascii", "cp437"]))
def test_a_table_can_be_written_to_a_stream_of_any_encoding(name, width, encoding):
    text = printed(["dist", "path"], [[3, name]], width=width, encoding=encoding)

    assert text.encode(encoding)


def test_columns_are_aligned_and_numbers_are_on_the_right():
    text = printed(["n", "name", "path"], [[7, "a", b"x"], [1234, "bcd", b"y"]])

    assert text == "    n  name  path\n    7  a     x\n1,234  bcd   y\n"


def test_an_unknown_number_does_not_move_its_column():
    text = printed(["match", "path"], [[None, b"x"], [12, b"y"]])

    assert text == "match  path\n    -  x\n   12  y\n"


def test_wide_characters_count_twice():
    text = printed(["name", "path"], [["写真", b"x"], ["photo", b"y"]])

    assert text == "name   path\n写真   x\nphoto  y\n"


def test_a_long_name_continues_in_the_next_line():
    text = printed(HEADER, [ROW], width=60)

    assert text == (
        "dist  match  dup  size     path\n"
        "   3     12  yes  640x480  /photos/2024/summer/beach/IMG_0001 (copy).jpg\n"
    )


def test_a_narrow_terminal_gets_a_line_a_field():
    text = printed(HEADER, [ROW], width=20)

    assert text == (
        "dist   3\n"
        "match  12\n"
        "dup    yes\n"
        "size   640x480\n"
        "path   /photos/2024/summer/beach/IMG_0001 (copy).jpg\n"
    )


def test_rows_of_a_narrow_terminal_are_kept_apart():
    text = printed(HEADER, [ROW, ROW], width=20)

    assert text.count("\n\ndist") == 1


def test_a_table_without_rows_is_empty():
    assert printed(HEADER, []) == ""


def written(facts):
    return "".join(facts_lines(facts))


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError):
        printed(HEADER, [[1]])


def test_markup_and_emoji_codes_in_a_name_are_plain_text():
    text = printed(["dist", MARKUP.decode()], [[3, MARKUP]], width=200)

    assert text == f"dist  {MARKUP.decode()}\n   3  {MARKUP.decode()}\n"
    assert written({"root": MARKUP}) == f"root  {MARKUP.decode()}\n"


@pytest.mark.parametrize(
    "variable", ["FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "JUPYTER_COLUMNS"]
)
def test_the_environment_changes_nothing(monkeypatch, variable):
    plain = printed(HEADER, [ROW], width=70)
    monkeypatch.setenv(variable, "40")

    assert printed(HEADER, [ROW], width=70) == plain


def test_a_cell_of_several_lines_is_printed_under_one_another():
    text = printed(["n", "pair"], [[1, (b"/a.jpg", b"/b.jpg")], [12, (b"/c.jpg",)]], width=40)

    assert text == " n  pair\n 1  /a.jpg\n    /b.jpg\n12  /c.jpg\n"


def test_a_long_table_is_printed_in_blocks_with_one_header():
    rows = [[i, b"%d.jpg" % i] for i in range(BLOCK_ROWS + 2)]

    blocks = list(table(["number", "path"], iter(rows)))

    assert len(blocks) == 2
    lines = "".join(blocks).splitlines()
    assert lines[0] == "number  path"
    assert [tuple(line.split()) for line in lines[1:]] == [
        (f"{i:,}", f"{i}.jpg") for i in range(BLOCK_ROWS + 2)
    ]


@pytest.mark.parametrize("text", ["\u0301", "a\u0301" * 9 + "\u0301\u200b", "\u200d" * 4, ""])
def test_marks_without_a_width_are_kept(text):
    assert printed(["n", "path"], [[1, text]]) == f"n  path\n1  {text}".rstrip() + "\n"


def test_facts_are_a_name_and_a_value_a_line():
    text = written({"images": 1, "roots": [b"/a", b"/b"], "failed": [], "safe": True})

    assert text == "images  1\nroots   /a\n        /b\nfailed  -\nsafe    yes\n"


def test_an_empty_fact_leaves_no_blanks_at_the_end_of_its_line():
    assert written({"images": 1, "note": ""}) == "images  1\nnote\n"


def test_long_facts_are_one_piece():
    assert written({"index": b"/x" * 400}) == "index  " + "/x" * 400 + "\n"
