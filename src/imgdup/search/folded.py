"""Many scans of the same hashes: with a folded copy of them, each reads half as much memory.

A hash is folded to half its length by the exclusive or of its halves. Two hashes differ in at least
as many bits as their folded forms; so where those differ in too many bits, nothing else of the hash
is read. A copy pays when hashes are scanned again and again, as by a server.
"""

import threading
from collections.abc import Iterator

import numpy as np

from imgdup.native.join import LANES
from imgdup.native.scan import scan_folded
from imgdup.search.hamming import (
    BLOCK,
    WORD_BITS,
    Hashes,
    Matches,
    Near,
    as_matches,
    check_hashes,
    check_max_distance,
    scan_within,
)

AFTER_PROBES = 16  # making the copy takes as long as three to eight scans do
# Folded hashes of different pictures differ in half of their bits; up to three eighths, few enough
# of them are near for the copy to save time.
MOST_OF_FOLDED = 3 / 8


def fold(hashes: Hashes) -> Hashes:
    """Return the folded form of hashes (n, words), word by word: shape (words // 2, n + LANES).

    Examples
    --------
    >>> fold(np.array([[0b1100, 0b1010]], dtype=np.uint64))[:, :1]
    array([[6]], dtype=uint64)
    """
    n, words = hashes.shape
    folded = np.zeros((words // 2, n + LANES), np.uint64)
    for w, word in enumerate(folded):
        np.bitwise_xor(hashes[:, w], hashes[:, w + words // 2], out=word[:n])
    return folded


class RepeatedScan:
    """Hashes that are scanned again and again; several threads may do so.

    After `AFTER_PROBES` probes, a folded copy of them is made, of half their size.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        Of an even number of words.
    """

    def __init__(self, hashes: Hashes) -> None:
        check_hashes("hashes", hashes)
        if hashes.shape[1] % 2:
            raise ValueError(f"the number of words must be even, got {hashes.shape[1]}")
        self.hashes = np.ascontiguousarray(hashes)
        self._folded: Hashes | None = None
        self._n_probes = 0
        self._lock = threading.Lock()

    def within(self, probes: Hashes, max_distance: int) -> Matches:
        """Find every hash within a distance of each probe, as `scan_within` does."""
        words = self.hashes.shape[1]
        check_hashes("probes", probes, words)
        limit = check_max_distance(max_distance, words)
        folded = None
        if limit <= MOST_OF_FOLDED * WORD_BITS * words / 2:
            folded = self._folded_after(len(probes))
        if folded is None:
            return scan_within(self.hashes, probes, limit)
        probes = np.ascontiguousarray(probes)
        return as_matches(self._iter_near(folded, probes, limit), len(probes))

    def _iter_near(self, folded: Hashes, probes: Hashes, limit: int) -> Iterator[Near]:
        """Scan the copy, for several probes block by block; what is found is not sorted."""
        n = len(self.hashes)
        step = BLOCK if len(probes) > 1 else max(1, n)
        for start in range(0, n, step):
            block = range(start, min(start + step, n))
            for number, probe in enumerate(probes):
                positions, bits = scan_folded(self.hashes, folded, block, probe, limit)
                if len(positions):
                    yield Near(number, positions, bits)

    def _folded_after(self, n_probes: int) -> Hashes | None:
        """Count the probes, and return the folded copy; None while there were too few."""
        if self._folded is None:
            with self._lock:
                self._n_probes += n_probes
                if self._folded is None and self._n_probes > AFTER_PROBES:
                    self._folded = fold(self.hashes)
        return self._folded
