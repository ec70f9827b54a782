"""Find the candidate files in the named folders and files, with their stat facts, in path order.

Nothing is decoded here.
"""

import itertools
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace

from imgdup.build.members import Candidate, Found, Queue, has_image_extension, stamped
from imgdup.build.tally import Tally, candidate_of, facts_of, ignore_file, is_candidate
from imgdup.containers import Stamp
from imgdup.containers.reading import remote, stamp_of
from imgdup.images.formats import undecoded_extension
from imgdup.index.parts import ScanOptions
from imgdup.system.files import PRIVATE, narrowed_mode
from imgdup.system.paths import (
    absolute,
    identity,
    inside,
    is_below,
    is_container,
    is_remote,
    join,
    kind_of,
    members_folder,
    path_key,
)

log = logging.getLogger(__name__)

# Folders and files to skip, unless they are named themselves: they hold no pictures of their own.
ALWAYS_SKIPPED = re.compile(
    rb"\.git"
    rb"|@eaDir|\.@__thumb"  # thumbnails of network drives
    rb"|\._.*"  # resource forks of macOS
    rb"|\.imgdup-[0-9a-f]+-[0-9]+\.(?:aside|link|part)"  # temporary files of `imgdup apply`
    rb"|(?i:\$RECYCLE\.BIN|RECYCLER|RECYCLED|#recycle|@Recycle|\.Trash(?:es|-\d+)?)"
    rb"|(?i:@Recently-Snapshot|#snapshot|\.snapshots?|\.zfs|@GMT-[-.\d]+)"  # older states of files
    rb"|(?i:System Volume Information)",
    re.DOTALL,
)
PLAIN = ScanOptions()
NOTHING = Found((), ())
SET_ASIDE = re.compile(rb"\.imgdup-[0-9a-f]+-[0-9]+\.aside")


def reaches(root: bytes, options: ScanOptions, path: bytes) -> bool:
    """Return whether a walk of a root would reach a path, judging by names and links only."""
    if path == root or not is_below(path, root):
        return path == root
    excluded, top, inner = options.excludes(), len(join(root, b"")), root
    for name in path[top:].split(b"/"):
        inner = join(inner, name)
        if _is_skipped(name, options) or excluded(inner[top:]):
            return False
        if (container := members_folder(inner)) is not None:
            if not options.containers or excluded(container[top:]):
                return False
        if not options.follow_symlinks and not is_remote(path) and os.path.islink(inner):
            return False
    return True


def walk(
    folder: bytes, root: bytes, options: ScanOptions, skip: bytes, tally: Tally
) -> Iterator[Candidate]:
    """Yield the candidates below a folder, in path order.

    `folder` is the root or a folder in it; exclude patterns are relative to the root. `skip`, the
    index, is left out. The tally counts what is ignored, and records folders that cannot be listed.
    The walk is iterative, so depth is no problem; memory is the names of the folders on the way
    down.
    """
    scan = _Scan(root, options, tally)
    if is_remote(folder):
        yield from _walk_objects(folder, scan)
        return
    holds_any = options.part.holds_path(folder[scan.prefix :])
    levels = [Queue(_names(folder, tally) if holds_any else [])]
    parents = [(folder, identity(folder))]
    while levels:
        if not levels[-1].keys:
            levels.pop()
            parents.pop()
            continue
        name, members = levels[-1].pop()
        path = join(parents[-1][0], name)
        if members is not None:
            yield from members
            continue
        if path == skip or scan.leaves_out(path, name):
            continue
        facts = facts_of(path, options, tally)
        if facts is None:
            continue
        if stat.S_ISDIR(facts.st_mode):
            this = (facts.st_dev, facts.st_ino)
            if options.follow_symlinks and this in (known for _, known in parents):
                tally.ignore(path, "a link to a folder above it")
                continue
            levels.append(Queue(_names(path, tally)))
            parents.append((path, this))
        elif is_candidate(path, facts, root, tally):
            yield candidate_of(path, facts, tally)
        elif options.containers and _is_container(path, facts):
            tally.mode = narrowed_mode(tally.mode, facts)
            yield from levels[-1].enter(name, scan.pictures_in(path))
        else:
            ignore_file(path, tally, is_file=stat.S_ISREG(facts.st_mode))


class _Scan:
    """What the steps of a scan share: what its patterns are relative to, its options, its tally."""

    def __init__(self, root: bytes, options: ScanOptions, tally: Tally) -> None:
        self.options, self.tally = options, tally
        self.root, self.prefix = root, len(join(root, b""))
        self.excluded = options.excludes()

    def leaves_out(self, path: bytes, name: bytes) -> bool:
        """Return whether the options leave out a path; note what an interrupted apply set aside."""
        is_at_top = len(path) == self.prefix + len(name)
        if is_at_top and not self.options.part.holds(name):
            return True
        is_out = _is_skipped(name, self.options) or self.excluded(path[self.prefix :])
        if is_out and SET_ASIDE.fullmatch(name):
            self.tally.set_aside.append(path)
        return is_out

    def pictures_in(self, path: bytes, stamp: Stamp | None = None) -> Found | None:
        """Return what a container in a folder holds; None for a table without pictures.

        Such a table, of captions perhaps, is ignored.
        """
        found = self.look_into(path, stamp)
        if any(each.fault and each.fault.reason == "not-an-image" for each in found.container):
            self.tally.ignore(path, "no column holds pictures")
            return None
        return found

    def look_into(self, path: bytes, stamp: Stamp | None = None) -> Found:
        """List the pictures in a container; one that cannot be opened is like a closed folder."""

        def is_skipped(name: bytes) -> bool:
            parts = name.split(b"/")
            if any(_is_skipped(part, self.options) for part in parts):
                return True
            if not self.options.exclude:
                return False
            above = itertools.accumulate(parts, join)
            return any(self.excluded(inside(path, inner)[self.prefix :]) for inner in above)

        try:
            return self.tally.containers.look_into(path, self.options, is_skipped, stamp)
        except OSError as error:
            self.tally.add_unlisted(inside(path), error)
            return NOTHING


def _is_container(path: bytes, facts: os.stat_result) -> bool:
    return kind_of(path) is not None and stat.S_ISREG(facts.st_mode)


def _walk_objects(prefix: bytes, scan: _Scan) -> Iterator[Candidate]:
    """Yield the candidates below a prefix, in path order: those with the extension of an image."""
    root, options, tally = scan.root, scan.options, scan.tally
    try:
        stamps = {
            path: stamp
            for path, stamp in remote().list_objects(prefix)
            if reaches(root, options, path) and options.part.holds_path(path[len(root) + 1 :])
        }
    except OSError as error:
        tally.add_unlisted(prefix, error)
        return
    tally.mode = PRIVATE  # nobody else may be allowed to read the bucket
    queue = Queue(sorted(map(path_key, stamps)))
    while queue.keys:
        path, members = queue.pop()
        if members is not None:
            yield from members
        elif has_image_extension(path):
            yield stamped(path, stamps[path])
        elif kind_of(path) and options.containers:
            yield from queue.enter(path, scan.pictures_in(path, stamps[path]))
        else:
            ignore_file(path, tally, is_file=True)


def _look_at_object(path: bytes, scan: _Scan) -> Found:
    """Return an object that was named itself as a candidate, or what it holds."""
    scan.tally.mode = PRIVATE
    try:
        stamp = stamp_of(path)
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        scan.tally.add_unlisted(inside(path) if kind_of(path) else path, error)
        return NOTHING
    if kind_of(path) is None:
        return Found([stamped(path, stamp)], ())
    return scan.look_into(path, stamp)


def files_named_by(path: bytes, tally: Tally) -> Iterator[bytes]:
    """Yield the images of a folder or container, as indexing finds them, or the path of a file."""
    if is_remote(path):
        path = absolute(path)
    if is_container(path):
        yield from (found.path for found in stat_files([absolute(path)], tally))
        return
    if is_remote(path) or not os.path.isdir(path):
        yield path
        return
    folder = absolute(path)
    yield from (found.path for found in walk(folder, folder, ScanOptions(), b"", tally))


def stat_files(
    paths: Iterable[bytes], tally: Tally, options: ScanOptions = PLAIN, root: bytes = b""
) -> Iterator[Candidate]:
    """Yield the candidates among single files, in path order, each once; links are followed.

    A picture of a format that is not decoded is a candidate: reading it reports the format. Of a
    container, the pictures in it are.
    """
    scan = _Scan(root, replace(options, follow_symlinks=True, containers=True), tally)
    queue = Queue(sorted(map(path_key, set(paths))))
    while queue.keys:
        path, members = queue.pop()
        if members is not None:
            yield from members
            continue
        if is_remote(path):
            yield from queue.enter(path, _look_at_object(path, scan))
            continue
        facts = facts_of(path, scan.options, tally)
        if facts is None:
            continue
        is_picture = stat.S_ISREG(facts.st_mode) and undecoded_extension(os.fsdecode(path))
        if is_picture or is_candidate(path, facts, b"", tally):
            yield candidate_of(path, facts, tally)
        elif _is_container(path, facts):
            tally.mode = narrowed_mode(tally.mode, facts)
            yield from queue.enter(path, scan.look_into(path))
        else:
            tally.ignore(path, "not an image")


def _names(folder: bytes, tally: Tally) -> list[bytes]:
    """Return the sorted names in a folder; record it if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        tally.add_unlisted(folder, error)
        return []


def _is_skipped(name: bytes, options: ScanOptions) -> bool:
    if ALWAYS_SKIPPED.fullmatch(name):
        return True
    return not options.hidden and name.startswith(b".")
