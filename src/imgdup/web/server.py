"""Run the service on a port of this machine."""

import errno
import ipaddress
import os
import secrets
import socket
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette

from imgdup.errors import ImgdupError, UsageError
from imgdup.web.protocol import LimitedProtocol

TOKEN_BYTES = 24  # of a token that is made here
MIN_TOKEN = 8  # characters of one that is given
DRAIN_S = 2  # for open requests, after Ctrl-C
KEEP_ALIVE_S = 5
BACKLOG = 2048  # connections that wait to be accepted


class Address(NamedTuple):
    """Where the service listens; port 0 stands for any that is free."""

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

    Raises
    ------
    UsageError
        If it is too short, has other characters than a header may have, or is missing although
        other machines can reach the service.
    """
    if token is None:
        if not address.is_loopback:
            raise UsageError(
                f"other machines can reach {address.host}: choose a token that only those know who "
                "may see the pictures"
            )
        return secrets.token_urlsafe(TOKEN_BYTES)
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"a token has at least {MIN_TOKEN} characters of ASCII, and no spaces; without one, a "
            "new token is made"
        )
    return token


def listen(address: Address) -> socket.socket:
    """Open the port.

    Raises
    ------
    ImgdupError
        If it is taken, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With this protocol named, asyncio sends each part of an answer at once; else answers on a kept
    # connection wait 40 ms for an acknowledgement of their first part.
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
        raise ImgdupError(f"cannot listen at {where}: {error.strerror or error}") from error
    return listener


def run(app: Starlette, listener: socket.socket) -> None:
    """Serve until the process is interrupted; open requests then have two seconds."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,  # nothing of a request is written anywhere
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
