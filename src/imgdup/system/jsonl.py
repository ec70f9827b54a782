"""Records with paths -> lines of JSON: valid Unicode, and no byte of a path is lost."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any


def json_path(key: str, path: bytes) -> dict[str, str]:
    r"""Write a path as members of a JSON object, losing nothing.

    Parameters
    ----------
    key : str
        Name of the member.
    path : bytes
        The path.

    Returns
    -------
    dict
        ``key``: the path as valid Unicode. If that loses bytes, there is also ``key_b64``, the
        path in Base64; readers must use it.

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

    Parameters
    ----------
    key : str
        Name of the member.
    paths : sequence of bytes
        The paths.

    Returns
    -------
    dict
        ``key``: a list of valid Unicode. If that loses bytes of any path, there is also
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
    r"""Read a path that `json_path` wrote.

    Parameters
    ----------
    record : mapping
        An object of a JSON line.
    key : str
        Name of the member.

    Returns
    -------
    bytes
        The path, byte for byte.

    Raises
    ------
    ValueError
        If there is no such text, or ``key_b64`` is not Base64.

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


def json_line(record: Mapping[str, Any]) -> str:
    r"""Write a record as one line of JSON, in ASCII.

    Parameters
    ----------
    record : mapping
        The keys are written in their order. Values are those that JSON knows, NumPy numbers,
        lists and mappings of such values, and paths as bytes, which `json_path` writes (not
        directly in a list, which has no place for ``_b64``).

    Returns
    -------
    str
        The line, with its newline.

    Raises
    ------
    ValueError
        If a number is not finite, which JSON cannot hold.
    TypeError
        If JSON cannot hold a value.

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
        members |= json_path(key, value) if isinstance(value, bytes) else {key: _value(value)}
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
