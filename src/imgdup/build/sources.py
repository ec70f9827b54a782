"""Find the candidate files in the named folders and files, with their stat facts, in path order.

A candidate is a regular file that has an image extension or begins like an image.
Nothing is decoded here.
"""

import errno
import heapq
import itertools
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from imgdup.build.known import IgnoredFiles
from imgdup.build.members import Candidate, Containers, Found, stamped
from imgdup.containers.plain_file import Stamp
from imgdup.containers.reading import remote, stamp_of
from imgdup.images.formats import IMAGE_EXTENSIONS, SNIFF_BYTES, sniff, undecoded_extension
from imgdup.index.parts import ScanOptions
from imgdup.system.atomic import PRIVATE, PUBLIC, narrowed_mode
from imgdup.system.files import stat_size_mtime
from imgdup.system.paths import (
    absolute,
    as_uint64,
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
SET_ASIDE = re.compile(rb"\.imgdup-[0-9a-f]+-[0-9]+\.aside")


@dataclass
class Tally:
    """What a scan found apart from the candidates.

    Attributes
    ----------
    ignored : int
        How many files are not images, or are links that are not followed.
    undecoded : list of bytes
        The ignored files that are pictures by their extension, of formats that are not decoded.
    ignored_files : list of (bytes, str), optional
        The ignored files, and why; None if they are only counted.
    set_aside : list of bytes
        Files that an interrupted ``imgdup apply`` left under a name of its own.
    mode : int
        The permissions that all candidates have in common, for the index that describes them.
    known : IgnoredFiles
        The files that are known not to be images and need not be opened.
    containers : Containers
        What is needed to look into containers, and what is in them beside pictures.
    """

    ignored: int = 0
    undecoded: list[bytes] = field(default_factory=list)
    ignored_files: list[tuple[bytes, str]] | None = None
    set_aside: list[bytes] = field(default_factory=list)
    mode: int = PUBLIC
    known: IgnoredFiles = field(default_factory=IgnoredFiles)
    containers: Containers = field(default_factory=Containers)
    _unlisted: dict[bytes, str] = field(default_factory=dict)

    @property
    def unlisted(self) -> list[tuple[bytes, str]]:
        """Folders, and single files, that could not be looked at, each once with the reason."""
        return list(self._unlisted.items())

    def ignore(self, path: bytes, reason: str) -> None:
        """Count a file that is ignored, and list it if this was requested."""
        self.ignored += 1
        if self.ignored_files is not None:
            self.ignored_files.append((path, reason))

    def add_unlisted(self, path: bytes, error: OSError) -> None:
        """Note that a folder or file could not be looked at."""
        self._unlisted.setdefault(path, error.strerror or str(error))

    def is_unlisted(self, path: bytes) -> bool:
        """Return whether a path is in a folder, or a container, that could not be looked at."""
        incomplete = self.containers.incomplete
        if not self._unlisted and not incomplete:
            return False
        while path not in self._unlisted and path not in incomplete:
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above
        return True


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

    Iterative, so depth is no problem; memory is the names of the folders on the way down.

    Parameters
    ----------
    folder : bytes
        Absolute path of what to scan: `root` or a folder in it.
    root : bytes
        Absolute path that the exclude patterns are relative to.
    options : ScanOptions
        What counts.
    skip : bytes
        Absolute path of a folder to leave out: the index itself.
    tally : Tally
        Counts what is ignored, and records folders that cannot be listed.
    """
    if is_remote(folder):
        yield from _walk_objects(folder, root, options, tally)
        return
    excluded = options.excludes()
    prefix = len(join(root, b""))
    part = options.part
    levels = [_names(folder, tally) if part.holds_path(folder[prefix:]) else []]
    parents = [(folder, identity(folder))]
    waiting: dict[bytes, Iterable[Candidate]] = {}  # members of containers, by the path of NAME!
    while levels:
        if not levels[-1]:
            levels.pop()
            parents.pop()
            continue
        path = join(parents[-1][0], name := heapq.heappop(levels[-1]))
        if path in waiting:
            yield from waiting.pop(path)
            continue
        if parents[-1][0] == root and not part.holds(name):
            continue
        if path == skip or _is_skipped(name, options) or excluded(path[prefix:]):
            if SET_ASIDE.fullmatch(name):
                tally.set_aside.append(path)
            continue
        facts = _stat(path, options, tally)
        if facts is None:
            continue
        if stat.S_ISDIR(facts.st_mode):
            this = (facts.st_dev, facts.st_ino)
            if options.follow_symlinks and this in (known for _, known in parents):
                tally.ignore(path, "a link to a folder above it")
                continue
            levels.append(_names(path, tally))
            parents.append((path, this))
        elif is_candidate(path, facts, root, tally):
            yield _candidate(path, facts, tally)
        elif options.containers and _is_container(path, facts):
            tally.mode = narrowed_mode(tally.mode, facts)
            found = _look_into(path, root, options, tally)
            if _is_table_of_something_else(found):
                tally.ignore(path, "no column holds pictures")
                continue
            yield from found.container
            waiting[inside(path)] = found.members
            heapq.heappush(levels[-1], inside(name))
        else:
            _ignore(path, tally, is_file=stat.S_ISREG(facts.st_mode))


def _ignore(path: bytes, tally: Tally, *, is_file: bool) -> None:
    """Count a file that is no candidate, and say why."""
    kind = undecoded_extension(os.fsdecode(path)) if is_file else None
    if kind:
        tally.ignore(path, f"{kind} is not decoded")
        tally.undecoded.append(path)
    elif is_file and kind_of(path):
        tally.ignore(path, "a container; it is entered with --containers")
        tally.containers.not_entered.append(path)
    else:
        tally.ignore(path, "not an image")


def _is_container(path: bytes, facts: os.stat_result) -> bool:
    return kind_of(path) is not None and stat.S_ISREG(facts.st_mode)


def _is_table_of_something_else(found: Found) -> bool:
    """Return whether a container in a folder is a table without pictures, such as captions."""
    return any(each.fault and each.fault.reason == "not-an-image" for each in found.container)


def _look_into(
    path: bytes, root: bytes, options: ScanOptions, tally: Tally, stamp: Stamp | None = None
) -> Found:
    """List the pictures in a container; one that cannot be opened is like a closed folder."""
    excluded, prefix = options.excludes(), len(join(root, b""))

    def is_skipped(name: bytes) -> bool:
        parts = name.split(b"/")
        if any(_is_skipped(part, options) for part in parts):
            return True
        if not options.exclude:
            return False
        above = itertools.accumulate(parts, join)
        return any(excluded(inside(path, inner)[prefix:]) for inner in above)

    try:
        return tally.containers.look_into(path, options, is_skipped, stamp)
    except OSError as error:
        tally.add_unlisted(inside(path), error)
        return Found((), ())


def _walk_objects(
    prefix: bytes, root: bytes, options: ScanOptions, tally: Tally
) -> Iterator[Candidate]:
    """Yield the candidates below a prefix, in path order: those with the extension of an image."""
    try:
        listed = [
            (path_key(path), path, stamp)
            for path, stamp in remote().list_objects(prefix)
            if reaches(root, options, path) and options.part.holds_path(path[len(root) + 1 :])
        ]
    except OSError as error:
        tally.add_unlisted(prefix, error)
        return
    tally.mode = PRIVATE  # nobody else may be allowed to read the bucket
    waiting: dict[bytes, Iterable[Candidate]] = {}
    heapq.heapify(listed)
    while listed:
        _, path, stamp = heapq.heappop(listed)
        if path in waiting:
            yield from waiting.pop(path)
        elif _has_image_extension(path):
            yield stamped(path, stamp)
        elif kind_of(path) and options.containers:
            found = _look_into(path, root, options, tally, stamp)
            if _is_table_of_something_else(found):
                tally.ignore(path, "no column holds pictures")
                continue
            yield from found.container
            waiting[inside(path)] = found.members
            heapq.heappush(listed, (path_key(inside(path)), inside(path), stamp))
        else:
            _ignore(path, tally, is_file=True)


def _look_at_object(path: bytes, root: bytes, options: ScanOptions, tally: Tally) -> Found:
    """Return an object that was named itself as a candidate, or what it holds."""
    tally.mode = PRIVATE
    try:
        stamp = stamp_of(path)
    except FileNotFoundError:
        return Found((), ())
    except OSError as error:
        tally.add_unlisted(inside(path) if kind_of(path) else path, error)
        return Found((), ())
    if kind_of(path) is None:
        return Found([stamped(path, stamp)], ())
    return _look_into(path, root, options, tally, stamp)


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
    followed = replace(options, follow_symlinks=True, containers=True)
    waiting: dict[bytes, Iterable[Candidate]] = {}
    names = [(path_key(path), path) for path in set(paths)]
    heapq.heapify(names)
    while names:
        path = heapq.heappop(names)[1]
        if path in waiting:
            yield from waiting.pop(path)
            continue
        if is_remote(path):
            found = _look_at_object(path, root, followed, tally)
            yield from found.container
            waiting[inside(path)] = found.members
            heapq.heappush(names, (path_key(inside(path)), inside(path)))
            continue
        facts = _stat(path, followed, tally)
        if facts is None:
            continue
        is_picture = stat.S_ISREG(facts.st_mode) and undecoded_extension(os.fsdecode(path))
        if is_picture or is_candidate(path, facts, b"", tally):
            yield _candidate(path, facts, tally)
        elif not _is_container(path, facts):
            tally.ignore(path, "not an image")
        else:
            tally.mode = narrowed_mode(tally.mode, facts)
            found = _look_into(path, root, followed, tally)
            yield from found.container
            waiting[inside(path)] = found.members
            heapq.heappush(names, (path_key(inside(path)), inside(path)))


def is_candidate(path: bytes, facts: os.stat_result, root: bytes, tally: Tally) -> bool:
    """Return whether a file counts as an image, by extension or by content.

    A link that cannot be followed (one that can has the facts of its target) counts by its
    extension, so that reading it reports the error. A file that is known not to be an image is not
    opened again.
    """
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
        return False
    if _has_image_extension(path):
        return True
    name = (root, path[len(join(root, b"")) :], *stat_size_mtime(facts))
    if tally.known.holds(*name):
        return False
    try:
        with open(path, "rb", buffering=0) as file:
            found = sniff(file.read(SNIFF_BYTES))
    except OSError:
        return False
    is_raw = found == "tiff" and undecoded_extension(os.fsdecode(path)) == "raw"
    is_image = found != "unknown" and not is_raw
    if not is_image:
        tally.known.add(*name)
    return is_image


def _has_image_extension(path: bytes) -> bool:
    return os.path.splitext(os.fsdecode(path))[1].lower() in IMAGE_EXTENSIONS


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


def _stat(path: bytes, options: ScanOptions, tally: Tally) -> os.stat_result | None:
    """Return the stat result, for a broken link that of the link itself; record failures.

    A folder that can be listed but not entered refuses each of its files; it is recorded once.
    """
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        is_closed = error.errno == errno.EACCES
        tally.add_unlisted(os.path.dirname(path) if is_closed else path, error)
        return None
    if not stat.S_ISLNK(facts.st_mode):
        return facts
    target = _target(path, facts) if options.follow_symlinks else None
    if target is None:
        leads = "leads nowhere" if options.follow_symlinks else "is not followed"
        tally.ignore(path, f"a link that {leads}")
    return target


def _target(path: bytes, link: os.stat_result) -> os.stat_result | None:
    """Return the stat result of the target of a link; None if there is no target."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # a loop, or a folder without permission: reading the file reports it
        return link


def _candidate(path: bytes, facts: os.stat_result, tally: Tally) -> Candidate:
    tally.mode = narrowed_mode(tally.mode, facts)
    device, inode = as_uint64(facts.st_dev), as_uint64(facts.st_ino)
    return Candidate(path, *stat_size_mtime(facts), device, inode)
