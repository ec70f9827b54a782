"""Write records with paths as lines of JSON without losing a byte, and read untrusted lines."""

import base64
import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgdup.errors import PlanError
from imgdup.system.files import DIGEST_BYTES, DIGEST_KINDS, FIRST_DIGEST_KIND, open_regular
from imgdup.system.paths import is_remote


def json_path(key: str, path: bytes) -> dict[str, str]:
    r"""Write a path as members of a JSON object, losing nothing.

    The member `key` is the path as valid Unicode. If that loses bytes, there is also ``key_b64``,
    the path in Base64; readers must use it.

    Examples
    --------
    >>> json_path("path", b"a.jpg")
    {'path': 'a.jpg'}
    >>> json_path("path", b"caf\xe9.jpg")
    {'path': 'caf\ufffd.jpg', 'path_b64': 'Y2Fm6S5qcGc='}
    """
    try:
        return {key: path.decode()}
    except UnicodeDecodeError:
        lossless = base64.b64encode(path).decode("ascii")
        return {key: path.decode("utf-8", "replace"), f"{key}_b64": lossless}


def json_paths(key: str, paths: Sequence[bytes]) -> dict[str, list[str]]:
    r"""Write a list of paths as members of a JSON object, losing nothing.

    The member `key` is a list of valid Unicode. If that loses bytes of any path, there is also
    ``key_b64``, all of them in Base64; readers must use it.

    Examples
    --------
    >>> json_paths("roots", [b"/photos", b"/caf\xe9"])
    {'roots': ['/photos', '/caf\ufffd'], 'roots_b64': ['L3Bob3Rvcw==', 'L2NhZuk=']}
    """
    texts = {key: [path.decode("utf-8", "replace") for path in paths]}
    if all(text.encode() == path for text, path in zip(texts[key], paths, strict=True)):
        return texts
    return {**texts, f"{key}_b64": [base64.b64encode(path).decode("ascii") for path in paths]}


def path_from_json(record: Mapping[str, Any], key: str = "path") -> bytes:
    r"""Read a path that `json_path` wrote, byte for byte.

    Raises ValueError if there is no such text, or ``key_b64`` is not Base64.

    Examples
    --------
    >>> path_from_json({"path": "caf\ufffd.jpg", "path_b64": "Y2Fm6S5qcGc="})
    b'caf\xe9.jpg'
    """
    lossless = record.get(f"{key}_b64")
    text = record.get(key) if lossless is None else lossless
    if not isinstance(text, str):
        raise ValueError(f"{key!r} must be a text, got {type(text).__name__}")
    if lossless is None:
        return text.encode()
    return base64.b64decode(text, validate=True)


PLAIN = (str, int, float, type(None))  # values of JSON that hold no paths


def json_line(record: Mapping[str, Any]) -> str:
    r"""Write a record as one line of JSON, in ASCII, with a newline; the keys keep their order.

    Values are those that JSON knows, NumPy numbers, lists and mappings of such values, and paths as
    bytes, which `json_path` writes (not directly in a list, which has no place for ``_b64``).
    Raises ValueError if a number is not finite, which JSON cannot hold. Raises TypeError if JSON
    cannot hold a value.

    Examples
    --------
    >>> json_line({"path": b"a.jpg", "distance": 3})
    '{"path": "a.jpg", "distance": 3}\n'
    """
    return json.dumps(_members(record), allow_nan=False, default=_plain_number) + "\n"


def _members(record: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the paths of a record by texts."""
    members: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, bytes):
            members |= json_path(key, value)
        else:
            members[key] = value if isinstance(value, PLAIN) else _value(value)
    return members


def _value(value: Any) -> Any:
    """Replace the paths inside a value by texts."""
    if isinstance(value, Mapping):
        return _members(value)
    return [_value(each) for each in value] if isinstance(value, list | tuple) else value


def _plain_number(value: Any) -> Any:
    """Return Python's number for NumPy's."""
    if not hasattr(value, "item"):
        raise TypeError(f"JSON cannot hold a {type(value).__name__}")
    return value.item()


MAX_LINE_BYTES = 1 << 20
MAX_INT = (1 << 63) - 1

Record = Mapping[str, Any]


def read_lines(path: Path) -> Generator[bytes, None, None]:
    """Yield the lines of a regular file, each with its newline.

    Close the generator if you do not read to the end. Raises FileNotFoundError if the file does not
    exist, PlanError if a line is longer than any that imgdup writes, and ImgdupError if it cannot
    be read.
    """
    with open_regular(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise PlanError(f"{path} has a line of more than {MAX_LINE_BYTES:,} bytes")
            yield line


def parse_line(line: bytes) -> Record:
    """Parse one line of JSON.

    Raises ValueError if it is not a JSON object, or has a key twice.
    """
    try:
        record = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {_reason(line, error)}") from error
    if type(record) is not dict:
        raise ValueError("not a JSON object")
    return record


def _reason(line: bytes, error: Exception) -> str:
    """Explain why a line could not be parsed, in plain words."""
    if not line.strip():
        return "the line is empty"
    if isinstance(error, UnicodeDecodeError):
        return "some bytes are not text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"it is damaged or cut off at character {error.pos + 1}"
    return str(error)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an object has the same key twice")
    return record


def check_version(record: Record, kind: str, version: int) -> None:
    """Raise PlanError if a file has a version that this imgdup cannot read."""
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


def digest_kind(record: Record) -> str:
    """Return the kind of a record's content digests; raise ValueError if there is no such kind."""
    kind = record.get("digest_kind", FIRST_DIGEST_KIND)
    if type(kind) is not str or kind not in DIGEST_KINDS:
        raise ValueError(f"'digest_kind' must be one of {', '.join(DIGEST_KINDS)}")
    return kind


def absolute_path(record: Record, key: str) -> bytes:
    """Return an absolute path, or an address, without ``.`` and ``..``; else raise ValueError."""
    path = path_from_json(record, key)
    drive, within = os.path.splitdrive(os.fsdecode(path))
    if is_remote(path):
        drive, within = "", within.partition(":/")[2]
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
    for value in objects(record, key):
        yield path_from_json(value)


def objects(record: Record, key: str) -> Iterator[Record]:
    """Yield the objects of a list; raise ValueError if it is not one."""
    for value in _list(record, key):
        if type(value) is not dict:
            raise ValueError(f"{key!r} must be a list of objects")
        yield value


def path_list(values: Iterable[bytes]) -> list[dict[str, str]]:
    """Return paths as a list of objects that JSON can hold without losing a byte."""
    return [json_path("path", value) for value in values]


def _list(record: Record, key: str) -> list[Any]:
    value = record.get(key)
    if type(value) is not list:
        raise ValueError(f"{key!r} must be a list")
    return value
