"""Look at one path of a scan, and tally what it is: a candidate, a file to ignore, or unreadable.

A candidate is a regular file that has an image extension or begins like an image.
"""

import errno
import os
import stat
from dataclasses import dataclass, field

from imgdup.build.known import IgnoredFiles
from imgdup.build.members import Candidate, Containers, has_image_extension
from imgdup.containers import Stamp
from imgdup.images.formats import SNIFF_BYTES, sniff, undecoded_extension
from imgdup.index.parts import ScanOptions
from imgdup.system.files import PUBLIC, narrowed_mode, stat_size_mtime
from imgdup.system.paths import as_uint64, join, kind_of


@dataclass
class Tally:
    """What a scan found apart from the candidates."""

    ignored: int = 0  # how many files are not images, or are links that are not followed
    # The ignored files that are pictures by their extension, of formats that are not decoded.
    undecoded: list[bytes] = field(default_factory=list)
    # The ignored files, and why; None if they are only counted.
    ignored_files: list[tuple[bytes, str]] | None = None
    # Files that an interrupted ``imgdup apply`` left under a name of its own.
    set_aside: list[bytes] = field(default_factory=list)
    # The permissions that all candidates have in common, for the index that describes them.
    mode: int = PUBLIC
    # The files that are known not to be images and need not be opened.
    known: IgnoredFiles = field(default_factory=IgnoredFiles)
    # What is needed to look into containers, and what is in them beside pictures.
    containers: Containers = field(default_factory=Containers)
    _unlisted: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count members of containers like files."""
        self.containers.count_ignored = self._count_members
        self.containers.ignored = self.ignored_files

    def _count_members(self, container: bytes, stamp: Stamp, n_ignored: int | None) -> None:
        self.ignored += self.known.count_in(container, stamp, n_ignored)

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


def is_candidate(path: bytes, facts: os.stat_result, root: bytes, tally: Tally) -> bool:
    """Return whether a file counts as an image, by extension or by content.

    A link that cannot be followed (one that can has the facts of its target) counts by its
    extension, so that reading it reports the error. A file that is known not to be an image is not
    opened again.
    """
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
        return False
    if has_image_extension(path):
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


def candidate_of(path: bytes, facts: os.stat_result, tally: Tally) -> Candidate:
    """Return a candidate with its stat facts; narrow the common permissions by its own."""
    tally.mode = narrowed_mode(tally.mode, facts)
    device, inode = as_uint64(facts.st_dev), as_uint64(facts.st_ino)
    return Candidate(path, *stat_size_mtime(facts), device, inode)


def ignore_file(path: bytes, tally: Tally, *, is_file: bool) -> None:
    """Count a file that is no candidate, and record why."""
    kind = undecoded_extension(os.fsdecode(path)) if is_file else None
    if kind:
        tally.ignore(path, f"{kind} is not decoded")
        tally.undecoded.append(path)
    elif is_file and kind_of(path):
        tally.ignore(path, "a container; add --containers to read it")
        tally.containers.not_entered.append(path)
    else:
        tally.ignore(path, "not an image")


def facts_of(path: bytes, options: ScanOptions, tally: Tally) -> os.stat_result | None:
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
        is_broken = options.follow_symlinks
        tally.ignore(path, "a broken link" if is_broken else "a link that is not followed")
    return target


def _target(path: bytes, link: os.stat_result) -> os.stat_result | None:
    """Return the stat result of the target of a link; None if there is no target."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # a loop, or a folder without permission: reading the file reports it
        return link
