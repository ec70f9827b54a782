"""The files that are not images: their keys are stored, so that no run opens them again."""

import hashlib
import logging
from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError
from imgdup.index import store
from imgdup.index.folder import IGNORED
from imgdup.system.paths import is_remote

log = logging.getLogger(__name__)

KEY_BYTES = 8  # of a file that is known not to be an image
KIND = "ignored"

# A file may change within one tick of its clock without a new mtime. Whole seconds suggest a
# clock of 2 s (FAT), others one of 20 ms (the kernel's tick, with room).
COARSE_TICK_NS = 2_000_000_000
FINE_TICK_NS = 20_000_000

Keys = npt.NDArray[np.uint64]


def is_settled(mtime_ns: int, seen_ns: int, path: bytes = b"") -> bool:
    """Return whether a file with this mtime could not have changed unseen after `seen_ns`.

    The time of an object on a server holds a digest of its etag, if it has one: then each change
    is seen. An object without time and etag is never settled.
    """
    if is_remote(path) and (not mtime_ns or mtime_ns % 1_000_000_000):
        return bool(mtime_ns)
    tick_ns = FINE_TICK_NS if mtime_ns % 1_000_000_000 else COARSE_TICK_NS
    return mtime_ns < seen_ns - tick_ns


class IgnoredFiles:
    """The files that are not images, so that they are not opened again.

    A file without an image extension must be opened once to find out whether it is an image. After
    that an 8-byte digest of its name, size and mtime is stored in a small file, and the file is not
    opened again until one of these changes. A folder of 20,000 labels takes 160 kB. Among a million
    such files, two have the same digest by chance in one of 30 million runs.

    Parameters
    ----------
    known : ndarray of uint64
        The keys that earlier runs stored, ascending.
    stored_roots : mapping of bytes
        The name of each root as the index stores it, so that a renamed folder stays known.
    scanned_ns : int
        When this run began: a file changed at about this time is not remembered.
    """

    def __init__(
        self,
        known: Keys | None = None,
        stored_roots: Mapping[bytes, bytes] | None = None,
        scanned_ns: int = 0,
    ) -> None:
        self._known: Keys = np.zeros(0, np.uint64) if known is None else known
        self._stored_roots = stored_roots or {}
        self._scanned_ns = scanned_ns
        self._found = array("Q")

    def holds(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> bool:
        """Return whether a file is known to be no image; then it stays known."""
        key = self._key(root, relative, size, mtime_ns)
        i = int(np.searchsorted(self._known, key))
        is_known = i < len(self._known) and int(self._known[i]) == key
        if is_known:
            self._found.append(int(key))
        return is_known

    def add(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> None:
        """Remember that a file is no image, unless it may change without a new mtime."""
        if is_settled(mtime_ns, self._scanned_ns):
            self._found.append(int(self._key(root, relative, size, mtime_ns)))

    def _key(self, root: bytes, relative: bytes, size: int, mtime_ns: int) -> np.uint64:
        text = b"%s\0%s\0%d\0%d" % (self._stored_roots.get(root, root), relative, size, mtime_ns)
        digest = hashlib.blake2b(text, digest_size=KEY_BYTES).digest()
        return np.uint64(int.from_bytes(digest, "little"))

    def save(self, folder: Path, *, is_whole: bool) -> None:
        """Store the keys in the index folder if they changed.

        `is_whole` means that all roots were scanned: what was not found is then forgotten.
        """
        found = set(self._found)
        if not is_whole:
            found.update(self._known.tolist())
        keys = np.array(sorted(found), np.uint64)  # np.unique would import numpy.ma: 7 ms
        if not np.array_equal(keys, self._known):
            save_known(folder, keys)


def save_known(folder: Path, keys: Keys) -> None:
    """Store the keys of files that are known not to be images, ascending, in an index folder."""
    store.save(folder / IGNORED, {"kind": KIND}, {"keys": keys}, sync=False)


def load_known(folder: Path) -> Keys:
    """Read the stored keys, ascending; none if there is no file, or a damaged one."""
    try:
        stored = store.load(folder / IGNORED, verify=True)
        keys = stored.arrays["keys"]
        if stored.head != {"kind": KIND} or keys.dtype != np.uint64 or keys.ndim != 1:
            raise ValueError("not a list of keys")
    except FileNotFoundError:
        return np.zeros(0, np.uint64)
    except (ImgdupError, KeyError, ValueError) as error:
        log.warning("files that are not images are opened again: %s", str(error).partition(";")[0])
        return np.zeros(0, np.uint64)
    return np.array(sorted(set(keys.tolist())), np.uint64)
