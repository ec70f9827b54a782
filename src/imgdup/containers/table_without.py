"""Write a Parquet or Arrow file without some of its rows.

Schema, metadata and compression stay, and so does the division in row groups or record batches, of
which those without a row are left out. This module needs pyarrow, an extra, so it is imported for
the first such file only.
"""

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from imgdup.containers.plain_file import OpenFile
from imgdup.containers.table import ARROW_ERRORS
from imgdup.errors import ImageError

CODECS = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}  # read under one name, written under another
_ARROW_SCHEMA = b"ARROW:schema"  # the key of the schema in the metadata, if it is there


class TableRows:
    """An open Parquet or Arrow file; the place of a row is its number.

    Parameters
    ----------
    file : OpenFile
    kind : str
        ``"parquet"`` or ``"arrow"``.
    """

    def __init__(self, file: OpenFile, kind: str) -> None:
        self._file = file
        self._kind = kind

    def write_without(self, places: Collection[int], out: BinaryIO) -> None:
        """Write it without the rows of some numbers; ImageError if it is damaged."""
        try:
            self._file.raw.seek(0)
            if self._kind == "parquet":
                _write_parquet(self._file, places, out)
            else:
                _write_arrow(self._file, places, out)
        except ARROW_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError("damaged", " ".join(str(error).split())[:200]) from error


def _write_parquet(file: OpenFile, places: Collection[int], out: BinaryIO) -> None:
    """Write one row group after another; a whole one is in memory at a time."""
    source = pyarrow.parquet.ParquetFile(file.raw, pre_buffer=False)
    groups = (
        source.read_row_group(i, use_threads=False) for i in range(source.metadata.num_row_groups)
    )
    with pyarrow.parquet.ParquetWriter(out, source.schema_arrow, **_settings(source)) as writer:
        for table in _kept(groups, places):
            writer.write_table(table, row_group_size=table.num_rows)
        metadata = source.metadata.metadata or {}
        if metadata and _ARROW_SCHEMA not in metadata:  # then the writer adds none by itself
            writer.add_key_value_metadata(metadata)


def _settings(source: Any) -> dict[str, Any]:
    """Return how a Parquet file was written, as far as it says so."""
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


def _write_arrow(file: OpenFile, places: Collection[int], out: BinaryIO) -> None:
    try:
        reader, new = pyarrow.ipc.open_file(file.raw), pyarrow.ipc.new_file
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    except pyarrow.ArrowInvalid:
        file.raw.seek(0)
        reader, new = pyarrow.ipc.open_stream(file.raw), pyarrow.ipc.new_stream
        batches = iter(reader)
    with new(out, reader.schema) as writer:
        for batch in _kept(batches, places):
            writer.write_batch(batch)


def _kept(parts: Iterator[Any], places: Collection[int]) -> Iterator[Any]:
    """Yield tables or record batches without some rows; those without any are left out."""
    first = 0
    for part in parts:
        n_rows = part.num_rows
        numbers = [i for i in range(n_rows) if first + i not in places]
        first += n_rows
        if len(numbers) == n_rows:
            yield part
        elif numbers:
            yield part.take(pyarrow.array(numbers, pyarrow.int64()))
