"""The tutorial's dictionary of hashes: read from pickles of all ages, and from hostile ones."""

import os
import pickle
import subprocess

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracles_hashing as oracles
from imgdup.build.tutorial import changes, read_tutorial_pickle, tutorial_key
from imgdup.errors import ImgdupError

PATHS = ["101_ObjectCategories/accordion/image_0001.jpg", "plage d'été.jpg"]
HASH = 0xF0E1D2C3B4A59687
ROUNDED = int(float(HASH))
WRITTEN_BY_PYTHON_2 = b"(dp0\nL17356517385562371090L\n(lp1\nS'photos/a.jpg'\np2\nas."


def read(tmp_path, data):
    file = tmp_path / "hashes.pickle"
    file.write_bytes(data)
    return read_tutorial_pickle(file)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("key", "number"),
    [
        (ROUNDED, ROUNDED),
        (HASH, HASH),
        (float(HASH), ROUNDED),
        (np.float64(HASH), ROUNDED),
        (np.uint64(HASH), HASH),
        (np.int64(HASH - 2**64), HASH),
        (2**64, 2**64),
        (0, 0),
    ],
    ids=["rounded", "exact", "float", "float64", "uint64", "int64", "rounded-up", "zero"],
)
def test_keys_of_every_kind_and_protocol_are_read(tmp_path, protocol, key, number):
    found = read(tmp_path, pickle.dumps({key: PATHS}, protocol))

    assert found.paths == [os.fsencode(path) for path in PATHS]
    assert found.keys == [number, number]
    assert found.is_rounded == (number != HASH)


def test_a_dictionary_of_python_2_and_a_number_of_an_older_numpy_are_read(tmp_path):
    older = pickle.dumps({np.float64(HASH): ["a.jpg"]}, 2).replace(b"numpy._core", b"numpy.core")

    assert read(tmp_path, WRITTEN_BY_PYTHON_2).paths == [b"photos/a.jpg"]
    assert read(tmp_path, WRITTEN_BY_PYTHON_2).keys == [17356517385562371090]
    assert read(tmp_path, older).keys == [ROUNDED]


class _Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


SHARED = ["a.jpg"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (pickle.dumps({1: _Calls(os.system, "touch pwned")}), r"it asks for \w+\.system"),
        (pickle.dumps(_Calls(eval, "1"), 0), r"it asks for \w+\.eval"),
        (pickle.dumps({1: _Calls(subprocess.Popen, ["touch", "pwned"])}), "subprocess.Popen"),
        (pickle.dumps({np.float32(1): ["a.jpg"]}), "numbers of the kind 'f4'"),
        (pickle.dumps({1: [_Calls(np.dtype, "O")]}), "a path that cannot be one"),
        (pickle.dumps({1: ["a.jpg"]}, 2)[:-1] + b"r\xff\xff\xff\x7f.", "impossible memo number"),
        (pickle.dumps({1: SHARED, 2: SHARED}), "no list of paths of its own"),
        (pickle.dumps({1: "a.jpg"}), "the hash 1 has no list of paths"),
        (pickle.dumps({1: [""]}), "a path that cannot be one"),
        (pickle.dumps({1: ["a\0b"]}), "a path that cannot be one"),
        (pickle.dumps({1: [17]}), "a path that cannot be one"),
        (pickle.dumps({"one": ["a.jpg"]}), "'one' is not a hash"),
        (pickle.dumps({True: ["a.jpg"]}), "True is not a hash"),
        (pickle.dumps({float("nan"): ["a.jpg"]}), "nan is not a hash"),
        (pickle.dumps({0.5: ["a.jpg"]}), "0.5 is not a hash"),
        (pickle.dumps({2**65: ["a.jpg"]}), "is no hash of 64 bits"),
        (pickle.dumps({10**400: ["a.jpg"]}), "is no hash of 64 bits"),
        (pickle.dumps({}), "an empty dictionary"),
        (pickle.dumps([1, 2]), "no dictionary"),
        (pickle.dumps({1, 2}), "more than numbers and paths"),
        (b"", "not a valid pickle"),
        (b"\xff\xd8\xff\xe0 a picture", "not a valid pickle"),
        (pickle.dumps({1: ["a.jpg"]})[:-4], "not a valid pickle"),
    ],
)
def test_anything_else_is_refused_in_one_line_and_runs_nothing(
    tmp_path, monkeypatch, data, complaint
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ImgdupError, match=complaint) as caught:
        read(tmp_path, data)

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@given(data=st.data())
def test_damaged_pickles_are_read_or_refused(tmp_path_factory, data):
    whole = bytearray(pickle.dumps({HASH: PATHS, np.float64(1): ["b.jpg"]}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()

    try:
        found = read(folder, bytes(whole))
    except ImgdupError as error:
        assert str(folder) in str(error)
    else:
        assert len(found.paths) == len(found.keys)


@given(st.integers(0, 2**64 - 1))
def test_keys_are_rounded_as_the_tutorial_rounds_them(value):
    assert tutorial_key(value) == oracles.tutorial_key(value)


def test_changes_are_counted_in_bits_after_rounding():
    exact = changes([7, HASH], [5, HASH], is_rounded=False)
    rounded = changes([ROUNDED], [HASH], is_rounded=True)

    assert exact.bits == [1, 0]
    assert (exact.n_unchanged, exact.median) == (1, 1)
    assert rounded.bits == [0]
    assert (rounded.n_unchanged, rounded.median) == (1, 0)
