"""Tasks for workers: good ones, and ones that do to their process what a bad picture may do.

An item is a word that says what happens, or a number, which is squared.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import struct
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from imgdup.errors import ImageError, ImgdupError
from imgdup.workers.child import THREAD_VARIABLES, Stopped
from imgdup.workers.start import CAN_FORK

THREADS_AT_IMPORT = {name: os.environ.get(name) for name in THREAD_VARIABLES}
ONE_GIB = 1 << 30
PYTHONPATH = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PYTHONPATH)}  # for scripts of tests


def libc(lock_released=True):
    """The C library; its calls may hold the interpreter lock, as a decoder's may."""
    return (ctypes.CDLL if lock_released else ctypes.PyDLL)(None)


def processes():
    """The numbers of the processes that this one started, and that those forked."""
    found = [child.pid for child in multiprocessing.active_children()]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children")  # only Linux has it, and forks
        found += map(int, children.read_text().split()) if children.exists() else []
    return found


def workers():
    """The numbers of the worker processes of this one."""
    return processes()[len(multiprocessing.active_children()) if CAN_FORK else 0 :]


def kill_own_process():
    os.kill(os.getpid(), signal.SIGKILL)


def read_unspeakable_name():
    import cv2

    return cv2.imread("bad\udcff.jpg")


def close_pipe_half_way():
    """Die in the middle of sending: the parent has got the length of a message, and 4 bytes."""
    pipe = next(thing for thing in gc.get_objects() if isinstance(thing, Connection))
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"half")
    kill_own_process()


ACTS = {
    "segfault": lambda: ctypes.string_at(0),
    "surrogate name": read_unspeakable_name,
    "kill": kill_own_process,
    "half an answer": close_pipe_half_way,
    "hang": lambda: time.sleep(1000),
    "hang with lock": lambda: libc(lock_released=False).sleep(1000),
    "exit(1)": lambda: libc().exit(1),
    "_exit(3)": lambda: os._exit(3),
    "sys.exit(1)": lambda: sys.exit(1),
    "memory": lambda: bytearray(ONE_GIB),
    "nap": lambda: time.sleep(0.05),
}


def act(items, before_item):
    """Do what each item says; the answer is a list of (item, outcome)."""
    return [(item, _act_on(i, item, before_item)) for i, item in enumerate(items)]


def _act_on(i, item, before_item):
    before_item(i)
    try:
        return ACTS[item]() if isinstance(item, str) else item * item
    except MemoryError:
        return "MemoryError"


def act_and_say_who(items, before_item):
    """Like `act`; the answer is the process's number and the outcomes."""
    return os.getpid(), act(items, before_item)


def raise_error(items, before_item):
    before_item(0)
    raise LookupError(f"no such thing: {items[0]}")


def die_before_first_item(items, before_item):
    os._exit(4)


def die_in_company(items, before_item):
    """Die before any item unless the batch is a single item."""
    if len(items) > 1:
        os._exit(4)
    return act(items, before_item)


def send_nonsense(items, before_item):
    return threading.Lock()


def look_around(items, before_item):
    """What a worker sees: the process that it is, and its signals and threads."""
    main = sys.modules["__main__"]
    return {
        "main": getattr(main, "__file__", None),
        "threads": THREADS_AT_IMPORT,
        "interrupt": signal.getsignal(signal.SIGINT),
        "heavy": sorted({"numpy", "cv2"} & set(sys.modules)),
    }


def inheritance():
    """What a worker has of the process that it works for, if that set ``sys.inherited``."""
    ending = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    return {
        "is_forked": hasattr(sys, "inherited"),
        "default_signals": ending == [signal.SIG_DFL, signal.SIG_DFL],
        "collects_after": gc.get_threshold()[0],
    }


def nap_until_stopped(items, before_item):
    """Count items until told to stop; what is done is kept in a folder, as a part would be."""
    n_done = 0
    try:
        for i, _ in enumerate(items):
            before_item(i)
            time.sleep(0.01)
            n_done += 1
            if items[-1] != "nap":
                Path(items[-1], f"{os.getpid()}.begun").touch()
    except Stopped:
        Path(items[-1], f"{os.getpid()}.part").write_text(str(n_done))
    return n_done


def resident_bytes():
    """How much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def weigh(items, before_item):
    for i, _ in enumerate(items):
        before_item(i)
    return os.getpid(), resident_bytes()


def limit_memory(n_bytes):
    """Let this process have no more than `n_bytes` above what it has mapped."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fail_to_begin():
    raise RuntimeError("nothing is ready")


def die_while_beginning():
    os._exit(5)


def decode(word):
    """What stands for decoding a file: a word in capitals, or what the word says."""
    if word in ACTS:
        return ACTS[word]()
    if word == "raise":
        raise RuntimeError("unforeseen")
    if word == "memory error":
        raise MemoryError
    if word == "unreadable":
        raise ImageError("unreadable", "Permission denied")
    if word == "no more memory":
        raise ImgdupError("no more memory")
    return word.upper()


def process_of(word):
    return os.getpid()
