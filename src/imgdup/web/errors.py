"""What a request can be refused for: each error is a status and one object of JSON."""

from collections.abc import Mapping

from starlette.responses import Response

from imgdup.errors import ImageError, ImgdupError, IndexFormatError, LockedError, UsageError
from imgdup.system.records import json_line

JSON = "application/json"
# Reasons of `ImageError` that mean: this is not the file any more that was indexed.
GONE = ("missing", "unreadable", "changed")


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
        return busy("another process writes this file")
    if isinstance(error, UsageError):
        return Refused(422, "wrong-value", str(error) if show_paths else "a value cannot be used")
    detail = str(error) if show_paths else "the index cannot be used for this"
    if isinstance(error, IndexFormatError):
        return Refused(500, "damaged-index", detail)
    return Refused(409, "not-possible", detail)


def gone_or_unreadable(error: ImageError) -> Refused:
    """Return the refusal of an indexed picture that cannot be shown."""
    return Refused(410 if error.reason in GONE else 422, error.reason, error.detail)
