"""Faults of worker processes: real signals, real hangs, real kills.

In each case every item is answered once, the item to blame is named and no other, the run ends,
and no process is left.
"""

import multiprocessing.connection
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

import pool_tasks
from imgdup.workers.child import THREAD_VARIABLES
from imgdup.workers.pool import Died, Pool, answers
from imgdup.workers.process import Processes, Setup

TIMEOUT_S = 0.5
ENDED_S = 250.0  # how long to wait for processes to end, on a busy machine too

posix = pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def outcomes(batches, task=pool_tasks.act, **options):
    """(item, outcome) of every answer, in the order they came."""
    options = {"workers": 2, "timeout_s": TIMEOUT_S} | options
    with Pool(Setup(**options)) as pool:
        return [
            (item, outcome)
            for items, result in answers(task, batches, pool)
            for item, outcome in ([(items[0], result)] if isinstance(result, Died) else result)
        ]


def culprits(got):
    return sorted((item, outcome.reason) for item, outcome in got if isinstance(outcome, Died))


def with_bad_ones(*bad, n=60, size=10):
    """Batches of numbers, with bad items strewn among them."""
    items = list(range(n))
    for i, word in enumerate(bad):
        items.insert((i + 1) * n // (len(bad) + 1), word)
    return items, [items[i : i + size] for i in range(0, len(items), size)]


def assert_each_answered_once(got, items):
    assert Counter(item for item, _ in got) == Counter(items)
    assert all(
        outcome == item * item
        for item, outcome in got
        if isinstance(item, int) and not isinstance(outcome, Died)
    )


@pytest.mark.parametrize(
    "word",
    [
        "segfault",
        "exit(1)",
        "_exit(3)",
        "sys.exit(1)",
        pytest.param("kill", marks=posix),
        pytest.param("half an answer", marks=posix),
    ],
)
def test_an_item_that_ends_its_process_is_named_and_all_others_are_answered(word):
    items, batches = with_bad_ones(word)

    got = outcomes(batches)

    assert_each_answered_once(got, items)
    assert culprits(got) == [(word, "crashed")]


def test_a_name_that_kills_the_decoder_costs_only_its_own_answer():
    pytest.importorskip("cv2")
    items, batches = with_bad_ones("surrogate name")

    got = outcomes(batches, timeout_s=20.0)

    assert_each_answered_once(got, items)
    assert culprits(got) in ([("surrogate name", "crashed")], [])


@posix
def test_when_workers_are_killed_no_item_is_blamed_or_lost():
    items = list(range(400))
    batches = [["nap", *items[i : i + 10]] for i in range(0, 400, 10)]

    got, n_kills = [], 0
    with Pool(Setup(workers=2, timeout_s=20.0)) as pool:
        for n_answers, (_, result) in enumerate(answers(pool_tasks.act, batches, pool)):
            got.extend(result)
            if n_answers % 8 == 0:
                n_kills += kill_all(pool_tasks.workers())

    assert n_kills >= 5
    assert_each_answered_once(got, [*items, *["nap"] * 40])
    assert culprits(got) == []


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


@posix
def test_a_worker_that_is_killed_while_idle_is_replaced_unnoticed():
    with Processes(Setup(workers=1, timeout_s=20.0)) as executor:
        first = executor.submit(os.getpid).result()
        os.kill(first, signal.SIGKILL)
        (worker,) = executor._workers
        multiprocessing.connection.wait([worker.process.sentinel])

        second = executor.submit(os.getpid).result()

    assert second != first


@pytest.mark.parametrize("word", ["hang", pytest.param("hang with lock", marks=posix)])
def test_an_item_that_hangs_is_timed_out_and_named(word):
    items, batches = with_bad_ones(word)

    got = outcomes(batches)

    assert_each_answered_once(got, items)
    assert culprits(got) == [(word, "timed-out")]


def test_a_batch_may_take_longer_than_the_limit_of_one_item():
    got = outcomes([["nap"] * 24], timeout_s=0.8)

    assert culprits(got) == []


def test_a_worker_may_be_idle_for_longer_than_the_limit():
    got = []
    batches = ([n] for n in range(3))
    with Pool(Setup(workers=1, timeout_s=1.0)) as pool:
        for _, (pid, _) in answers(pool_tasks.act_and_say_who, batches, pool):
            got.append(pid)
            time.sleep(1.2)

    assert len(got) == 3
    assert len(set(got)) == 1


def test_a_single_item_is_tried_only_once_at_the_time_limit():
    submitted = []

    class Counted(Processes):
        def submit(self, function, /, *args):
            submitted.append(args)
            return super().submit(function, *args)

    with Pool(Setup(workers=1, timeout_s=3.0), Counted) as pool:
        ((items, answer),) = answers(pool_tasks.act, [["hang"]], pool)

    assert (items, answer.reason) == (["hang"], "timed-out")
    assert len(submitted) == 1


def test_three_bad_items_in_one_batch_are_each_named():
    items, batches = with_bad_ones("segfault", "hang", "_exit(3)", size=100)

    got = outcomes(batches)

    assert_each_answered_once(got, items)
    assert culprits(got) == [
        ("_exit(3)", "crashed"),
        ("hang", "timed-out"),
        ("segfault", "crashed"),
    ]


def test_a_run_of_only_bad_items_ends():
    items = ["segfault", "_exit(3)", "exit(1)", "hang", "sys.exit(1)", "segfault", "_exit(3)"]

    got = outcomes([items[:4], items[4:]], timeout_s=0.5)

    assert_each_answered_once(got, items)
    assert len(culprits(got)) == len(items)


def test_a_task_that_dies_between_two_items_is_tried_item_by_item():
    got = outcomes([[1, 2, 3]], task=pool_tasks.die_in_company)

    assert sorted(got) == [(1, 1), (2, 4), (3, 9)]


def test_a_run_whose_task_always_dies_between_two_items_ends():
    got = outcomes([[1, 2]], task=pool_tasks.die_before_first_item)

    assert culprits(got) == [(1, "crashed"), (2, "crashed")]


def test_workers_that_die_while_they_start_end_the_run_and_no_item_is_blamed():
    with pytest.raises(Exception, match=r"end while they start \(exit code 5\)"):
        outcomes([[1], [2]], initializer=pool_tasks.die_while_beginning)


@linux
def test_an_item_too_big_for_the_memory_cap_fails_alone_and_its_worker_lives():
    batches = [[1, "memory", 2], [3]]

    setup = Setup(1, 20.0, pool_tasks.limit_memory, (pool_tasks.ONE_GIB // 4,))
    with Pool(setup) as pool:
        got = list(answers(pool_tasks.act_and_say_who, batches, pool))

    outcomes_by_worker = [outcome for _, (_, outcome) in got]
    assert outcomes_by_worker == [[(1, 1), ("memory", "MemoryError"), (2, 4)], [(3, 9)]]
    assert len({pid for _, (pid, _) in got}) == 1


# The parent as a script: it prints the workers' numbers, then works until a signal comes.
INTERRUPTED = """
    import multiprocessing, signal, sys
    import pool_tasks
    from imgdup.workers.pool import Pool, answers
    from imgdup.workers.process import Setup

    def leave(number, frame):
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    task, word = getattr(pool_tasks, sys.argv[1]), sys.argv[2]
    batches = [["nap"], ["nap"], *[[word] * 200] * 50]
    try:
        with Pool(Setup(workers=2, timeout_s=60.0)) as pool:
            stream = answers(task, batches, pool)
            next(stream), next(stream)
            print(*pool_tasks.processes(), flush=True)
            for _ in stream:
                pass
    except KeyboardInterrupt:
        sys.exit(130)
"""

# The same in a process that runs a command of imgdup: it may fork the process that starts workers.
COMMAND = (
    """
    import os
    from imgdup.system.limits import THREAD_VARIABLES, run_commands_only

    run_commands_only()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
"""
    + INTERRUPTED
)
in_both = pytest.mark.parametrize("script", [INTERRUPTED, COMMAND], ids=["program", "command"])


@pytest.fixture
def run_script():
    """Start scripts, each the leader of its own process group as under a shell; end them after."""
    started = []

    def run(script, *arguments, prefix=(), **options):
        command = [*prefix, sys.executable, "-c", textwrap.dedent(script), *arguments]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=pool_tasks.ENVIRONMENT,
            **options,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def worker_numbers(process):
    """Read the numbers of the workers, once there are any."""
    return [int(word) for word in process.stdout.readline().split()]


def is_running(pid):
    """Return whether a process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.parent.parent.exists() or status.read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def all_gone(pids, within_s):
    deadline = time.monotonic() + within_s
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_running, pids))


@posix
@pytest.mark.parametrize(
    "signals, exit_code",
    [
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
        ([signal.SIGHUP], 129),
    ],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGHUP"],
)
@in_both
def test_an_interrupt_ends_the_parent_and_all_workers(run_script, script, signals, exit_code):
    process = run_script(script, "act", "hang with lock")
    workers = worker_numbers(process)

    send(process, signals)
    _, errors = process.communicate(timeout=250)

    assert process.returncode == exit_code
    assert errors == ""
    assert all_gone(workers, ENDED_S)


@posix
@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.1])
@in_both
def test_an_interrupt_while_workers_start_leaves_no_trace(run_script, script, delay_s):
    process = run_script(script, "act", "nap")
    wait_for_child(process)
    time.sleep(delay_s)

    send(process, [signal.SIGINT])
    _, errors = process.communicate(timeout=250)

    assert process.returncode == 130
    assert errors == ""


@posix
def test_what_is_done_before_an_interrupt_is_kept(run_script, tmp_path):
    process = run_script(INTERRUPTED, "nap_until_stopped", str(tmp_path))
    workers = worker_numbers(process)
    while not (begun := {int(file.stem) for file in tmp_path.glob("*.begun")}):
        time.sleep(0.01)

    send(process, [signal.SIGINT])
    process.communicate(timeout=250)

    done = {int(part.stem): int(part.read_text()) for part in tmp_path.glob("*.part")}
    assert begun <= done.keys() <= set(workers)
    assert all(done[worker] > 0 for worker in begun)


FORGOTTEN = """
    import pool_tasks
    from imgdup.workers.pool import Pool, answers
    from imgdup.workers.process import Setup
    stream = answers(pool_tasks.act, [["nap"]] * 1000, Pool(Setup(workers=2, timeout_s=60.0)))
    next(stream)
"""


def test_a_program_that_ends_without_closing_the_answers_does_end(run_script):
    process = run_script(FORGOTTEN)

    _, errors = process.communicate(timeout=250)

    assert process.returncode == 0
    assert errors == ""


def send(process, signals):
    """Ctrl-C goes to every process of the group, other signals to the parent alone."""
    for number in signals:
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        time.sleep(0.1)


def wait_for_child(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while children.exists() and not children.read_text():
        time.sleep(0.005)


@linux
def test_memory_of_parent_and_workers_is_flat_over_100_000_items():
    batches = (["/a/path/of/usual/length.jpg"] * 500 for _ in range(200))
    parent, workers = [], {}

    with Pool(Setup(workers=2, timeout_s=30.0)) as pool:
        for _, (pid, n_bytes) in answers(pool_tasks.weigh, batches, pool):
            parent.append(pool_tasks.resident_bytes())
            workers.setdefault(pid, []).append(n_bytes)

    for weights in [parent, *workers.values()]:
        assert weights[-1] - weights[len(weights) // 4] < 2_000_000


def test_a_worker_has_one_thread_before_its_libraries_are_loaded():
    with Pool(Setup(workers=1, timeout_s=30.0)) as pool:
        [(_, seen)] = answers(pool_tasks.look_around, [[0]], pool)

    assert set(seen["threads"]) == set(THREAD_VARIABLES)
    assert set(seen["threads"].values()) == {"1"}
    assert seen["heavy"] == []


WARNED = """
    import logging, sys
    logging.basicConfig(format="%(message)s")
    import pool_tasks
    from imgdup.workers.pool import Pool, answers
    from imgdup.workers.process import Setup
    with Pool(Setup(workers=2, timeout_s=60.0)) as pool:
        for items, result in answers(pool_tasks.act, [[2], [3]], pool):
            print(result[0][1])
"""


@linux
@pytest.mark.parametrize(
    "prepare",
    ["umount -l /dev/shm", "mount -t tmpfs -o size=4k none /dev/shm; cat /dev/zero >/dev/shm/full"],
    ids=["missing", "full"],
)
def test_shared_memory_missing_or_full_changes_nothing(run_script, prepare):
    prefix = ["unshare", "--mount", "sh", "-c", f'{prepare} 2>/dev/null; exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a mount name space")
    process = run_script(WARNED, prefix=prefix)

    output, errors = process.communicate(timeout=250)

    assert sorted(output.split()) == ["4", "9"]
    assert errors == ""


@posix
def test_without_room_for_a_process_the_work_is_done_in_this_one_with_a_warning(run_script):
    process = run_script(WARNED, prefix=["sh", "-c", 'ulimit -n 8; exec "$@"', "sh"])

    output, errors = process.communicate(timeout=250)

    assert sorted(output.split()) == ["4", "9"]
    assert errors.startswith("cannot start a worker process: [Errno 24] Too many open files;")
    assert len(errors.splitlines()) == 1


DAEMONIC = """
    import logging, multiprocessing
    logging.basicConfig(format="%(message)s")
    import pool_tasks
    from imgdup.workers.pool import Pool, answers
    from imgdup.workers.process import Setup
    def work():
        with Pool(Setup(workers=2, timeout_s=60.0)) as pool:
            print([result for _, result in answers(pool_tasks.act, [[2]], pool)])
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    process.join()
"""


@posix
def test_a_daemonic_process_which_may_not_have_children_does_the_work_itself(run_script):
    process = run_script(DAEMONIC)

    output, errors = process.communicate(timeout=250)

    assert output == "[[(2, 4)]]\n"
    assert "daemonic processes are not allowed to have children" in errors
    assert len(errors.splitlines()) == 1


@posix
@pytest.mark.parametrize("word", ["nap", "hang"])
@in_both
def test_workers_end_when_the_parent_is_killed(run_script, script, word):
    process = run_script(script, "act", word)
    workers = worker_numbers(process)

    process.kill()
    _, errors = process.communicate(timeout=250)

    assert all_gone(workers, ENDED_S)
    assert errors == ""
