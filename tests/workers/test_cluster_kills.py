"""A worker, the scheduler or the run itself is killed: the run goes on, or can be continued.

Each kill takes a cluster of its own and some seconds, so these tests run with ``make soak``.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from dask_cluster import running_cluster
from encoded import painted
from imgdup import cli
from imgdup.build.checkpoints import CHECKPOINT_NAME

pytest.importorskip("distributed", reason="Dask distributed is not installed")

pytestmark = pytest.mark.skipif(
    "IMGDUP_EVERY_LINE" not in os.environ, reason="takes a minute; make soak runs it"
)

N_PICTURES = 400  # each is painted once; more names are copies
N_NAMES = 8000


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(N_PICTURES):
        (folder / f"{number:05}.jpg").write_bytes(painted(number, 400, 300))
    for number in range(N_PICTURES, N_NAMES):
        shutil.copy(folder / f"{number % N_PICTURES:05}.jpg", folder / f"{number:05}.jpg")
    for file in folder.iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    """The bytes of the index that processes of this machine make."""
    place = tmp_path_factory.mktemp("local") / "index"
    assert cli.main(["index", str(pictures), "--index", str(place), "--quiet"]) == 0
    return index_bytes(place)


def index_bytes(place):
    return {file.name: file.read_bytes() for file in place.glob("index.*")}


def start(cluster, pictures, place):
    command = [sys.executable, "-m", "imgdup", "index", str(pictures), "--index", str(place)]
    command += ["--cluster", str(cluster.scheduler_file), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_answers(place, run):
    """Wait until the hashes of some pictures have arrived."""
    while not any(
        file.stat().st_size for file in (place / "parts").glob("*")
        if CHECKPOINT_NAME.fullmatch(file.name)
    ):  # fmt: skip
        assert run.poll() is None, run.communicate()
        time.sleep(0.005)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as listed:
        return list(map(int, listed.read().split()))


def kill_tree(process):
    """Kill a nanny and its worker, so that none is started again."""
    for pid in [process.pid, *children(process.pid)]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("whole_machine", [False, True], ids=["process", "machine"])
def test_kill_series_a_dask_worker_is_killed_and_the_run_continues(
    pictures, expected, tmp_path, whole_machine
):
    with running_cluster(tmp_path) as cluster:
        run = start(cluster, pictures, tmp_path / "index")
        wait_for_answers(tmp_path / "index", run)
        if whole_machine:
            kill_tree(cluster.workers[0])
        else:
            os.kill(
                children(cluster.workers[0].pid)[-1], signal.SIGKILL
            )  # the nanny starts another
        out, err = run.communicate(timeout=120)

    assert (run.returncode, err) == (0, "")
    assert f'"hashed": {N_NAMES}' in out
    assert index_bytes(tmp_path / "index") == expected


def test_kill_series_all_dask_workers_are_killed_and_the_run_waits_for_another(
    pictures, expected, tmp_path
):
    with running_cluster(tmp_path) as cluster:
        run = start(cluster, pictures, tmp_path / "index")
        wait_for_answers(tmp_path / "index", run)
        for worker in cluster.workers:
            kill_tree(worker)
        warning = run.stderr.readline()
        cluster.add_worker()
        _, err = run.communicate(timeout=120)

    assert "no Dask worker is left; waiting for one to join" in warning
    assert (run.returncode, err) == (0, "")
    assert index_bytes(tmp_path / "index") == expected


def test_kill_series_the_scheduler_is_killed_and_the_same_command_continues(
    pictures, expected, tmp_path
):
    place = tmp_path / "index"
    with running_cluster(tmp_path) as cluster:
        run = start(cluster, pictures, place)
        wait_for_answers(place, run)
        cluster.scheduler.kill()
        _, err = run.communicate(timeout=250)
    assert run.returncode == 1
    lost = "the Dask scheduler was lost: run the same command again to continue"
    assert err == f"imgdup: {lost}\n"
    assert index_bytes(place) == {}

    assert_continued(pictures, place, tmp_path / "again")

    assert index_bytes(place) == expected


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda each: each.name)
def test_kill_series_the_run_is_killed_and_the_same_command_continues(
    pictures, expected, tmp_path, number
):
    place = tmp_path / "index"
    with running_cluster(tmp_path) as cluster:
        run = start(cluster, pictures, place)
        wait_for_answers(place, run)
        run.send_signal(number)
        run.communicate(timeout=250)
        assert index_bytes(place) == {}

        assert_continued(pictures, place, tmp_path / "again", cluster)

    assert index_bytes(place) == expected


def assert_continued(pictures, place, folder, cluster=None):
    """Run the same command again; some answers are kept, and the rest is hashed."""
    assert [file for file in (place / "parts").iterdir() if file.stat().st_size]
    if cluster is None:
        folder.mkdir()
        with running_cluster(folder) as other:
            run = start(other, pictures, place)
            _, err = run.communicate(timeout=120)
    else:
        run = start(cluster, pictures, place)
        _, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, "")
