"""Slow twins of the searches: full scans by NumPy alone, and the hash sets they are tried on."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def hash_sets(words, min_size=0, bits=8):
    """Up to 60 hashes that differ in the low bits of each word only: many ties and duplicates."""
    return hnp.arrays(
        np.uint64,
        st.tuples(st.integers(min_size, 60), st.just(words)),
        elements=st.integers(0, 2**bits - 1),
    )


def hamming_matrix(a, b):
    """Distances in bits, shape (len(a), len(b))."""
    return np.bitwise_count(a[:, None, :] ^ b[None, :, :]).sum(axis=-1, dtype=np.int64)


def scan_within(hashes, probes, max_distance):
    """Matches of each probe: lists of (distance, index), sorted."""
    return [
        sorted((int(d), j) for j, d in enumerate(row) if d <= max_distance)
        for row in hamming_matrix(probes, hashes)
    ]


def scan_nearest(hashes, probes, k, max_distance=None):
    """The k best of each probe: lists of (distance, index), sorted."""
    limit = 64 * hashes.shape[1] if max_distance is None else max_distance
    return [matches[:k] for matches in scan_within(hashes, probes, limit)]


def descend(arrays, probe, max_distance):
    """Hashes that a recursive descent compares: vantage points, and ranges of the leaves."""
    points, spans = arrays["points"], arrays["spans"].astype(int)
    leaves = []

    def visit(node, start, stop, level):
        if node >= len(points):
            leaves.append((start, stop))
            return
        # a node's range is j * n >> level, so its middle is (2 * j + 1) * n >> (level + 1)
        n, j = len(arrays["hashes"]), node + 1 - 2**level
        middle = (2 * j + 1) * n >> (level + 1)
        distance = int(hamming_matrix(probe[None], points[node][None])[0, 0])
        for child, (a, b) in enumerate([(start, middle), (middle, stop)]):
            least, greatest = spans[node, child]
            if least - max_distance <= distance <= greatest + max_distance:
                visit(2 * node + 1 + child, a, b, level + 1)

    visit(0, 0, len(arrays["hashes"]), 0)
    return leaves


def as_pairs(matches):
    """The library's flat result in the twins' form."""
    rows = zip(matches.offsets[:-1], matches.offsets[1:], strict=True)
    return [
        list(zip(matches.distances[a:b].tolist(), matches.indices[a:b].tolist(), strict=True))
        for a, b in rows
    ]
