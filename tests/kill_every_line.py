"""Run an action in a child that is killed at its n-th executed line, for every n or every few.

Lines count in the modules named, not in the standard library. POSIX only (fork).
"""

import os
import signal
import sys
import warnings


def kill_at_every_line(action, after, modules, *, stride=1):
    """Call `after()` with each child's death behind it; return how many children died.

    `action` runs from the same state each time if `after` restores it. The last child gets
    through and is not counted. With a `stride`, only every so many lines are tried.
    """
    files = {module.__file__ for module in modules}
    n_deaths = 0
    while not _gets_through(action, n_deaths * stride + 1, files):
        n_deaths += 1
        after()
    after()
    return n_deaths


def _gets_through(action, nth, files):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside NumPy's idle threads
        pid = os.fork()
    if pid == 0:
        _die_at(nth, files)
        action()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    return os.WIFEXITED(status)


def _die_at(nth, files):
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            seen += 1
            if seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
