"""Find the files of a set that was indexed, their places in the cleaned set, and their content."""

import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from imgdup.build.sources import ALWAYS_SKIPPED
from imgdup.containers import Stamp
from imgdup.containers.reading import open_file, remote, stamp_of
from imgdup.containers.without import open_shard, open_table
from imgdup.dedupe.plan import Plan
from imgdup.errors import ImageError, ImgdupError, PlanError, UsageError
from imgdup.index.columns import Rows
from imgdup.index.folder import is_index
from imgdup.system.files import PRIVATE, error_words
from imgdup.system.paths import is_below, is_remote, join, kind_of, outer_file


class SetFiles:
    """The files of a set, links not followed, and their places.

    Files keep their path below their root; if there are several roots, in a folder of the name of
    the root. Files that were named one by one keep their path below the folder that they share.
    Objects on servers are files, too.

    `places` has the path of each file in the cleaned set, in path order; `stamps` the version of
    each object on a server; `missing` the files of the index that do not exist. `n_links` counts
    symbolic links, which are left out unless their picture was indexed.

    Raises PlanError if an object on a server has a name that no file can have. Raises ImgdupError
    if a server does not list its objects.
    """

    def __init__(self, plan: Plan, rows: Rows) -> None:
        roots = [root for root in plan.header.roots if root]
        self.missing: list[bytes] = []
        self.stamps: dict[bytes, Stamp] = {}
        self.n_links = 0
        self._below: dict[bytes, list[bytes]] = {}  # names of objects, by what is above them
        found: dict[bytes, None] = {}
        for root in roots:
            if not any(other != root and is_below(root, other) for other in roots):
                found.update(dict.fromkeys(self._walk(root)))
        indexed = self._indexed(rows, roots)
        named = (*indexed, *map(outer_file, self.missing))
        loose = [path for path in named if not any(is_below(path, root) for root in roots)]
        self._bases = _named_bases([*roots, *_shared_folders(loose)])
        found.update(dict.fromkeys(indexed))
        placed = sorted((self.place(path), path) for path in found)
        self.places = {path: place for place, path in placed}
        self._check_places()

    def place(self, path: bytes) -> bytes:
        """Return the path of a file, or of a member, in the folder of the cleaned set."""
        base = max((base for base in self._bases if is_below(path, base)), key=len)
        name, relative = self._bases[base], path[len(join(base, b"")) :]
        return join(name, relative) if name else relative

    def holds(self, path: bytes) -> bool:
        """Return whether a path is in one of the folders of the set."""
        return any(is_below(path, base) for base in self._bases)

    def names_in(self, folder: bytes) -> list[bytes]:
        """Return the names in a folder, or of the objects of the set directly below a prefix."""
        return self._below.get(folder, []) if is_remote(folder) else os.listdir(folder)

    def exists(self, path: bytes) -> bool:
        """Return whether a file, or an object of the set, is there."""
        return path in self.stamps if is_remote(path) else os.path.lexists(path)

    def _indexed(self, rows: Rows, roots: Sequence[bytes]) -> list[bytes]:
        """Return the files, and the containers, of all rows."""
        found: dict[bytes, None] = {}
        last = b""
        for row in range(len(rows)):
            path = rows.path(row)
            if last and path.startswith(last + b"!/"):
                continue
            last = outer_file(path)
            if self._is_there(last, roots):
                found[last] = None
            else:
                self.missing.append(path)
        return list(found)

    def _is_there(self, path: bytes, roots: Sequence[bytes]) -> bool:
        if not is_remote(path):
            return os.path.isfile(path)
        if path not in self.stamps and not any(is_below(path, root) for root in roots):
            try:
                self._add_object(path, stamp_of(path))
            except FileNotFoundError:
                return False
            except OSError as error:
                raise ImgdupError(f"{os.fsdecode(path)}: {error_words(error)}") from error
        return path in self.stamps

    def _add_object(self, path: bytes, stamp: Stamp) -> None:
        self.stamps[path] = stamp
        above, _, name = path.rpartition(b"/")
        self._below.setdefault(above, []).append(name)

    def _walk(self, root: bytes) -> Iterator[bytes]:
        """Yield the files below a root, but not those that an index never has."""
        if is_remote(root):
            yield from self._walk_objects(root)
            return
        for folder, folders, names in os.walk(root):
            folders[:] = [
                name
                for name in folders
                if not _is_skipped(name) and not is_index(Path(os.fsdecode(join(folder, name))))
            ]
            for name in names:
                path = join(folder, name)
                if _is_skipped(name):
                    continue
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode):
                    yield path
                self.n_links += stat.S_ISLNK(mode)

    def _walk_objects(self, root: bytes) -> Iterator[bytes]:
        try:
            for path, stamp in remote().list_objects(root):
                if not any(map(_is_skipped, path[len(join(root, b"")) :].split(b"/"))):
                    self._add_object(path, stamp)
                    yield path
        except OSError as error:
            raise ImgdupError(f"{os.fsdecode(root)}: {error_words(error)}") from error

    def _check_places(self) -> None:
        """Leave out objects that stand for folders; PlanError for others that are above objects."""
        for path in [path for path in self.stamps if path in self._below]:
            if self.stamps[path].size:
                raise PlanError(
                    f"{os.fsdecode(path)} is an object, but others are below it, as in a folder: "
                    "it cannot be written as a file; nothing was written"
                )
            self.places.pop(path, None)


def _is_skipped(name: bytes) -> bool:
    return name.startswith(b".") or bool(ALWAYS_SKIPPED.fullmatch(name))


def _shared_folders(paths: Sequence[bytes]) -> list[bytes]:
    """Return the folder that holds all of some files, and for each bucket the prefix."""
    by_bucket: dict[bytes, list[bytes]] = {}
    for path in paths:
        bucket = b"/".join(path.split(b"/", 3)[:3]) if is_remote(path) else b""
        by_bucket.setdefault(bucket, []).append(os.path.dirname(path[len(bucket) :]))
    shared = {bucket: os.path.commonpath(folders) for bucket, folders in by_bucket.items()}
    return [bucket + (b"" if bucket and path == b"/" else path) for bucket, path in shared.items()]


def _named_bases(bases: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the name of the folder for each base; empty for a single one."""
    if len(bases) == 1:
        return {bases[0]: b""}
    taken: set[bytes] = set()
    named = {}
    for base in bases:
        name = wanted = os.path.basename(base) or b"root"
        number = 1
        while name in taken:
            number += 1
            name = b"%s-%d" % (wanted, number)
        taken.add(name)
        named[base] = name
    return named


@dataclass(frozen=True)
class Content:
    """A file of the cleaned set: a copy of an input file, or a container without some members."""

    source: bytes
    # Of the input, when it was listed.
    n_bytes: int
    mtime_ns: int
    mode: int
    left_out: frozenset[int] = frozenset()  # positions of the members that are left out
    edit: Callable[[bytes], bytes] | None = None  # returns its new content, for annotations
    # Of a table that keeps all rows: the column to add, and its values by row number.
    tag_column: str = ""
    tags: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, source: bytes, left_out: Iterable[int] = (), stamp: Stamp | None = None
    ) -> "Content":
        """Describe a file of the input; of an object on a server the stamp is known."""
        if stamp is not None:
            return cls(source, stamp.size, stamp.mtime_ns, PRIVATE, frozenset(left_out))
        status = os.stat(source)
        facts = status.st_size, status.st_mtime_ns, status.st_mode
        return cls(source, *facts, frozenset(left_out))

    def fingerprint(self) -> bytes:
        """Return bytes that differ if anything differs that decides what is written."""
        numbers = (self.n_bytes, self.mtime_ns, len(self.left_out), *sorted(self.left_out))
        tags = repr((self.tag_column, sorted(self.tags.items()))) if self.tag_column else ""
        return self.source + struct.pack(f"<{len(numbers)}q", *numbers) + tags.encode()

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Return whether an earlier run has written it."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        return status.st_mtime_ns == self.mtime_ns and (
            not self.is_copy or status.st_size == self.n_bytes
        )

    @property
    def is_copy(self) -> bool:
        """Whether it is the same as in the input."""
        return not self.left_out and self.edit is None and not self.tag_column

    def write(self, out: BinaryIO) -> None:
        """Write it; ImgdupError if the input file changed since it was listed or cannot be read."""
        name = os.fsdecode(self.source)
        try:
            file = open_file(self.source)
        except OSError as error:
            raise ImgdupError(f"{name} cannot be read: {error_words(error)}") from error
        try:
            if self.tag_column:
                table = open_table(file, str(kind_of(self.source)))
                table.write_tagged(self.tag_column, self.tags, out)
            elif self.left_out:
                open_shard(file, str(kind_of(self.source))).write_without(self.left_out, out)
            elif self.edit is not None:
                out.write(self.edit(file.raw.readall()))
            else:
                shutil.copyfileobj(file.raw, out, 1 << 20)
            is_same = file.stamp[2:] == (self.n_bytes, self.mtime_ns) and not file.has_changed()
            if not is_same:
                raise ImgdupError(
                    f"{name} changed while it was read: start again with a new folder"
                )
        except ImageError as error:
            raise ImgdupError(f"{name} cannot be read: {error.detail}") from error
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        except OSError as error:
            if error.filename != name:  # it is the new file that could not be written
                raise
            raise ImgdupError(f"{name} cannot be read: {error_words(error)}") from error
        finally:
            file.close()
