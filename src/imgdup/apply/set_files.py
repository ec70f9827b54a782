"""Find the files of a set that was indexed, and the place of each in the cleaned set."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from imgdup.build.sources import ALWAYS_SKIPPED
from imgdup.dedupe.plan import Plan
from imgdup.errors import PlanError
from imgdup.index.columns import Rows
from imgdup.index.folder import is_index
from imgdup.system.paths import is_below, is_remote, join, outer_file


class SetFiles:
    """The files of a set, links not followed, and their places.

    Files keep their path below their root; if there are several roots, in a folder of the name of
    the root. Files that were named one by one keep their path below the folder that they share.

    Parameters
    ----------
    plan : Plan
    rows : Rows

    Raises
    ------
    PlanError
        If the index has pictures on a server.

    Attributes
    ----------
    places : dict of bytes to bytes
        Each file, in path order of the places, and its path in the folder of the cleaned set.
    missing : list of bytes
        Files of the index that do not exist.
    n_links : int
        Symbolic links, which are left out unless their picture was indexed.
    """

    def __init__(self, plan: Plan, rows: Rows) -> None:
        roots = [root for root in plan.header.roots if root]
        self.missing: list[bytes] = []
        self.n_links = 0
        indexed = self._indexed(rows)
        named = (*indexed, *map(outer_file, self.missing))
        loose = [path for path in named if not any(is_below(path, root) for root in roots)]
        self._bases = _named_bases([*roots, *([_shared_folder(loose)] if loose else [])])
        found = dict.fromkeys(indexed)
        for root in roots:
            if not any(other != root and is_below(root, other) for other in roots):
                found.update(dict.fromkeys(self._walk(root)))
        placed = sorted((self.place(path), path) for path in found)
        self.places = {path: place for place, path in placed}

    def place(self, path: bytes) -> bytes:
        """Return the path of a file, or of a member, in the folder of the cleaned set."""
        base = max((base for base in self._bases if is_below(path, base)), key=len)
        name, relative = self._bases[base], path[len(join(base, b"")) :]
        return join(name, relative) if name else relative

    def holds(self, path: bytes) -> bool:
        """Return whether a path is in one of the folders of the set."""
        return any(is_below(path, base) for base in self._bases)

    def _indexed(self, rows: Rows) -> list[bytes]:
        """Return the files, and the containers, of all rows."""
        found: dict[bytes, None] = {}
        last = b""
        for row in range(len(rows)):
            path = rows.path(row)
            if is_remote(path):
                raise PlanError(
                    f"{os.fsdecode(path)} is on a server: --write-to writes sets of local files "
                    "only; nothing was written; imgdup dedupe --remove-list FILE writes a list"
                )
            if last and path.startswith(last + b"!/"):
                continue
            last = outer_file(path)
            if os.path.isfile(last):
                found[last] = None
            else:
                self.missing.append(path)
        return list(found)

    def _walk(self, root: bytes) -> Iterator[bytes]:
        """Yield the files below a root, but not those that an index never has."""
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


def _is_skipped(name: bytes) -> bool:
    return name.startswith(b".") or bool(ALWAYS_SKIPPED.fullmatch(name))


def _shared_folder(paths: Sequence[bytes]) -> bytes:
    """Return the folder that holds all of some files."""
    return os.path.commonpath([os.path.dirname(path) for path in paths])


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
