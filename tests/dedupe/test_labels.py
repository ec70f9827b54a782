"""Labels: the first folder below a root or a named folder, or a table's word."""

import os

import pytest

from array_rows import File, rows_of
from imgdup.dedupe.labels import folder_labels, read_labels, table_labels
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import images

FILES = [
    File(b"/data/cat/1.jpg"),
    File(b"/data/cat/old/2.jpg"),
    File(b"/data/d\xffg/3.jpg"),
    File(b"/data/4.jpg"),
]


def labels(of=folder_labels, rows=None, **options):
    rows = rows or rows_of(FILES)
    return of(rows=rows, selected=images(rows), **options)


def test_the_first_folder_below_the_root_is_the_label():
    assert labels() == [None, "cat", "cat", "d\udcffg"]


def test_a_named_folder_counts_as_the_root():
    assert labels(bases=[b"/data/cat", b"/data"]) == [None, None, "old", "d\udcffg"]


def test_files_named_one_by_one_have_no_label():
    assert labels(rows=rows_of(FILES, roots=(b"",))) == [None] * 4


def test_a_table_names_paths_below_the_root_or_absolute_ones(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_bytes(
        b'\xef\xbb\xbfpath,label\r\ncat/1.jpg,tom\r\n./cat/old/2.jpg,"a, b"\n\n'
        b"/data/d\xffg/3.jpg,rex,more\n"
    )

    table = read_labels(file)

    assert labels(table_labels, table=table) == [None, "tom", "a, b", "rex"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat/1.jpg", "line 1: expected a path and a label"),
        ("a,x\nb,y\na,z", "line 3: 'a' has two labels, 'x' and 'z'"),
        ('a,"x', "is not CSV"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, text, message):
    file = tmp_path / "labels.csv"
    file.write_text(text)

    with pytest.raises(UsageError, match=message):
        read_labels(file)


def test_a_table_that_is_not_there_or_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(ImgdupError, match=os.strerror(21)):
        read_labels(tmp_path)
