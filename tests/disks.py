"""Disks that misbehave: full, changed between two calls, or cut from power after any call."""

import itertools
import os
from pathlib import Path

from imgdup.system import files as atomic


def opening_as(monkeypatch, wrap):
    """Give what `wrap` makes of a file, and its path, in place of each file opened for writing."""

    def wrapped(path, mode, **options):
        return wrap(open(path, mode, **options), Path(path))

    monkeypatch.setattr(atomic, "open", wrapped, raising=False)


def just_before(monkeypatch, name, happen):
    """Let something happen just before the next call of a function of os."""
    call = getattr(os, name)

    def patched(*args, **options):
        monkeypatch.setattr(os, name, call)
        happen()
        return call(*args, **options)

    monkeypatch.setattr(os, name, patched)


class FullDisk:
    """A file that takes `room` bytes and then says what the operating system says."""

    def __init__(self, file, room, code):
        self._file, self._room, self._code = file, room, code

    def write(self, data):
        self._room -= len(data)
        if self._room < 0:
            raise OSError(self._code, os.strerror(self._code))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


class RecordingDisk:
    """Records what is done to files, in order: (call, name, ...)."""

    def __init__(self, monkeypatch):
        self.calls = []
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))
        unlink = Path.unlink
        monkeypatch.setattr(Path, "unlink", lambda p, **k: (self._note("unlink", p), unlink(p))[1])
        opening_as(monkeypatch, lambda file, path: _Spy(file, path, self))

    def _note(self, call, *paths):
        self.calls.append((call, *(Path(path).name for path in paths)))

    def _recorded(self, name, call):
        def record(*arguments):
            self._note(name, *(self._name(argument) for argument in arguments))
            return call(*arguments)

        return record

    def _name(self, argument):
        return os.readlink(f"/proc/self/fd/{argument}") if type(argument) is int else argument


class _Spy:
    """A file whose writes and flushes are recorded."""

    def __init__(self, file, path, disk):
        self._file, self._path, self._disk = file, path, disk

    def __getattr__(self, name):
        if name in ("write", "flush"):
            self._disk._note(name, self._path)
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def squeezed(calls, place):
    """The calls without repetitions, temporary names by their target's."""
    names = [tuple(atomic_target(name, place) for name in call) for call in calls]
    return [call for i, call in enumerate(names) if i == 0 or call != names[i - 1]]


def atomic_target(name, place):
    if name == place.name:
        return "FOLDER"
    return name.rsplit(".", 2)[0] + " (temporary)" if name.endswith(".tmp") else name


def after_power_cut(calls, place):
    """What a power cut after these calls may leave: for each, name -> content, None if lost.

    The worst that POSIX allows: content that was not fsynced is lost, and of the renames and
    deletions since the last fsync of the folder any subset. ``current`` holds a generation's name.
    """
    names, durable, pending = {"index.1": "rows", "current": "index.1"}, set(), []
    for call, *arguments in calls:
        if call == "fsync" and arguments == [place.name]:
            names, pending = applied(names, pending), []
        elif call == "fsync":
            durable.update(arguments)
        elif call == "replace":
            source, target = arguments
            content = "index.2" if target == "current" else "rows"
            pending.append((target, content if source in durable else None))
        elif call == "unlink":
            pending.append((arguments[0], None))
    n_kept = range(len(pending) + 1)
    return [applied(names, kept) for n in n_kept for kept in itertools.combinations(pending, n)]


def applied(names, changes):
    return {**names, **dict(changes)}
