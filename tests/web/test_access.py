"""What must not come in, and what must not go out.

Bodies that are too large, bombs, names of other hosts, pages of other sites, addresses that climb,
hidden paths.
"""

import json
import struct

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from hostile_files import chunk, png_of_zeros, png_with_bombs, with_jpeg_size
from imgdup.errors import ImageError, ImgdupError, IndexFormatError, LockedError, UsageError
from imgdup.web.app import Access, ServeOptions, create_app
from imgdup.web.requests import MAX_IMAGE_BYTES, gone_or_unreadable, refusal
from served import HOST, TOKEN, client_of

ADDRESSES = [
    ("GET", "/"),
    ("GET", "/api/health"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/info"),
    ("POST", "/api/query"),
    ("GET", "/api/images/0-0"),
    ("GET", "/api/images/0-0/thumbnail"),
    ("GET", "/api/groups"),
    ("GET", "/api/decisions"),
    ("POST", "/api/decisions"),
    ("POST", "/api/plan"),
]
OTHER_METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
NEED_NO_TOKEN = ("/", "/api/health", "/api/openapi.json")
PNG = {"Content-Type": "image/png"}


def word(answer):
    assert set(answer.json()) == {"error", "detail"}
    return answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.5:8000",
        "0.0.0.0",
        "[::2]:8000",
        "127.0.0.1:8000:8000",
        "user@127.0.0.1",
        "2130706433",
        "",
    ],
)
def test_another_host_is_refused_on_every_method_and_address(served, host):
    asked = [*ADDRESSES, *((method, "/api/info") for method in OTHER_METHODS)]
    for method, address in asked:
        answer = served.request(method, address, headers={"Host": host})

        assert (answer.status_code, word(answer)) == (403, "wrong-host"), (method, address)


@pytest.mark.parametrize(
    "host", ["localhost:1", "127.0.0.1", "127.8.8.8:9", "[::1]:8000", "LOCALHOST"]
)
def test_the_names_of_this_machine_are_accepted(served, host):
    assert served.get("/api/info", headers={"Host": host}).status_code == 200


def test_more_names_of_the_machine_are_accepted_if_they_are_allowed(painted_index):
    access = Access(hosts=("photos.example",), only_loopback=False)
    client = TestClient(create_app(painted_index / ".imgdup", ServeOptions(access)), HOST)

    for host, status in (("photos.example:80", 200), ("192.168.1.5", 200), ("other.example", 403)):
        assert client.get("/api/info", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_can_ask_nothing(served, header):
    for method, address in [*ADDRESSES[1:], ("OPTIONS", "/api/query"), ("DELETE", "/api/plan")]:
        answer = served.request(method, address, headers=header)

        assert (answer.status_code, word(answer)) == (403, "wrong-origin"), (method, address)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_own_page_may_ask_and_another_site_may_link_to_it(served):
    own = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}

    assert served.get("/api/info", headers=own).status_code == 200
    assert served.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_other_methods_than_get_head_and_post_are_refused(served, method):
    answer = served.request(method, "/api/info")

    assert (answer.status_code, word(answer)) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer",
        "Bearer caf\xe9",
    ],
)
def test_without_the_token_nothing_of_the_index_is_sent(painted_index, method, address, given):
    client = TestClient(create_app(painted_index / ".imgdup", ServeOptions(Access(TOKEN))), HOST)
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}

    answer = client.request(method, address, headers=headers)

    if address in NEED_NO_TOKEN:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, word(answer)) == (401, "no-token")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_token_does_not_count_in_the_address(painted_index):
    client = TestClient(create_app(painted_index / ".imgdup", ServeOptions(Access(TOKEN))), HOST)

    assert client.get(f"/api/info?token={TOKEN}").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"Content-Length": "100000000000"}, 413, "too-large"),
        ({"Content-Length": str(MAX_IMAGE_BYTES + 1)}, 413, "too-large"),
        ({"Content-Length": "9" * 400}, 413, "too-large"),
        ({"Transfer-Encoding": "chunked"}, 411, "no-length"),
        ({}, 411, "no-length"),
        (
            {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1"},
            415,
            "wrong-type",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "1"},
            415,
            "wrong-type",
        ),
        ({"Content-Type": "text/plain", "Content-Length": "1"}, 415, "wrong-type"),
        ({"Content-Type": "", "Content-Length": "1"}, 415, "wrong-type"),
        ({"Content-Type": "application/json", "Content-Length": "4194305"}, 413, "too-large"),
    ],
)
def test_a_body_is_refused_by_its_headers_before_it_is_read(served, headers, status, error):
    """The client sends no body at all: whoever waited for one would not answer."""
    request = served.build_request("POST", "/api/query", headers={**PNG, **headers})
    request.headers.pop("content-length", None) if "Content-Length" not in headers else None

    answer = served.send(request)

    assert (answer.status_code, word(answer)) == (status, error)


def test_a_request_without_a_body_may_not_have_one(served):
    answer = served.request("GET", "/api/info", content=b"x")

    assert (answer.status_code, word(answer)) == (400, "no-body")


@pytest.mark.parametrize(
    "address",
    [
        "/api/images/../../etc/passwd",
        "/api/images/..%2f..%2fetc%2fpasswd/thumbnail",
        "/api/images/%2e%2e/thumbnail",
        "/api/images//etc/passwd",
        "/api/images/%00/thumbnail",
        "/../pyproject.toml",
        "/%2e%2e/app.py",
        "/..%5capp.py",
        "//etc/passwd",
        "/static/../app.py",
        "/app.py",
        "/api",
        "/api/",
        "/api/info/",
    ],
)
def test_no_address_leads_to_a_file(served, address):
    answer = served.get(address)

    assert answer.status_code == 404
    assert word(answer) in ("not-found", "no-such-image")


def test_no_address_changes_or_removes_a_picture(painted_index, in_process):
    def contents():
        return {each: each.read_bytes() for each in (painted_index / "photos").iterdir()}

    before = contents()
    with client_of(painted_index) as client:
        for _, address in ADDRESSES:
            for method in ("GET", "POST", *OTHER_METHODS):
                client.request(method, address, json={} if method == "POST" else None)
        described = client.get("/api/openapi.json").json()["paths"]

    assert contents() == before
    assert {method for each in described.values() for method in each} == {"get", "post"}
    assert not [path for path in described if "apply" in path or "remove" in path]


def test_only_its_own_scripts_and_pictures_run_in_the_page(served):
    for method, address in ADDRESSES:
        headers = served.request(method, address).headers

        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob:;")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_hidden_paths_are_in_no_answer(painted_index, in_process):
    name = str(painted_index).encode()
    with client_of(painted_index, show_paths=False) as client:
        matches = client.post("/api/query?max_dist=64", json={"hash": "0" * 16})
        own = matches.json()["matches"][0]["id"]
        while (groups := client.get("/api/groups")).status_code == 202:
            pass
        answers = [
            matches,
            groups,
            client.get("/api/info"),
            client.get(f"/api/images/{own}?facts=1"),
            client.get("/api/decisions"),
            client.get("/api/filters"),
            client.post("/api/query", json={"id": own}),
        ]
        refused = [
            client.post("/api/plan", json={}),
            client.get("/api/groups?text=photo"),
            client.get("/api/groups?folder=/photos"),
            client.post("/api/decisions", json={"accept": {"text": "photo"}}),
        ]

    for answer in answers:
        assert answer.status_code == 200
        assert name not in answer.content
        assert b"photos" not in answer.content
    for answer in refused:
        assert (answer.status_code, word(answer)) == (403, "paths-hidden")


def test_what_goes_wrong_names_no_path_if_paths_are_hidden(painted_index, tmp_path):
    wrong = tmp_path / "decisions"
    wrong.write_bytes(b"nonsense\n")
    with client_of(painted_index, show_paths=False, decisions=wrong) as client:
        answer = client.get("/api/decisions")

    assert (answer.status_code, word(answer)) == (409, "not-possible")
    assert str(tmp_path) not in answer.text


def with_png_size(data, width, height):
    """A PNG file whose header, with a right checksum, lies about the size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return data[:8] + header + data[8 + len(header) :]


def jpeg(width=8, height=8):
    return cv2.imencode(".jpg", np.full((height, width, 3), 99, np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("made", "reasons"),
    [
        (lambda: b"", {"not-an-image"}),
        (lambda: b"not a picture at all", {"not-an-image", "unsupported"}),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"not-an-image", "unsupported"}),
        (lambda: png_of_zeros(30_000, 30_000), {"too-large"}),
        (
            lambda: with_png_size(png_of_zeros(8, 8), 2**31 - 1, 2**31 - 1),
            {"too-large", "damaged"},
        ),
        (lambda: with_jpeg_size(jpeg(), 65_000, 65_000), {"too-large", "damaged"}),
        (lambda: png_with_bombs(b"zTXt", 3, 50_000_000), {"damaged", "too-large", "ok"}),
        (lambda: jpeg(64, 64)[:-200], {"truncated"}),
    ],
    ids=["empty", "text", "svg", "30000x30000", "2^31", "jpeg 65000", "text bombs", "cut jpeg"],
)
def test_a_picture_that_cannot_be_decoded_is_refused_with_the_reason(served, made, reasons):
    answer = served.post("/api/query", content=made(), headers=PNG)

    if answer.status_code == 200:
        assert "ok" in reasons
    else:
        assert answer.status_code == 422
        assert word(answer) in reasons
    assert served.get("/api/health").status_code == 200


@pytest.mark.parametrize("cap", ["MAX_REQUESTS", "MAX_WAITING_BYTES"])
def test_a_request_without_room_to_wait_gets_503_and_a_time_to_try_again(served, monkeypatch, cap):
    monkeypatch.setattr(f"imgdup.web.requests.{cap}", 0)

    answer = served.post("/api/query", json={"hash": "0" * 16})

    assert (answer.status_code, word(answer)) == (503, "busy")
    assert answer.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert served.post("/api/query", json={"hash": "0" * 16}).status_code == 200


ERRORS = [
    (ImageError("damaged", "it ends too early"), (422, "damaged", "it ends too early")),
    (UsageError("/a/b: no such rule"), (422, "wrong-value", "a value cannot be used")),
    (IndexFormatError("/a/b is damaged"), (500, "damaged-index", "the index cannot be used")),
    (ImgdupError("/a/b has no folders"), (409, "not-possible", "the index cannot be used")),
    (LockedError("/a/b is being written"), (503, "busy", "another process is writing this file")),
]


@pytest.mark.parametrize("show_paths", [True, False])
@pytest.mark.parametrize(("error", "answer"), ERRORS)
def test_an_error_is_answered_by_its_kind_and_its_text_only_if_paths_are_shown(
    error, answer, show_paths
):
    status, word, hidden = answer

    found = refusal(error, show_paths=show_paths)

    assert (found.status, found.error) == (status, word)
    is_shown = show_paths and "/a/b" in str(error) and status != 503
    assert found.detail.startswith(str(error) if is_shown else hidden)
    assert ("Retry-After" in found.headers) == (status == 503)
    assert json.loads(found.response().body) == {"error": word, "detail": found.detail}


@pytest.mark.parametrize(
    ("reason", "status"),
    [("missing", 410), ("unreadable", 410), ("changed", 410), ("damaged", 422), ("timed-out", 422)],
)
def test_a_picture_that_is_not_what_was_indexed_is_reported_as_missing(reason, status):
    assert gone_or_unreadable(ImageError(reason, "why")).status == status
