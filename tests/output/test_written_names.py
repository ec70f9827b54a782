r"""Names and fields in text: what is written can be read back, and commands no terminal.

Names are drawn from what file systems allow and people fear: newlines, tabs, quotes, backslashes
that look like escapes, text that reorders itself, bytes that are not UTF-8, lone surrogates.
"""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from imgdup.output import cell_text, escape, null_line, shown, tsv_line
from printed_lines import tsv_fields, unescape

RTL_OVERRIDE = "\u202e"
ODD = [
    b"new\nline.jpg",
    b"tab\there.jpg",
    b'quote".jpg',
    b"back\\slash\\n\\x41.jpg",
    b"-rf",
    f"photo{RTL_OVERRIDE}gpj.exe".encode(),
    b"caf\xe9.jpg",
    "cafe\u0301.jpg".encode(),
    "lone \ud800 surrogate".encode("utf-8", "surrogatepass"),
    b"\x1b[2Jclear the screen",
    "\x9b2J the same in one character".encode(),
    "line\u2028separator".encode(),
    b" ",
]
PATHS = st.one_of(
    st.sampled_from(ODD),
    st.binary(max_size=30).map(lambda data: data.replace(b"\0", b"")),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(str.encode),
)
ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "shift_jis", "utf-8"]


def reorders(character):
    return unicodedata.bidirectional(character) in {
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }


@given(path=PATHS)
def test_unescape_undoes_escape(path):
    assert unescape(escape(path)) == path


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(path=PATHS)
def test_shown_text_can_be_encoded_and_undone(encoding, path):
    text = shown(path, encoding)

    assert text.encode(encoding).decode(encoding) == text
    assert unescape(text.encode()) == path


@given(path=PATHS)
def test_shown_text_commands_no_terminal(path):
    text = shown(path)

    assert text.splitlines() == [text] or text == ""
    assert not [c for c in text if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not [c for c in text if reorders(c)]


@given(cells=st.lists(PATHS, min_size=1))
def test_tab_separated_fields_are_read_back(cells):
    line = tsv_line(cells)

    assert line.count(b"\n") == 1
    assert tsv_fields(line) == cells


def test_a_plain_name_is_not_changed():
    name = "Größe 写真 'a'.jpg"

    assert escape(name.encode()) == name.encode()
    assert shown(name.encode()) == name


def test_a_name_that_looks_escaped_is_not_mistaken_for_an_escape():
    assert unescape(escape(rb"a\x41\n")) == rb"a\x41\n"


def test_ascii_streams_get_escapes_for_the_rest():
    assert shown("é.jpg".encode(), "ascii") == r"\xc3\xa9.jpg"


def test_a_pipe_keeps_bytes_that_are_not_unicode():
    assert tsv_line([b"caf\xe9"]) == b"caf\xe9\n"


def test_text_with_surrogate_escapes_is_written_as_its_bytes():
    assert tsv_line(["caf\udce9"]) == b"caf\xe9\n"


def test_null_lines_are_raw():
    assert null_line(b"a\nb\xff") == b"a\nb\xff\0"


@pytest.mark.parametrize(
    ("cell", "text"), [(True, "yes"), (False, "no"), (None, "-"), (1234567, "1,234,567"), (0, "0")]
)
def test_a_cell_is_written_as_people_read_it(cell, text):
    assert cell_text(cell) == text
