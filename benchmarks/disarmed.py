"""Indexing with some of its protections switched off, for bench_overhead.py alone.

They are replaced in each worker before its first file; imgdup itself has no such switch.
"""

from pathlib import Path

from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.workers.pool import local


def no_watchdog():
    """Files may take for ever."""
    from imgdup.workers import child as workers

    workers._Watchdog.arm = lambda self, now: setattr(self, "due", float("inf"))
    workers._Watchdog.disarm = lambda self: None


def no_caps():
    """A process may take all memory."""
    from imgdup.images import decode as images

    images.cap_memory = lambda more_bytes: None


def no_digests():
    """Equal bytes are not noticed."""
    from imgdup.build import hash_batch as batch

    batch.content_digest = lambda data, kind: bytes(16)


PROTECTIONS = {"watchdog": no_watchdog, "caps": no_caps, "digests": no_digests}


def begin(switched_off, initializer, initargs):
    """Switch off in this process what was asked for, then begin as usual."""
    for name in switched_off:
        PROTECTIONS[name]()
    initializer(*initargs)


def index(folder, place, n_workers, switched_off):
    """Index a folder with some protections off; how many pictures were hashed."""

    def engine(setup):
        initargs = (switched_off, setup.initializer, setup.initargs)
        return local(setup._replace(initializer=begin, initargs=initargs))

    settings = Settings(workers=n_workers, engine=engine)
    return update_index(Path(place), [str(folder)], settings).hashed
