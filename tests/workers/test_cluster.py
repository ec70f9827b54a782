"""A Dask cluster does what processes of this machine do: the same answers, the same blame.

The cluster is real: a scheduler and two workers on this machine, started by their commands.
"""

import gc
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import Future

import pytest

import pool_tasks
from dask_cluster import can_hide, running_cluster
from imgdup import cli
from imgdup.errors import ImgdupError
from imgdup.system.limits import Limits
from imgdup.workers.pool import Died, answers
from imgdup.workers.process import WorkerDied

pytest.importorskip("distributed", reason="Dask distributed is not installed")

from distributed.scheduler import KilledWorker

from imgdup.workers import cluster as module, dask_worker

TIMEOUT_S = 1.0
PRELOAD = ("imgdup.build.hash_batch",)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """A folder that the workers of the cluster see empty; None where nothing can be hidden."""
    folder = tmp_path_factory.mktemp("hidden")
    return folder if can_hide(folder) else None


@pytest.fixture(scope="module")
def dask(tmp_path_factory, hidden):
    with running_cluster(tmp_path_factory.mktemp("dask"), hidden) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pool(dask):
    limits = Limits(timeout_s=TIMEOUT_S)
    with module.cluster_pool(str(dask.scheduler_file), limits, PRELOAD) as pool:
        pool.remote._client.wait_for_workers(2)
        yield pool


def outcomes(pool, batches):
    """Each item with its outcome, from a task that does what the item says."""
    found = {}
    for items, result in answers(pool_tasks.act, batches, pool):
        found.update(result if isinstance(result, list) else [(items[0], result)])
    return found


def index_bytes(place):
    return {file.name: file.read_bytes() for file in place.glob("index.*")}


def test_every_item_is_answered_once_on_a_cluster(pool):
    numbers = list(range(100))

    got = outcomes(pool, [numbers[i : i + 7] for i in range(0, 100, 7)])

    assert got == {n: n * n for n in numbers}


def test_items_that_crash_or_hang_on_a_cluster_are_named_and_their_neighbours_answered(pool):
    batches = [[1, 2, "segfault", 3], [4, "hang with lock", 5], [6, 7]]

    got = outcomes(pool, batches)

    assert got.pop("segfault") == Died("crashed", "it ended its worker process each time: SIGSEGV")
    assert got.pop("hang with lock") == Died("timed-out", f"no answer within {TIMEOUT_S:g} s")
    assert got == {n: n * n for n in range(1, 8)}


def test_the_memory_of_processes_on_a_cluster_is_capped(dask):
    limits = Limits(worker_memory_bytes=500 << 20)
    with module.cluster_pool(dask.address, limits, PRELOAD) as pool:
        assert outcomes(pool, [["memory"], [2]]) == {"memory": "MemoryError", 2: 4}


def test_an_error_of_a_task_on_a_cluster_is_raised(pool):
    with pytest.raises(LookupError, match="no such thing: 5"):
        list(answers(pool_tasks.raise_error, [[5]], pool))


def test_an_index_made_by_a_cluster_has_the_bytes_of_a_local_one(dask, photos, tmp_path):
    (photos / "cut.jpg").write_bytes((photos / "p0.jpg").read_bytes()[:2000])
    command = ["index", "photos", "--quiet", "--index"]
    local, remote = tmp_path / "local", tmp_path / "remote"

    codes = [
        cli.main([*command, str(local), "--workers", "1"]),
        cli.main([*command, str(remote), "--cluster", str(dask.scheduler_file)]),
    ]

    assert codes == [3, 3]
    assert index_bytes(remote) == index_bytes(local) != {}


def test_a_worker_that_does_not_see_the_index_folder_is_of_use(dask, hidden, photos):
    if hidden is None:
        pytest.skip("only an administrator of Linux can hide a folder from a process")
    place = hidden / "index"

    code = cli.main(
        ["index", "photos", "--quiet", "--index", str(place), "--cluster", dask.address]
    )

    assert code == 0
    assert len(index_bytes(place)) == 1


def test_a_folder_that_the_workers_do_not_see_is_named_before_a_picture_is_read(
    dask, hidden, photos, capsys, tmp_path
):
    if hidden is None:
        pytest.skip("only an administrator of Linux can hide a folder from a process")
    photos.rename(hidden / "photos")

    code = cli.main(["index", str(hidden / "photos"), "--index", "new", "--cluster", dask.address])

    err = capsys.readouterr().err
    assert code == 1
    assert re.search(
        r"imgdup: the Dask worker at tcp://\S+ cannot read '\S+/photos': all machines must find "
        r"the pictures under the same path\n$",
        err,
    )
    assert index_bytes(tmp_path / "new") == {}


def test_workers_need_not_see_what_this_machine_does_not_see(pool, tmp_path):
    (tmp_path / "empty").mkdir()

    pool.remote.require_seen([bytes(tmp_path / "empty"), bytes(tmp_path / "gone")])


def test_workers_with_another_version_are_refused(pool):
    theirs = dask_worker.describe()
    others = dict(theirs.versions) | {"OpenCV": "4.0.0"}
    order = dask_worker.Order(pool.setup, theirs._replace(versions=tuple(others.items())))
    other = module.Cluster(pool.remote._client, order)

    with pytest.raises(ImgdupError, match=r"has OpenCV \d\S+ instead of 4\.0\.0: install the same"):
        other.require_equal()
    with pytest.raises(ImgdupError, match=r"^the Dask worker at tcp\S+ has OpenCV .* to continue$"):
        other.submit(abs, -1).result()  # a worker that joins later


def test_workers_that_hash_the_golden_picture_otherwise_are_refused(pool):
    order = dask_worker.Order(pool.setup, dask_worker.describe()._replace(hashes=b"others"))

    with pytest.raises(ImgdupError, match="has another hash of the same picture"):
        module.Cluster(pool.remote._client, order).require_equal()


def test_a_scheduler_with_another_version_of_dask_is_refused(dask, monkeypatch):
    monkeypatch.setattr("distributed.__version__", "2020.1.0")

    with pytest.raises(ImgdupError, match=r"has distributed 20\S+, and this machine 2020\.1\.0"):
        module.cluster_pool(dask.address, Limits(), PRELOAD)


def test_a_dask_worker_that_may_not_start_processes_gives_an_error_with_the_remedy(
    pool, monkeypatch
):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)

    problem = dask_worker.find_problem(dask_worker.Order(pool.setup, dask_worker.describe()), 1)

    assert problem.startswith("may not start processes: set DASK_DISTRIBUTED__WORKER__DAEMON=False")


@pytest.mark.parametrize("content", [None, b"no JSON", b"[]", b'{"id": 1}'])
def test_a_wrong_scheduler_file_is_a_wrong_argument(photos, tmp_path, content, capsys):
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_bytes(content)

    assert cli.main(["index", "photos", "--cluster", str(file)]) == 2

    assert re.fullmatch(
        r"imgdup: \S+scheduler\.json\b.* scheduler file .*\n", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nowhere", "carrier://pigeon"]
)
def test_a_scheduler_that_does_not_answer_is_named_in_one_line(
    photos, address, capsys, monkeypatch
):
    monkeypatch.setattr(module, "CONNECT_S", 0.2)
    gc.collect()  # clients of other tests must not be finalized by the thread of the next one

    assert cli.main(["index", "photos", "--cluster", address]) == 1

    err = capsys.readouterr().err
    assert err.startswith(f"imgdup: no Dask scheduler answers at {address} (")
    assert err.count("\n") == 1


def test_a_scheduler_without_workers_is_named_in_one_line(tmp_path, photos, capsys, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WORKER_S", 0.1)

    with running_cluster(tmp_path, workers=0) as cluster:
        code = cli.main(["index", "photos", "--cluster", cluster.address])

    assert code == 1
    assert capsys.readouterr().err == (
        f"imgdup: the Dask scheduler at {cluster.address} has no workers: start some, and run the "
        "same command again\n"
    )


def test_without_dask_the_command_that_installs_it_is_printed(photos, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "imgdup.workers.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)

    assert cli.main(["index", "photos", "--cluster", "tcp://127.0.0.1:9"]) == 1

    needed = "imgdup: --cluster needs more packages: pip install 'neardup[cluster]'\n"
    assert capsys.readouterr().err == needed


@pytest.mark.parametrize("other", [["--workers", "2"], ["--moved", "a", "b"]])
def test_options_that_exclude_a_cluster_are_refused(photos, other, capsys):
    assert cli.main(["index", "--cluster", "tcp://127.0.0.1:9", *other]) == 2

    assert capsys.readouterr().err == f"imgdup: --cluster and {other[0]} exclude each other\n"


def test_a_call_that_was_lost_with_the_scheduler_gives_an_error_with_the_remedy():
    answer, task = Future(), Future()
    task.cancel()
    task.set_running_or_notify_cancel()

    module._pass_on(answer, task)

    with pytest.raises(ImgdupError, match="run the same command again to continue"):
        answer.result()


class LostClient:
    """A client that notices that its scheduler is lost, but whose calls never end."""

    status = "running"

    def get_executor(self, pure):
        return self

    def submit(self, *call):
        self.status = "connecting"
        return Future()

    def scheduler_info(self, n_workers):
        return {"total_threads": 3}

    def close(self, timeout):
        self.status = "closed"


def test_a_call_whose_result_never_comes_ends_with_the_scheduler(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    cluster = module.Cluster(LostClient(), order=None)

    answer = cluster.submit(abs, -1)

    with pytest.raises(ImgdupError, match="the Dask scheduler was lost: run the same command"):
        answer.result()
    cluster.shutdown()


def test_a_call_whose_dask_workers_ended_each_time_counts_as_the_death_of_a_process():
    answer, task = Future(), Future()
    task.set_exception(KilledWorker("a call", None, 3))

    module._pass_on(answer, task)

    with pytest.raises(WorkerDied):
        answer.result()


def test_processes_of_a_dask_worker_end_when_they_are_idle(pool, monkeypatch):
    monkeypatch.setattr(dask_worker, "IDLE_S", 0.1)
    order = dask_worker.Order(pool.setup, dask_worker.describe())

    with dask_worker.processes(order, 1) as executor:
        pid = executor.submit(os.getpid).result()

    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.01)
    assert order not in dask_worker._started
