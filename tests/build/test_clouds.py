"""Pictures in the buckets of Amazon, Google and Azure: the same rows and groups as loose files.

The expected rows and groups are those of the same pictures in a folder. Small servers of our own
can be made to fail; servers of other people are asked by the same tests (see `emulators`).
"""

import contextlib
import os

import numpy as np
import pytest

from emulators import AZURITE_KEY, EMULATORS
from encoded import painted
from imgdup import ImageIndex
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.errors import ImgdupError
from imgdup.images.formats import REASONS
from imgdup.workers.pool import inline
from object_servers import BUCKET, SECRET, access_to, serving_as, tarred, zipped

remote = pytest.importorskip("imgdup.containers.remote", reason="needs the extra remote")

FACTS = ("size", "width", "height", "format", "quality", "status", "digest", "match", "hashes")
OWN = ("s3", "gs", "az")


class OwnServer:
    """One of our servers, with the methods of an emulator."""

    def __init__(self, server):
        self.server, self.update, self.gets = server, server.objects.update, server.gets

    def forget_log(self):
        self.server.log.clear()


@pytest.fixture(params=[*OWN, *EMULATORS])
def cloud(request, tmp_path, monkeypatch):
    """A server with an empty bucket, and the address of the bucket."""
    with contextlib.ExitStack() as stack:
        if request.param in OWN:
            server = OwnServer(stack.enter_context(serving_as(request.param, monkeypatch)))
            yield server, f"{request.param}://{BUCKET}"
            return
        speaks, start = EMULATORS[request.param]
        server = stack.enter_context(start(tmp_path))
        stack.enter_context(access_to(speaks, server.url, monkeypatch))
        yield server, f"{speaks}://{BUCKET}"


@pytest.fixture(params=OWN)
def own(request, monkeypatch):
    """One of our servers, and the address of its bucket."""
    with serving_as(request.param, monkeypatch) as server:
        yield server, f"{request.param}://{BUCKET}"


@pytest.fixture
def contents():
    """Pictures with names that an address must escape; two are duplicates, one is broken."""
    names = ("a/1.jpg", "a/b c.jpg", "a-b/ü%41.jpg", "top+#.jpg")
    pictures = {name: painted(seed, 160, 120) for seed, name in enumerate(names)}
    small = painted(1, 160, 120, ".png")
    return {**pictures, "a/small.png": small, "a/broken.jpg": pictures["a/1.jpg"][:900]}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


def index(place, *names):
    changes = OptionChanges(containers=True)
    return update_index(place, names, Settings(workers=1, engine=inline, changes=changes))


def rows_of(place, start):
    """The facts of each row by the rest of its name."""
    rows = ImageIndex.open(place).rows
    return {
        os.fsdecode(rows.path(row)).removeprefix(start): [
            np.array(rows.column(fact)[row]).tobytes() for fact in FACTS
        ]
        for row in range(len(rows))
    }


def reasons(place):
    rows = ImageIndex.open(place).rows
    return {os.fsdecode(rows.path(i)): REASONS[rows.column("status")[i]] for i in range(len(rows))}


def groups_of(place, start):
    """The names in each group of duplicates; which of them is kept depends on their times."""
    return [
        sorted(str(path).removeprefix(start) for path in (group.keeper, *removed))
        for group in ImageIndex.open(place).groups(progress=False)
        for removed in [[each.path for each in group.removed]]
    ]


def write_loose(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_rows_and_groups_equal_those_of_loose_files_and_a_second_run_reads_nothing(
    cloud, contents, tmp_path, place, in_process
):
    server, root = cloud
    write_loose(tmp_path / "loose", contents)
    server.update(contents)
    server.update({"set/x.tar": tarred(contents), "set/x.zip": zipped(contents)})
    index(tmp_path / "loose-index", str(tmp_path / "loose"))

    first = index(place, root)
    asked = len(server.gets())
    server.forget_log()
    second = index(place)

    assert not first.unlisted
    assert asked
    assert server.gets() == []
    assert (second.hashed, second.unchanged, second.written) == (0, 15, False)
    start = os.path.realpath(tmp_path / "loose") + "/"
    loose, found = rows_of(tmp_path / "loose-index", start), rows_of(place, f"{root}/")
    assert {name: row for name, row in found.items() if "!" not in name} == loose
    for container in ("set/x.tar", "set/x.zip"):
        assert [found[f"{container}!/{name}"] for name in loose] == list(loose.values())
    index(tmp_path / "loose-only", f"{root}/a", f"{root}/a-b")
    index(tmp_path / "folders", str(tmp_path / "loose/a"), str(tmp_path / "loose/a-b"))
    assert groups_of(tmp_path / "loose-only", f"{root}/") == groups_of(tmp_path / "folders", start)


def test_only_an_object_that_changed_is_read_again(own, contents, place):
    server, root = own
    server.objects.update({**contents, "x.tar": tarred(contents)})
    index(place, root)
    server.objects["a/1.jpg"] = painted(9, 160, 120)
    server.log.clear()

    found = index(place)

    assert (server.gets(), found.hashed, found.unchanged) == (["a/1.jpg"], 1, 9)


@pytest.mark.parametrize("heeds", [True, False])
def test_a_container_that_changes_while_it_is_read_is_noticed(own, contents, place, heeds):
    server, root = own
    server.heeds_if_match = heeds
    noise = {f"{number}.txt": os.urandom(90_000) for number in range(3)}
    server.objects["a.tar"] = tarred({**noise, **contents})

    def change(key):
        if len(server.gets()) == 2:
            server.objects[key] = server.objects[key] + b"\1"

    server.before_get = change
    index(place, f"{root}/a.tar")

    assert reasons(place)[f"{root}/a.tar"] == "changed"


# How servers say that credentials ended, by their documentation: status and code of the answer.
EXPIRED = {
    "s3": [(400, "ExpiredToken"), (403, "InvalidAccessKeyId")],
    "gs": [(401, "AuthenticationRequired")],
    "az": [(403, "AuthenticationFailed")],
}
REFUSED = {"s3": (403, "AccessDenied"), "gs": (403, "AccessDenied")}
REFUSED["az"] = (403, "AuthorizationPermissionMismatch")
GONE = {"s3": (404, "NoSuchBucket"), "gs": (404, "NoSuchBucket"), "az": (404, "ContainerNotFound")}


def one_line(detail, remedy):
    return remedy in detail and "run it again" in detail and "\n" not in detail


@pytest.mark.parametrize("packed", [False, True])
def test_credentials_that_end_half_way_are_one_line_with_the_remedy_and_nothing_is_lost(
    own, contents, tmp_path, place, packed
):
    server, root = own
    noise = {f"{number}.txt": os.urandom(90_000) for number in range(3)}
    server.objects.update({"x.tar": tarred({**noise, **contents})} if packed else contents)
    index(tmp_path / "whole", root)
    for status, code in [*EXPIRED[server.speaks], REFUSED[server.speaks]]:
        server.log.clear()
        server.before_get = lambda key, answer=(status, code): _fail_behind(server, 2, answer)

        first = index(place, root)
        server.before_get, server.status = lambda key: None, 0
        second = index(place)

        unread = [failure for failure in first.failures if failure.reason == "unreadable"]
        assert unread
        assert all(one_line(each.detail, "renew the credentials") for each in unread)
        assert all(code in each.detail for each in unread)
        assert_no_secret(place, *(each.detail for each in first.failures))
        assert second.failed == 1  # the broken picture
        assert rows_of(place, root) == rows_of(tmp_path / "whole", root)
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def assert_no_secret(place, *texts):
    """Fail if a secret of the environment is in one of some texts, or in a file of an index."""
    files = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
    for secret in (SECRET, AZURITE_KEY):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in data for data in files)


def _fail_behind(server, n_requests, answer):
    if len(server.gets()) > n_requests:
        server.status, server.code = answer


@pytest.mark.parametrize("packed", [False, True])
def test_a_bucket_that_vanishes_half_way_gives_one_line_and_no_row_is_lost(
    own, contents, place, packed
):
    server, root = own
    index(place.with_name("whole"), *_stored(server, root, contents, packed))
    server.log.clear()
    server.before_get = lambda key: _fail_behind(server, 2, GONE[server.speaks])

    first = index(place, root)
    third = index(place)
    server.before_get, server.status = lambda key: None, 0
    index(place)

    lines = [failure.detail for failure in first.failures if failure.reason == "unreadable"]
    assert lines
    assert all(one_line(line, "the bucket does not exist") for line in lines)
    ((path, line),) = third.unlisted
    assert path.decode() == root
    assert one_line(line, "the bucket does not exist")
    assert third.removed == 0
    assert rows_of(place, root) == rows_of(place.with_name("whole"), root)


def _stored(server, root, contents, packed):
    noise = {f"{number}.txt": os.urandom(90_000) for number in range(3)}
    server.objects.update({"x.tar": tarred({**noise, **contents})} if packed else contents)
    return [root]


@pytest.mark.parametrize("speaks", OWN)
def test_a_server_that_cannot_be_reached_is_one_line_and_no_row_is_lost(
    speaks, contents, place, monkeypatch
):
    monkeypatch.setitem(remote._RETRY, "max_retries", 0)
    root = f"{speaks}://{BUCKET}"
    with serving_as(speaks, monkeypatch) as server:
        server.objects.update(contents)
        index(place, root)
    before = rows_of(place, root)

    with access_to(speaks, server.url, monkeypatch):
        found = index(place)
        with pytest.raises(ImgdupError) as caught:
            index(place.with_name("new"), root)

    ((path, reason),) = found.unlisted
    assert path.decode() == root
    assert one_line(reason, "the server cannot be reached")
    assert one_line(str(caught.value), "the server cannot be reached")
    assert_no_secret(place, reason, str(caught.value))
    assert rows_of(place, root) == before
