"""Clients of an application for an index, without a server."""

from starlette.testclient import TestClient

from imgdup.web.app import Access, ServeOptions, create_app

HOST = "http://127.0.0.1:8000"
TOKEN = "token-of-tests"


def client_of(folder, **options):
    """A client of an application for an index, which sends the token."""
    access = Access(TOKEN)
    app = create_app(folder / ".imgdup", ServeOptions(access, **{"show_paths": True, **options}))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(app, HOST, headers=headers, raise_server_exceptions=False)
