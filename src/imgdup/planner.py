"""How many probes, how many hashes, how far -> which way to look them up, and what each would cost.

All ways are exact and give the same matches; they differ in the comparisons they need. Unit costs
are those of the machine that `imgdup.costs` was fitted on; only their ratios matter.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imgdup.costs import Shape, Task, band_s, best_shape, chance

SCAN_S = 1.2e-9  # compare one word of one hash with a probe, by NumPy in blocks
PROBE_S = 4e-5  # set out to look up one probe
TREE_FACTOR = 1.3  # comparing leaf by leaf costs more than block by block
COMPILED_S = 0.8  # load the compiled join and start it, once a process
STRATEGIES = ("tree", "bands", "scan")


class Estimate(NamedTuple):
    """What one way would take."""

    strategy: str
    n_compared: int  # pairs of hashes
    seconds: float  # of one thread, roughly


class Plan(NamedTuple):
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
) -> Plan:
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
        `imgdup.bands.Layout.skew`, stored with the index.

    Returns
    -------
    Plan
        The cheapest way by the estimates; ties go to the tree.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> plan(1_000_000, 1, 1, 2, fractions, 8.0).strategy
    'tree'
    >>> plan(1_000_000, 1, 50_000, 10, fractions, 8.0).strategy
    'bands'
    """
    scan_s = n * words * SCAN_S
    share = float(visited_fractions[max_distance])
    tree = Estimate(
        "tree", int(n * share) * n_probes, n_probes * (PROBE_S + TREE_FACTOR * share * scan_s)
    )
    scan = Estimate("scan", n * n_probes, n_probes * (PROBE_S + scan_s))
    bands = _bands(Task(n_probes, n, words, max_distance, is_self=False), band_skew)
    estimates = sorted([tree, bands, scan], key=lambda estimate: estimate.seconds)
    return Plan(estimates[0].strategy, tuple(estimates))


def _bands(task: Task, skew: float) -> Estimate:
    """Estimate the join; without bands that fit it compares everything, in compiled code."""
    shape = best_shape(task, skew) if task.n_pairs else None
    if shape is None:
        return Estimate("bands", task.n_pairs, COMPILED_S + task.scan_s)
    seconds = min(_shape_s(task, shape, skew), task.scan_s)
    n_compared = min(int(task.n_pairs * min(1.0, skew * shape.share)), task.n_pairs)
    return Estimate("bands", n_compared, COMPILED_S + seconds)


def _shape_s(task: Task, shape: Shape, skew: float) -> float:
    return sum(
        band_s(task, width, radius, skew * chance(width, radius)) for width, radius in shape.bands
    )


def explain(chosen: Plan) -> list[str]:
    """Tell people what was chosen, and what each way would take; one line each.

    Examples
    --------
    >>> fractions = [d / 64 for d in range(65)]
    >>> for line in explain(plan(1000, 1, 1, 2, fractions, 1.0)):
    ...     print(line)
    strategy tree
      tree               31 comparisons, about 0.000040 s
      scan            1,000 comparisons, about 0.000041 s
      bands           1,000 comparisons, about 0.800000 s
    """
    lines = [f"strategy {chosen.strategy}"]
    for strategy, n_compared, seconds in chosen.estimates:
        lines.append(f"  {strategy:<6} {n_compared:>14,} comparisons, about {seconds:.6f} s")
    return lines
