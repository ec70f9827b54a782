"""HTTP/1.1 by uvicorn, with one deadline for each request and a limit of connections.

A client that sends its headers or its body byte by byte would otherwise keep its connection: a
limit for each byte does not stop it. Nothing decides here what a request may do.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from imgdup.web.errors import JSON, Refused, busy

RECEIVE_S = 10.0  # for the headers and the body of a request together
ANSWER_S = 300.0  # for the whole of a request, until its answer is sent
MAX_CONNECTIONS = 1024


class LimitedProtocol(H11Protocol):
    """One connection."""

    receive_s = RECEIVE_S
    answer_s = ANSWER_S
    max_connections = MAX_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving: asyncio.TimerHandle | None = None
        self._answering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request."""
        super().connection_made(transport)
        self._receiving = self.loop.call_later(self.receive_s, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._receiving = _stopped(self._receiving)
        self._answering = _stopped(self._answering)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request, unless there are too many connections."""
        if len(self.connections) > self.max_connections:
            self._refuse(busy(f"there are more than {self.max_connections:,} connections"))
            return
        super().data_received(data)
        self._set_clocks()

    def on_response_complete(self) -> None:
        """Stop the time for the answer; the next request may have begun already."""
        self._answering = _stopped(self._answering)
        super().on_response_complete()
        self._set_clocks()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Refused(400, "bad-request", msg))

    def _set_clocks(self) -> None:
        """Let the clocks run while a request is being received, and until it is answered."""
        state = self.conn.their_state
        waits = state is h11.IDLE and not self.conn.trailing_data[0]
        if waits or state not in (h11.IDLE, h11.SEND_BODY):
            self._receiving = _stopped(self._receiving)
        elif self._receiving is None:
            self._receiving = self.loop.call_later(self.receive_s, self._cut)
        is_open = self.cycle is not None and not self.cycle.response_complete
        if is_open and self._answering is None:
            self._answering = self.loop.call_later(self.answer_s, self._cut)

    def _cut(self) -> None:
        """End the connection; what waits to be sent may never be taken."""
        self.transport.abort()

    def _refuse(self, refused: Refused) -> None:
        """Answer without a look at the request, and end the connection."""
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
