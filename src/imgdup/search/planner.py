"""How many probes, how many hashes, how far -> which way to look them up, and what each would cost.

All ways are exact and give the same matches; they differ in the comparisons they need. Unit costs
are those of the machine that `imgdup.search.costs` was fitted on (``benchmarks/bench_planner.py``).
Tree and scan cost nearly the same where the choice between them turns.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imgdup.search.costs import Workload, best_shape, shape_s

SCAN_S = 5.5e-10  # compare the first word of one hash with a probe, by NumPy in blocks
WORD_S = 1.05e-9  # and each other word: wide hashes are read with gaps
PROBE_S = 2e-5  # set out to look up one probe
LEAVES_S = 1e-5  # bound the distances of the leaves from it
# Leaves are shorter than blocks: a tree that visits the share v takes the share LEAST + DEARER v
# of a scan's time, up to MOST.
LEAST, DEARER, MOST = 0.06, 1.4, 1.05
COMPILED_S = 0.8  # load the compiled join and start it, once a process
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
    tree_s = PROBE_S + LEAVES_S + min(MOST, LEAST + DEARER * share) * scan_s
    tree = Estimate("tree", int(n * share) * n_probes, n_probes * tree_s)
    scan = Estimate("scan", n * n_probes, n_probes * (PROBE_S + scan_s))
    bands = _bands(Workload(n_probes, n, words, max_distance, is_self=False), band_skew)
    estimates = sorted([tree, bands, scan], key=lambda estimate: estimate.seconds)
    return Choice(estimates[0].strategy, tuple(estimates))


def _bands(work: Workload, skew: float) -> Estimate:
    """Estimate the join; without bands that fit it compares everything, in compiled code."""
    shape = best_shape(work, skew) if work.n_pairs else None
    if shape is None:
        return Estimate("bands", work.n_pairs, COMPILED_S + work.scan_s)
    seconds = min(shape_s(work, shape, skew), work.scan_s)
    n_compared = min(int(work.n_pairs * min(1.0, skew * shape.share)), work.n_pairs)
    return Estimate("bands", n_compared, COMPILED_S + seconds)


def explain(chosen: Choice) -> list[str]:
    """Tell people what was chosen, and what each way would take; one line each.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> for line in explain(plan(100_000, 1, 1, 2, fractions, 1.0)):
    ...     print(line)
    strategy tree
      tree            3,125 comparisons, about 0.000036 s
      scan          100,000 comparisons, about 0.000075 s
      bands          22,656 comparisons, about 0.800006 s
    """
    lines = [f"strategy {chosen.strategy}"]
    for strategy, n_compared, seconds in chosen.estimates:
        lines.append(f"  {strategy:<6} {n_compared:>14,} comparisons, about {seconds:.6f} s")
    return lines
