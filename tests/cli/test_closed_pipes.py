"""Readers that close the pipe, such as head: nothing false is printed, and no error.

A run whose reader leaves is compared with one whose reader stays: it ends with the same exit code,
and prints no message that the other does not print. So a count that is printed is the true one.
"""

import os
import re
import shutil
import threading

import pytest

from cli_runs import Run, in_process, shell, with_a_closed_pipe
from encoded import painted
from imgdup.cli.printing import write_bytes, write_text

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="needs pipes of POSIX"),
    pytest.mark.usefixtures("in_process"),
]

N_COPIES = 60
PIPE_BYTES = 4096  # the smallest pipe of Linux
LONG_NAME = "copy-" + "x" * 200  # so that the rows of one image overflow such a pipe
MANY_ROWS = [
    "query sets/test",
    "query sets/test --json",
    "query sets/test --null",
    "query sets/test --verify",
    "query sets/test --max-duplicates 0",
    "pairs",
    "pairs --json",
    "pairs --null",
    "pairs --by search --shards 2",
    "pairs --verify",
    "compare sets/train sets/test --no-verify --max-leaks 0",
    "compare sets/train sets/test --no-verify --json",
    "index --list-ignored",
    "index --list-ignored --json --strict",
    "export --format csv",
    "export --format json",
    "export --format pickle",
]
FEW_ROWS = [
    "info",
    "info --json",
    "check",
    "dedupe",
    "dedupe --json",
    "split --ratios train=0.5,test=0.5 --out lists --force",
    "evaluate sets/train --json --sample 1",
    "index --strict",
    "index --json",
    "merge index -o merged --force",
    "subtract index index -o rest --force --json",
    "completion bash",
    "man",
]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """One image in ``train``, and copies of it in ``test`` among files that are no images."""
    place = tmp_path_factory.mktemp("indexed")
    data = painted(0, 160, 120)
    for folder, n_images in (("train", 1), ("test", N_COPIES)):
        os.makedirs(place / "sets" / folder)
        for i in range(n_images):
            (place / "sets" / folder / f"{LONG_NAME}-{i}.jpg").write_bytes(data)
    for i in range(N_COPIES):
        (place / "sets" / "test" / f"{LONG_NAME}-{i}.txt").write_text("a label")
    os.mkdir(place / "sets" / "broken")
    (place / "sets" / "broken" / "cut.jpg").write_bytes(data[:500])
    index = ["index", str(place / "sets"), "--index", str(place / "index"), "--workers", "1"]
    assert in_process(*index).code == 3
    return place


@pytest.fixture
def here(indexed, monkeypatch):
    monkeypatch.chdir(indexed)
    monkeypatch.setenv("IMGDUP_INDEX", "index")


def with_a_reader_of_one_line(*args):
    """Run imgdup with a reader that closes the pipe after a line, or 100 bytes of a long one."""
    import fcntl

    ours, theirs = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    line = []
    reader = threading.Thread(target=_read_a_line, args=(ours, line))
    reader.start()
    try:
        done = in_process(*args, out=theirs)
    finally:
        os.close(theirs)
        reader.join()
    return Run(done.code, b"".join(line), done.err)


def _read_a_line(descriptor, line):
    while len(line) < 100 and (byte := os.read(descriptor, 1)):
        line.append(byte)
        if byte == b"\n":
            break
    os.close(descriptor)


def messages(done):
    """The lines on standard error, without times."""
    return set(re.sub(r"\d+\.\d s, .*", "", done.err.decode()).splitlines())


@pytest.mark.parametrize("command", MANY_ROWS)
def test_a_reader_that_leaves_after_a_line_gets_no_message_that_is_false(here, command):
    whole = in_process(*command.split())

    done = with_a_reader_of_one_line(*command.split())

    assert len(whole.out) > 2 * PIPE_BYTES
    assert done.out
    assert whole.out.startswith(done.out)
    assert done.code == whole.code
    assert messages(done) <= messages(whole)
    assert b"pairs within" not in done.err


@pytest.mark.parametrize("command", FEW_ROWS)
def test_a_reader_that_left_changes_no_exit_code_and_gets_no_message_that_is_false(here, command):
    whole = in_process(*command.split())

    done = with_a_closed_pipe(*command.split())

    assert whole.out
    assert done.code == whole.code
    assert messages(done) <= messages(whole)


def test_an_update_whose_reader_left_still_ends_with_the_exit_code_of_new_failures(
    indexed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(indexed / "sets" / "broken", "broken")

    done = with_a_closed_pipe("index", "broken", "--workers", "1")

    assert done.code == 3
    assert done.err.count(b"\n") == 1


def test_head_gets_a_line_and_no_total(here):
    done = shell("imgdup pairs | head -1")

    assert done.out.count(b"\n") == 1
    assert done.err == b""


def test_help_into_a_closed_pipe_prints_no_error():
    assert shell("imgdup -h | true").err == b""


@pytest.mark.parametrize("write", [write_text, write_bytes])
def test_a_broken_pipe_of_a_worker_or_a_server_is_not_mistaken_for_that_of_the_reader(write):
    def lines():
        raise BrokenPipeError("the server closed the connection")
        yield

    with pytest.raises(BrokenPipeError, match="server"):
        write(lines())
