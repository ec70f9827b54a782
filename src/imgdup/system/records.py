"""Lines of JSON from an untrusted file -> records, whose members are checked one by one.

`imgdup.system.jsonl` writes them.
"""

import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imgdup.errors import PlanError
from imgdup.system.atomic import open_regular
from imgdup.system.files import DIGEST_BYTES
from imgdup.system.jsonl import json_path, path_from_json

MAX_LINE_BYTES = 1 << 20
MAX_INT = (1 << 63) - 1

Record = Mapping[str, Any]


def read_lines(path: Path) -> Generator[bytes, None, None]:
    """Yield the lines of a regular file, each with its newline.

    Close the generator if you do not read to the end.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    PlanError
        If a line is longer than any that imgdup writes.
    ImgdupError
        If it cannot be read.
    """
    with open_regular(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise PlanError(f"{path} has a line of more than {MAX_LINE_BYTES:,} bytes")
            yield line


def parse_line(line: bytes) -> Record:
    """Parse one line of JSON.

    Raises
    ------
    ValueError
        If it is not a JSON object, or has a key twice.
    """
    try:
        record = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if type(record) is not dict:
        raise ValueError("not a JSON object")
    return record


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an object has the same key twice")
    return record


def check_version(record: Record, kind: str, version: int) -> None:
    """Raise PlanError if this version of imgdup cannot read a file of such a version."""
    found = number(record, "version")
    if found != version:
        raise PlanError(
            f"this is a {kind} of version {found}, but this imgdup reads version {version}: "
            "use the imgdup that wrote it, or a newer one"
        )


def number(record: Record, key: str, most: int = MAX_INT, least: int = 0) -> int:
    """Return an integer of a record; raise ValueError if it is not one, or out of range."""
    value = record.get(key)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{key!r} must be an integer from {least} to {most}")
    return value


def text(record: Record, key: str) -> str:
    """Return a text of a record; raise ValueError if it is not one."""
    value = record.get(key)
    if type(value) is not str:
        raise ValueError(f"{key!r} must be a text")
    return value


def digest(record: Record, key: str) -> bytes:
    """Return a content digest of a record; raise ValueError if it is not one."""
    value = bytes.fromhex(text(record, key))
    if len(value) != DIGEST_BYTES:
        raise ValueError(f"{key!r} must be {2 * DIGEST_BYTES} hex digits")
    return value


def absolute_path(record: Record, key: str) -> bytes:
    """Return an absolute path without ``.`` and ``..``; raise ValueError if it is not one."""
    path = path_from_json(record, key)
    drive, within = os.path.splitdrive(os.fsdecode(path))
    parts = within.split("/")
    if not os.path.isabs(drive + within) or "\0" in within or {"", ".", ".."} & set(parts[1:]):
        raise ValueError(f"{key!r} must be an absolute path without empty parts, '.' and '..'")
    return path


def texts(record: Record, key: str) -> Iterator[str]:
    """Yield the texts of a list; raise ValueError if it is not one."""
    for value in _list(record, key):
        if type(value) is not str:
            raise ValueError(f"{key!r} must be a list of texts")
        yield value


def paths(record: Record, key: str) -> Iterator[bytes]:
    """Yield the paths of a list that `path_list` wrote; raise ValueError if it is not one."""
    for value in _list(record, key):
        if type(value) is not dict:
            raise ValueError(f"{key!r} must be a list of objects with a path")
        yield path_from_json(value)


def path_list(values: Iterable[bytes]) -> list[dict[str, str]]:
    """Return paths as a list of objects that JSON can hold without losing a byte."""
    return [json_path("path", value) for value in values]


def _list(record: Record, key: str) -> list[Any]:
    value = record.get(key)
    if type(value) is not list:
        raise ValueError(f"{key!r} must be a list")
    return value
