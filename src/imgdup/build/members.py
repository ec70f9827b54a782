"""List the pictures in a container, with their places, in path order.

A container is scanned like a folder called ``NAME!``. A container that did not change since the old
generation is not opened: its old rows are used.
"""

import hashlib
import heapq
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from imgdup.build.checkpoints import CheckpointRow
from imgdup.containers import STREAMED, TABLE_ROW, Directory, Fault, Locator, Member, Place, Stamp
from imgdup.containers.reading import Container, open_container, stamp_of
from imgdup.errors import ImgdupError
from imgdup.images.formats import IMAGE_EXTENSIONS, SNIFF_BYTES, sniff, undecoded_extension
from imgdup.index.parts import ScanOptions
from imgdup.system.files import error_words
from imgdup.system.limits import Limits
from imgdup.system.paths import inside, is_remote, kind_of, path_key

INODE_BYTES = 8
_EXTENSIONS = frozenset(map(str.encode, IMAGE_EXTENSIONS))


class Candidate(NamedTuple):
    """A file, or a member of a container, that may be an image.

    `device` and `inode` identify it; an inode of 0 is unknown. A member has a `locator`, and the
    mtime of its container. If there is a `fault`, it cannot be read. If there is an `answer`, it
    was hashed while it was found. In both cases it is not read again.
    """

    path: bytes
    size: int
    mtime_ns: int
    device: int
    inode: int
    locator: Locator | None = None
    fault: Fault | None = None
    answer: CheckpointRow | None = None


class Found(NamedTuple):
    """What a container holds: its own row if something is wrong with it, then its members."""

    container: Sequence[Candidate]
    members: Iterable[Candidate]


class Queue:
    """Paths to look at, in path order; members of a container ``NAME`` are sorted as ``NAME!``."""

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = keys
        self._members: dict[bytes, Iterable[Candidate]] = {}

    def pop(self) -> tuple[bytes, Iterable[Candidate] | None]:
        """Return the next path; with the members of a container if it is the path of one."""
        key = heapq.heappop(self.keys)
        return key.replace(b"\0", b"/"), self._members.pop(key, None)

    def enter(self, path: bytes, found: Found | None) -> Sequence[Candidate]:
        """Put the members of a container in the queue, and return its own row."""
        if found is None:
            return ()
        key = path_key(inside(path))
        self._members[key] = found.members
        heapq.heappush(self.keys, key)
        return found.container


@dataclass
class Listed:
    """What a container holds."""

    directory: Directory
    # The members that are images without the extension of one; None if they were not looked at.
    pictures: set[Place] | None = None
    # What hashing gave, by the paths of members: of those that were hashed while the container was
    # listed.
    answers: dict[bytes, CheckpointRow] = field(default_factory=dict)
    is_whole: bool = True  # whether it was read to its end


def _list_only(container: Container, is_skipped: Callable[[bytes], bool]) -> Listed | None:
    return None


def _count_nothing(path: bytes, stamp: Stamp, n_ignored: int | None) -> None:
    """Do nothing."""


def _none_known(path: bytes, stamp: Stamp, options: ScanOptions) -> Found | None:
    return None


@dataclass
class Containers:
    """What is needed to look into containers, and what was found in them besides pictures."""

    limits: Limits = field(default_factory=Limits)
    # Returns what the old generation knows of a container that has not changed, or None.
    known: Callable[[bytes, Stamp, ScanOptions], Found | None] = _none_known
    # Lists an open container and hashes what is in it; returns None if it is only to be listed.
    read_once: Callable[[Container, Callable[[bytes], bool]], Listed | None] = _list_only
    # Containers that could be listed; a row about an earlier fault of theirs is removed.
    entered: set[bytes] = field(default_factory=set)
    # Containers that could not be read to their end: missing members may still be in them.
    incomplete: set[bytes] = field(default_factory=set)
    # Is called with a container, its stamp, and the number of its members that are no pictures;
    # None if the container was not opened, because it did not change.
    count_ignored: Callable[[bytes, Stamp, int | None], None] = _count_nothing
    # These members, and why they are ignored; None if they are only counted.
    ignored: list[tuple[bytes, str]] | None = None
    # Containers in scanned folders that were left out, because no option requests containers.
    not_entered: list[bytes] = field(default_factory=list)
    # Containers with members that are not read, and why.
    notes: list[tuple[bytes, str]] = field(default_factory=list)

    def look_into(
        self,
        path: bytes,
        options: ScanOptions,
        is_skipped: Callable[[bytes], bool],
        stamp: Stamp | None = None,
    ) -> Found:
        """List the pictures in a container, without the members whose names are skipped.

        The stamp is that of the container, where it is known. Raises OSError if the container
        cannot be opened.
        """
        stamp = stamp or stamp_of(path)
        known = self.known(path, stamp, options)
        if known is not None:
            self.count_ignored(path, stamp, None)
            return known
        if not is_remote(path) and os.path.lexists(inside(path)):
            detail = (
                "a folder or file next to it has the same name as its members: rename one of them"
            )
            return Found([stamped(path, stamp, Fault("unreadable", detail))], ())
        container = open_container(path)
        try:
            listed = self.read_once(container, is_skipped)
            if listed is None:
                listed = Listed(container.directory(self.limits, options.column))
        except BaseException:
            container.file.close()
            raise
        for name, reason in listed.directory.ignored:
            self.notes.append((inside(path, name), reason))
        if not listed.is_whole:
            self.incomplete.add(inside(path))
        fault = listed.directory.fault
        own = [stamped(path, container.file.stamp, fault)] if fault else []
        if not fault:
            self.entered.add(path)
        if not len(listed.directory):
            container.file.close()
            return Found(own, ())
        return Found(own, self._candidates(container, listed, is_skipped))

    def _candidates(
        self, container: Container, listed: Listed, is_skipped: Callable[[bytes], bool]
    ) -> Iterator[Candidate]:
        """Yield the pictures one by one, then close the container."""
        with closing(container.file):
            try:
                yield from self._each(container, listed, is_skipped)
            except OSError as error:
                raise ImgdupError(
                    f"{os.fsdecode(container.file.path)}: {error_words(error)}; nothing was "
                    "changed: run the same command again to continue"
                ) from error

    def _each(
        self, container: Container, listed: Listed, is_skipped: Callable[[bytes], bool]
    ) -> Iterator[Candidate]:
        path, stamp, pictures = container.file.path, container.file.stamp, listed.pictures
        if pictures is None:
            pictures = _streamed_images(container, listed.directory)
        ignored = [(inside(path, name), reason) for name, reason in listed.directory.ignored]
        n_ignored = len(ignored)
        for member in listed.directory:
            if is_skipped(member.name):
                continue
            name, reason = inside(path, member.name), _why_no_picture(member.name)
            is_image = not reason and (
                has_image_extension(member.name)
                or member.place in pictures
                or (listed.pictures is None and _begins_like_image(member, container))
            )
            if is_image:
                locator = Locator(*member.place, stamp.size, stamp.mtime_ns)
                found = member_candidate(name, locator, stamp)
                yield found._replace(fault=member.fault, answer=listed.answers.get(name))
                continue
            n_ignored += 1
            if reason:
                self.notes.append((name, reason))
            if self.ignored is not None:
                ignored.append((name, reason or "not an image"))
        self.count_ignored(path, stamp, n_ignored)
        if self.ignored is not None:
            self.ignored += ignored


def _why_no_picture(name: bytes) -> str:
    """Return why a member is not read, judging by its name; None if that needs no note."""
    if has_image_extension(name):
        return ""
    if kind_of(name):
        return "a container inside a container is not read"
    undecoded = undecoded_extension(os.fsdecode(name))
    return f"{undecoded} is not decoded" if undecoded else ""


def _may_be_image(member: Member, container: Container) -> bool:
    """Return whether a member should be looked at to see whether it is an image.

    A name with the extension of an image needs no look; on a server, each look is a request.
    """
    if is_remote(container.file.path) and member.place[0] != TABLE_ROW:
        return not os.path.splitext(member.name)[1]
    return not has_image_extension(member.name)


def _begins_like_image(member: Member, container: Container) -> bool:
    """Return whether a member without the extension of an image is one; each cell of a table is."""
    if member.place[0] == TABLE_ROW:
        return True
    if member.fault is not None or member.place[0] == STREAMED:
        return False
    if not _may_be_image(member, container):
        return False
    return sniff(container.head(member.place, SNIFF_BYTES)) != "unknown"


def _streamed_images(container: Container, directory: Directory) -> set[Place]:
    """Return the places of members of a compressed tar file that begin like an image.

    They are looked at in the order of their places, so that the file is unpacked only once.
    """
    places = (
        member.place
        for member in directory
        if member.place[0] == STREAMED and _may_be_image(member, container)
    )
    return {
        place for place in sorted(places) if sniff(container.head(place, SNIFF_BYTES)) != "unknown"
    }


def has_image_extension(name: bytes) -> bool:
    """Return whether a file has the extension of an image."""
    last = name[name.rfind(b"/") + 1 :].lstrip(b".")  # a dot at the beginning only hides a file
    _, dot, extension = last.rpartition(b".")
    return dot + extension.lower() in _EXTENSIONS


def member_candidate(name: bytes, locator: Locator, stamp: Stamp) -> Candidate:
    """Return a member as a candidate; its inode is made from its container's and its place."""
    text = struct.pack("<Q3q", stamp.inode, locator.kind, locator.offset, locator.length)
    digest = hashlib.blake2b(text, digest_size=INODE_BYTES).digest()
    inode = int.from_bytes(digest, "little") if locator.kind and stamp.inode else 0
    size = locator.size if locator.has_size else 0
    return Candidate(name, size, stamp.mtime_ns, stamp.device, inode, locator)


def stamped(path: bytes, stamp: Stamp, fault: Fault | None = None) -> Candidate:
    """Return a container as a candidate, for its own row."""
    return Candidate(path, stamp.size, stamp.mtime_ns, stamp.device, stamp.inode, fault=fault)
