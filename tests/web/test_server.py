"""A real server on loopback: deadlines, connections, the end of the process, the command itself."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from subprocess import PIPE

import pytest

from cli_runs import IMGDUP, run
from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.dedupe.decisions import read_decisions
from imgdup.web.app import Access, ServeOptions, create_app
from imgdup.web.server import Address, LimitedProtocol, listen
from served import TOKEN, serving

HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
WAIT_S = 250


class Hasty(LimitedProtocol):
    receive_s = 0.5
    response_s = 30.0
    max_connections = 8


@pytest.fixture(scope="module")
def hasty(painted_index):
    """The port of a server that cuts a request after half a second."""
    app = create_app(painted_index / ".imgdup", ServeOptions(Access(TOKEN)))
    with serving(app, Hasty) as port:
        yield port


def trickled(port, parts):
    """Send parts, one every 0.05 s; return what came back when the server closed, else None."""
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(0.05)
        deadline = time.monotonic() + WAIT_S
        for part in parts:
            if time.monotonic() > deadline:
                return None
            try:
                client.sendall(part)
                data = client.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return received
            if not data:
                return received
            received += data
    return None


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /api/info HTT",
        b"GET /api/info HTTP/1.1\r\n" + HEAD,
        b"POST /api/query HTTP/1.1\r\n"
        + HEAD
        + b"Content-Type: image/png\r\nContent-Length: 9999\r\n\r\n",
    ],
    ids=["nothing", "line", "headers", "body"],
)
def test_a_request_that_trickles_in_is_cut(hasty, start):
    part = b"" if not start else b"x: y\r\n" if start.endswith(b"\r\n") else b"x"

    assert trickled(hasty, [start, *[part] * 10_000]) == b""


def test_a_second_request_that_trickles_in_is_cut(hasty):
    whole = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    received = trickled(hasty, [whole, b"GET /api/health HTTP/1.1\r\n", *[b"x: y\r\n"] * 10_000])

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1") == 1


def test_what_is_no_http_is_answered_by_json(hasty):
    received = trickled(hasty, [b"\x16\x03\x01\x02\x00\r\n\r\n", *[b""] * 100])

    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"] == "bad-request"


@pytest.mark.parametrize("length", [b"-1", b"1, 2", b"x", b"1_0"])
def test_a_length_that_is_none_is_a_bad_request(hasty, length):
    request = b"POST /api/query HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length + b"\r\n\r\n"

    received = trickled(hasty, [request, *[b""] * 100])

    assert received.startswith(b"HTTP/1.1 400 ")


def test_more_connections_than_allowed_get_503_and_a_time_to_try_again(hasty):
    request = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", hasty))) for _ in range(9)
        ]
        connections[-1].sendall(request)
        connections[-1].settimeout(WAIT_S)
        answer = connections[-1].recv(4096)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in answer


@contextlib.contextmanager
def command(place, *args, **options):
    """Run ``imgdup serve``; give the process and the address of its interface."""
    line = [*IMGDUP, "serve", "--index", str(place / ".imgdup"), "--token", TOKEN]
    process = subprocess.Popen(
        [*line, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        url, _, token = process.stdout.readline().strip().partition("/#token=")
        assert token == TOKEN, process.stderr.read()
        yield process, url
    finally:
        process.kill()
        process.communicate()


def asked(url, body=None):
    """Ask with the token; return the status and the record."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    headers |= {"Content-Type": "application/json"} if body is not None else {}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=250) as got:
            return got.status, json.loads(got.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no Ctrl-C to another process")
def test_ctrl_c_ends_the_service_with_0_and_the_port_is_free_again(painted_index):
    with command(painted_index) as (process, url):
        assert asked(f"{url}/api/health") == (200, {"status": "ok"})
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, "")

    with command(painted_index, "--port", url.rpartition(":")[2]) as (_, again):
        assert asked(f"{again}/api/health")[0] == 200


def test_parts_of_an_answer_are_sent_at_once():
    """Else the second answer on a connection takes 40 ms: asyncio asks the socket's protocol."""
    with listen(Address("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_port_that_is_in_use_is_named(painted_index, capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code = cli.main(["serve", "--index", str(painted_index / ".imgdup"), "--port", str(port)])

    assert code == 1
    out, err = capfd.readouterr()
    assert err == f"imgdup: 127.0.0.1, port {port} is in use; choose another port, or 0 for any\n"
    assert out == ""


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "other machines can reach 0.0.0.0: choose a token"),
        (["--token", "short"], 2, "a token must have at least 8 ASCII characters"),
        (["--token", "with some spaces"], 2, "a token must have at least 8 ASCII characters"),
        (["--port", "65536"], 2, "65536"),
        (["--host", "256.1.1.1", "--token", "long-enough"], 1, "cannot listen on 256.1.1.1"),
        (["--index", "nowhere"], 1, "no index in nowhere"),
    ],
)
def test_a_wrong_option_is_one_line(painted_index, monkeypatch, capsys, args, code, words):
    monkeypatch.setenv("IMGDUP_INDEX", str(painted_index / ".imgdup"))

    assert cli.main(["serve", *args]) == code

    err = capsys.readouterr().err
    assert words in err.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without its output")
def test_a_warning_is_printed_if_other_machines_can_reach_the_service(painted_index):
    line = [*IMGDUP, "serve", "--index", str(painted_index / ".imgdup"), "--token", TOKEN]
    process = subprocess.Popen([*line, "--host", "0.0.0.0"], stdout=PIPE, stderr=PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("http://0.0.0.0:")
    finally:
        process.terminate()
        _, err = process.communicate(timeout=WAIT_S)

    assert "other machines can reach 0.0.0.0; anyone who has the token can see the pictures" in err


def test_a_missing_extra_is_named(painted_index):
    script = "import sys; sys.modules['starlette'] = None; from imgdup import cli; "
    script += "sys.exit(cli.main(['serve', '--index', sys.argv[1]]))"
    line = [sys.executable, "-c", script, str(painted_index / ".imgdup")]

    done = subprocess.run(line, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == (
        "imgdup: imgdup serve needs more packages: pip install 'neardup[serve]'\n"
    )


def test_no_token_is_written_anywhere_but_in_the_first_line(painted_index):
    with command(painted_index) as (process, url):
        asked(f"{url}/api/info")
        asked(f"{url}/api/nowhere?token={TOKEN}")
        upgrade = (
            b"GET /api/info HTTP/1.1\r\n" + HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        )
        for request in (b"\x16\x03\x01 no HTTP\r\n\r\n", upgrade + b"\r\n"):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
                client.sendall(request)
                assert client.recv(8).startswith(b"HTTP/1.1")
        process.terminate()
        out, err = process.communicate(timeout=WAIT_S)

    assert (out, err) == ("", "")
    assert process.returncode == 143


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_no_decision_that_was_confirmed_is_lost_when_the_server_is_killed(place):
    confirmed = []
    killer = threading.Event()

    def decide(url, first):
        for n in range(first, first + 10_000):
            digest = f"{n:032x}"
            try:
                body = {"decisions": [{"decision": "keep", "digest": digest}]}
                status, _ = asked(f"{url}/api/decisions", body)
            except OSError:  # it was killed
                return
            assert status in (200, 503)
            if status == 200:
                confirmed.append(digest)
            if len(confirmed) >= 40:
                killer.set()

    with (
        command(place) as (process, url),
        concurrent.futures.ThreadPoolExecutor() as threads,
    ):
        running = [threads.submit(decide, url, 100_000 * i) for i in range(4)]
        assert killer.wait(WAIT_S)
        process.kill()
        for each in running:
            each.result(WAIT_S)

    kept = {each.digest.hex() for each in read_decisions(place / ".imgdup" / "decisions.jsonl")}
    assert len(confirmed) >= 40
    assert set(confirmed) <= kept
    with command(place) as (_, url):
        assert asked(f"{url}/api/decisions")[1]["n_decisions"] == len(kept)


def test_answers_are_right_or_refused_while_the_index_changes_and_workers_are_killed(place):
    picture = (place / "photos" / "p0.jpg").read_bytes()
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "image/jpeg",
    }

    def names(url):
        try:
            request = urllib.request.Request(f"{url}/api/query", picture, headers)
            with urllib.request.urlopen(request, timeout=250) as answer:
                found = json.loads(answer.read())["matches"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        return {each["path"].rpartition("/")[2] for each in found}

    with command(place) as (process, url), concurrent.futures.ThreadPoolExecutor(16) as threads:
        asking = [threads.submit(names, url) for _ in range(120)]
        for n in range(4):
            (place / "photos" / f"new{n}.txt.jpg").write_bytes(
                (place / "photos" / "p1.jpg").read_bytes() + bytes(n)
            )
            ImageIndex.build(place / "photos", place / ".imgdup", progress=False)
            _kill_a_worker(process.pid)
        answers = [each.result(WAIT_S) for each in asking]

    right = [each for each in answers if isinstance(each, set)]
    assert all({"p0.jpg", "copy.jpg", "q0.png"} <= each for each in right)
    assert all(each == 503 for each in answers if not isinstance(each, set))
    assert len(right) >= 60


def _kill_a_worker(pid):
    """End one of the processes that decode, if this system tells which they are."""
    with contextlib.suppress(OSError, ValueError):
        (template,) = _children(pid)
        os.kill(_children(template)[0], signal.SIGKILL)


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_help_needs_no_package_of_the_service():
    script = "import sys\nfrom imgdup import cli\ncli.main(['serve', '--help'])\n"
    script += "print([name for name in ('starlette', 'uvicorn', 'numpy') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "[]"
    assert run("serve", "--help").code == 0
