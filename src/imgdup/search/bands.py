"""Two sets of hashes and a distance in; the bits to sort them by out, and what that will cost.

Multi-index hashing [1]_: choose bands of bits with radii such that ``sum(radius + 1)`` exceeds
`max_distance`. Two hashes within `max_distance` are then within the radius in at least one band,
so that only hashes with neighbouring values of a band need be compared. Bits in no band do no harm.

Hashes of photos are skewed: some bits go together, and a third of a collection may share the value
of a careless band. So bits that go together are dealt to different bands, and layouts are judged
by a sample of the very hashes ([2]_ has the same aim and fits the radii); the plain scan is one.

References
----------
.. [1] M. Norouzi, A. Punjani, D. J. Fleet, "Fast search in Hamming space with multi-index
   hashing", CVPR 2012, section 3.
.. [2] J. Qin et al., "GPH: similarity search in Hamming space", ICDE 2018.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.search.hamming import WORD_BITS, Hashes, Integers
from imgdup.search.planner import Shape, Workload, band_s, best_shape, chance, shape_s

SAMPLE = 512  # hashes of either side whose distances stand for all: half a millisecond a band
SKEW_WIDTH = 16  # bits of the bands whose skew is measured
MAX_TRIALS = 5  # layouts measured on the sample
WORTH_TRYING = 0.9  # times the cost of the best layout so far, by what is known of the skew
SMALL = 1 << 26  # comparisons that a scan makes before a layout is chosen

Bits = npt.NDArray[np.uint8]


class Band(NamedTuple):
    """Bits by which hashes are sorted, and by how much the values of a pair may differ.

    Parameters
    ----------
    bits : ndarray of int64, shape (width,)
        Positions in the hash. Without any, all hashes are neighbours.
    radius : int
        Largest distance within the band, in bits, inclusive.
    """

    bits: Integers
    radius: int


class Layout(NamedTuple):
    """Bands that find all pairs, and what they should cost.

    Parameters
    ----------
    bands : tuple of Band
        ``sum(radius + 1)`` exceeds the distance; the scan is one band without bits.
    n_expected : int
        Comparisons, by the sample.
    cost_s : float
        Seconds of one thread on the machine that the unit costs come from.
    skew : float
        How many times more comparisons than uniform random hashes would need.
    pair_share : float
        Share of all pairs that lie within the distance: an upper estimate.
    """

    bands: tuple[Band, ...]
    n_expected: int
    cost_s: float
    skew: float
    pair_share: float

    @property
    def is_scan(self) -> bool:
        """Whether every hash is compared with every other one."""
        return len(self.bands[0].bits) == 0


class Sample(NamedTuple):
    """The bits of a few hashes of either side, shape (n, bits)."""

    left: Bits
    right: Bits
    is_self: bool

    def n_near(self, bits: Integers, radius: int) -> tuple[int, int]:
        """How many of the sampled pairs are within `radius` over some bits, and out of how many."""
        left, right = _values(self.left[:, bits]), _values(self.right[:, bits])
        distances = np.zeros((len(left), len(right)), np.uint16)
        for word in range(left.shape[1]):
            distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
        n_same = len(left) if self.is_self else 0  # each hash with itself
        return int(np.count_nonzero(distances <= radius)) - n_same, distances.size - n_same


def choose_layout(left: Hashes, right: Hashes | None, max_distance: int) -> Layout:
    """Choose the bands that should find all pairs soonest.

    Parameters
    ----------
    left : ndarray of uint64, shape (n_left, words)
        The hashes.
    right : ndarray of uint64, shape (n_right, words) or None
        What they are compared with; None: with each other.
    max_distance : int
        Largest accepted distance, in bits, inclusive.

    Returns
    -------
    Layout
        The same for the same hashes, on any machine.
    """
    others = left if right is None else right
    work = Workload(len(left), len(others), left.shape[1], max_distance, right is None)
    if work.n_pairs <= SMALL:
        return scan_layout(work, pair_share=1.0)
    sample = Sample(_sampled(left), _sampled(others), right is None)
    n_near, n_looked = sample.n_near(np.arange(WORD_BITS * work.words), max_distance)
    work, pair_share = work._replace(near_share=n_near / n_looked), upper_share(n_near, n_looked)
    best, skew = scan_layout(work, pair_share), 1.0
    for _ in range(MAX_TRIALS):
        shape = best_shape(work, skew)
        if shape is None or shape_s(work, shape, skew) > WORTH_TRYING * best.cost_s:
            break
        tried = _measured(work, shape, sample, pair_share)
        best, skew = min(best, tried, key=lambda layout: layout.cost_s), tried.skew
    return best


def typical_distance(words: int) -> int:
    """Return the distance at which the skew of stored hashes is measured, in bits.

    It is the default of a query where the width is a usual one: 10 of 64 bits, 31 of 256.
    """
    return 10 if words == 1 else 31 * words // 4


def band_skew(hashes: Hashes) -> float:
    """Measure how much more bands compare of these hashes than of uniform ones.

    A number to store with an index: `imgdup.planner` estimates from it without the hashes.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, words)
        The hashes.

    Returns
    -------
    float
        How many times more pairs are within 1 bit over a band of 16, by a sample of 512 hashes:
        1 for uniform hashes and for fewer than two, about 3 for the dHash of photos.
    """
    if len(hashes) < 2:
        return 1.0
    sample = Sample(_sampled(hashes), _sampled(hashes), is_self=True)
    dealt = deal_bits(sample.left, [SKEW_WIDTH] * (WORD_BITS * hashes.shape[1] // SKEW_WIDTH))
    shares = [n_near / n_pairs for n_near, n_pairs in (sample.n_near(bits, 1) for bits in dealt)]
    return max(1.0, sum(shares) / len(shares) / chance(SKEW_WIDTH, 1))


def scan_layout(work: Workload, pair_share: float) -> Layout:
    """Make the layout that compares everything with everything."""
    everything = Band(np.empty(0, np.int64), 0)
    return Layout((everything,), work.n_pairs, work.scan_s, 1.0, pair_share)


def upper_share(n_found: int, n_looked: int) -> float:
    """Bound a share from above by one deviation: too low costs one more try, too high blocks."""
    return min(1.0, (n_found + math.sqrt(n_found) + 1) / max(1, n_looked))


def _measured(work: Workload, shape: Shape, sample: Sample, pair_share: float) -> Layout:
    """Make the layout of a shape for these hashes; its comparisons and costs are the sample's."""
    dealt = deal_bits(
        np.concatenate([sample.left, sample.right]), [width for width, _ in shape.bands]
    )
    bands = [Band(bits, radius) for bits, (_, radius) in zip(dealt, shape.bands, strict=True)]
    shares = []
    for bits, radius in bands:
        n_near, n_pairs = sample.n_near(bits, radius)
        shares.append(max(n_near / n_pairs, chance(len(bits), radius)))
    cost_s = sum(
        band_s(work, len(bits), radius, share)
        for (bits, radius), share in zip(bands, shares, strict=True)
    )
    skew = sum(shares) / shape.share
    return Layout(tuple(bands), int(work.n_pairs * sum(shares)), cost_s, skew, pair_share)


def deal_bits(sample: Bits, widths: list[int]) -> list[Integers]:
    """Deal bits to bands such that those which go together part.

    The most even bits are dealt, those that go together with most others first; each goes to the
    band with whose bits it agrees (or disagrees) least often, which keeps a band's values many.

    Parameters
    ----------
    sample : ndarray of uint8, shape (n, bits)
        Bits of some hashes, each 0 or 1; n < 2**24.
    widths : list of int
        How many bits each band takes; together at most all.

    Returns
    -------
    list of ndarray of int64
        The positions of each band's bits.
    """
    together = _agreement(sample) ** 2
    evenness = np.abs(2 * sample.sum(axis=0, dtype=np.int64) - len(sample))
    chosen = np.argsort(evenness, kind="stable")[: sum(widths)]
    company = together[np.ix_(chosen, chosen)].sum(axis=0)
    room = np.array(widths, np.float64)
    load = np.zeros((len(widths), sample.shape[1]))
    owners = np.zeros(len(chosen), np.int64)
    order = np.argsort(-company, kind="stable")
    for number in order:
        bit = chosen[number]
        crowding = np.where(room > 0, load[:, bit] - 1e-6 * room / widths, np.inf)
        owner = int(np.argmin(crowding))
        owners[number] = owner
        room[owner] -= 1
        load[owner] += together[bit]
    return [np.sort(chosen[owners == owner]) for owner in range(len(widths))]


def _agreement(sample: Bits) -> npt.NDArray[np.float32]:
    """How often any two bits agree rather than differ: 1 always, 0 by chance, -1 never.

    Counted in packed columns. A product of matrices would wake the threads of BLAS, which then
    take the processor from the join's for longer than all of this.
    """
    packed = np.packbits(sample, axis=0)
    columns = np.zeros((sample.shape[1], -(-len(packed) // 8) * 8), np.uint8)
    columns[:, : len(packed)] = packed.T
    words = columns.view(np.uint64)
    n_differing = np.zeros((len(words), len(words)), np.int64)
    for word in words.T:
        n_differing += np.bitwise_count(word[:, None] ^ word)
    return (len(sample) - 2 * n_differing).astype(np.float32) / np.float32(len(sample))


def _sampled(hashes: Hashes) -> Bits:
    """Unpack the bits of hashes at even steps."""
    rows = np.linspace(0, len(hashes) - 1, min(SAMPLE, len(hashes))).astype(np.int64)
    return np.unpackbits(hashes[rows].astype("<u8").view(np.uint8), axis=1, bitorder="little")


def _values(bits: Bits) -> npt.NDArray[np.unsignedinteger]:
    """Pack bits in words as narrow as will do: shape (n, words)."""
    packed = np.packbits(bits, axis=1)
    size = next(size for size in (1, 2, 4, 8) if size >= min(8, packed.shape[1]))
    padded = np.zeros((len(bits), -(-packed.shape[1] // size) * size), np.uint8)
    padded[:, : packed.shape[1]] = packed
    words: npt.NDArray[np.unsignedinteger] = padded.view(f"u{size}")
    return words


@functools.cache
def near_masks(width: int, radius: int) -> Integers:
    """List what two values of `width` bits within `radius` may differ in, ascending."""
    flips = (
        sum(1 << bit for bit in bits)
        for distance in range(radius + 1)
        for bits in itertools.combinations(range(width), distance)
    )
    return np.array(sorted(flips), np.int64)
