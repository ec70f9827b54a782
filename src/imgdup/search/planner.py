"""How many probes, how many hashes, how far -> which way to look them up, and what each would cost.

All ways are exact and give the same matches; they differ in the comparisons they need. Unit costs
are those of the machine that `imgdup.search.costs` was fitted on (``benchmarks/bench_planner.py``).
Tree and scan cost nearly the same where the choice between them turns.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imgdup.search.costs import Workload, best_shape, shape_s

SCAN_S = 1.5e-10  # compare the first word of one hash with a probe
WORD_S = 4e-10  # and each other word: wide hashes are read at the speed of memory
PROBE_S = 2e-5  # begin to look up one probe
LEAVES_S = 1.5e-5  # bound the distances of the leaves from it
VISIT = 1.2  # times a scan's time for each hash that the tree visits: leaves lie apart
START_S = 0.01  # choose bands and start threads
STRATEGIES = ("tree", "bands", "scan")


class Estimate(NamedTuple):
    """What one way would take."""

    strategy: str
    n_compared: int  # pairs of hashes
    seconds: float  # of one thread, roughly


class Choice(NamedTuple):
    """The way that is taken, and the estimates of all, cheapest first."""

    strategy: str
    estimates: tuple[Estimate, ...]


def plan(
    n: int,
    words: int,
    n_probes: int,
    max_distance: int,
    visited_fractions: Sequence[float],
    band_skew: float,
) -> Choice:
    """Choose how to find everything within a distance of some probes.

    Parameters
    ----------
    n, words : int
        Number and width of the indexed distinct hashes.
    n_probes : int
        How many probes are looked up at once.
    max_distance : int
        In bits, inclusive.
    visited_fractions : sequence of float
        What share of the hashes the tree visits, by distance; `VPTree.visited_fractions`.
    band_skew : float
        How many times more comparisons bands need on these hashes than on uniform ones;
        `imgdup.search.bands.band_skew`, stored with the index.

    Returns
    -------
    Choice
        The cheapest way by the estimates; ties go to the tree.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> plan(1_000_000, 1, 1, 2, fractions, 8.0).strategy
    'tree'
    >>> plan(1_000_000, 1, 50_000, 10, fractions, 8.0).strategy
    'bands'
    """
    scan_s = n * (SCAN_S + (words - 1) * WORD_S)
    share = float(visited_fractions[max_distance])
    tree_s = PROBE_S + LEAVES_S + min(1.0, VISIT * share) * scan_s
    tree = Estimate("tree", int(n * share) * n_probes, n_probes * tree_s)
    scan = Estimate("scan", n * n_probes, n_probes * (PROBE_S + scan_s))
    bands = _bands(Workload(n_probes, n, words, max_distance, is_self=False), band_skew)
    estimates = sorted([tree, bands, scan], key=lambda estimate: estimate.seconds)
    return Choice(estimates[0].strategy, tuple(estimates))


def _bands(work: Workload, skew: float) -> Estimate:
    """Estimate the join; without bands that fit it compares everything."""
    shape = best_shape(work, skew) if work.n_pairs else None
    if shape is None:
        return Estimate("bands", work.n_pairs, START_S + work.scan_s)
    seconds = min(shape_s(work, shape, skew), work.scan_s)
    n_compared = min(int(work.n_pairs * min(1.0, skew * shape.share)), work.n_pairs)
    return Estimate("bands", n_compared, START_S + seconds)


def explain(chosen: Choice) -> list[str]:
    """Describe what was chosen and what each way would take, one line each.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> for line in explain(plan(1_000_000, 1, 1, 2, fractions, 1.0)):
    ...     print(line)
    strategy tree
      tree           31,250 comparisons, about 0.000041 s
      scan        1,000,000 comparisons, about 0.000170 s
      bands          89,843 comparisons, about 0.010060 s
    """
    lines = [f"strategy {chosen.strategy}"]
    for strategy, n_compared, seconds in chosen.estimates:
        lines.append(f"  {strategy:<6} {n_compared:>14,} comparisons, about {seconds:.6f} s")
    return lines
