"""Estimate what tree, scan and bands cost; choose the cheapest bands and the cheapest strategy.

All strategies are exact and give the same matches; they differ in the comparisons they need. Pairs
that are near cost more than others: each band that finds one compares it in full.

The unit costs are seconds on an AMD EPYC (Zen 5). ``benchmarks/fit_costs.py`` fitted those of the
bands with AVX-512 and with AVX2; they lie between both. ``COMPARE_S`` is near AVX-512: a higher one
makes bands too wide for ten million hashes, where memory is slower than estimated.
``benchmarks/bench_planner.py`` measured those of tree and scan. Choices near the best one cost
nearly the same.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from imgdup.native.join import MAX_MASKS
from imgdup.search import WORD_BITS

BLOCK_PAIRS = 1 << 24  # pairs of a join that are found before they are sorted, 8 bytes each
FILL = 0.75  # share of them to aim at

MAX_BANDS = 64
MAX_WIDTH = 24  # bits of a band: the table of its buckets takes 4 bytes * 2**width
MAX_RADIUS = 6  # above it, a band has too many neighbours or too few bits to separate hashes

BUILD_S = 7e-9  # sort one hash by one band, and the same for each column
BUCKET_S = 1e-8  # make one bucket of a table
LOOK_S = 6e-10  # check whether one neighbouring bucket is empty, once per bucket of hashes
BEGIN_S = 3e-9  # begin to compare one hash with one bucket
FETCH_S = 2.7e-10  # fetch the beginning of one bucket, once per bucket of hashes
COMPARE_S = 7.5e-11  # compare two hashes by one column, or by two; by more, half of it for each
FIND_S = 1e-8  # compare one near pair in full, in each band that finds it, ...
FETCH_PAIR_S = 2.5e-8  # ... and fetch both hashes, if the columns do not hold them
PAIR_S = 1e-8  # sort and unpack one pair of the result
NEARNESS = ((1 << 20, 1.0), (1 << 24, 2.0), (1 << 26, 4.0), (1 << 62, 8.0))  # bytes: factor


class Workload(NamedTuple):
    """The amount of work: compare `n_left` hashes with `n_right`, or one set with itself."""

    n_left: int
    n_right: int
    words: int
    max_distance: int
    is_self: bool
    near: tuple[tuple[int, float], ...] = ()  # distances, and shares of the pairs at about these

    @property
    def near_share(self) -> float:
        """Share of the pairs within the distance, if known."""
        return sum(share for _, share in self.near)

    @property
    def n_blocks(self) -> int:
        """Blocks in which pairs are found; each has tables of its own."""
        block = FILL * max(BLOCK_PAIRS, self.n_right)
        return max(1, math.ceil(self.n_pairs * self.near_share / block))

    @property
    def n_pairs(self) -> int:
        """Comparisons of a scan."""
        return self.n_left * (self.n_left - 1) // 2 if self.is_self else self.n_left * self.n_right

    def n_scanned(self, start: int, stop: int) -> int:
        """Comparisons of a scan for the left rows ``start..stop``."""
        n_rows = stop - start
        if not self.is_self:
            return n_rows * self.n_right
        return n_rows * (n_rows - 1) // 2 + n_rows * (self.n_right - stop)

    @property
    def n_first(self) -> int:
        """Columns to compare first: as few as still exclude 999 of 1,000 unrelated hashes.

        These differ in about 32 bits of each column, with a standard deviation of 4.
        """
        counts = (n for n in (1, 2, 4, 8) if 32 * n - 12 * math.sqrt(n) > self.max_distance)
        return min(next(counts, self.words), self.words)

    @property
    def scan_s(self) -> float:
        """Seconds to compare every hash with every other hash."""
        finds_s = self.n_pairs * self.near_share * self.find_s
        return self.n_pairs * self.compare_s + finds_s + self.sort_s

    @property
    def compare_s(self) -> float:
        """Seconds to compare the columns of two hashes; a single one is no faster than two."""
        return COMPARE_S * max(1.0, self.n_first / 2)

    @property
    def find_s(self) -> float:
        """Seconds to compare one near pair in full."""
        return FIND_S + (FETCH_PAIR_S if self.n_first < self.words else 0)

    @property
    def sort_s(self) -> float:
        """Seconds to sort the pairs that are found."""
        return self.n_pairs * self.near_share * PAIR_S


class Shape(NamedTuple):
    """Widths and radii of bands: some have `radius`, the others one less."""

    n_wide: int
    wide: int
    n_narrow: int
    narrow: int
    radius: int

    @property
    def bands(self) -> list[tuple[int, int]]:
        """Width and radius of each band."""
        wide, narrow = (self.wide, self.radius), (self.narrow, self.radius - 1)
        return [wide] * self.n_wide + [narrow] * self.n_narrow

    @property
    def share(self) -> float:
        """Share of the pairs that are compared if hashes are uniform, summed over the bands."""
        return sum(chance(width, radius) for width, radius in self.bands)


def n_masks(width: int, radius: int) -> int:
    """Count the values that differ in at most `radius` of `width` bits."""
    return sum(math.comb(width, distance) for distance in range(min(width, radius) + 1))


def chance(width: int, radius: int) -> float:
    """Return the probability that two uniform values of `width` bits are within `radius`."""
    return math.ldexp(n_masks(width, radius), -width)


def band_s(
    work: Workload, width: int, radius: int, share: float, found: float | None = None
) -> float:
    """Estimate the seconds of one thread for one band.

    It builds the tables, finds neighbouring buckets, compares their hashes and compares near pairs
    in full. `share` is that of all pairs whose values are within the radius, `found` of those that
    are within the distance, too; by default that of the near pairs if the bits in which they differ
    are anywhere.
    """
    n_buckets, n_neighbours, n_blocks = 1 << width, n_masks(width, radius), work.n_blocks
    n_values = n_blocks * _occupied(work.n_left / n_blocks, n_buckets)
    n_met = n_neighbours * _occupied(work.n_right, n_buckets) / n_buckets
    if work.is_self:
        n_met = (n_met + 1) / 2
    looks = n_values * n_neighbours * LOOK_S * _nearness(4 * n_buckets)
    begins = work.n_left * n_met * BEGIN_S
    fetches = n_values * n_met * FETCH_S * _nearness(8 * work.n_first * work.n_right)
    compares = work.n_pairs * min(1.0, share) * work.compare_s
    finds = work.n_pairs * (_found(work, width, radius) if found is None else found) * work.find_s
    n_sorted = work.n_left + work.n_right * n_blocks
    if work.is_self:  # each block is compared with the rows after it
        n_sorted = work.n_left * (2 * n_blocks + 1) // 3
    build = n_sorted * (1 + work.n_first) * BUILD_S + n_blocks * n_buckets * BUCKET_S
    return build + looks + begins + fetches + compares + finds


def _occupied(n: float, n_buckets: int) -> float:
    """Return how many buckets hold at least one of `n` uniform values."""
    return -n_buckets * math.expm1(-n / n_buckets)


def _found(work: Workload, width: int, radius: int) -> float:
    """Return the share of the pairs that a band finds if they differ in any bits."""
    n_bits = WORD_BITS * work.words
    return sum(share * _odds(n_bits, width, radius, distance) for distance, share in work.near)


@functools.lru_cache(maxsize=1 << 12)
def _odds(n_bits: int, width: int, radius: int, distance: int) -> float:
    """Return the probability that at most `radius` of some differing bits are in a band."""
    ways = sum(
        math.comb(width, inside) * math.comb(n_bits - width, distance - inside)
        for inside in range(min(width, radius, distance) + 1)
    )
    return ways / math.comb(n_bits, distance)


def _nearness(n_bytes: int) -> float:
    """Return how many times longer memory access takes for an array that exceeds the caches."""
    return next(factor for limit, factor in NEARNESS if n_bytes <= limit)


def shape_s(work: Workload, shape: Shape, skew: float) -> float:
    """Estimate the seconds of one thread with bands of a shape; `skew` as in `best_shape`."""
    return work.sort_s + sum(band_s(work, *band, skew * chance(*band)) for band in shape.bands)


@functools.lru_cache(maxsize=64)
def best_shape(work: Workload, skew: float) -> Shape | None:
    """Find the cheapest bands for hashes of known skew; None if no bands find all pairs.

    Equal work is planned once: it takes 1 ms, as long as many a search of a single probe.
    """

    @functools.cache
    def cost_s(width: int, radius: int) -> float:
        return band_s(work, width, radius, skew * chance(width, radius))

    @functools.cache
    def best_width(room: int, radius: int) -> int:
        return min(range(1, min(room, MAX_WIDTH) + 1), key=lambda width: cost_s(width, radius))

    def total_s(shape: Shape) -> float:
        wide_s, narrow_s = cost_s(shape.wide, shape.radius), cost_s(shape.narrow, shape.radius - 1)
        return shape.n_wide * wide_s + shape.n_narrow * narrow_s

    return min(_shapes(work, best_width), key=total_s, default=None)


def _shapes(work: Workload, best_width: Callable[[int, int], int]) -> Iterator[Shape]:
    """Yield each number of bands and width of the wide ones, with the best width of the others."""
    bits = WORD_BITS * work.words
    for n_bands in range(1, min(work.max_distance + 1, MAX_BANDS, bits) + 1):
        radius, n_wide = divmod(work.max_distance + 1, n_bands)
        n_narrow = n_bands - n_wide
        if radius > MAX_RADIUS:
            continue
        widest = min(MAX_WIDTH, (bits - n_narrow) // n_wide) if n_wide else 0
        for wide in range(min(1, n_wide), widest + 1):
            narrow = best_width((bits - n_wide * wide) // n_narrow, radius - 1)
            if n_masks(wide, radius) <= MAX_MASKS:
                yield Shape(n_wide, wide, n_narrow, narrow, radius)


SCAN_S = 1.5e-10  # compare the first word of one hash with a probe
WORD_S = 4e-10  # compare each further word: limited by memory bandwidth
PROBE_S = 2e-5  # begin to look up one probe
LEAVES_S = 1.5e-5  # bound the distances between the probe and the leaves
VISIT = 1.2  # time per hash that the tree visits, relative to a scan: leaves are scattered
START_S = 0.01  # choose bands and start threads
ROW_S = 6e-9  # bring one word of a hash from the order of the tree into that of the rows
STRATEGIES = ("tree", "bands", "scan")


class Estimate(NamedTuple):
    """The estimated cost of one strategy."""

    strategy: str
    n_compared: int  # pairs of hashes
    seconds: float  # of one thread, roughly


class Choice(NamedTuple):
    """The chosen strategy, and the estimates of all strategies, cheapest first."""

    strategy: str
    estimates: tuple[Estimate, ...]


def plan(work: Workload, visited_fractions: Sequence[float], band_skew: float) -> Choice:
    """Choose the strategy to find everything within a distance of some probes.

    It is the one with the lowest estimate; ties go to the tree. `visited_fractions` are those of a
    `VPTree`, `band_skew` is that of `imgdup.search.bands`, stored with the index.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> plan(Workload(1, 1_000_000, 1, 2, is_self=False), fractions, 8.0).strategy
    'tree'
    >>> plan(Workload(50_000, 1_000_000, 1, 10, is_self=False), fractions, 8.0).strategy
    'bands'
    """
    n_probes, n = work.n_left, work.n_right
    scan_s = n * (SCAN_S + (work.words - 1) * WORD_S)
    share = float(visited_fractions[work.max_distance])
    tree_s = PROBE_S + LEAVES_S + min(1.0, VISIT * share) * scan_s
    tree = Estimate("tree", int(n * share) * n_probes, n_probes * tree_s)
    scan = Estimate("scan", n * n_probes, n_probes * (PROBE_S + scan_s))
    bands = _bands(work, band_skew)
    estimates = sorted([tree, bands, scan], key=lambda estimate: estimate.seconds)
    return Choice(estimates[0].strategy, tuple(estimates))


def _bands(work: Workload, skew: float) -> Estimate:
    """Estimate the join; without suitable bands it compares everything."""
    shape = best_shape(work, skew) if work.n_pairs else None
    before_s = START_S + work.n_right * work.words * ROW_S
    if shape is None:
        return Estimate("bands", work.n_pairs, before_s + work.scan_s)
    seconds = min(shape_s(work, shape, skew), work.scan_s)
    n_compared = min(int(work.n_pairs * min(1.0, skew * shape.share)), work.n_pairs)
    return Estimate("bands", n_compared, before_s + seconds)


def explain(chosen: Choice) -> list[str]:
    """Describe the chosen strategy and the estimate of each strategy, one per line.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> for line in explain(plan(Workload(1, 1_000_000, 1, 2, False), fractions, 1.0)):
    ...     print(line)
    strategy tree
      tree           31,250 comparisons, about 0.000041 s
      scan        1,000,000 comparisons, about 0.000170 s
      bands          89,843 comparisons, about 0.016075 s
    """
    lines = [f"strategy {chosen.strategy}"]
    for strategy, n_compared, seconds in chosen.estimates:
        lines.append(f"  {strategy:<6} {n_compared:>14,} comparisons, about {seconds:.6f} s")
    return lines
