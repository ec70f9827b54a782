"""What holds for all tests, the painted sample set, and the photos that the command line's share.

No test asserts a time, so no example of Hypothesis has a deadline. Continuous integration draws the
same examples at every run; on a desk each run draws others. `make fuzz` draws many more.
"""

import gc
import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path

# Several processes run tests: the threads of OpenBLAS would only wait for each other. It reads this
# when NumPy and OpenCV are imported; processes that tests start shall not inherit it.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import compiling
import make_sample
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import settings

from encoded import painted
from imgdup import cli
from imgdup.build import hash_batch
from imgdup.dedupe.difference import compare_pictures
from imgdup.native import FOLDER, VARIABLE
from imgdup.workers.pool import inline
from imgdup.workers.process import Processes
from object_servers import serving_as

del os.environ["OPENBLAS_NUM_THREADS"]

VERDICTS = {}  # of pairs of pictures, by their sizes and digests; see `each_pair_once`

settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.register_profile("imgdup", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("imgdup")


def pytest_configure():
    """Let the tests depend neither on how the shell started them nor on who runs them in parallel.

    They do not start with a library that was compiled from another source. A shell that starts
    pytest in the background lets it, and all that it starts, ignore Ctrl-C; COLUMNS outweighs the
    width of the terminals that tests make. Colours would be part of what terminals show; the tests
    of colours allow them. Where no bytecode is written, each of the many processes that tests start
    compiles all of imgdup.
    """
    if VARIABLE not in os.environ and compiling.is_stale(FOLDER):
        raise pytest.UsageError("the C library is older than its source: run `make install`")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("COLUMNS", None)
    os.environ["NO_COLOR"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Leave the thousands of tests themselves out of all garbage collections."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def painted_sample(pytestconfig):
    """The folder of the painted sample set; read it, do not write in it.

    It is painted once and kept in pytest's cache until the scripts that paint it change.
    """
    scripts = sorted(Path(make_sample.__file__).parent.glob("*.py"))
    name = hashlib.blake2b(b"".join(map(Path.read_bytes, scripts)), digest_size=8).hexdigest()
    folder = pytestconfig.cache.mkdir("painted-sample") / name
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            make_sample.paint_sample(Path(work, "sample"))
            _rename_unless_there(Path(work, "sample"), folder)
    return folder


def _rename_unless_there(source, target):
    """Give a folder its name; another process that runs tests may have been first."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


@pytest.fixture
def heeded_hangup():
    """Let this process and what it starts heed SIGHUP, as nohup does not."""
    if not hasattr(signal, "SIGHUP"):  # on Windows
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def in_process(monkeypatch):
    """Do in this process what workers do, for tests to which it does not matter where it is done.

    That the results are the same, whatever does the work, is tested in tests/workers and in
    tests/build; that commands start processes, and survive their deaths, in tests/cli.
    """
    monkeypatch.setattr("imgdup.workers.pool.Processes", inline)


@pytest.fixture
def processes(monkeypatch):
    """Let processes do it, in a folder or file whose other tests use `in_process`."""
    monkeypatch.setattr("imgdup.workers.pool.Processes", Processes)


@pytest.fixture
def each_pair_once(monkeypatch):
    """Compare each pair of pictures once in all tests that use this; later give the same verdict.

    The verdict depends on the pixels alone, and they are what it is remembered by. What workers
    compare is compared again.
    """
    monkeypatch.setattr("imgdup.dedupe.pictures.compare_pictures", _compare_once)


def _compare_once(first, second):
    pair = _name_of(first), _name_of(second)
    if pair not in VERDICTS:
        VERDICTS[pair] = compare_pictures(first, second)
    return VERDICTS[pair]


def _name_of(pixels):
    return pixels.shape, blake3(np.ascontiguousarray(pixels)).digest()


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photos, a half-size copy of the first, and the folder they are in as the current."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"p{seed}.jpg").write_bytes(painted(seed, 320, 240))
    (folder / "small.png").write_bytes(painted(0, 320, 240, ".png", step=2))
    for file in folder.iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return folder


@pytest.fixture
def indexed(photos):
    """The photos and their index, for which no process is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imgdup.workers.pool.Processes", inline)
        assert cli.main(["index", "photos", "--workers", "1", "--quiet"]) == 0
    return photos


@pytest.fixture
def bucket(monkeypatch):
    """A server with an empty bucket called `BUCKET`, to which the environment gives access."""
    with serving_as("s3", monkeypatch) as server:
        yield server


@pytest.fixture
def files_read(monkeypatch):
    """The files that are read from now on."""
    files = []
    original = hash_batch.read_file
    monkeypatch.setattr(
        hash_batch, "read_file", lambda path, limits: files.append(path) or original(path, limits)
    )
    return files
