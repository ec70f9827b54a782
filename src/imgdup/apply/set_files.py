"""Find the files of a set that was indexed, and the place of each in the cleaned set."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from imgdup.build.sources import ALWAYS_SKIPPED
from imgdup.containers import Stamp
from imgdup.containers.reading import remote, stamp_of
from imgdup.dedupe.plan import Plan
from imgdup.errors import ImgdupError, PlanError
from imgdup.index.columns import Rows
from imgdup.index.folder import is_index
from imgdup.system.files import error_words
from imgdup.system.paths import is_below, is_remote, join, outer_file


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
