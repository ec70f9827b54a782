"""Read the parameters and bodies of requests, and refuse what is wrong.

A refusal is a response with a status and one JSON object: a word for programs and a sentence for
people.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.responses import Response

from imgdup.errors import ImageError, ImgdupError, IndexFormatError, LockedError, UsageError
from imgdup.system.records import Record, json_line, objects, parse_line, text

JSON = "application/json"
# Reasons of `ImageError` that mean: this is not the file any more that was indexed.
GONE = ("missing", "unreadable", "changed")
MAX_DIGITS = 18  # of a whole number

T = TypeVar("T")


class Refused(Exception):
    """A request gets no result.

    Parameters
    ----------
    status : int
        The status of the answer.
    error : str
        A word for programs.
    detail : str
        A sentence for people; it names no path.
    headers : mapping
        More headers of the answer.
    """

    def __init__(
        self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer: ``{"error": ..., "detail": ...}``."""
        content = json_line({"error": self.error, "detail": self.detail})
        return Response(content, self.status, self.headers, JSON)


def busy(detail: str, retry_s: int = 1) -> Refused:
    """Return the refusal of a request that may be sent again a little later."""
    return Refused(503, "busy", detail, {"Retry-After": str(retry_s)})


def refusal(error: ImgdupError, *, show_paths: bool) -> Refused:
    """Return the refusal that an error of the library means.

    Parameters
    ----------
    error : ImgdupError
    show_paths : bool
        Whether the answer may have the text of the error, which may name a path.
    """
    if isinstance(error, ImageError):
        return Refused(422, error.reason, error.detail)
    if isinstance(error, LockedError):
        return busy("another process is writing this file")
    if isinstance(error, UsageError):
        return Refused(422, "wrong-value", str(error) if show_paths else "a value cannot be used")
    detail = str(error) if show_paths else "the index cannot be used for this"
    if isinstance(error, IndexFormatError):
        return Refused(500, "damaged-index", detail)
    return Refused(409, "not-possible", detail)


def gone_or_unreadable(error: ImageError) -> Refused:
    """Return the refusal of an indexed picture that cannot be shown."""
    return Refused(410 if error.reason in GONE else 422, error.reason, error.detail)


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
