"""Run an action in a child that is killed at its n-th executed line, for every n or every few.

Lines count in the modules named, not in the standard library. POSIX only (fork). The suite tries
one line in eleven; with IMGDUP_EVERY_LINE=1, as in ``make soak``, it tries them all.
"""

import os
import signal
import sys
import warnings

STRIDE = 1 if os.environ.get("IMGDUP_EVERY_LINE") else 11


def kill_at_every_line(action, after, modules, *, stride=STRIDE):
    """Call `after()` with each child's death behind it; return how many lines these deaths span.

    `action` runs from the same state each time if `after` restores it. The last child gets
    through and is not counted. With a `stride`, only one of so many lines is tried.
    """
    n_deaths = 0
    while not gets_through(action, n_deaths * stride + 1, modules):
        n_deaths += 1
        after()
    after()
    return n_deaths * stride


def gets_through(action, nth, modules):
    """Call `action()` in a child that is killed at its n-th line; return if it ended before."""
    files = {module.__file__ for module in modules}
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
