"""Let in only allowed requests, read what they hold, and refuse what is wrong.

Host, origin, token, type and size are checked before the body is read, on every method. A page of
another site can make a browser send requests here: it can neither choose the name of this host, nor
hide its own, nor know the token.

A refusal is a response with a status and one JSON object: a word for programs and a sentence for
people.
"""

import contextlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgdup.errors import ImageError, ImgdupError, IndexFormatError, LockedError, UsageError
from imgdup.system.records import Record, json_line, objects, parse_line, text

JSON = "application/json"
# Reasons of `ImageError` that mean: this is not the file any more that was indexed.
GONE = ("missing", "unreadable", "changed")
MAX_DIGITS = 18  # of a whole number, or of a number of bytes

T = TypeVar("T")

MAX_IMAGE_BYTES = 64 << 20
MAX_JSON_BYTES = 4 << 20
MAX_WAITING_BYTES = 512 << 20  # of all bodies at a time
MAX_REQUESTS = 256  # that are handled or wait at a time

METHODS = ("GET", "HEAD", "POST")
OPEN_PATHS = ("/api/health", "/api/openapi.json")  # need no token
IMAGE = re.compile(r"image/[a-z0-9.+-]+", re.ASCII)
HEADERS = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Refused(Exception):
    """A request gets no result: a status, a word for programs, and a sentence without paths."""

    def __init__(
        self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the response: ``{"error": ..., "detail": ...}``."""
        content = json_line({"error": self.error, "detail": self.detail})
        return Response(content, self.status, self.headers, JSON)


def busy(detail: str) -> Refused:
    """Return the refusal of a request that may be sent again a little later."""
    return Refused(503, "busy", detail, {"Retry-After": "1"})


def refusal(error: ImgdupError, *, show_paths: bool) -> Refused:
    """Return the refusal for an error of the library.

    `show_paths` means that it may contain the text of the error, which may name a path.
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
    """Return the refusal for an indexed picture that cannot be shown."""
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


@dataclass(frozen=True)
class Access:
    """Who may use the service."""

    # What requests must name as ``Authorization: Bearer``; None asks for nothing.
    token: str | None = None
    # Names of this host that are accepted beside ``localhost`` and addresses.
    hosts: tuple[str, ...] = ()
    # Whether addresses of other interfaces than the loopback one are refused, too.
    only_loopback: bool = True


class Guard:
    """An ASGI application that passes on what it lets in, with the body in one piece."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._n_requests = 0
        self._n_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send_safely = _with_headers(send)
        try:
            n_bytes = _check(scope, self._access)
            with self._place(n_bytes):
                receive = await _received(receive, n_bytes)
                await self._app(scope, receive, send_safely)
        except Refused as refused:
            await refused.response()(scope, receive, send_safely)

    @contextlib.contextmanager
    def _place(self, n_bytes: int) -> Iterator[None]:
        """Take a place for a request and its body; raise if there is none."""
        if self._n_requests >= MAX_REQUESTS:
            raise busy(f"{MAX_REQUESTS} requests are waiting")
        if self._n_bytes + n_bytes > MAX_WAITING_BYTES:
            raise busy("too many large bodies are waiting")
        self._n_requests += 1
        self._n_bytes += n_bytes
        try:
            yield
        finally:
            self._n_requests -= 1
            self._n_bytes -= n_bytes


def _check(scope: Scope, access: Access) -> int:
    """Check the first line and the headers of a request; return the size of its body."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    host = _check_host(headers.get("host", []), access)
    path = scope["path"]
    _check_origin(headers, host, is_page=not path.startswith("/api/"))
    if scope["method"] not in METHODS:
        allowed = {"Allow": ", ".join(METHODS)}
        raise Refused(405, "method-not-allowed", f"use one of {', '.join(METHODS)}", allowed)
    if access.token and path.startswith("/api/") and path not in OPEN_PATHS:
        _check_token(headers.get("authorization", []), access.token)
    return _body_bytes(scope["method"], headers)


def _check_host(named: list[str], access: Access) -> str:
    """Return the host that a request names; raise if there are several or it is not this one.

    A page of another site can let its own name resolve to this machine, but not an address.
    """
    host = named[0].lower() if len(named) == 1 else ""
    name, port = _split_port(host)
    if not port or not (name == "localhost" or name in access.hosts or _is_address(name, access)):
        raise Refused(403, "wrong-host", "this service does not answer requests for that host name")
    return host


def _split_port(host: str) -> tuple[str, str]:
    """Return the name and the port of a host, 80 if it states none; empty if it is malformed."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", host, re.ASCII)
    return (match[1], match[2] or "80") if match else ("", "")


def _is_address(name: str, access: Access) -> bool:
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or not access.only_loopback


def _check_origin(headers: dict[str, list[str]], host: str, *, is_page: bool) -> None:
    """Raise if the browser names a page of another site as the sender; links are allowed."""
    own = (f"http://{host}", f"https://{host}")
    origins = [origin.lower() for origin in headers.get("origin", [])]
    sites = [] if is_page else headers.get("sec-fetch-site", [])
    if set(origins) - set(own) or set(sites) - {"same-origin", "none"}:
        raise Refused(403, "wrong-origin", "pages of other sites may not use this service")


def _check_token(given: list[str], token: str) -> None:
    """Raise unless the token is right; the time taken does not reveal where it differs."""
    scheme, _, value = (given[0] if len(given) == 1 else "").partition(" ")
    same = hmac.compare_digest(value.strip().encode("utf-8"), token.encode("utf-8"))
    if scheme.lower() != "bearer" or not same:
        raise Refused(
            401,
            "no-token",
            "send the token that the service printed, as in: Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )


def _body_bytes(method: str, headers: dict[str, list[str]]) -> int:
    """Return the size of a body by its header; raise if it may not be read."""
    lengths = headers.get("content-length", [])
    if method != "POST":
        if "transfer-encoding" in headers or any(length.strip("0") for length in lengths):
            raise Refused(400, "no-body", f"{method} has no body")
        return 0
    if "transfer-encoding" in headers or len(lengths) != 1:
        raise Refused(411, "no-length", "state the size of the body as Content-Length")
    most = _most_bytes(headers.get("content-type", []))
    if len(lengths[0].lstrip("0")) > MAX_DIGITS or int(lengths[0]) > most:
        raise Refused(413, "too-large", f"the body may have {most:,} bytes at most")
    return int(lengths[0])


def _most_bytes(types: list[str]) -> int:
    """Return how large a body of a type may be; raise if there is no such type.

    Forms of other sites can only send other types.
    """
    kind = types[0].partition(";")[0].strip().lower() if len(types) == 1 else ""
    if kind == JSON:
        return MAX_JSON_BYTES
    if IMAGE.fullmatch(kind):
        return MAX_IMAGE_BYTES
    raise Refused(415, "wrong-type", f"the body must be {JSON} or image/...")


async def _received(receive: Receive, n_bytes: int) -> Receive:
    """Read a whole body; return a function that gives it."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "disconnected", "the connection was closed")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    if len(body) != n_bytes:
        raise Refused(400, "wrong-length", f"the body has {len(body):,} bytes, not {n_bytes:,}")
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return messages.pop() if messages else await receive()

    return give


def _with_headers(send: Send) -> Send:
    """Add the headers that every response has."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name for name, _ in given}
            given += [(name, value) for name, value in HEADERS if name not in names]
            message = {**message, "headers": given}
        await send(message)

    return send_with_headers
