"""Find the files that belong to a picture, such as its edits, captions or film.

``photo.xmp`` and ``photo.jpg.xmp`` belong to ``photo.jpg``. The first belongs to ``photo.png``,
too, if that is beside it.
"""

import os
import stat
from collections.abc import Container, Iterable

from imgdup.apply.recheck import READ_FLAGS, SkipFile
from imgdup.dedupe.plan import FileFacts
from imgdup.system.files import file_digest, stat_size_mtime

EXTENSIONS = (b".xmp", b".aae", b".mov", b".json", b".txt")


class Companions:
    """Finds the companions of pictures; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, list[bytes]]] = {}

    def of(self, picture: bytes, going: Container[bytes] = ()) -> list[bytes]:
        """Return the paths of the companions of a picture.

        Parameters
        ----------
        picture : bytes
            Its path; the picture itself may be gone already.
        going : container of bytes
            Files that are removed as well.

        Returns
        -------
        list of bytes
            Sorted. A companion that another file shares, which exists and is not in `going`, is
            not among them.
        """
        folder, name = os.path.split(picture)
        names = self._listed(folder)
        stem = os.path.splitext(name)[0]
        found = [each for each in names.get(name, ()) if _is_companion(each)]
        others = (os.path.join(folder, each) for each in names.get(stem, ()) if each != name)
        pictures = [path for path in others if not _is_companion(path)]
        if all(path in going or not os.path.lexists(path) for path in pictures):
            found += [each for each in names.get(stem, ()) if _is_companion(each)]
        return [os.path.join(folder, each) for each in sorted(found) if each != name]

    def _listed(self, folder: bytes) -> dict[bytes, list[bytes]]:
        """List the names in a folder by their stems; those without a companion are left out."""
        if folder not in self._folders:
            names: dict[bytes, list[bytes]] = {}
            try:
                for name in os.listdir(folder):
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
    going, companions = set(pictures), Companions()
    return sorted({path for each in going for path in companions.of(each, going)})


def companion_facts(path: bytes, digest_kind: str) -> FileFacts | None:
    """Return what must still be true of a companion when it is moved; None for another link.

    Raises
    ------
    OSError
        If it cannot be read.
    SkipFile
        If it is being written.
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
    """Return where a companion is moved to: beside its picture, and named like it.

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
