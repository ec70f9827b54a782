r"""Write an index, or other records, for other programs: pickle, JSON lines, CSV, Parquet.

A record is a dict. In JSON a path that is not Unicode has its bytes beside it under ``..._b64``,
in CSV such bytes are written as ``\udcff``, in Parquet paths are binary columns.
"""

import csv
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np

from imgdup.build.tutorial import TUTORIAL_HASH, tutorial_key
from imgdup.errors import ImgdupError, UsageError
from imgdup.images.formats import format_of, reason_of
from imgdup.index.columns import PDQ, same_file
from imgdup.index.generation import GenerationRows
from imgdup.search import to_hex
from imgdup.system.files import common_mode, replacing
from imgdup.system.records import json_line

BLOCK_ROWS = 1 << 14  # rows turned into text at a time
COLUMNS = {
    "path": "path",
    "size": "int64",
    "mtime_ns": "int64",
    "width": "uint32",
    "height": "uint32",
    "format": "text",
    "quality": "uint8",
    "status": "text",
    "digest": "text",
    "hash": "text",
    "match": "text",
    "same_file_as": "path",
    "pdq": "text",
}
_ARROW_KINDS = {"path": "binary", "text": "string"}

Record = Mapping[str, Any]
Columns = Mapping[str, str]
"""The kind of each column: ``path`` (bytes), ``text``, or an integer type such as ``uint32``."""


def write_json(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write one JSON object per line; return the number of records."""
    del columns
    n_records = 0
    for record in records:
        out.write(json_line(record).encode())
        n_records += 1
    return n_records


def write_csv(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write a table in UTF-8 with a header; return the number of records."""
    writer = csv.DictWriter(_Encoded(out), list(columns))
    writer.writeheader()
    n_records = 0
    for record in records:
        writer.writerow({k: os.fsdecode(v) if type(v) is bytes else v for k, v in record.items()})
        n_records += 1
    return n_records


class _Encoded:
    """Passes the text of a CSV writer on as UTF-8; unlike io.TextIOWrapper it never closes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode("utf-8", "backslashreplace"))


def write_parquet(records: Iterable[Record], columns: Columns, out: BinaryIO) -> int:
    """Write a Parquet file; return the number of records.

    Raises ImgdupError if pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # an extra, and 0.3 s of start-up
    except ImportError as error:
        raise ImgdupError("Parquet needs pyarrow: pip install pyarrow, or use CSV") from error
    types = [
        (name, getattr(pyarrow, _ARROW_KINDS.get(kind, kind))()) for name, kind in columns.items()
    ]
    table = pyarrow.Table.from_pylist(list(records), schema=pyarrow.schema(types))
    pyarrow.parquet.write_table(table, out)
    return int(table.num_rows)


DataFrameLibrary = Literal["pandas", "polars"]


def data_frame(
    records: Iterable[Record], columns: Columns, library: DataFrameLibrary | None = None
) -> Any:
    """Return records as a data frame with columns of some kinds; paths become text.

    By default the library is the one that is imported, else the one that is installed, pandas
    first. Raises UsageError for another library, ImgdupError if it is not installed.
    """
    libraries = get_args(DataFrameLibrary)
    if library is not None and library not in libraries:
        raise UsageError(f"library must be one of {', '.join(libraries)}, got {library!r}")
    imported = [name for name in libraries if name in sys.modules]
    installed = [name for name in libraries if find_spec(name)]
    names = [library] if library else [*imported, *installed]
    if not names or names[0] not in installed:
        wanted = library or " or ".join(libraries)
        raise ImgdupError(f"{wanted} is not installed: pip install {library or libraries[0]}")
    rows = list(records)
    table = {
        name: [os.fsdecode(row[name]) if kind == "path" else row[name] for row in rows]
        for name, kind in columns.items()
    }
    return import_module(names[0]).DataFrame(table)


WRITERS: Mapping[str, Callable[[Iterable[Record], Columns, BinaryIO], int]] = {
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}


def export(rows: GenerationRows, form: str, file: Path) -> int:
    """Write the contents of an index to a file, whole or not at all; return the number of images.

    `form` is a key of `FORMATS`. Raises ImgdupError if the file cannot be written, or a package is
    missing.
    """
    mode = common_mode(map(rows.path, range(len(rows))))
    with replacing(file, sync=False, mode=mode) as out:
        return FORMATS[form](rows, out)


def export_pickle(index: GenerationRows, out: BinaryIO) -> int:
    """Write the hash dictionary of the tutorial, ``{hash: [paths]}``; return the number of paths.

    It uses only built-in types.
    """
    return _pickled(_hash_dictionary(index), out)


def export_tutorial_pickle(index: GenerationRows, out: BinaryIO) -> int:
    """Write the dictionary that index_images.py of the tutorial writes; return the number of paths.

    Its keys are those that the tutorial's code computes: hashes that float64 rounded.

    Raises ImgdupError if the index holds another hash.
    """
    generation = index.generation
    if generation.head["hash"] != TUTORIAL_HASH:
        raise ImgdupError(
            f"{generation.file.parent} holds the hash {generation.head['hash']}; make an index "
            f"that holds that of the tutorial: imgdup index DIR --hash {TUTORIAL_HASH} --index NEW"
        )
    table: dict[int, list[str]] = {}
    for number, paths in _hash_dictionary(index).items():
        table.setdefault(tutorial_key(number), []).extend(paths)
    return _pickled(table, out)


def _pickled(table: dict[int, list[str]], out: BinaryIO) -> int:
    out.write(pickle.dumps(table))
    return sum(map(len, table.values()))


def _hash_dictionary(index: GenerationRows) -> dict[int, list[str]]:
    """Return the paths of each hash, both sorted."""
    generation = index.generation
    rows = generation.checked_rows(generation.class_rows).tolist()
    table: dict[int, list[str]] = {}
    bounds = pairwise(generation.class_offsets.tolist())
    for words, (start, stop) in zip(generation.tree.by_row(), bounds, strict=True):
        number = int.from_bytes(words.tobytes(), "little")
        table[number] = [os.fsdecode(index.path(row)) for row in rows[start:stop]]
    return dict(sorted(table.items()))


def records(index: GenerationRows) -> Iterator[dict[str, Any]]:
    """Yield the facts of each file, in path order; the keys are `COLUMNS`, paths are bytes.

    Hashes and digests are hexadecimal text, empty where there are none; ``same_file_as`` is the
    first path of the same file, or empty.
    """
    for start in range(0, len(index), BLOCK_ROWS):
        rows = range(start, min(start + BLOCK_ROWS, len(index)))
        block = slice(rows.start, rows.stop)
        facts = [index.column(n)[block].tolist() for n in ("size", "mtime_ns", "width", "height")]
        h, match, pdq = (_texts(index, name, block) for name in ("hashes", "match", PDQ))
        digests = (row.tobytes().hex() for row in index.column("digest")[block])
        others = [index.column(n)[block].tolist() for n in ("format", "quality", "status")]
        first = same_file(index)[block].tolist()
        for row, a, (form, quality, status), digest, texts, same in zip(
            rows, zip(*facts, strict=True), zip(*others, strict=True), digests,
            zip(h, match, pdq, strict=True), first, strict=True,
        ):  # fmt: skip
            values = (
                index.path(row), *a, format_of(form), quality, reason_of(status), digest,
                *texts[:2], index.path(same) if same >= 0 else b"", texts[2],
            )  # fmt: skip
            yield dict(zip(COLUMNS, values, strict=True))


def _texts(index: GenerationRows, name: str, block: slice) -> list[str]:
    """Return hashes as hexadecimal text, empty where the index does not have them."""
    if name not in index.generation.arrays:
        return [""] * len(index.column("status")[block])
    return to_hex(np.asarray(index.column(name)[block]))


def _export_records(form: str) -> Callable[[GenerationRows, BinaryIO], int]:
    """Return a function that writes the records of an index in a format of `WRITERS`."""
    return lambda index, out: WRITERS[form](records(index), COLUMNS, out)


FORMATS: Mapping[str, Callable[[GenerationRows, BinaryIO], int]] = {
    "pickle": export_pickle,
    "tutorial-pickle": export_tutorial_pickle,
    **{form: _export_records(form) for form in WRITERS},
}
