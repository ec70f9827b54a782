"""Run the service on a port of this machine: HTTP/1.1 by uvicorn, within limits.

Each request has one deadline, and the number of connections is limited. A client that sends its
headers or its body byte by byte would otherwise keep its connection: a limit for each byte does
not stop it. Nothing here decides what a request may do.
"""

import asyncio
import errno
import ipaddress
import os
import secrets
import socket
from typing import Any, NamedTuple

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from imgdup.errors import ImgdupError, UsageError
from imgdup.web.requests import JSON, Refused, busy

RECEIVE_S = 10.0  # for the headers and the body of a request together
RESPONSE_S = 300.0  # for the whole of a request, until its response is sent
MAX_CONNECTIONS = 1024
TOKEN_BYTES = 24  # of a token that is made here
MIN_TOKEN = 8  # characters of one that is given
DRAIN_S = 2  # for open requests, after Ctrl-C
KEEP_ALIVE_S = 5
BACKLOG = 2048  # connections that wait to be accepted


class Address(NamedTuple):
    """Where the service listens; port 0 means any free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def checked_token(token: str | None, address: Address) -> str:
    """Return the token that is given, or a new one.

    Raises UsageError if it is too short, has other characters than a header may have, or is missing
    although other machines can reach the service.
    """
    if token is None:
        if not address.is_loopback:
            raise UsageError(
                f"other machines can reach {address.host}: choose a token that is known only to "
                "people who may see the pictures"
            )
        return secrets.token_urlsafe(TOKEN_BYTES)
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"a token must have at least {MIN_TOKEN} ASCII characters and no spaces; without one, "
            "a new token is made"
        )
    return token


def listen(address: Address) -> socket.socket:
    """Open the port.

    Raises ImgdupError if it is taken, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With this protocol named, asyncio sends each part of a response at once. Otherwise responses
    # on an open connection wait 40 ms for an acknowledgement of their first part.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # so that a restart needs no wait; elsewhere it would share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"{address.host}, port {address.port}"
        if error.errno == errno.EADDRINUSE:
            raise ImgdupError(f"{where} is in use; choose another port, or 0 for any") from error
        raise ImgdupError(f"cannot listen on {where}: {error.strerror or error}") from error
    return listener


def run(app: Starlette, listener: socket.socket) -> None:
    """Serve until the process is interrupted; open requests then have two seconds."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,  # nothing of a request is written anywhere, ...
        log_config=None,
        log_level="error",  # ... not even a line for each one that is no HTTP
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


class LimitedProtocol(H11Protocol):
    """One connection."""

    receive_s = RECEIVE_S
    response_s = RESPONSE_S
    max_connections = MAX_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving: asyncio.TimerHandle | None = None
        self._responding: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._receiving = self.loop.call_later(self.receive_s, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._receiving = _stopped(self._receiving)
        self._responding = _stopped(self._responding)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request, unless there are too many connections."""
        if len(self.connections) > self.max_connections:
            self._refuse(busy(f"there are more than {self.max_connections:,} connections"))
            return
        super().data_received(data)
        self._set_clocks()

    def on_response_complete(self) -> None:
        """Stop the clock of the response; the next request may have begun already."""
        self._responding = _stopped(self._responding)
        super().on_response_complete()
        self._set_clocks()

    def send_400_response(self, msg: str) -> None:
        """Respond to bytes that are not HTTP."""
        self._refuse(Refused(400, "bad-request", msg))

    def _set_clocks(self) -> None:
        """Let the clocks run while a request is being received, and until its response is sent."""
        state = self.conn.their_state
        waits = state is h11.IDLE and not self.conn.trailing_data[0]
        if waits or state not in (h11.IDLE, h11.SEND_BODY):
            self._receiving = _stopped(self._receiving)
        elif self._receiving is None:
            self._receiving = self.loop.call_later(self.receive_s, self._cut)
        is_open = self.cycle is not None and not self.cycle.response_complete
        if is_open and self._responding is None:
            self._responding = self.loop.call_later(self.response_s, self._cut)

    def _cut(self) -> None:
        """End the connection; data that waits to be sent may never be read."""
        self.transport.abort()

    def _refuse(self, refused: Refused) -> None:
        """Refuse without reading the request, and close the connection."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = refused.response()
            body = bytes(response.body)
            lines = [
                f"HTTP/1.1 {refused.status} {refused.error}",
                f"Content-Type: {JSON}",
                f"Content-Length: {len(body)}",
                "Connection: close",
                *(f"{name}: {value}" for name, value in refused.headers.items()),
            ]
            self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        self.transport.close()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a clock; return that there is none."""
    if timer is not None:
        timer.cancel()
    return None
