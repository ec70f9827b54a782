"""The store: one dict and its arrays in one file, mapped, whole or refused.

Oracle: ``oracles_store.read_store``, a second reader written from the layout's description. What
goes wrong with files is in test_faults_index.py.
"""

import os
import tracemalloc

import make_frozen
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.errors import IndexFormatError
from imgdup.index import layout, store
from imgdup.index.store import Column, load, save
from oracles_store import read_store

ARRAYS = hnp.arrays(
    st.sampled_from(store.DTYPES),
    st.tuples(st.integers(0, 50)) | st.tuples(st.integers(0, 50), st.integers(1, 4)),
)
HEADS = st.dictionaries(st.text(st.characters()), st.integers(-9, 9) | st.text(), max_size=4)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A file that is written again and again."""
    return tmp_path_factory.mktemp("store") / "file"


def tables(**arrays):
    """Arrays by name in a form that compares with ==, types included."""
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


@given(head=HEADS, arrays=st.dictionaries(st.text(), ARRAYS, max_size=5))
def test_what_is_saved_is_loaded_and_read_by_a_second_reader(scratch, head, arrays):
    save(scratch, head, arrays, sync=False)

    stored = load(scratch, verify=True)

    second_head, second_arrays = read_store(scratch.read_bytes())
    assert stored.head == second_head == head
    assert tables(**stored.arrays) == tables(**second_arrays) == tables(**arrays)


def test_arrays_are_aligned_read_only_views_of_one_map(tmp_path):
    save(tmp_path / "file", {}, {"a": np.arange(3.0), "b": np.arange(3.0)})

    arrays = load(tmp_path / "file").arrays

    assert [a.ctypes.data % layout.PAGE_BYTES for a in arrays.values()] == [0, 0]
    assert arrays["b"].ctypes.data - arrays["a"].ctypes.data == layout.PAGE_BYTES
    with pytest.raises(ValueError, match="read-only"):
        arrays["a"][0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        arrays["a"].flags.writeable = True


@pytest.mark.skipif(os.name == "nt", reason="files with holes need a call of their own")
def test_opening_needs_no_memory_and_reads_no_array(tmp_path):
    n_bytes = 1 << 36
    description = {"dtype": "<u8", "shape": [n_bytes // 8], "data": layout.BUFFER}
    pickled = layout.dumps({"head": {}, "arrays": {"hashes": description}})
    front = layout.pack(layout.PAGE_BYTES + n_bytes, [layout.Span(n_bytes, 0)], pickled)
    (tmp_path / "file").write_bytes(front)
    os.truncate(tmp_path / "file", layout.PAGE_BYTES + n_bytes)

    tracemalloc.start()
    stored = load(tmp_path / "file")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert stored.arrays["hashes"].shape == (1 << 33,)
    assert stored.arrays["hashes"][-1] == 0
    assert peak_bytes < 200_000


def test_equal_input_gives_equal_bytes_whatever_its_form(tmp_path):
    rows = np.arange(3_000_000, dtype="<u4").reshape(-1, 3)
    chunks = (rows[start : start + 7777] for start in range(0, len(rows), 7777))
    forms = {
        "plain": rows,
        "big-endian": rows.astype(">u4"),
        "columns first": np.asfortranarray(rows),
        "every second of": np.repeat(rows, 2, axis=0)[::2],
        "streamed": Column("<u4", rows.shape, chunks),
    }

    for name, form in forms.items():
        save(tmp_path / name, {"a": 1}, {"rows": form}, sync=False)

    assert len({(tmp_path / name).read_bytes() for name in forms}) == 1
    assert len({load(tmp_path / name).digest for name in forms}) == 1


@pytest.mark.parametrize(
    ("head", "array"), [({"a": 2}, [1]), ({"a": 1}, [2]), ({"a": 1}, [1, 0]), ({"b": 1}, [1])]
)
def test_the_digest_differs_where_the_content_does(tmp_path, head, array):
    save(tmp_path / "one", {"a": 1}, {"rows": np.array([1])})

    save(tmp_path / "other", head, {"rows": np.array(array)})

    assert load(tmp_path / "one").digest != load(tmp_path / "other").digest


def test_a_column_takes_no_more_memory_than_a_chunk(tmp_path):
    chunks = (np.full((1000, 4), number, np.uint64) for number in range(1000))

    tracemalloc.start()
    save(tmp_path / "file", {}, {"rows": Column("<u8", (1_000_000, 4), chunks)}, sync=False)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert load(tmp_path / "file", verify=True).arrays["rows"][::1000, 0].tolist() == [*range(1000)]
    assert peak_bytes < 300_000


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (Column("<u8", (3,), [np.zeros(2, "<u8")]), "has 2 rows, 3 were declared"),
        (Column("<u8", (1,), [np.zeros(2, "<u8")]), "has 2 rows, 1 were declared"),
        (Column("<u8", (2,), [np.zeros(2, "<i8")]), "declared <u8 .*got a chunk <i8"),
        (Column("<u8", (2, 1), [np.zeros(2, "<u8")]), r"\(2, 1\), got a chunk <u8 of shape \(2,\)"),
    ],
)
def test_a_column_that_is_not_as_declared_is_refused_and_changes_nothing(tmp_path, column, message):
    save(tmp_path / "file", {"old": 1}, {})

    with pytest.raises(ValueError, match=message):
        save(tmp_path / "file", {"new": 1}, {"rows": column})

    assert load(tmp_path / "file").head == {"old": 1}
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([1j]),
        np.array([True]),
        np.array([(1, 2)], "<u4,<u4"),
        np.array(["2020-01-01"], "M8[s]"),
    ],
    ids=lambda array: array.dtype.str,
)
def test_other_types_are_refused_before_anything_is_written(tmp_path, array):
    with pytest.raises(TypeError, match=r"^array 'rows' has dtype .*, expected one of \('\|u1', "):
        save(tmp_path / "file", {}, {"rows": array})

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 1, 1), (3, 0), (1, store.MAX_WIDTH + 1)])
def test_other_shapes_are_refused_before_anything_is_written(tmp_path, shape):
    with pytest.raises(ValueError, match="expected 1 to 4 dimensions"):
        save(tmp_path / "file", {}, {"rows": np.zeros(shape, np.uint8)})

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
def test_a_column_of_a_negative_shape_is_refused_before_anything_is_written(tmp_path, shape):
    with pytest.raises(ValueError, match="expected 1 to 4 dimensions"):
        save(tmp_path / "file", {}, {"rows": Column("<u8", shape, [])})

    assert os.listdir(tmp_path) == []


def test_too_many_arrays_are_refused(tmp_path):
    arrays = {f"array {n}": np.zeros(1) for n in range(257)}

    with pytest.raises(ValueError, match="257 arrays, at most 256 fit"):
        save(tmp_path / "file", {}, arrays)


def test_the_most_arrays_fit(tmp_path):
    arrays = {f"array {n}": np.array([n]) for n in range(256)}

    save(tmp_path / "file", {}, arrays, sync=False)

    assert tables(**load(tmp_path / "file").arrays) == tables(**arrays)


def test_a_head_that_is_not_plain_is_refused_and_its_place_named(tmp_path):
    with pytest.raises(TypeError, match=r"\['head'\]\['when'\] is of type float"):
        save(tmp_path / "file", {"when": 1.5}, {})

    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_the_callers_business(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "file")


def test_frozen_file_of_version_1_is_read_for_ever():
    path = make_frozen.path().parents[1] / "1" / "store"

    stored = load(path, verify=True)

    assert stored.head == make_frozen.HEAD
    assert tables(**stored.arrays) == tables(**make_frozen.arrays())
    assert stored.digest == "cb35be71f2a2ed676d848c14ab9ff0b6"


def test_frozen_file_is_what_is_written_today(tmp_path):
    save(tmp_path / "file", make_frozen.HEAD, make_frozen.arrays())

    assert (tmp_path / "file").read_bytes() == make_frozen.path().read_bytes()


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(scratch, data):
    for content in (data, layout.MAGIC + data, layout.pack(4096, [], b"")[:32] + data):
        scratch.write_bytes(content)
        with pytest.raises(IndexFormatError):
            load(scratch)
