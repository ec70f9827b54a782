"""Choose the bands of bits by which two sets of hashes are joined, and estimate the cost.

Multi-index hashing [1]_: choose bands of bits with radii such that ``sum(radius + 1)`` exceeds
`max_distance`. Two hashes within `max_distance` are then within the radius in at least one band,
so only hashes with neighbouring values of a band need to be compared. Bits may be in no band.

Hashes of photos are skewed: some bits are correlated, and in a badly chosen band a third of a
collection may share one value. So correlated bits are put in different bands, and each layout is
measured on a sample of the hashes ([2]_ has the same aim and fits the radii). The plain scan is one
of the layouts.

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

from imgdup.native.join import BandRule
from imgdup.search import WORD_BITS, Chosen, Hashes, Integers, as_chosen
from imgdup.search.planner import Shape, Workload, band_s, best_shape, chance, shape_s

SAMPLE = 512  # hashes of each side that represent all: half a millisecond per band
NEAR_SAMPLE = 1 << 14  # hashes of each side among which near pairs are counted, ...
NEAR_PAIRS = 20_000  # ... but fewer if more pairs than about these are near
NEAR_COST = 1 << 6  # ... and at most one comparison in this many is spent on it
NEAR_PARTS = 4  # how many distances stand for the near pairs
SKEW_WIDTH = 16  # bits of the bands whose skew is measured
MAX_TRIALS = 5  # layouts to measure on the sample
WORTH_TRYING = 0.9  # largest estimated cost of a layout to measure, relative to the best so far
SMALL = 1 << 26  # comparisons up to which a scan is used without choosing bands

Bits = npt.NDArray[np.uint8]


class Band(NamedTuple):
    """The bits by which hashes are sorted, and how far the values of a pair may differ."""

    # Positions in the hash. If there are none, all hashes are neighbours.
    bits: Integers
    radius: int  # largest distance within the band, in bits, inclusive


class Layout(NamedTuple):
    """Bands that find all pairs, and their estimated cost."""

    # ``sum(radius + 1)`` exceeds the distance. A scan is one band without bits.
    bands: tuple[Band, ...]
    n_expected: int  # comparisons, estimated from the sample
    cost_s: float  # seconds of one thread on the machine where the unit costs were measured
    skew: float  # how many times more comparisons than uniform random hashes would need
    pair_share: float  # share of all pairs that are within the distance: an upper estimate

    def rule(self, number: int, words: int, max_distance: int) -> BandRule:
        """Return the rule by which a band finds pairs that no earlier band finds."""
        band, before = self.bands[number], self.bands[:number]
        earlier = np.zeros((number, words), np.uint64)
        for k, other in enumerate(before):
            for bit in other.bits.tolist():
                earlier[k, bit // WORD_BITS] |= np.uint64(1 << bit % WORD_BITS)
        radii = np.array([other.radius for other in before], np.uint64)
        masks = near_masks(len(band.bits), band.radius)
        return BandRule(masks, earlier, radii, max_distance)


class NearPairs(NamedTuple):
    """The pairs within the distance among some of the hashes."""

    differing: Bits  # in which bits each of them differs
    n_looked: int  # how many pairs were compared

    def by_distance(self) -> tuple[tuple[int, float], ...]:
        """Return some distances of near pairs, and the share of all pairs that each represents."""
        distances = np.sort(self.differing.sum(axis=1, dtype=np.int64))
        parts = [part for part in np.array_split(distances, NEAR_PARTS) if len(part)]
        return tuple((round(part.mean()), len(part) / self.n_looked) for part in parts)

    def found(self, bits: Integers, radius: int) -> float:
        """Return the share of all pairs that are near and within `radius` over some bits."""
        inside = self.differing[:, bits].sum(axis=1, dtype=np.int64)
        return int(np.count_nonzero(inside <= radius)) / self.n_looked


class Sample(NamedTuple):
    """The bits of some hashes of each side, shape (n, bits)."""

    left: Bits
    right: Bits
    is_self: bool

    def distances(self, bits: Integers) -> npt.NDArray[np.uint16]:
        """Return the distance of each left hash to each right one over some bits."""
        left, right = _values(self.left[:, bits]), _values(self.right[:, bits])
        distances = np.zeros((len(left), len(right)), np.uint16)
        for word in range(left.shape[1]):
            distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
        return distances

    def n_near(self, bits: Integers, radius: int) -> tuple[int, int]:
        """Count the sampled pairs within `radius` over some bits, and all sampled pairs."""
        distances = self.distances(bits)
        n_same = len(self.left) if self.is_self else 0  # each hash with itself
        return int(np.count_nonzero(distances <= radius)) - n_same, distances.size - n_same

    def near_pairs(self, max_distance: int) -> NearPairs:
        """Return the sampled pairs within a distance."""
        is_near = self.distances(np.arange(self.left.shape[1])) <= max_distance
        if self.is_self:
            is_near = np.triu(is_near, 1)
        i, j = np.nonzero(is_near)
        n_same = len(self.left) * (len(self.left) + 1) // 2 if self.is_self else 0
        return NearPairs(self.left[i] ^ self.right[j], is_near.size - n_same)


def choose_layout(
    left: Hashes | Chosen,
    right: Hashes | Chosen | None,
    max_distance: int,
    near: NearPairs | None = None,
) -> Layout:
    """Choose the bands that should find all pairs within a distance fastest.

    Without `right`, hashes are compared with each other. `near` has the near pairs of a larger
    sample than this function takes; `imgdup.search.join` finds them. The result is the same on any
    machine.
    """
    others = left if right is None else right
    words = as_chosen(left).words
    work = Workload(len(left), len(others), words, max_distance, right is None)
    if work.n_pairs <= SMALL:
        return scan_layout(work, pair_share=1.0)
    sample = Sample(_sampled(left), _sampled(others), right is None)
    near = near or sample.near_pairs(max_distance)
    pair_share = upper_share(len(near.differing), near.n_looked)
    work = work._replace(near=near.by_distance())
    best, skew = scan_layout(work, pair_share), 1.0
    for _ in range(MAX_TRIALS):
        shape = best_shape(work, skew)
        if shape is None or shape_s(work, shape, skew) > WORTH_TRYING * best.cost_s:
            break
        tried = _measured(work, shape, sample, near)
        best, skew = min(best, tried, key=lambda layout: layout.cost_s), tried.skew
    return best


def n_near_sample(left: Chosen, right: Chosen, work: Workload) -> int:
    """Return how many hashes of each side to compare to find near pairs, but not too many."""
    near = Sample(_sampled(left), _sampled(right), work.is_self).near_pairs(work.max_distance)
    share = upper_share(len(near.differing), near.n_looked)
    n_pairs = min(NEAR_PAIRS / share, work.n_pairs / NEAR_COST)
    return min(NEAR_SAMPLE, 1 + math.isqrt(int(n_pairs * (2 if work.is_self else 1))))


def typical_distance(words: int) -> int:
    """Return the distance at which the skew of stored hashes is measured, in bits.

    For the usual widths it is the default of a query: 10 for 64 bits, 31 for 256.
    """
    return 10 if words == 1 else 31 * words // 4


def band_skew(hashes: Hashes) -> float:
    """Measure how many more comparisons bands need on these hashes than on uniform ones.

    It is how many times more pairs are within 1 bit over a band of 16 bits, in a sample of 512
    hashes: 1 for uniform hashes and for fewer than two, about 3 for the dHash of photos. An index
    stores this number, so that `imgdup.search.planner` can estimate without the hashes.
    """
    if len(hashes) < 2:
        return 1.0
    sample = Sample(_sampled(hashes), _sampled(hashes), is_self=True)
    dealt = deal_bits(sample.left, [SKEW_WIDTH] * (WORD_BITS * hashes.shape[1] // SKEW_WIDTH))
    shares = [n_near / n_pairs for n_near, n_pairs in (sample.n_near(bits, 1) for bits in dealt)]
    return max(1.0, sum(shares) / len(shares) / chance(SKEW_WIDTH, 1))


def scan_layout(work: Workload, pair_share: float) -> Layout:
    """Make the layout that compares every hash with every other hash."""
    everything = Band(np.empty(0, np.int64), 0)
    return Layout((everything,), work.n_pairs, work.scan_s, 1.0, pair_share)


def upper_share(n_found: int, n_looked: int) -> float:
    """Return a share plus one deviation: too low costs a repeated block, too high more blocks."""
    return min(1.0, (n_found + math.sqrt(n_found) + 1) / max(1, n_looked))


def _measured(work: Workload, shape: Shape, sample: Sample, near: NearPairs) -> Layout:
    """Make the layout of a shape for these hashes; estimate its cost from the sample."""
    dealt = deal_bits(
        np.concatenate([sample.left, sample.right]), [width for width, _ in shape.bands]
    )
    bands = [Band(bits, radius) for bits, (_, radius) in zip(dealt, shape.bands, strict=True)]
    shares, cost_s = [], work.sort_s
    for bits, radius in bands:
        n_near, n_pairs = sample.n_near(bits, radius)
        shares.append(max(n_near / n_pairs, chance(len(bits), radius)))
        cost_s += band_s(work, len(bits), radius, shares[-1], near.found(bits, radius))
    return Layout(
        tuple(bands),
        n_expected=int(work.n_pairs * sum(shares)),
        cost_s=cost_s,
        skew=sum(shares) / shape.share,
        pair_share=upper_share(len(near.differing), near.n_looked),
    )


def deal_bits(sample: Bits, widths: list[int]) -> list[Integers]:
    """Assign bits to bands of some widths so that correlated bits are in different bands.

    The sample has the bits of fewer than 2**24 hashes, each 0 or 1: shape (n, bits). Uses the bits
    that are most often 0 and 1 equally. Assigns the most correlated bits first, each to the band
    with whose bits it is least correlated, so that a band has many different values. Returns the
    positions of the bits of each band.
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
    """Return the correlation of any two bits: 1 if they always agree, -1 if they never do.

    It counts in packed columns: a matrix product would wake the threads of BLAS.
    """
    packed = np.packbits(sample, axis=0)
    columns = np.zeros((sample.shape[1], -(-len(packed) // 8) * 8), np.uint8)
    columns[:, : len(packed)] = packed.T
    words = columns.view(np.uint64)
    n_differing = np.zeros((len(words), len(words)), np.int64)
    for word in words.T:
        n_differing += np.bitwise_count(word[:, None] ^ word)
    return (len(sample) - 2 * n_differing).astype(np.float32) / np.float32(len(sample))


def _sampled(hashes: Hashes | Chosen) -> Bits:
    """Unpack the bits of evenly spaced hashes."""
    return as_bits(evenly(hashes, SAMPLE))


def evenly(hashes: Hashes | Chosen, n: int) -> Hashes:
    """Return at most `n` evenly spaced hashes."""
    return hashes[np.linspace(0, len(hashes) - 1, min(n, len(hashes))).astype(np.int64)]


def as_bits(hashes: Hashes) -> Bits:
    """Unpack the bits of hashes, the lowest first: shape (n, bits)."""
    return np.unpackbits(hashes.astype("<u8").view(np.uint8), axis=1, bitorder="little")


def _values(bits: Bits) -> npt.NDArray[np.unsignedinteger]:
    """Pack bits in the narrowest words that hold them: shape (n, words)."""
    packed = np.packbits(bits, axis=1)
    size = next(size for size in (1, 2, 4, 8) if size >= min(8, packed.shape[1]))
    padded = np.zeros((len(bits), -(-packed.shape[1] // size) * size), np.uint8)
    padded[:, : packed.shape[1]] = packed
    words: npt.NDArray[np.unsignedinteger] = padded.view(f"u{size}")
    return words


@functools.cache
def near_masks(width: int, radius: int) -> Integers:
    """List, ascending, the masks by which two values of `width` bits within `radius` may differ."""
    flips = (
        sum(1 << bit for bit in bits)
        for distance in range(radius + 1)
        for bits in itertools.combinations(range(width), distance)
    )
    return np.array(sorted(flips), np.int64)
