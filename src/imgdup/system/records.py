"""Lines of JSON that may come from anyone -> records, and their members checked one by one."""

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


def lines_of(path: Path) -> Generator[bytes, None, None]:
    """Yield the lines of a regular file, each with its newline; close it if you stop early.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    PlanError
        If a line is too long to be one of ours.
    ImgdupError
        If it cannot be read.
    """
    with open_regular(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise PlanError(f"{path} has a line of more than {MAX_LINE_BYTES:,} bytes")
            yield line


def parsed(line: bytes) -> Record:
    """Read one line of JSON.

    Raises
    ------
    ValueError
        If it is not JSON, or not an object without repeated keys.
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
        raise ValueError("a key stands twice in one object")
    return record


def check_version(record: Record, kind: str, version: int) -> None:
    """Raise PlanError if a file is of a version that this program does not read."""
    found = number(record, "version")
    if found != version:
        raise PlanError(
            f"a {kind} of version {found}, and this imgdup reads version {version}: "
            "use the imgdup that wrote it, or a newer one"
        )


def number(record: Record, key: str, most: int = MAX_INT, least: int = 0) -> int:
    """Return an integer of a record; ValueError if it is none or out of range."""
    value = record.get(key)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{key!r} must be an integer from {least} to {most}")
    return value


def text(record: Record, key: str) -> str:
    """Return a text of a record; ValueError if it is none."""
    value = record.get(key)
    if type(value) is not str:
        raise ValueError(f"{key!r} must be a text")
    return value


def digest(record: Record, key: str) -> bytes:
    """Return a content digest of a record; ValueError if it is none."""
    value = bytes.fromhex(text(record, key))
    if len(value) != DIGEST_BYTES:
        raise ValueError(f"{key!r} must be {2 * DIGEST_BYTES} hex digits")
    return value


def absolute_path(record: Record, key: str) -> bytes:
    """Return an absolute path of a record, without ``.`` and ``..``; ValueError if it is none."""
    path = path_from_json(record, key)
    drive, within = os.path.splitdrive(os.fsdecode(path))
    parts = within.split("/")
    if not os.path.isabs(drive + within) or "\0" in within or {"", ".", ".."} & set(parts[1:]):
        raise ValueError(f"{key!r} must be an absolute path without empty parts, '.' and '..'")
    return path


def texts(record: Record, key: str) -> Iterator[str]:
    """Yield the texts of a list; ValueError if it is none."""
    for value in _list(record, key):
        if type(value) is not str:
            raise ValueError(f"{key!r} must be a list of texts")
        yield value


def paths(record: Record, key: str) -> Iterator[bytes]:
    """Yield the paths of a list of objects that `path_list` wrote; ValueError if it is none."""
    for value in _list(record, key):
        if type(value) is not dict:
            raise ValueError(f"{key!r} must be a list of objects with a path")
        yield path_from_json(value)


def path_list(values: Iterable[bytes]) -> list[dict[str, str]]:
    """Write paths as a list that JSON can hold without losing a byte."""
    return [json_path("path", value) for value in values]


def _list(record: Record, key: str) -> list[Any]:
    value = record.get(key)
    if type(value) is not list:
        raise ValueError(f"{key!r} must be a list")
    return value
