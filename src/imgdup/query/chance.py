"""Estimate how many pairs of different pictures are near by chance; choose a distance by that.

The estimate is made from the hashes of a sample. Known duplicates do not count, since they are not
there by chance. `Chance` is the share of all pairs that is expected within each distance, also
within distances that no pair of the sample has.

The counts at distance d are fitted by ``C(bits, d) * exp(a + b d + c d^2)``, c not below 0: the
multiplicative binomial distribution [1]_, which is the binomial if the bits are independent. Only
the lower end of the distances is fitted, by a log-linear model of counts [2]_, because distances of
real pictures follow no simple distribution as a whole. Pairs that share a picture depend on each
other; the variance takes that into account [3]_.

References
----------
.. [1] P. M. E. Altham, "Two Generalizations of the Binomial Distribution", Applied Statistics 27,
   1978.
.. [2] J. K. Lindsey, "Construction and Comparison of Statistical Models", Journal of the Royal
   Statistical Society B 36, 1974.
.. [3] P. M. Aronow, C. Samii and V. A. Assenova, "Cluster-Robust Variance Estimation for Dyadic
   Data", Political Analysis 23, 2015.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index.columns import PDQ, Rows, images
from imgdup.query.match import are_duplicates
from imgdup.query.row_pairs import COLUMNS, Side
from imgdup.search import WORD_BITS, Hashes, check_hashes

SAMPLE = 3_000  # hashes that are compared with each other: 4.5 million pairs
SEED = 1
LOWER_END = 0.05  # share of the pairs, the nearest ones, whose distances are fitted, ...
ENOUGH_PAIRS = 1_000  # ... or this many pairs of a small sample, ...
QUARTER = 0.25  # ... but never more than this share
MIN_PAIRS = 10  # the fit begins at the distance within which the sample has this many
MIN_BINS = 5  # distances that the fit needs
CONFIDENCE = 1.645  # standard deviations: the upper bound holds in 95 % of the cases
MAX_STEPS = 50  # of Newton's method; it needs about five
PRECISION = 1e-9  # of the coefficients
LARGEST_EXPONENT = 100.0
SMALLEST_LOG = -600.0  # of a fitted count; exp of it is not 0
Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Chance(NamedTuple):
    """The share of all pairs that is expected within each distance by chance.

    Entry d of `shares` is that of the pairs at distance d or less; `upper` is the upper end of its
    confidence interval, 95 % one-sided. The sample has `n_pairs`; `fitted` are the first and the
    last distance of the fit.
    """

    shares: Reals
    upper: Reals
    n_pairs: int
    fitted: tuple[int, int]

    def largest_distance(self, n_pairs: int, max_false_pairs: float) -> int | None:
        """Return the largest distance within which few enough of `n_pairs` are expected by chance.

        The upper bounds count. The result is None if even equal hashes are expected to be too many.
        """
        n_fitting = int(np.count_nonzero(self.upper * n_pairs <= max_false_pairs))
        return n_fitting - 1 if n_fitting else None


def sample_rows(n: int, size: int = SAMPLE) -> Counts:
    """Choose rows at random, ascending; the same ones each time."""
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(SEED).choice(n, size, replace=False))


def count_distances(hashes: Hashes, left_out: Flags | None = None) -> Counts:
    """Count, for each hash, the other hashes at each distance: shape (n, 64 * words + 1).

    `left_out` marks the pairs that are not counted, such as known duplicates; symmetric, (n, n).

    Examples
    --------
    >>> count_distances(np.array([[0], [1], [3]], np.uint64))[:, :4]
    array([[0, 1, 1, 0],
           [0, 2, 0, 0],
           [0, 1, 1, 0]])
    """
    check_hashes("hashes", hashes)
    n, words = hashes.shape
    counts = np.zeros((n, WORD_BITS * words + 1), np.int64)
    for i in range(n):
        found = np.bitwise_count(hashes ^ hashes[i]).sum(axis=1, dtype=np.int64)
        counted = np.ones(n, np.bool_) if left_out is None else ~left_out[i]
        counted[i] = False
        counts[i] = np.bincount(found[counted], minlength=counts.shape[1])
    return counts


def estimate(counts: Counts, first: int = 0) -> Chance | None:
    """Estimate the share of pairs within each distance, from the counts of `count_distances`.

    `first` is the first distance at which no pair is left out of the counts; where all pairs within
    31 bits are known duplicates, 32. Returns None if the sample is too small, or too uniform.
    """
    pairs = counts.sum(axis=0) / 2
    within = np.cumsum(pairs)
    window = _window(pairs, first)
    if len(window) < MIN_BINS:
        return None
    try:
        shares, upper = _tail(counts, window)
    except np.linalg.LinAlgError:  # counts with wide gaps, as of a few pictures and their copies
        return None
    spread = CONFIDENCE * np.sqrt(within)  # of what was seen
    is_above = np.arange(len(within)) > window[-1]
    shares = np.where(is_above, within, shares)
    upper = np.where(is_above, within + spread, np.maximum(upper, _at_least(within)))
    upper = np.minimum(np.maximum.accumulate(upper), within[-1])
    n_pairs = int(within[-1])
    return Chance(shares / n_pairs, upper / n_pairs, n_pairs, (int(window[0]), int(window[-1])))


def _tail(counts: Counts, window: Counts) -> tuple[Reals, Reals]:
    """Fit the counts of a window; return sums up to each distance, and their upper bounds."""
    shares, upper, curvature = _extrapolated(counts, window, n_terms=3)
    if curvature < 0:  # thinner than a binomial tail, which dependent bits do not explain
        shares, upper_of_binomial, _ = _extrapolated(counts, window, n_terms=2)
        upper = np.maximum(upper, upper_of_binomial)
    return shares, upper


def _at_least(counts: Reals) -> Reals:
    """Return lower confidence bounds of Poisson counts, by the cube root of Wilson and Hilferty."""
    some = np.maximum(counts, 1)
    roots = 1 - 1 / (9 * some) - CONFIDENCE / (3 * np.sqrt(some))
    return np.where(counts > 0, some * roots**3, 0.0)


def _extrapolated(counts: Counts, window: Counts, *, n_terms: int) -> tuple[Reals, Reals, float]:
    """Fit the counts of a window; return sums up to each distance, upper bounds, the last term."""
    pairs, bits = counts.sum(axis=0) / 2, counts.shape[1] - 1
    design, binomial = _design(bits, window)[:, :n_terms], _log_binomial(bits)
    coefficients, inverse = _fit(design[window], binomial[window], pairs[window])
    log_fitted = np.clip(binomial + design @ coefficients, SMALLEST_LOG, math.log(pairs.sum()))
    fitted = np.exp(log_fitted)
    expected = fitted[window] * 2 / len(counts)  # of each hash; every pair belongs to two
    scores = (counts[:, window] - expected) @ design[window]
    covariance = inverse @ (scores.T @ scores) @ inverse
    return *_cumulated(fitted, design, covariance), float(coefficients[-1])


def _window(pairs: Reals, first: int) -> Counts:
    """Return the distances whose counts are fitted; none if there are too few pairs.

    They end where counts decrease again: unknown copies may add a second peak.
    """
    within = np.cumsum(pairs)
    n_fitted = max(LOWER_END * within[-1], min(QUARTER * within[-1], ENOUGH_PAIRS))
    if n_fitted < MIN_PAIRS:
        return np.empty(0, np.int64)
    low = high = int(np.searchsorted(within, n_fitted, side="right"))
    while low > first and within[low - 1] >= MIN_PAIRS:
        if pairs[low - 1] > pairs[low] + 2 * math.sqrt(pairs[low]):
            break
        low -= 1
    return np.arange(low, high + 1)


def _design(bits: int, window: Counts) -> Reals:
    """Return 1, x and x^2 for each distance, where x is -1 to 1 in the window."""
    x = (2 * np.arange(bits + 1) - window[0] - window[-1]) / (window[-1] - window[0])
    return np.stack([np.ones_like(x), x, x * x], axis=1)


def _log_binomial(bits: int) -> Reals:
    """Return the logarithms of the binomial coefficients C(bits, d)."""
    log_factorial = np.array([math.lgamma(k + 1) for k in range(bits + 1)])
    return np.asarray(log_factorial[-1] - log_factorial - log_factorial[::-1])


def _fit(design: Reals, offsets: Reals, counts: Reals) -> tuple[Reals, Reals]:
    """Fit log-linear counts by maximum likelihood; return coefficients and inverse information."""
    start = np.log(counts + 0.5) - offsets
    coefficients: Reals = np.linalg.lstsq(design, start, rcond=None)[0].astype(np.float64)
    for _ in range(MAX_STEPS):  # Newton's method; the likelihood has one maximum
        expected = np.exp(offsets + design @ coefficients)
        inverse = np.asarray(np.linalg.inv(design.T @ (design * expected[:, None])), np.float64)
        step = inverse @ (design.T @ (counts - expected))
        coefficients = coefficients + step
        if np.abs(step).max() < PRECISION:
            break
    return coefficients, inverse


def _cumulated(fitted: Reals, design: Reals, covariance: Reals) -> tuple[Reals, Reals]:
    """Sum the fitted counts up to each distance; also return their upper bounds."""
    sums = np.cumsum(fitted)
    slopes = np.cumsum(fitted[:, None] * design, axis=0) / sums[:, None]
    deviations = np.sqrt(np.einsum("di,ij,dj->d", slopes, covariance, slopes))
    return sums, sums * np.exp(np.minimum(CONFIDENCE * deviations, LARGEST_EXPONENT))


class Pictures(NamedTuple):
    """What is known of some pictures, one row each, as in the columns of an index."""

    hashes: Hashes
    match: Hashes
    quality: npt.NDArray[np.uint8]
    digest: npt.NDArray[np.uint8]
    pdq: Hashes | None = None

    def of(self, rows: Counts) -> "Pictures":
        """Return some of the pictures."""
        hashes, match, quality, digest, pdq = self
        some = None if pdq is None else pdq[rows]
        return Pictures(hashes[rows], match[rows], quality[rows], digest[rows], some)

    def hashes_by(self, by: str) -> Hashes:
        """Return the hashes that ``"match"``, ``"search"`` or ``"pdq"`` names."""
        found = {"match": self.match, "search": self.hashes, "pdq": self.pdq}[by]
        if found is None:
            raise UsageError("these pictures have no PDQ hashes")
        return found


def known_duplicates(pictures: Pictures) -> npt.NDArray[np.bool_]:
    """Return which pairs of pictures are duplicates by their match hashes or bytes: (n, n)."""
    n = len(pictures.match)
    found = np.zeros((n, n), np.bool_)
    for i in range(n):
        distances = np.bitwise_count(pictures.match ^ pictures.match[i]).sum(axis=1)
        quality = np.minimum(pictures.quality, pictures.quality[i])
        same_bytes = np.all(pictures.digest == pictures.digest[i], axis=1)
        found[i] = are_duplicates(distances, quality, same_bytes)
    return found


def different_pairs(hashes: Hashes, pictures: Pictures) -> tuple[Counts, Counts, Counts]:
    """Return the row numbers and the distances of all pairs that are no known duplicates."""
    duplicates = known_duplicates(pictures)
    nothing = np.zeros(0, np.int64)
    left, right, far = [nothing], [nothing], [nothing]
    for i in range(len(hashes) - 1):
        others = i + 1 + np.flatnonzero(~duplicates[i, i + 1 :])
        left.append(np.full(len(others), i))
        right.append(others)
        far.append(np.bitwise_count(hashes[others] ^ hashes[i]).sum(axis=1, dtype=np.int64))
    return np.concatenate(left), np.concatenate(right), np.concatenate(far)


def chance_among(pictures: Pictures, by: str) -> Chance | None:
    """Estimate the share of pairs that are within each distance of one hash by chance.

    The pictures are a sample of a collection, as `sample_rows` chooses it. By match hash and PDQ
    hash, all of them have enough structure to be compared. The result is None if they are too few,
    or too much alike, for an estimate.
    """
    hashes = pictures.hashes_by(by)
    first = MATCH_MAX_DISTANCE + 1 if by == "match" else 0
    return estimate(count_distances(hashes, known_duplicates(pictures)), first)


def pairs_distance(
    max_false_pairs: float, left: Side, right: Side | None = None, *, by: str
) -> int:
    """Return the largest distance within which few enough pairs are expected by chance.

    The images of one side are compared with each other, or those of two sides. Raises UsageError if
    there are too few images for an estimate, or if `max_false_pairs` is too small for any distance.
    """
    chance, n_pairs = _chance_and_pairs(left, right, by)
    return _distance(chance, n_pairs, max_false_pairs)


def expected_pairs(
    max_distance: int, left: Side, right: Side | None = None, *, by: str
) -> float | None:
    """Estimate how many pairs of different pictures are within a distance.

    The parameters are those of `pairs_distance`; None if there are too few images.
    """
    chance, n_pairs = _chance_and_pairs(left, right, by)
    return None if chance is None else float(chance.shares[max_distance]) * n_pairs


def _chance_and_pairs(left: Side, right: Side | None, by: str) -> tuple[Chance | None, int]:
    """Return the shares within each distance, and the number of pairs that are compared."""
    sides = [left] if right is None else [left, right]
    if by == "match":
        sides = [side.with_structure() for side in sides]
    n, m = len(sides[0].rows), len(sides[-1].rows)
    n_pairs = n * (n - 1) // 2 if right is None else n * m
    return chance_among(_sample(sides), by), n_pairs


def query_distance(rows: Rows, max_false_pairs: float, n_probes: int) -> int:
    """Return the same distance for a number of probes that are looked up by their search hashes."""
    side = Side(rows, images(rows))
    chance = chance_among(_sample([side]), "search")
    return _distance(chance, n_probes * len(side.rows), max_false_pairs)


def _distance(chance: Chance | None, n_pairs: int, max_false_pairs: float) -> int:
    if chance is None:
        raise UsageError(
            "there are too few different images to estimate the false pairs; choose a distance"
        )
    found = chance.largest_distance(n_pairs, max_false_pairs)
    if found is None:
        raise UsageError(
            f"even at distance 0, more than {max_false_pairs:g} pairs of different images are "
            "expected; accept more of them, or choose a distance"
        )
    return found


def _sample(sides: list[Side]) -> Pictures:
    """Take the columns of some images of all sides, chosen at random."""
    ends = np.cumsum([len(side.rows) for side in sides])
    chosen = sample_rows(int(ends[-1]))
    parts = [
        Side(side.index, side.rows[chosen[(chosen >= end - len(side.rows)) & (chosen < end)] - end])
        for side, end in zip(sides, ends.tolist(), strict=True)
    ]
    return pictures_of(parts)


def pictures_of(sides: Sequence[Side]) -> Pictures:
    """Take the columns of all images of some sides; PDQ hashes if every side has them."""
    names = [COLUMNS["search"], COLUMNS["match"], "quality", "digest"]
    names += [PDQ] if all(side.has_pdq() for side in sides) else []
    return Pictures(*(np.concatenate([side.column(name) for side in sides]) for name in names))
