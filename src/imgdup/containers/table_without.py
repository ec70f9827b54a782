"""Write a Parquet or Arrow file without some of its rows, or with one more column.

Schema, metadata and compression stay, and so does the division in row groups or record batches, of
which those without a row are left out. This module needs pyarrow, an extra, so it is imported for
the first such file only.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from imgdup.containers import OpenFile, raise_if_unread
from imgdup.containers.table import ARROW_ERRORS, arrow_reader, one_line, record_batches
from imgdup.errors import ImageError, UsageError

CODECS = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}  # read under one name, written under another
HUGGING_FACE = b"huggingface"  # the key of what `datasets` writes
_ARROW_SCHEMA = b"ARROW:schema"  # the key of the schema in the metadata, if it is there


class TableRows:
    """An open Parquet or Arrow file; the place of a row is its number."""

    def __init__(self, file: OpenFile, kind: str) -> None:
        self._file = file
        self._kind = kind

    def write_without(self, places: Collection[int], out: BinaryIO) -> None:
        """Write it without the rows of some numbers; ImageError if it is damaged."""
        self._write(_Without(places), out)

    def write_tagged(self, column: str, tags: Mapping[int, str], out: BinaryIO) -> None:
        """Write it with one more column, of texts by the numbers of their rows, else null.

        Raises ImageError if it is damaged. Raises UsageError if it has a column of this name.
        """
        self._write(_Tagged(column, tags), out)

    def _write(self, change: "_Without | _Tagged", out: BinaryIO) -> None:
        try:
            self._file.raw.seek(0)
            if self._kind == "parquet":
                _write_parquet(self._file, change, out)
            else:
                _write_arrow(self._file, change, out)
        except UsageError:
            raise
        except ARROW_ERRORS as error:
            raise_if_unread(error)
            raise ImageError("damaged", one_line(error)) from error


def _write_parquet(file: OpenFile, change: "_Without | _Tagged", out: BinaryIO) -> None:
    """Write one row group after another; only one is in memory at a time."""
    source = pyarrow.parquet.ParquetFile(file.raw, pre_buffer=False)
    groups = (
        source.read_row_group(i, use_threads=False) for i in range(source.metadata.num_row_groups)
    )
    schema = change.schema(source.schema_arrow)
    with pyarrow.parquet.ParquetWriter(out, schema, **_settings(source)) as writer:
        for table in _changed(groups, change):
            writer.write_table(table, row_group_size=table.num_rows)
        metadata = change.metadata(source.metadata.metadata or {})
        if metadata and _ARROW_SCHEMA not in metadata:  # then the writer adds none by itself
            writer.add_key_value_metadata(metadata)


def _settings(source: Any) -> dict[str, Any]:
    """Return how a Parquet file was written, as far as its metadata says so."""
    metadata = source.metadata
    settings: dict[str, Any] = {
        "version": "1.0" if metadata.format_version == "1.0" else "2.6",
        "store_schema": _ARROW_SCHEMA in (metadata.metadata or {}),
    }
    if metadata.num_row_groups:
        first = metadata.row_group(0)
        columns = [first.column(i) for i in range(first.num_columns)]
        settings["compression"] = {
            each.path_in_schema: CODECS.get(each.compression, each.compression) for each in columns
        }
        with_dictionary = [each.path_in_schema for each in columns if each.has_dictionary_page]
        settings["use_dictionary"] = with_dictionary or False
        with_statistics = [each.path_in_schema for each in columns if each.is_stats_set]
        settings["write_statistics"] = with_statistics or False
        settings["sorting_columns"] = first.sorting_columns or None
    return settings


def _write_arrow(file: OpenFile, change: "_Without | _Tagged", out: BinaryIO) -> None:
    reader = arrow_reader(file)
    is_file = isinstance(reader, pyarrow.RecordBatchFileReader)
    new = pyarrow.ipc.new_file if is_file else pyarrow.ipc.new_stream
    with new(out, change.schema(reader.schema)) as writer:
        for batch in _changed(record_batches(reader), change):
            writer.write_batch(batch)


def _changed(parts: Iterator[Any], change: "_Without | _Tagged") -> Iterator[Any]:
    """Yield tables or record batches as they will be; those that lost all rows are left out."""
    first = 0
    for part in parts:
        n_rows = part.num_rows
        changed = change.part(part, first)
        if changed.num_rows or not n_rows:
            yield changed
        first += n_rows


class _Without:
    """Leaves out the rows of some numbers."""

    def __init__(self, places: Collection[int]) -> None:
        self._places = places

    def schema(self, schema: Any) -> Any:
        return schema

    def metadata(self, metadata: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return metadata

    def part(self, part: Any, first: int) -> Any:
        numbers = [i for i in range(part.num_rows) if first + i not in self._places]
        if len(numbers) == part.num_rows:
            return part
        return part.take(pyarrow.array(numbers, pyarrow.int64()))


class _Tagged:
    """Adds a text column, also to the features that Hugging Face keeps in the metadata."""

    def __init__(self, column: str, tags: Mapping[int, str]) -> None:
        self._column, self._tags = column, tags

    def schema(self, schema: Any) -> Any:
        if self._column in schema.names:
            raise UsageError(f"there is already a column {self._column!r}: choose another name")
        longer = schema.append(pyarrow.field(self._column, pyarrow.string()))
        return longer.with_metadata(self.metadata(schema.metadata or {}) or None)

    def metadata(self, metadata: dict[bytes, bytes]) -> dict[bytes, bytes]:
        try:
            facts = json.loads(metadata[HUGGING_FACE])
            facts["info"]["features"][self._column] = {"dtype": "string", "_type": "Value"}
        except (KeyError, TypeError, ValueError):  # there are no features
            return metadata
        return {**metadata, HUGGING_FACE: json.dumps(facts).encode()}

    def part(self, part: Any, first: int) -> Any:
        texts = [self._tags.get(first + i) for i in range(part.num_rows)]
        return part.append_column(self._column, pyarrow.array(texts, pyarrow.string()))
