"""Processes: whose they are, what they see, and that nobody's ``__main__`` runs twice."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from multiprocessing import connection

import pytest

import pool_tasks
from imgdup.workers import start
from imgdup.workers.process import Processes, Setup, WorkerDied

FORKS = pytest.mark.skipif(not start.CAN_FORK, reason="workers are forked on Linux only")

SCRIPT = """
import pool_tasks
from imgdup.workers.pool import Pool, answers
from imgdup.workers.process import Setup

print("started")
with Pool(Setup(workers=2, timeout_s=60.0)) as pool:
    got = [seen for _, seen in answers(pool_tasks.look_around, [[1], [2]], pool)]
print(*[seen["main"] for seen in got])
"""
NOTEBOOK = f"""
import __main__
if hasattr(__main__, "__file__"):
    del __main__.__file__
exec(compile({SCRIPT!r}, "<cell>", "exec"), __main__.__dict__)
"""


@pytest.mark.parametrize("form", ["script", "module", "command", "stdin", "notebook"])
def test_an_unguarded_main_is_run_once_in_every_form(tmp_path, form):
    (tmp_path / "unguarded.py").write_text(SCRIPT)
    (tmp_path / "cell.py").write_text(NOTEBOOK)
    arguments = {
        "script": ["unguarded.py"],
        "module": ["-m", "unguarded"],
        "command": ["-c", SCRIPT],
        "stdin": ["-"],
        "notebook": ["cell.py"],
    }

    done = subprocess.run(
        [sys.executable, *arguments[form]],
        input=SCRIPT if form == "stdin" else "",
        cwd=tmp_path,
        env=pool_tasks.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=250,
    )

    assert done.stderr == ""
    assert done.stdout == "started\nNone None\n"


class CountedPipe:
    """A pipe that takes a while to close, and counts how often it is."""

    def __init__(self, pipe):
        self._pipe = pipe
        self.n_closed = 0

    def __getattr__(self, name):
        return getattr(self._pipe, name)

    def close(self):
        self.n_closed += 1
        time.sleep(0.05)
        self._pipe.close()


def test_a_worker_that_is_ended_by_several_threads_is_closed_once():
    with Processes(Setup(workers=1, timeout_s=20.0)) as executor:
        executor.submit(len, "four").result()
        (worker,) = executor._workers
        worker.pipe = CountedPipe(worker.pipe)

        with ThreadPoolExecutor(4) as pool:
            for ended in [pool.submit(worker.end) for _ in range(4)]:
                ended.result()

    assert worker.pipe.n_closed == 1


def test_processes_start_in_a_deleted_folder_and_leave_it_as_it_is(tmp_path):
    script = (
        "import os\n"
        "from imgdup.workers.process import Processes, Setup\n"
        "os.rmdir(os.getcwd())\n"
        "with Processes(Setup(workers=1, timeout_s=60.0)) as executor:\n"
        "    print(executor.submit(len, 'four').result())\n"
        "print(os.path.exists('.'), os.listdir('.'))\n"
        "try:\n"
        "    os.getcwd()\n"
        "except FileNotFoundError:\n"
        "    print('still deleted')\n"
    )
    folder = tmp_path / "gone"
    folder.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=250
    )

    assert done.stderr == ""
    assert done.stdout == "4\nTrue []\nstill deleted\n"


@FORKS
def test_after_the_process_that_starts_workers_is_killed_another_one_replaces_it():
    with Processes(Setup(workers=1, timeout_s=20.0)) as executor:
        first = executor.submit(os.getpid).result()
        for pid in pool_tasks.processes():
            os.kill(pid, signal.SIGKILL)
        (worker,) = executor._workers
        for process in (executor._source._process, worker.process):
            connection.wait([process.sentinel], timeout=250)

        second = executor.submit(os.getpid).result()

    assert second != first
    assert pool_tasks.processes() == []


HEIRS = """
import gc, json, signal, sys, threading
import pool_tasks
from imgdup.system.limits import run_commands_only
from imgdup.workers.pool import Setup
from imgdup.workers.process import Processes

signal.signal(signal.SIGTERM, lambda number, frame: None)
gc.set_threshold(50_000, 20, 20)
sys.inherited = True
if "command" in sys.argv[1]:
    run_commands_only()
if "thread" in sys.argv[1]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
with Processes(Setup(workers=1, timeout_s=20.0, preload=("imgdup.build.hash_batch",))) as executor:
    print(json.dumps(executor.submit(pool_tasks.inheritance).result()))
"""


@FORKS
@pytest.mark.usefixtures("heeded_hangup")
@pytest.mark.parametrize(
    "kind, is_forked",
    [("program", False), ("command", True), ("command with a thread", False)],
)
def test_workers_are_forked_from_a_command_that_has_one_thread(kind, is_forked):
    threads = dict.fromkeys(pool_tasks.THREAD_VARIABLES, "1")

    done = subprocess.run(
        [sys.executable, "-c", HEIRS, kind],
        env={**pool_tasks.ENVIRONMENT, **threads},
        capture_output=True,
        text=True,
        timeout=250,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "is_forked": is_forked,
        "default_signals": True,
        "collects_after": 700,
    }


@FORKS
def test_a_worker_has_the_modules_that_were_imported_ahead_for_all():
    modules = ("colorsys", "no_such_module")

    with Processes(Setup(workers=1, timeout_s=20.0, preload=modules)) as executor:
        imported = executor.submit(eval, "sorted({'colorsys'} & set(__import__('sys').modules))")
        missing = executor.submit(import_module, "no_such_module")

        assert imported.result() == ["colorsys"]
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            missing.result()


@pytest.mark.parametrize("can_fork", [False, pytest.param(True, marks=FORKS)])
def test_a_worker_ends_as_its_task_says_however_it_was_started(can_fork, monkeypatch):
    monkeypatch.setattr(start, "CAN_FORK", can_fork)

    with Processes(Setup(workers=1, timeout_s=20.0)) as executor:
        codes = [code_of(executor.submit(os._exit, 7)), code_of(executor.submit(os.abort))]
        alive = executor.submit(len, "four").result()

    assert codes == [7, -signal.SIGABRT]
    assert alive == 4
    assert pool_tasks.processes() == []


def code_of(call):
    """The exit code of the worker that a call ended."""
    with pytest.raises(WorkerDied) as died:
        call.result()
    return died.value.death.exit_code


ENDED_WHILE_IT_IS_FORKED = """
import os, signal, sys
import pool_tasks
from imgdup.system.limits import run_commands_only
from imgdup.workers.pool import Setup
from imgdup.workers.process import Processes

def end(number, frame):
    raise SystemExit(143)

def terminate_the_first():
    try:
        os.mkdir(sys.argv[1])
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, end)
os.register_at_fork(after_in_child=terminate_the_first)
run_commands_only()
with Processes(Setup(workers=1, timeout_s=20.0)) as executor:
    print(executor.submit(abs, -3).result())
"""


@FORKS
def test_a_fork_that_is_ended_at_once_does_not_run_the_handlers_of_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ENDED_WHILE_IT_IS_FORKED, str(tmp_path / "forked")],
        env={**pool_tasks.ENVIRONMENT, **dict.fromkeys(pool_tasks.THREAD_VARIABLES, "1")},
        capture_output=True,
        text=True,
        timeout=250,
    )

    assert (done.stdout, done.stderr) == ("3\n", "")
    assert (tmp_path / "forked").exists()
