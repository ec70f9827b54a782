"""JSON lines: any JSON reader takes them, any stream carries them, and paths come back whole."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.system.records import json_line, json_path, path_from_json

PATHS = st.one_of(
    st.sampled_from(
        [
            b"new\nline\t\"quote'.jpg",
            b"caf\xe9.jpg",
            "lone \ud800".encode("utf-8", "surrogatepass"),
            "\ufffd".encode(),
            "\u202egpj".encode(),
        ]
    ),
    st.binary(max_size=20),
)


@given(path=PATHS)
def test_a_path_is_read_back_unchanged(path):
    record = json.loads(json_line({"path": path}))

    assert path_from_json(record) == path


@given(path=PATHS)
def test_a_path_is_always_valid_unicode(path):
    record = json.loads(json_line({"path": path}))

    assert record["path"].encode("utf-8").decode("utf-8") == record["path"]


@given(path=PATHS)
def test_base64_is_added_only_where_bytes_would_be_lost(path):
    record = json_path("path", path)

    assert ("path_b64" in record) == (record["path"].encode() != path)


@given(path=PATHS)
def test_a_line_is_one_line_of_ascii(path):
    line = json_line({"path": path, "n": 1})

    assert line.isascii()
    assert line.splitlines() == [line[:-1]]


def test_base64_is_read_where_both_are_there():
    record = {"keep": "other", "keep_b64": base64.b64encode(b"\xff").decode()}

    assert path_from_json(record, "keep") == b"\xff"


@pytest.mark.parametrize(
    "record", [{}, {"path": 3}, {"path": "a", "path_b64": "!"}, {"path": "\ud800"}]
)
def test_what_is_not_a_path_is_refused(record):
    with pytest.raises(ValueError):
        path_from_json(record)


def test_paths_inside_are_written_too():
    record = json.loads(json_line({"roots": [{"path": b"\xff"}, {"path": b"a"}]}))

    assert record == {"roots": [{"path": "\ufffd", "path_b64": "/w=="}, {"path": "a"}]}


def test_numpy_numbers_are_numbers():
    record = {"distance": np.uint16(3), "duplicate": np.bool_(True), "seconds": np.float64(0.5)}

    assert json.loads(json_line(record)) == {"distance": 3, "duplicate": True, "seconds": 0.5}


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ValueError):
        json_line({"seconds": float("nan")})
    with pytest.raises(TypeError, match="JSON cannot hold a set"):
        json_line({"names": {"a"}})


def test_keys_keep_their_order():
    assert list(json.loads(json_line({"b": 1, "path": b"\xff", "a": 2}))) == [
        *("b", "path", "path_b64", "a")
    ]
