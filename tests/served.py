"""Clients of an application for an index, without a server; and a server in a thread."""

import contextlib
import socket
import threading

import uvicorn
from starlette.testclient import TestClient

from imgdup.web.app import Access, ServeOptions, create_app
from imgdup.web.server import LimitedProtocol

HOST = "http://127.0.0.1:8000"
TOKEN = "token-of-tests"
WAIT_S = 250


def client_of(folder, **options):
    """A client of an application for an index, which sends the token."""
    access = Access(TOKEN)
    app = create_app(folder / ".imgdup", ServeOptions(access, **{"show_paths": True, **options}))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(app, HOST, headers=headers, raise_server_exceptions=False)


@contextlib.contextmanager
def serving(app, protocol=LimitedProtocol):
    """Run a server in a thread; give its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=protocol, ws="none", log_config=None)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
