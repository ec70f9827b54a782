"""Read the parameters and the bodies of requests; what is wrong is refused with the reason."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from imgdup.system.records import Record, objects, parse_line, text
from imgdup.web.errors import Refused

MAX_DIGITS = 18

T = TypeVar("T")


def check_known(values: Mapping[str, str], known: set[str]) -> None:
    """Raise if a parameter is unknown: it would silently have no effect."""
    for name in values:
        if name not in known:
            raise Refused(422, "wrong-value", f"the parameters are {', '.join(sorted(known))}")


def flag(values: Mapping[str, str], name: str) -> bool:
    """Read a parameter that is true or false, false by default."""
    value = values.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise Refused(422, "wrong-value", f"{name} must be true or false")
    return value in ("true", "1")


def whole(values: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    """Read a parameter that is a whole number; None if it is not given."""
    given = values.get(name)
    if given is None:
        return None
    is_number = given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS
    if not is_number or not least <= int(given) <= most:
        words = f"{name} must be a whole number from {least:,} to {most:,}"
        raise Refused(422, "wrong-value", words)
    return int(given)


def object_of(body: bytes) -> Record:
    """Read the object of JSON that a body holds."""
    return as_refused(lambda: parse_line(body))


def objects_of(record: Record, key: str, most: int) -> list[Record]:
    """Read a list of objects, which may not be too long."""
    found = as_refused(lambda: list(objects(record, key)))
    if not 0 < len(found) <= most:
        raise Refused(422, "wrong-value", f"{key} may have 1 to {most:,} entries")
    return found


def texts_of(record: Record, known: set[str]) -> dict[str, str]:
    """Read an object of texts, as parameters of an address are; a number counts as its text."""
    if set(record) - known:
        raise Refused(422, "wrong-value", f"the filter has {', '.join(sorted(known))}")
    texts = {key: str(value) if type(value) is int else value for key, value in record.items()}
    return as_refused(lambda: {key: text(texts, key) for key in texts})


def as_refused(read: Callable[[], T]) -> T:
    """Call a function that reads a body; a ValueError means that the body is wrong."""
    try:
        return read()
    except ValueError as error:
        raise Refused(422, "wrong-value", str(error)) from error
