"""Indexing with some protections switched off, only for bench_overhead.py.

They are replaced in each worker before its first file; imgdup itself has no such switch.
"""

from pathlib import Path

from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.workers.pool import local


def no_watchdog():
    """Set no time limit for files."""
    from imgdup.workers import child as workers

    workers._Watchdog.arm = lambda self, now: setattr(self, "due", float("inf"))
    workers._Watchdog.disarm = lambda self: None


def no_caps():
    """Set no memory limit for processes."""
    from imgdup.images import decode as images

    images.cap_memory = lambda more_bytes: None


def no_digests():
    """Compute no content digests."""
    from imgdup.build import hash_batch as batch

    batch.content_digest = lambda data, kind: bytes(16)


PROTECTIONS = {"watchdog": no_watchdog, "caps": no_caps, "digests": no_digests}


def begin(switched_off, initializer, initargs):
    """Switch off the given protections in this process, then start as usual."""
    for name in switched_off:
        PROTECTIONS[name]()
    initializer(*initargs)


def index(folder, place, n_workers, switched_off):
    """Index a folder with some protections off; return the number of hashed pictures."""

    def engine(setup):
        initargs = (switched_off, setup.initializer, setup.initargs)
        return local(setup._replace(initializer=begin, initargs=initargs))

    settings = Settings(workers=n_workers, engine=engine)
    return update_index(Path(place), [str(folder)], settings).hashed
