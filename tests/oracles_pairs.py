"""Slow twins of the join: every pair looked at by NumPy alone, and the hash sets it is tried on."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

VARYING = 8  # bits in which the hashes of a drawn set differ


def varying_bits(words):
    """Where these are: in all words, or with one word in all bytes."""
    return [k * 64 * words // VARYING + k for k in range(VARYING)]


def clustered(words, max_size=90):
    """Hashes that differ in few bits only: many ties, many equal."""
    numbers = hnp.arrays(
        np.uint64, st.integers(0, max_size), elements=st.integers(0, 2**VARYING - 1)
    )
    return numbers.map(lambda numbers: spread(numbers, words))


def spread(numbers, words):
    """Put the lowest bits of numbers where the hashes vary."""
    hashes = np.zeros((len(numbers), words), np.uint64)
    for k, bit in enumerate(varying_bits(words)):
        hashes[:, bit // 64] |= (numbers >> np.uint64(k) & np.uint64(1)) << np.uint64(bit % 64)
    return hashes


def hamming_matrix(left, right):
    """Distances in bits, shape (len(left), len(right))."""
    return np.bitwise_count(left[:, None, :] ^ right[None, :, :]).sum(axis=-1, dtype=np.int64)


def pairs_across(left, right, max_distance):
    """All pairs (i, j, distance) of two sets, sorted."""
    distances = hamming_matrix(left, right)
    return [
        (i, j, int(distances[i, j])) for i, j in np.argwhere(distances <= max_distance).tolist()
    ]


def pairs_inside(hashes, max_distance):
    """All pairs (i, j, distance) of one set with i < j, sorted."""
    return [pair for pair in pairs_across(hashes, hashes, max_distance) if pair[0] < pair[1]]


def classes_of(hashes):
    """Rows with the same hash, by their first row."""
    rows = {}
    for row, words in enumerate(hashes.tolist()):
        rows.setdefault(tuple(words), []).append(row)
    return list(rows.values())


def bucket_products(left, right, bands):
    """How many pairs have neighbouring values, summed over the bands: (bits, radius) each."""
    total = 0
    for bits, radius in bands:
        mask = np.zeros(left.shape[1], np.uint64)
        for bit in bits:
            mask[bit // 64] |= np.uint64(1 << bit % 64)
        total += int(np.count_nonzero(hamming_matrix(left & mask, right & mask) <= radius))
    return total
