"""Let a Dask cluster do the work: each of its workers starts processes with the usual limits.

The processes of a Dask worker are those that would work on this machine: their memory is capped,
they are ended when an item takes too long, and it is known which item they died of. Results come
back by value, so that only the pictures must be visible on the cluster.
"""

import asyncio
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import distributed
from distributed.scheduler import KilledWorker

from imgdup.errors import ImgdupError, UsageError
from imgdup.system.limits import Limits
from imgdup.workers.child import Reply
from imgdup.workers.dask_worker import (
    Order,
    UnfitError,
    describe,
    find_problem,
    first_line,
    first_unseen,
    processes,
)
from imgdup.workers.pool import Pool, decoding_setup
from imgdup.workers.process import Death, WorkerDied

R = TypeVar("R")

CONNECT_S = 10.0  # for the scheduler to answer
FIRST_WORKER_S = 60.0  # for the first Dask worker to join
LOOK_S = 2.0  # between two looks at how many workers there are
CLOSE_S = 5.0  # for the scheduler to close the connection
RESUME = "run the same command again to continue"

log = logging.getLogger(__name__)


class Cluster(Executor):
    """Makes calls in processes of the workers of a Dask cluster.

    The client is connected; `shutdown` closes it. Each Dask worker starts processes by the order,
    as many as it has threads.
    """

    def __init__(self, client: distributed.Client, order: Order) -> None:
        self.n_workers = 1
        self._client = client
        self._order = order
        self._tasks = client.get_executor(pure=False)  # else changed files get old answers
        self._answers: set[Future[Any]] = set()  # of the calls that are being made
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._count()
        self._watcher.start()

    def submit(self, function: Callable[..., R], /, *args: Any) -> Future[R]:  # type: ignore[override]
        """Let a process of the cluster call ``function(*args)``."""
        answer: Future[R] = Future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        task = self._tasks.submit(call, self._order, function, args)
        task.add_done_callback(partial(_pass_on, answer))
        answer.add_done_callback(lambda _: answer.cancelled() and task.cancel())
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel all calls, and disconnect; processes of the cluster end when they are idle."""
        self._closed.set()
        self._watcher.join(CLOSE_S)
        if self._client.status == "running":
            self._tasks.shutdown(wait=wait and not cancel_futures)
        _close(self._client)

    def require_seen(self, paths: Sequence[bytes]) -> None:
        """Raise ImgdupError unless all Dask workers can read what this process can read of them."""
        paths = [path for path in paths if first_unseen([path]) is None]
        for address, unseen in self._client.run(first_unseen, paths, on_error="return").items():
            if unseen is not None:
                is_path = isinstance(unseen, bytes)
                what = repr(os.fsdecode(unseen)) if is_path else f"them ({first_line(unseen)})"
                raise ImgdupError(
                    f"the Dask worker at {address} cannot read {what}: all machines must find the "
                    "pictures under the same path"
                )

    def require_equal(self) -> None:
        """Raise ImgdupError unless all Dask workers can start processes that hash as this one."""
        found = self._client.run(_check_worker, self._order, on_error="return")
        for address, problem in found.items():
            if problem:
                raise ImgdupError(f"the Dask worker at {address} {_in_words(problem)}")

    def _watch(self) -> None:
        """Keep the number of workers up to date; warn when none is left; end lost calls.

        Dask does not end calls whose result was on its way when the scheduler was lost.
        """
        had_workers = True
        while not self._closed.wait(LOOK_S):
            if self._client.status != "running":
                for answer in list(self._answers):
                    with suppress(InvalidStateError):
                        answer.set_exception(_lost())
                continue
            has_workers = self._count()
            if had_workers and not has_workers:
                log.warning("no Dask worker is left; waiting for one to join")
            had_workers = has_workers

    def _count(self) -> bool:
        """Count the threads of the cluster; return whether there are any."""
        n_threads = int(self._client.scheduler_info(n_workers=0)["total_threads"])
        self.n_workers = n_threads or self.n_workers
        return n_threads > 0


def _pass_on(answer: "Future[R]", task: "Future[Reply]") -> None:
    """Give an answer what the task on the cluster gave."""
    reply = _reply_of(task)
    with suppress(InvalidStateError):  # it was cancelled, or is known to be lost
        if reply.error is not None:
            answer.set_exception(reply.error)
        else:
            answer.set_result(reply.result)


def _reply_of(task: "Future[Reply]") -> Reply:
    """Return what a task that has ended gave, or why it gave nothing."""
    try:
        return task.result()
    except CancelledError:
        return Reply(None, _lost())
    except KilledWorker:  # several Dask workers ended, one after the other, while they had the task
        return Reply(None, WorkerDied(Death(None, None)))
    except Exception as error:
        return Reply(None, error)


def _lost() -> ImgdupError:
    return ImgdupError(f"the Dask scheduler was lost: {RESUME}")


def cluster_pool(address: str, limits: Limits, preload: tuple[str, ...]) -> Pool:
    """Connect to a Dask cluster, check its workers, and return a pool that they work for.

    The address is that of the scheduler, or the path of the scheduler file. The processes import
    the modules `preload`. Raises UsageError if there is no such scheduler file. Raises ImgdupError
    if the scheduler does not answer, has no workers or another version of Dask, or if a worker
    cannot start processes, or has other versions of what decides the hashes.
    """
    client = _connect(_address(address))
    try:
        _check_scheduler(client, address)
        order = Order(decoding_setup(limits, 1, preload), describe())
        cluster = Cluster(client, order)
        try:
            cluster.require_equal()
        except BaseException:
            cluster.shutdown(cancel_futures=True)
            raise
    except BaseException:
        _close(client)
        raise
    pool = Pool(order.setup, lambda _: cluster, remote=cluster)
    pool.start()  # so that it disconnects when it is closed
    return pool


def _connect(address: str) -> distributed.Client:
    """Connect to a scheduler; Dask itself prints nothing, because errors are reported here."""
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):  # of other versions, see _check_scheduler
            return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ImgdupError(
            f"no Dask scheduler answers at {address} ({first_line(error)}); start it, or name "
            "another one"
        ) from error


def _address(place: str) -> str:
    """Return the address of a scheduler, which its scheduler file may hold."""
    if "://" in place or not (os.sep in place or Path(place).suffix == ".json"):
        return place
    try:
        return str(json.loads(Path(place).read_bytes())["address"])
    except OSError as error:
        raise UsageError(f"{place}: no scheduler file can be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{place} is not a scheduler file of Dask") from error


def _check_scheduler(client: distributed.Client, address: str) -> None:
    """Raise ImgdupError if the scheduler has another version of Dask, or no workers."""
    theirs = client.get_versions()["scheduler"]["packages"]["distributed"]
    if theirs != distributed.__version__:
        raise ImgdupError(
            f"the Dask scheduler at {address} has distributed {theirs}, and this machine "
            f"{distributed.__version__}: install the same version on both"
        )
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
    except TimeoutError as error:
        raise ImgdupError(
            f"the Dask scheduler at {address} has no workers: start some, and run the same "
            "command again"
        ) from error


def _close(client: distributed.Client) -> None:
    """Disconnect; whether the scheduler notices does not matter."""
    with suppress(OSError, TimeoutError):
        client.close(timeout=CLOSE_S)


def _in_words(problem: object) -> str:
    """Return what a Dask worker reported, or why it could not."""
    if isinstance(problem, ModuleNotFoundError):
        return f"cannot import {problem.name}: install the same version of imgdup there"
    return f"failed: {first_line(problem)}" if isinstance(problem, Exception) else str(problem)


def call(order: Order, function: Callable[..., Any], args: tuple[Any, ...]) -> Reply:
    """Call a function in a process of this Dask worker.

    An error is part of the reply: Dask would log it, and try the call again.
    """
    worker = distributed.get_worker()
    try:
        with processes(order, worker.state.nthreads) as executor:
            return Reply(executor.submit(function, *args).result(), None)
    except UnfitError as error:
        return Reply(None, ImgdupError(f"the Dask worker at {worker.address} {error}; {RESUME}"))
    except Exception as error:
        return Reply(None, error)


async def _check_worker(order: Order, dask_worker: distributed.Worker) -> str:
    """Start the processes of a Dask worker; return why that is not possible, or nothing."""
    return await asyncio.to_thread(find_problem, order, dask_worker.state.nthreads)
