"""One answer for every item: the same contract for every executor, and who is blamed for a death.

Who is blamed is a function of a batch and a death, so it is tested without processes; what real
deaths look like is in test_faults_pool.py.
"""

import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

import pool_tasks
from imgdup.errors import ImgdupError
from imgdup.workers import pool as executors, process as processes, start
from imgdup.workers.pool import Died, Pool, answers, inline, local
from imgdup.workers.process import Death, Processes, Setup, WorkerDied


def threads(setup):
    return ThreadPoolExecutor(setup.workers, initializer=setup.initializer, initargs=setup.initargs)


ENGINES = [inline, threads, local]


def in_batches(items, size):
    return [items[i : i + size] for i in range(0, len(items), size)]


def a_pool(workers=2, timeout_s=30.0, initializer=None, engine=local):
    return Pool(Setup(workers, timeout_s, initializer), engine)


def all_answers(task, batches, **options):
    """Items and outcomes as one sorted list."""
    with a_pool(**options) as pool:
        return sorted(
            (
                (item, outcome)
                for items, result in answers(task, batches, pool)
                for item, outcome in (result if isinstance(result, list) else [(items[0], result)])
            ),
            key=repr,
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_every_item_is_answered_once_on_every_executor(engine):
    numbers = list(range(100))

    got = all_answers(pool_tasks.act, in_batches(numbers, 7), engine=engine)

    assert sorted(got) == [(n, n * n) for n in numbers]


@pytest.mark.parametrize("workers, size", [(1, 1), (1, 7), (2, 3), (2, 100), (4, 1), (16, 3)])
def test_answers_are_equal_for_any_number_of_workers_and_any_batch_size(workers, size):
    numbers = list(range(20))

    got = all_answers(pool_tasks.act, in_batches(numbers, size), workers=workers)

    assert sorted(got) == [(n, n * n) for n in numbers]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batches", [[], [[]], [[], [1], []]], ids=["none", "empty", "some empty"])
def test_no_batch_and_an_empty_batch_are_batches_too(engine, batches):
    with a_pool(engine=engine) as pool:
        got = list(answers(pool_tasks.act, batches, pool))

    assert sorted(items for items, _ in got) == sorted(batches)


@pytest.mark.parametrize("engine", ENGINES)
def test_batches_are_read_only_as_workers_become_free(engine):
    taken = []
    batches = (taken.append(n) or [n] for n in range(1000))

    with a_pool(engine=engine) as pool:
        next(answers(pool_tasks.act, batches, pool))

    assert len(taken) <= 4


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_of_the_task_reaches_the_caller(engine):
    with pytest.raises(LookupError, match="no such thing"):
        all_answers(pool_tasks.raise_error, [[1], [2]], engine=engine)


def test_an_exception_in_a_worker_has_a_note_of_its_place():
    with pytest.raises(LookupError) as caught:
        all_answers(pool_tasks.raise_error, [[1]])

    assert "in raise_error" in "".join(caught.value.__notes__)


def test_an_exception_of_the_batches_reaches_the_caller_and_ends_the_workers():
    def batches():
        yield [1]
        raise PermissionError("folder")

    with pytest.raises(PermissionError, match="folder"):
        all_answers(pool_tasks.act, batches())

    assert pool_tasks.processes() == []


def test_an_exception_of_the_initializer_reaches_the_caller():
    with pytest.raises(RuntimeError, match="nothing is ready"):
        all_answers(pool_tasks.act, [[1]], initializer=pool_tasks.fail_to_begin)


def test_a_task_that_workers_cannot_find_is_an_error(monkeypatch):
    monkeypatch.setattr(pool_tasks, "act_here_only", lambda items, before: None, raising=False)
    pool_tasks.act_here_only.__qualname__ = "act_here_only"
    pool_tasks.act_here_only.__module__ = "pool_tasks"

    with pytest.raises(AttributeError, match="act_here_only"):
        all_answers(pool_tasks.act_here_only, [[1]])


def test_a_result_that_cannot_be_sent_is_an_error():
    with pytest.raises(TypeError, match="lock"):
        all_answers(pool_tasks.send_nonsense, [[1]])


def test_workers_have_ended_after_the_last_answer():
    all_answers(pool_tasks.act, [[1], [2], [3]])

    assert pool_tasks.processes() == []


def test_a_second_interrupt_while_a_pool_is_closed_does_not_leave_its_workers():
    ended = []

    class Interrupted(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            ended.append(len(ended))
            if len(ended) == 1:
                raise KeyboardInterrupt
            super().shutdown(wait, cancel_futures=cancel_futures)

    with pytest.raises(KeyboardInterrupt), Pool(Setup(1, 30.0), lambda _: Interrupted()) as pool:
        pool.start()

    assert ended == [0, 1]


def test_workers_have_ended_when_the_pool_is_closed_before_the_last_answer():
    with a_pool() as pool:
        next(answers(pool_tasks.act, [["nap"]] * 100, pool))

    assert pool_tasks.processes() == []


def test_no_worker_starts_before_the_first_answer_is_asked_for():
    with a_pool() as pool:
        answers(pool_tasks.act, [[1]], pool)

        assert pool_tasks.processes() == []


def test_no_more_workers_start_than_there_are_batches():
    with a_pool(workers=8) as pool:
        list(answers(pool_tasks.act, [[1]], pool))

        assert len(pool_tasks.workers()) == 1


def worker_pids(pool, word="nap"):
    """The processes that answer four batches."""
    batches = [[word]] * 4
    return {pid for _, (pid, _) in answers(pool_tasks.act_and_say_who, batches, pool)}


def test_two_calls_share_the_same_processes():
    with a_pool() as pool:
        first = worker_pids(pool)
        second = worker_pids(pool)

    assert len(first) == 2
    assert second == first


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
def test_a_process_that_dies_between_two_calls_is_replaced():
    with a_pool() as pool:
        before = worker_pids(pool)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)

        after = worker_pids(pool)

    assert victim not in after
    assert len(after) == 2


def test_a_bad_item_of_one_call_does_not_affect_the_next_call():
    with a_pool() as pool:
        first = list(answers(pool_tasks.act, [["segfault"]], pool))
        second = list(answers(pool_tasks.act, [[3]], pool))

    assert first == [
        (["segfault"], Died("crashed", "it ended its worker process each time: SIGSEGV"))
    ]
    assert second == [([3], [(3, 9)])]


def test_threads_can_share_one_pool():
    def squares(start):
        batches = [[n] for n in range(start, start + 20)]
        return sorted(pair for _, found in answers(pool_tasks.act, batches, pool) for pair in found)

    with a_pool() as pool, ThreadPoolExecutor(4) as callers:
        found = list(callers.map(squares, [0, 100, 200, 300]))
        n_workers = len(pool_tasks.workers())

    assert found == [[(n, n * n) for n in range(s, s + 20)] for s in (0, 100, 200, 300)]
    assert n_workers == 2


def test_a_call_that_is_abandoned_leaves_the_pool_usable():
    with a_pool(workers=1) as pool:
        abandoned = answers(pool_tasks.act, [["nap"]] * 100, pool)
        next(abandoned)
        abandoned.close()

        found = list(answers(pool_tasks.act, [[3]], pool))

    assert found == [([3], [(3, 9)])]


def test_where_no_process_can_start_the_work_is_done_here_with_a_warning(monkeypatch, caplog):
    def refuse(process):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(start.SpawnProcess, "start", refuse)

    with caplog.at_level(logging.WARNING, logger="imgdup"):
        got = all_answers(pool_tasks.act, [[1], [2]])

    assert got == [(1, 1), (2, 4)]
    assert "no more processes" in caplog.text


def test_a_later_worker_that_cannot_start_ends_the_run_with_the_reason(monkeypatch):
    executor = Processes(Setup(workers=2, timeout_s=30.0))
    monkeypatch.setattr(processes, "_Worker", refuse_to_be)

    with pytest.raises(ImgdupError, match="cannot start a worker process: table full"):
        all_answers(pool_tasks.act, [["nap"], ["nap"]], engine=lambda setup: executor)


def refuse_to_be(*_):
    raise OSError("table full")


def dying(*deaths):
    """An engine whose first calls end in these deaths."""
    left = list(deaths)

    class Mortal(executors._Inline):
        def submit(self, function, /, *args):
            if left:
                return super().submit(die, left.pop(0))
            return super().submit(function, *args)

    return lambda setup: Mortal()


def die(death):
    raise WorkerDied(death)


CRASH = Death(0, -11)
TIMEOUT = Death(0, 1, timed_out=True)
KILL = Death(0, -9)
LOSS = Death(None, -11)
STILLBIRTH = Death(None, 5, began=False)


@pytest.mark.parametrize(
    "deaths, reason",
    [
        ([CRASH, CRASH], "crashed"),
        ([TIMEOUT], "timed-out"),
        ([CRASH, TIMEOUT], "timed-out"),
        ([KILL, KILL, KILL], "crashed"),
        ([LOSS] * 5, "crashed"),
    ],
)
def test_an_item_that_ends_its_worker_often_enough_is_blamed(deaths, reason):
    got = all_answers(pool_tasks.act, [[3]], workers=1, engine=dying(*deaths))

    assert [(item, died.reason) for item, died in got] == [(3, reason)]


@pytest.mark.parametrize(
    "deaths", [[CRASH], [KILL, KILL], [LOSS] * 4, [STILLBIRTH] * 4, [CRASH, KILL]]
)
def test_an_item_that_ends_its_worker_less_often_is_not_blamed(deaths):
    got = all_answers(pool_tasks.act, [[3]], workers=1, engine=dying(*deaths))

    assert got == [(3, 9)]


@pytest.mark.parametrize("death", [CRASH, TIMEOUT, KILL, LOSS, STILLBIRTH])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_after_one_death_in_a_batch_no_item_is_blamed_or_lost(death, position):
    if death.position is not None:
        death = death._replace(position=position)

    got = all_answers(pool_tasks.act, [[1, 2, 3, 4, 5]], workers=1, engine=dying(death))

    assert got == [(n, n * n) for n in [1, 2, 3, 4, 5]]


def test_a_batch_that_loses_its_worker_repeatedly_is_done_item_by_item():
    with a_pool(workers=1, engine=dying(*[LOSS] * 5)) as pool:
        got = list(answers(pool_tasks.act, [[1, 2]], pool))

    assert sorted(got) == [([1], [(1, 1)]), ([2], [(2, 4)])]


def test_workers_that_never_start_are_an_error_and_no_item_is_blamed():
    with pytest.raises(ImgdupError, match=r"end while they start \(exit code 5\)"):
        all_answers(pool_tasks.act, [[1]], engine=dying(*[STILLBIRTH] * 5))


def test_an_item_whose_worker_was_killed_is_tried_while_nothing_else_runs():
    beside = []
    submitted = []

    class Recording(ThreadPoolExecutor):
        def submit(self, function, /, *args):
            beside.append([items for items, future in submitted if not future.done()])
            first = not submitted
            future = super().submit(*((die, KILL) if first else (function, *args)))
            submitted.append((args[1], future))
            return future

    all_answers(
        pool_tasks.act, [["nap", 1], ["nap", 2], ["nap", 3]], engine=lambda setup: Recording(2)
    )

    alone = next(i for i, (items, _) in enumerate(submitted) if items == ["nap"])
    assert beside[alone] == []
    assert all(["nap"] not in running for running in beside[alone + 1 :])


@pytest.mark.parametrize(
    "exit_code, shown",
    [(-11, "SIGSEGV"), (3, "exit code 3"), (None, "exit code None"), (-99, "signal 99")],
)
def test_a_death_describes_how_the_process_ended(exit_code, shown):
    death = Death(None, exit_code)

    assert str(death) == shown


def test_the_answer_for_a_blamed_item_describes_the_death():
    with a_pool(workers=1) as pool:
        [(items, died)] = answers(pool_tasks.act, [["_exit(3)"]], pool)

    assert items == ["_exit(3)"]
    assert died == Died("crashed", "it ended its worker process each time: exit code 3")
