"""Find what is attached to the files of a plan: their companions, and the symbolic links to them.

Companions are files that belong to a picture, such as its edits, captions or film. ``photo.xmp``
and ``photo.jpg.xmp`` belong to ``photo.jpg``. The first belongs to ``photo.png``, too, if that is
beside it.

Symbolic links to a file that is removed are pointed to the file that is kept. Without this, the
links that an earlier ``apply --symlink`` made would lead nowhere. Each change is part of the step
that removes the file, so undo restores the link with the file.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from imgdup.apply.actions import move, remove, sync_parent_if_possible
from imgdup.apply.recheck import OCCUPIED, READ_FLAGS, SkipFile
from imgdup.apply.steps import ChangedLink, Step
from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import file_digest, stat_size_mtime
from imgdup.system.paths import is_below

EXTENSIONS = (b".xmp", b".aae", b".mov", b".json", b".txt")


def links_to(files: Iterable[bytes], roots: Sequence[bytes]) -> Mapping[bytes, list[bytes]]:
    """Find the symbolic links in some folders that point to files.

    The folders are listed once, and no link is followed. The files, regular ones, are looked at
    only if the folders hold any links to files. Of links that lead to a file through another link
    in these folders, only the last one is returned.
    """
    identities = {}
    for link in _symbolic_links(roots):
        with contextlib.suppress(OSError):  # it leads nowhere, or to where we may not look
            status = os.stat(link)
            if status.st_ino and stat.S_ISREG(status.st_mode):
                identities[link] = (status.st_dev, status.st_ino)
    found: dict[tuple[int, int], list[bytes]] = {}
    for link, identity in identities.items():
        if _target(link) not in identities:
            found.setdefault(identity, []).append(link)
    links = {}
    for path in files if found else ():
        with contextlib.suppress(OSError):  # it is missing: the check of the file reports that
            status = os.lstat(path)
            if (status.st_dev, status.st_ino) in found:
                links[path] = found[status.st_dev, status.st_ino]
    return links


def _symbolic_links(roots: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the symbolic links in some folders; folders that cannot be listed are left out."""
    named = [root for root in roots if root]
    folders = [root for root in named if not any(r != root and is_below(root, r) for r in named)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)


def _target(link: bytes) -> bytes:
    """Return the path that a link contains, absolute and with the links of its folders resolved."""
    path = os.path.join(os.path.dirname(link), os.readlink(link))
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def changes(
    links: Sequence[bytes], path: bytes, keep: bytes
) -> tuple[tuple[bytes, bytes, bytes], ...]:
    """Return each link to a file with what it contains now, and what it is to contain.

    A relative link remains relative. Raises OSError if a link vanished since it was found.
    """
    found = []
    for link in links:
        old = os.readlink(link)
        if _leads_to(link, old, path):
            folder = os.path.dirname(link)
            found.append((link, old, keep if os.path.isabs(old) else os.path.relpath(keep, folder)))
    return tuple(found)


def _leads_to(link: bytes, content: bytes, path: bytes) -> bool:
    """Return whether a link with this content points to an existing file."""
    try:
        there = os.stat(os.path.join(os.path.dirname(link), content))
        return os.path.samestat(there, os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def pointed_to_keeper(step: Step) -> Iterator[None]:
    """Point the links of a step to the kept file; after an exception, point them back."""
    try:
        for link in step.changed_links:
            _exchange(link, link.old, link.new)
        yield
    except BaseException:
        restore_links(step)
        raise


def restore_links(step: Step) -> None:
    """Point the links of a step to its file again, if that is in its place.

    Links that were changed by someone else are left unchanged. Raises SkipFile if something else
    now has the name of a link.
    """
    for link in step.changed_links:
        _finish_exchange(link)
        is_ours = os.path.islink(link.path) and os.readlink(link.path) == link.new
        if is_ours and _leads_to(link.path, link.old, step.remove.path):
            _exchange(link, link.new, link.old)


def _exchange(link: ChangedLink, before: bytes, after: bytes) -> None:
    """Replace a link by one with another content, and never anything else by it."""
    os.symlink(after, link.spare)
    os.rename(link.path, link.waiting)
    if not os.path.islink(link.waiting) or os.readlink(link.waiting) != before:
        move(link.waiting, link.path)
        remove(link.spare)
        raise SkipFile("changed", f"{os.fsdecode(link.path)}, a link to it, was changed")
    move(link.spare, link.path)
    os.unlink(link.waiting)
    sync_parent_if_possible(link.path)


def _finish_exchange(link: ChangedLink) -> None:
    """Clean up after an exchange that was killed: the link has its old content or its new one."""
    remove(link.spare)
    if not os.path.lexists(link.waiting):
        return
    if os.path.islink(link.path) and os.readlink(link.path) in (link.old, link.new):
        return remove(link.waiting)
    if os.path.lexists(link.path) and os.lstat(link.path).st_size == 0:
        remove(link.path)  # made by `move` on a disk without hard links
    try:
        move(link.waiting, link.path)
    except FileExistsError as error:
        name = os.fsdecode(link.path)
        raise SkipFile(OCCUPIED, f"{name}, a link to it, was replaced") from error


class Companions:
    """Finds the companions of pictures; each folder is listed once.

    `names_in` returns the names in a folder, and `exists` tests whether a path exists; by default,
    on the disk.
    """

    def __init__(
        self,
        names_in: Callable[[bytes], list[bytes]] | None = None,
        exists: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._names_in, self._exists = names_in or os.listdir, exists or os.path.lexists
        self._folders: dict[bytes, dict[bytes, list[bytes]]] = {}

    def of(self, picture: bytes, removed: Container[bytes] = ()) -> list[bytes]:
        """Return the paths of the companions of a picture, sorted; the picture may be gone already.

        A companion that another file shares, which exists and is not in `removed`, is not among
        them.
        """
        folder, name = os.path.split(picture)
        names = self._listed(folder)
        stem = os.path.splitext(name)[0]
        found = [each for each in names.get(name, ()) if _is_companion(each)]
        others = (os.path.join(folder, each) for each in names.get(stem, ()) if each != name)
        pictures = [path for path in others if not _is_companion(path)]
        if all(path in removed or not self._exists(path) for path in pictures):
            found += [each for each in names.get(stem, ()) if _is_companion(each)]
        return [os.path.join(folder, each) for each in sorted(found) if each != name]

    def _listed(self, folder: bytes) -> dict[bytes, list[bytes]]:
        """List the names in a folder by their stems; those without a companion are left out."""
        if folder not in self._folders:
            names: dict[bytes, list[bytes]] = {}
            try:
                for name in self._names_in(folder):
                    names.setdefault(os.path.splitext(name)[0], []).append(name)
            except OSError:  # it is gone, or may not be listed: then its files are not removed
                names = {}
            self._folders[folder] = {
                stem: names[stem] for stem in names if any(map(_is_companion, names[stem]))
            }
        return self._folders[folder]


def _is_companion(name: bytes) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def companions_of_all(pictures: Iterable[bytes]) -> list[bytes]:
    """Return the companions of pictures that are removed together; see `Companions.of`."""
    removed, companions = set(pictures), Companions()
    return sorted({path for each in removed for path in companions.of(each, removed)})


def companion_facts(path: bytes, digest_kind: str) -> FileFacts | None:
    """Return the facts of a companion that must not change before it is moved; None for a link.

    Raises OSError if it cannot be read. Raises SkipFile if it is being written.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return None
    descriptor = os.open(path, READ_FLAGS)
    try:
        before = os.fstat(descriptor)
        digest = file_digest(descriptor, digest_kind)
        if stat_size_mtime(before) != stat_size_mtime(os.fstat(descriptor)):
            raise SkipFile("changed", "it was written while it was read")
    finally:
        os.close(descriptor)
    return FileFacts(0, path, *stat_size_mtime(before), digest, digest_kind)


def companion_target(picture: bytes, to: bytes, companion: bytes) -> bytes:
    """Return where a companion is moved to: next to its picture, with the same stem.

    Examples
    --------
    >>> companion_target(b"/a/1.jpg", b"/t/1~1.jpg", b"/a/1.xmp")
    b'/t/1~1.xmp'
    >>> companion_target(b"/a/1.jpg", b"/t/1~1.jpg", b"/a/1.jpg.xmp")
    b'/t/1~1.jpg.xmp'
    """
    if companion.startswith(picture + b"."):
        return to + companion[len(picture) :]
    return os.path.splitext(to)[0] + companion[len(os.path.splitext(picture)[0]) :]
