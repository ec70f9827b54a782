"""Start worker processes: on Linux by forking a process that has imported what they need.

That process, the template, has one thread, so that it can be forked safely, and imports once what
each worker would import. It is forked itself if this process runs nothing but a command of imgdup
and has one thread, too. Otherwise it is spawned: it never imports the caller's ``__main__``, has
none of the caller's open files, and imports while the caller goes on with its own work.
On other systems each worker is spawned and imports by itself.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, TypeAlias

from imgdup.system.limits import runs_commands_only
from imgdup.workers.child import IDLE, Flag, serve, set_up_process

CAN_FORK = sys.platform == "linux"
EXIT_WAIT_S = 5.0  # for a process to end after its pipe was closed or it was killed
POLL_S = 0.001
STDERR = 2  # the last of the standard streams

process_lock = threading.Lock()  # multiprocessing keeps one list of all processes


class Shared(NamedTuple):
    """What all workers of an executor get when they start.

    ``states`` has a pair of numbers in shared memory for each worker that may run at the same time.
    """

    states: Sequence[MutableSequence[float]]
    stop: Flag
    timeout_s: float
    preload: tuple[str, ...]


def shared_memory(workers: int, timeout_s: float, preload: tuple[str, ...]) -> Shared:
    """Make the states of some workers, and the flag that stops them."""
    context = multiprocessing.get_context("spawn")
    states = [context.RawArray("d", IDLE) for _ in range(workers)]
    return Shared(states, context.RawValue("b", 0), timeout_s, preload)


def _spawn(function: Callable[..., None], *args: Any) -> tuple[Connection, SpawnProcess]:
    """Spawn a process that calls a function with a pipe and arguments; return our end, too."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = SpawnProcess(target=function, args=(theirs, *args), daemon=True)
    resource_tracker.ensure_running()  # else it starts with the process and unblocks the signals
    _start(process, ours, theirs)
    return ours, process


def _fork_template(shared: Shared) -> tuple[Connection, BaseProcess]:
    """Fork this process to the template, which imports what is missing; return our end, too."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    args = (theirs, ours, shared)
    process = multiprocessing.get_context("fork").Process(target=_run_fork, args=args, daemon=True)
    with _blocked_signals(signal.SIGTERM):  # until the fork has no handler of the command any more
        _start(process, ours, theirs)
    return ours, process


def _start(process: BaseProcess, ours: Connection, theirs: Connection) -> None:
    """Start a process that gets `theirs`: without signals of the terminal and ``__main__``."""
    with theirs:
        try:
            with _blocked_signals(), process_lock, _hidden_main(), _existing_folder():
                process.start()
        except BaseException:
            ours.close()
            raise


def _has_one_thread() -> bool:
    """Return whether no thread, of Python or of a library, runs beside this one."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class TemplateEndedError(OSError):
    """The process that workers are forked from has ended; another one can take its place."""


class Spawner:
    """Spawns each worker."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def start(self, slot: int) -> tuple[Connection, SpawnProcess]:
        """Start the worker that has the state of a slot; return the pipe to it, too."""
        shared = self.shared
        return _spawn(serve, shared.states[slot], shared.stop, shared.timeout_s)

    def close(self) -> None:
        """Do nothing."""


class Template:
    """The parent's side of the template: asks it for workers, and for how they ended."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._lock = threading.Lock()
        self._pipe: Connection
        self._process: BaseProcess
        if runs_commands_only() and _has_one_thread():
            self._pipe, self._process = _fork_template(shared)
        else:
            self._pipe, self._process = _spawn(_fork_on_request, shared)

    def start(self, slot: int) -> "tuple[Connection, Forked]":
        """Start the worker that has the state of a slot; return the pipe to it, too.

        Raises TemplateEndedError if another source must take the place of this one.
        """
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        try:
            with theirs:
                pid = self.ask(_fork, slot, theirs)
        except BaseException:
            ours.close()
            raise
        return ours, Forked(self, pid, ours)

    def ask(self, function: Callable[..., int | None], number: int, *pipes: Connection) -> Any:
        """Let the template call a function with a number and pipes; return the result."""
        with self._lock:
            try:
                self._pipe.send((function, number, len(pipes)))
                for pipe in pipes:
                    reduction.send_handle(self._pipe, pipe.fileno(), self._process.pid)
                result = self._pipe.recv()
            except (EOFError, ConnectionError):
                raise TemplateEndedError("the process that starts workers has ended") from None
        if isinstance(result, OSError):
            raise result
        return result

    def close(self) -> None:
        """End the template."""
        with process_lock:
            self._process.kill()
            self._process.join(EXIT_WAIT_S)
        self._pipe.close()


class Forked:
    """A worker that the template forked, and that it waits for when it is asked.

    Until then the number of the process is not used again. The pipe to a worker ends with it.
    """

    def __init__(self, template: Template, pid: int, pipe: Connection) -> None:
        self.pid = pid
        self.sentinel = pipe
        self.exitcode: int | None = None
        self._template = template
        self._has_ended = False

    def kill(self) -> None:
        """Let the template kill it."""
        if not self._has_ended:
            with suppress(OSError):  # the template was killed: the worker ends with its pipe
                self._template.ask(_kill, self.pid)

    def join(self, timeout: float) -> None:
        """Wait for its end; the template kills it if it does not end soon."""
        if not self._has_ended:
            self._has_ended = True
            with suppress(OSError):
                self.exitcode = self._template.ask(_wait, self.pid)


Source: TypeAlias = Spawner | Template


def source(shared: Shared) -> Source:
    """Return what starts workers on this system."""
    return Template(shared) if CAN_FORK else Spawner(shared)


def _run_fork(pipe: Connection, others: Connection, shared: Shared) -> None:
    """Run the template in a fork of a process that runs a command."""
    others.close()  # otherwise the pipe would remain open after that process has ended
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _fork_on_request(pipe, shared)


def _preload(shared: Shared) -> None:
    gc.disable()
    for module in shared.preload:
        with suppress(Exception):  # the worker that needs it imports it again, and reports this
            import_module(module)
    gc.freeze()  # garbage collection shall not touch, and so copy, the memory that forks share
    gc.enable()


def _fork_on_request(pipe: Connection, shared: Shared) -> None:
    """Run the template: import, then make each call that arrives, until the pipe is closed."""
    set_up_process()
    _preload(shared)
    with suppress(EOFError, OSError):
        while True:
            function, number, n_pipes = pipe.recv()
            pipes = [Connection(reduction.recv_handle(pipe)) for _ in range(n_pipes)]
            try:
                result = function(number, *pipes, *([pipe, shared] if n_pipes else []))
            except OSError as error:
                result = error
            pipe.send(result)
    os._exit(0)


def _fork(slot: int, theirs: Connection, template_pipe: Connection, shared: Shared) -> int:
    """Fork a worker, and return the number of its process."""
    with theirs:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _work(slot, theirs, template_pipe, shared)
    return pid


def _work(slot: int, pipe: Connection, template_pipe: Connection, shared: Shared) -> None:
    """Serve as a worker, and end this process."""
    code = 1
    try:
        template_pipe.close()
        serve(pipe, shared.states[slot], shared.stop, shared.timeout_s)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _kill(pid: int) -> None:
    """End a child of this process, unless it has ended."""
    os.kill(pid, signal.SIGKILL)


def _wait(pid: int) -> int:
    """Return the exit code of a child; it is killed if it does not end soon."""
    deadline = time.monotonic() + EXIT_WAIT_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_S)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fill_standard_streams() -> None:
    """Open /dev/null in place of closed standard streams, so that no pipe gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


@contextmanager
def _blocked_signals(*more: signal.Signals) -> Iterator[None]:
    """Block the terminal's signals in this thread: a process started here inherits that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, *more})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _existing_folder() -> Iterator[None]:
    """Change to the root folder meanwhile if the current folder was deleted: spawn needs its name.

    No relative path can be used in a deleted folder, so no other thread of this process loses one.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        pass
    else:
        yield
        return
    deleted = os.open(os.curdir, os.O_RDONLY)
    try:
        os.chdir(os.sep)
        yield
    finally:
        os.fchdir(deleted)
        os.close(deleted)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the file of ``__main__``, so that a spawned process does not run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = _NoFile(main)
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _NoFile(types.ModuleType):
    """A stand-in for a module that has its attributes, but no file."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self._module, name)
