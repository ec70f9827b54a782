"""Parquet and Arrow files that are written again without some of their rows.

Twin: the rows as pyarrow reads them, filtered as a list.
"""

import io
import json
import os

import pytest
from hypothesis import given, strategies as st

from imgdup.containers import PlainFile
from imgdup.containers.without import open_shard, open_table
from imgdup.errors import ImageError, UsageError
from imgdup.system.paths import kind_of

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")


def table_of(n_rows):
    columns = {
        "image": [{"bytes": bytes([i]) * 9, "path": f"{i}.jpg"} for i in range(n_rows)],
        "label": pa.array([i % 3 for i in range(n_rows)], pa.int8()).dictionary_encode(),
        "words": [["a"] * (i % 4) or None for i in range(n_rows)],
    }
    kinds = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns["image"] = pa.array(columns["image"], kinds)
    columns["words"] = pa.array(columns["words"], pa.list_(pa.string()))
    return pa.table(columns).replace_schema_metadata({"huggingface": '{"info": 1}'})


def without(path, numbers):
    file, out = PlainFile(os.fsencode(path)), io.BytesIO()
    try:
        open_shard(file, kind_of(os.fsencode(path))).write_without(numbers, out)
    finally:
        file.close()
    return out.getvalue()


def tagged(path, tags, column="tag"):
    file, out = PlainFile(os.fsencode(path)), io.BytesIO()
    try:
        open_table(file, kind_of(os.fsencode(path))).write_tagged(column, tags, out)
    finally:
        file.close()
    return out.getvalue()


def with_tags(table, tags):
    return [{**row, "tag": tags.get(i)} for i, row in enumerate(table.to_pylist())]


def left(table, gone):
    return [row for i, row in enumerate(table.to_pylist()) if i not in gone]


def group_sizes(n_rows, rows_a_group, gone):
    starts = range(0, n_rows, rows_a_group)
    sizes = [
        sum(i not in gone for i in range(start, min(start + rows_a_group, n_rows)))
        for start in starts
    ]
    return [size for size in sizes if size]


@given(
    n_rows=st.integers(1, 30),
    rows_a_group=st.integers(1, 10),
    gone=st.sets(st.integers(0, 30)),
    codec=st.sampled_from(["none", "snappy", "gzip", "brotli", "lz4", "zstd"]),
)
def test_a_parquet_file_keeps_all_but_the_rows(tmp_path_factory, n_rows, rows_a_group, gone, codec):
    table, path = table_of(n_rows), tmp_path_factory.mktemp("table") / "x.parquet"
    pq.write_table(table, path, row_group_size=rows_a_group, compression={"image.bytes": codec})

    new = pq.ParquetFile(io.BytesIO(without(path, gone)))

    assert new.read().to_pylist() == left(table, gone)
    old = pq.ParquetFile(path)
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    assert new.schema.equals(old.schema)
    groups = [new.metadata.row_group(i) for i in range(new.metadata.num_row_groups)]
    assert [each.num_rows for each in groups] == group_sizes(n_rows, rows_a_group, gone)
    first = old.metadata.row_group(0)
    for group in groups:
        for i in range(first.num_columns):
            assert group.column(i).compression == first.column(i).compression
    assert without(path, gone) == without(path, gone)


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_arrow_file_keeps_its_form_and_all_but_the_rows(tmp_path, is_stream):
    table, path = table_of(10), tmp_path / "x.arrow"
    new_file = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new_file(path, table.schema) as writer:
        for start in range(0, 10, 4):
            writer.write_table(table.slice(start, 4))

    new = without(path, {0, 8, 9})

    opened = (pa.ipc.open_stream if is_stream else pa.ipc.open_file)(io.BytesIO(new))
    assert opened.schema.equals(table.schema, check_metadata=True)
    assert opened.read_all().to_pylist() == left(table, {0, 8, 9})
    if not is_stream:
        assert opened.num_record_batches == 2


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(table_of(10), path)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(ImageError) as caught:
        without(path, {0})

    assert caught.value.reason == "damaged"


def test_the_metadata_of_other_writers_are_kept(tmp_path):
    path = tmp_path / "x.parquet"
    with pq.ParquetWriter(path, pa.schema({"a": pa.int64()}), store_schema=False) as writer:
        writer.write_table(pa.table({"a": [1, 2, 3]}))
        writer.add_key_value_metadata({"made": "elsewhere"})

    new = pq.ParquetFile(io.BytesIO(without(path, {1})))

    assert new.metadata.metadata == {b"made": b"elsewhere"}
    assert new.read().to_pydict() == {"a": [1, 3]}


@given(
    n_rows=st.integers(1, 30),
    rows_a_group=st.integers(1, 10),
    tags=st.dictionaries(st.integers(0, 30), st.text(max_size=4)),
)
def test_a_parquet_file_gets_a_column_of_tags_and_keeps_all_else(
    tmp_path_factory, n_rows, rows_a_group, tags
):
    table, path = table_of(n_rows), tmp_path_factory.mktemp("table") / "x.parquet"
    pq.write_table(table, path, row_group_size=rows_a_group)

    new = pq.ParquetFile(io.BytesIO(tagged(path, tags)))

    assert new.read().to_pylist() == with_tags(table, tags)
    old = pq.ParquetFile(path).schema_arrow
    assert new.schema_arrow.remove(3).equals(old, check_metadata=True)
    groups = [new.metadata.row_group(i).num_rows for i in range(new.metadata.num_row_groups)]
    assert groups == group_sizes(n_rows, rows_a_group, ())


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_arrow_file_gets_a_column_of_tags(tmp_path, is_stream):
    table, path = table_of(5), tmp_path / "x.arrow"
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)

    new = tagged(path, {4: "x.jpg"})

    opened = (pa.ipc.open_stream if is_stream else pa.ipc.open_file)(io.BytesIO(new))
    assert opened.read_all().to_pylist() == with_tags(table, {4: "x.jpg"})


def test_the_features_of_hugging_face_get_the_column_of_tags(tmp_path):
    path, features = tmp_path / "x.parquet", {"a": {"dtype": "int64", "_type": "Value"}}
    facts = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(facts), path)

    new = pq.read_schema(io.BytesIO(tagged(path, {})))

    found = json.loads(new.metadata[b"huggingface"])["info"]["features"]
    assert found == {**features, "tag": {"dtype": "string", "_type": "Value"}}


def test_a_column_that_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(table_of(2), path)

    with pytest.raises(UsageError, match="already a column 'label'"):
        tagged(path, {}, "label")
