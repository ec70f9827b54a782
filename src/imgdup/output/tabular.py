r"""Records of one form -> JSON lines, CSV, Parquet, for other programs.

A record is a dict; a path in it is bytes. JSON gives a path that is no Unicode its ``_b64`` beside,
CSV writes such bytes as ``\udcff``, Parquet has paths as binary columns.
"""

import csv
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from imgdup.errors import ImgdupError
from imgdup.system.jsonl import json_line

Record = Mapping[str, Any]
Columns = Mapping[str, str]
"""Name -> kind: ``path`` (bytes), ``text``, or the name of an integer type such as ``uint32``."""

_ARROW_KINDS = {"path": "binary", "text": "string"}


def write_json(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write one JSON object a record and line; return how many."""
    del columns
    n_records = 0
    for record in records:
        out.write(json_line(record).encode())
        n_records += 1
    return n_records


def write_csv(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write a table in UTF-8 with a header; return how many records."""
    writer = csv.DictWriter(_Encoded(out), list(columns))
    writer.writeheader()
    n_records = 0
    for record in records:
        writer.writerow({k: os.fsdecode(v) if type(v) is bytes else v for k, v in record.items()})
        n_records += 1
    return n_records


class _Encoded:
    """Takes the text that a CSV writer makes; unlike Python's own wrapper it never closes `out`."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode("utf-8", "backslashreplace"))


def write_parquet(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write a Parquet file; return how many records.

    Raises
    ------
    ImgdupError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        remedy = "pip install pyarrow, or take CSV"
        raise ImgdupError(f"Parquet needs pyarrow: {remedy}") from error
    types = [
        (name, getattr(pyarrow, _ARROW_KINDS.get(kind, kind))()) for name, kind in columns.items()
    ]
    table = pyarrow.Table.from_pylist(list(records), schema=pyarrow.schema(types))
    pyarrow.parquet.write_table(table, out)
    return int(table.num_rows)


WRITERS: Mapping[str, Callable[[Iterable[Record], Columns, BinaryIO], int]] = {
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}
