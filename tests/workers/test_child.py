"""The worker's side: its state in shared memory, when its watchdog is set, when a task stops.

In this process, with a plain list for shared memory and a count in place of the real watchdog,
which would end the tests.
"""

from types import SimpleNamespace

import pytest

from imgdup.workers import child as workers
from imgdup.workers.child import IDLE, State, Stopped, run_batch


@pytest.fixture
def worker(monkeypatch):
    """This process as a worker; `armed` holds the time limits given to its watchdog, or "off"."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    armed = []
    watchdog = SimpleNamespace(
        dump_traceback_later=lambda limit_s, exit, file: armed.append(limit_s),
        cancel_dump_traceback_later=lambda: armed.append("off"),
    )
    monkeypatch.setattr(workers, "time", clock)
    monkeypatch.setattr(workers, "faulthandler", watchdog)
    state, stop = list(IDLE), SimpleNamespace(value=0)
    watchdog_of_worker = workers._Watchdog(state, stop, timeout_s=30.0)
    monkeypatch.setattr(workers, "_watchdog", watchdog_of_worker)
    yield SimpleNamespace(state=state, stop=stop, clock=clock, armed=armed)
    watchdog_of_worker.sink.close()


def test_the_state_names_the_current_item_and_its_deadline(worker):
    shown = []

    def task(items, before_item):
        for i, seconds in enumerate(items):
            before_item(i)
            shown.append(State(*worker.state))
            worker.clock.now += seconds

    run_batch(task, [5.0, 0.0])

    assert shown == [(0, 130.0), (1, 135.0)]


def test_the_state_is_idle_after_a_batch_even_if_it_fails(worker):
    def task(items, before_item):
        before_item(3)
        raise LookupError

    with pytest.raises(LookupError):
        run_batch(task, [])

    assert worker.state == list(IDLE)
    assert worker.armed[-1] == "off"


def test_a_process_without_memory_for_a_watchdog_ends(worker, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("unable to start watchdog thread")

    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr(workers.faulthandler, "dump_traceback_later", refuse)
    monkeypatch.setattr(workers.os, "_exit", leave)

    with pytest.raises(SystemExit, match="71"):
        run_batch(lambda items, before_item: None, [])


def test_the_watchdog_is_set_at_most_once_a_second(worker):
    def task(items, before_item):
        for i in items:
            before_item(i)
            worker.clock.now += 0.125

    run_batch(task, range(8 * 10))

    assert worker.armed == [30.0] * 10 + ["off"]


def test_the_time_limit_counts_before_the_first_item_too(worker):
    def task(items, before_item):
        return list(worker.armed)

    armed = run_batch(task, [])

    assert armed == [30.0]


def test_a_stop_takes_effect_before_the_next_item(worker):
    done = []

    def task(items, before_item):
        for i in items:
            before_item(i)
            done.append(i)
            worker.stop.value = i == 2

    with pytest.raises(Stopped):
        run_batch(task, range(10))

    assert done == [0, 1, 2]


def test_no_batch_starts_after_a_stop(worker):
    worker.stop.value = 1

    with pytest.raises(Stopped):
        run_batch(lambda items, before_item: pytest.fail("begun"), [1])


def test_a_batch_also_runs_outside_a_worker():
    def task(items, before_item):
        for i, _ in enumerate(items):
            before_item(i)
        return sum(items)

    result = run_batch(task, [1, 2, 3])

    assert result == 6
