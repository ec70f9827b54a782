"""A small server on this machine that speaks as much of S3, or of the interface of Google or Azure,
as reading needs; it is a web server, too.

It keeps its objects in a dictionary, and logs each request as ``(method, key, range)``.
"""

import contextlib
import email.utils
import hashlib
import io
import json
import os
import tarfile
import threading
import time
import urllib.parse
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import pytest

BUCKET = "pictures"
SECRET = "SecretThatNobodyMaySee"
UPLOADED = 1_700_000_000  # seconds since 1970
ACCOUNT = "devstoreaccount1"  # of Azure's emulators
PAGE = 4  # keys in an answer to a list request: few, so that there are several


class ObjectServer(ThreadingHTTPServer):
    """A server of the objects in `objects`, a dictionary from key to bytes.

    Attributes
    ----------
    log : list of (method, key, range)
    heeds_if_match, has_ranges, has_etags : bool
        False for a server that ignores such headers, or sends none.
    weak : str
        Put before each etag: ``W/`` for weak ones, which match no condition.
    speaks : str
        Whose interface it has: ``"s3"``, ``"gs"`` or ``"az"``.
    status, code : int, str
        Of each answer, if it is an error, and its name; 0 for a server that works.
    before_get : callable
        Called with the key before each GET of an object.
    """

    daemon_threads = True

    def __init__(self, speaks="s3"):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.speaks = speaks
        self.objects, self.times, self.log = {}, {}, []
        self.heeds_if_match = self.has_ranges = self.has_etags = True
        self.status, self.code = 0, "AccessDenied"
        self.weak = ""
        self.before_get = lambda key: None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self):
        """The keys of the objects of which something was read."""
        return [key for method, key, _ in self.log if method == "GET" and key]

    def handle_error(self, request, client_address):
        """Print nothing where a client closes its connection early."""


@contextlib.contextmanager
def serving(speaks="s3"):
    server = ObjectServer(speaks)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # so that an answer is one packet

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        server = self.server
        address = urllib.parse.urlsplit(self.path)
        top = f"/{ACCOUNT}/{BUCKET}" if server.speaks == "az" else f"/{BUCKET}"
        key = urllib.parse.unquote(address.path).removeprefix(top).removeprefix("/")
        wanted = self.headers.get("Range", "")
        server.log.append((self.command, key, wanted))
        if with_body and key:
            server.before_get(key)
        if server.status:
            self._send(server.status, _error(server.code), {}, with_body=with_body)
        elif not key:
            query = dict(urllib.parse.parse_qsl(address.query))
            self._send(200, LISTS[server.speaks](server, query), {}, with_body=with_body)
        elif key not in server.objects:
            self._send(
                404,
                _error("BlobNotFound" if server.speaks == "az" else "NoSuchKey"),
                {},
                with_body=with_body,
            )
        else:
            self._send_object(key, wanted, with_body=with_body)

    def _send_object(self, key, wanted, *, with_body):
        server, data = self.server, self.server.objects[key]
        etag, status = server.weak + _etag(data), 200
        match = self.headers.get("If-Match")
        is_same = match is None or (match == etag and not server.weak)
        if server.heeds_if_match and server.has_etags and not is_same:
            self._send(412, _error("PreconditionFailed"), {}, with_body=with_body)
            return
        headers = {"Last-Modified": email.utils.formatdate(_time_of(server, key), usegmt=True)}
        if server.has_etags:
            headers["ETag"] = etag
        if wanted and server.has_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1 if last else len(data), len(data))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            data, status = data[start:stop], 206
        self._send(status, data, headers, with_body=with_body)

    def _send(self, status, data, headers, *, with_body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)
        self.wfile.flush()


def _etag(data):
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _time_of(server, key):
    return server.times.get(key, UPLOADED)


def _error(code):
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def _page(server, prefix, after):
    """The keys with a prefix that follow another one, and whether there are more."""
    keys = sorted(key for key in server.objects if key.startswith(prefix) and key > after)
    return keys[:PAGE], len(keys) > PAGE


def _listed(server, query):
    """The answer to ``list-type=2``."""
    page, has_more = _page(server, query.get("prefix", ""), query.get("continuation-token", ""))
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key>"
        f"<LastModified>{_written(_time_of(server, key))}</LastModified>"
        f"<ETag>{escape(_etag(server.objects[key]))}</ETag>"
        f"<Size>{len(server.objects[key])}</Size></Contents>"
        for key in page
    )
    more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if has_more else ""
    return (
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><IsTruncated>{'true' if has_more else 'false'}</IsTruncated>"
        f"<KeyCount>{len(page)}</KeyCount>{more}{entries}</ListBucketResult>"
    ).encode()


def _listed_as_azure(server, query):
    """The answer to ``comp=list``: times as in HTTP, and etags without quotes."""
    page, has_more = _page(server, query.get("prefix", ""), query.get("marker", ""))
    entries = "".join(
        f"<Blob><Name>{escape(key)}</Name><Properties>"
        f"<Last-Modified>{email.utils.formatdate(_time_of(server, key), usegmt=True)}"
        f"</Last-Modified><Etag>{_etag(server.objects[key])[1:-1]}</Etag>"
        f"<Content-Length>{len(server.objects[key])}</Content-Length>"
        "<Content-Type>image/jpeg</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
        for key in page
    )
    more = f"<NextMarker>{escape(page[-1])}</NextMarker>" if has_more else "<NextMarker/>"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{BUCKET}">'
        f"<Blobs>{entries}</Blobs>{more}</EnumerationResults>"
    ).encode()


# Google lists like Amazon.
LISTS = {"s3": _listed, "gs": _listed, "az": _listed_as_azure}


def _written(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def tarred(contents, mode="w"):
    """A tar file of contents by name, or of pairs of both where a name is repeated."""
    pairs = contents.items() if isinstance(contents, dict) else contents
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in pairs:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zipped(contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


CREDENTIALS = ("AWS_", "AZURE_", "AZURITE_", "GOOGLE_")  # variables begin like this


def environment_for(speaks, url):
    """The variables that give access to a server."""
    if speaks == "s3":
        return {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIAFORTHETESTS",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
    if speaks == "az":
        return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": url}
    key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "tester"}
    key |= {"private_key": SECRET, "private_key_id": SECRET}
    return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key)}


@contextlib.contextmanager
def access_to(speaks, url, monkeypatch):
    """Let the environment hold credentials for one server and for no other."""
    remote = pytest.importorskip("imgdup.containers.remote", reason="needs the extra remote")
    for name in [name for name in os.environ if name.startswith(CREDENTIALS)]:
        monkeypatch.delenv(name)
    for name, value in {**environment_for(speaks, url), "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    remote._store.cache_clear()
    yield
    remote._store.cache_clear()


@contextlib.contextmanager
def serving_as(speaks, monkeypatch):
    """A server whose bucket is read with the credentials in the environment."""
    with serving(speaks) as server, access_to(speaks, server.url, monkeypatch):
        yield server
