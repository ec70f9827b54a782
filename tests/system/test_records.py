"""Reading lines of JSON that anyone may have written: right ones are read, others are refused."""

import json
import os

import pytest
from hypothesis import given, strategies as st

from imgdup.errors import ImgdupError, PlanError
from imgdup.system import records
from imgdup.system.records import json_line

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: not set(b"/\0") & set(name) and name not in (b".", b"..")
)


def read_back(record):
    return records.parse_line(json_line(record).encode())


def test_lines_are_read_with_their_newlines(tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b"one\n\ntwo")

    assert list(records.read_lines(file)) == [b"one\n", b"\n", b"two"]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_line_over_the_limit_is_refused(tmp_path, monkeypatch, more):
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100)
    file = tmp_path / "lines"
    file.write_bytes(b"x" * (100 + more))

    if more > 0:
        with pytest.raises(PlanError, match="more than 100 bytes"):
            list(records.read_lines(file))
    else:
        assert list(records.read_lines(file)) == [b"x" * (100 + more)]


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(records.read_lines(tmp_path / "missing"))
    with pytest.raises(ImgdupError, match="not a regular file"):
        next(records.read_lines(tmp_path))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b"[1]", b"3", b'{"a": 1, "a": 1}', b"[" * 100_000]
)
def test_a_line_that_is_not_one_json_object_is_refused(line):
    with pytest.raises(ValueError):
        records.parse_line(line)


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_an_absolute_path_is_read_back_unchanged(names):
    path = b"/" + b"/".join(names)

    assert records.absolute_path(read_back({"path": path}), "path") == path


@pytest.mark.parametrize(
    "path", ["", "a", "./a", "/a/../b", "/a/./b", "/a//b", "/a/", "/a\0b", None, 3, ["/a"]]
)
@pytest.mark.skipif(os.name == "nt", reason="paths as on Unix")
def test_a_path_that_could_lead_elsewhere_is_refused(path):
    with pytest.raises(ValueError):
        records.absolute_path({"path": path}, "path")


def test_a_list_of_paths_is_read_back_unchanged():
    paths = [b"/a", b"/caf\xe9", b""]

    record = read_back({"roots": records.path_list(paths)})

    assert list(records.paths(record, "roots")) == paths


@pytest.mark.parametrize("value", [None, "a", [1], ["/a"], [{"path": 3}]])
def test_what_is_not_a_list_of_paths_is_refused(value):
    with pytest.raises(ValueError):
        list(records.paths({"roots": value}, "roots"))


@pytest.mark.parametrize("value", [0, 7, records.MAX_INT])
def test_a_number_in_range_is_read(value):
    assert records.number(read_back({"n": value}), "n") == value


@pytest.mark.parametrize("value", [-1, records.MAX_INT + 1, 1.0, True, "1", None])
def test_what_is_not_a_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match="'n' must be an integer from 0 to"):
        records.number({"n": value}, "n")


def test_texts_are_read_and_other_values_refused():
    assert records.text({"a": "x"}, "a") == "x"
    assert list(records.texts({"a": ["x", ""]}, "a")) == ["x", ""]
    for value in (None, 1, b"x", ["x", 1]):
        with pytest.raises(ValueError):
            list(records.texts({"a": value}, "a"))
    with pytest.raises(ValueError):
        records.text({"a": 1}, "a")


def test_a_digest_has_its_length():
    digest = bytes(range(16))

    assert records.digest({"d": digest.hex()}, "d") == digest
    for text in (digest.hex()[:-2], digest.hex() + "00", "zz" * 16, ""):
        with pytest.raises(ValueError):
            records.digest({"d": text}, "d")


def test_another_version_is_refused_and_both_are_named():
    records.check_version({"version": 1}, "plan", 1)

    with pytest.raises(PlanError, match=r"a plan of version 2, but this imgdup reads version 1"):
        records.check_version(json.loads('{"version": 2}'), "plan", 1)
