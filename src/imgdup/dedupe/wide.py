"""Find for pairs, and for pictures that are looked up, what dedupe compares beyond near hashes.

Sides of pairs, or probes, go in; row pairs and matches that a wide rule finds come out.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from imgdup.dedupe.candidates import Hashes, MatchRule, hash_classes, hashes_of, widened
from imgdup.dedupe.nearest import nearest_across, nearest_better
from imgdup.dedupe.relations import DIFFERENT, UNVERIFIED, Verdict
from imgdup.index.columns import RowNumbers, Rows, images
from imgdup.index.generation import Generation
from imgdup.query.match import WIDE, Match, wide_matches
from imgdup.query.probe import Probe
from imgdup.query.row_pairs import RowPairs, Side, described_pairs

MOST_WIDE_MATCHES = 64  # of a probe
MOST_COMPARED_MATCHES = 64  # the same, in pictures that are compared with it


def wide_row_pairs(left: Side, right: Side | None, rule: MatchRule, most: int) -> RowPairs:
    """Find the pairs of rows that only a wide rule finds, farther apart than its distance.

    Without `right`, the images are compared with each other. An image has `most` candidates at
    most, the nearest ones.
    """
    hashes, classes = _hashes_and_classes(left, rule)
    if right is None:
        unique = np.arange(len(classes))  # no two images have the same bytes: such pairs are known
        found = nearest_better(hashes, classes, unique, rule, most)
        second = np.repeat(unique, np.diff(found.offsets))
        pairs = left.rows[found.others], left.rows[second]
    else:
        sides = (hashes, classes), _hashes_and_classes(right, rule)
        found = nearest_across(sides, rule, most)
        second = np.repeat(np.arange(len(found.offsets) - 1), np.diff(found.offsets))
        pairs = left.rows[found.others], right.rows[second]
    is_far = found.distances > rule.max_distance
    return described_pairs(left, right, pairs[0][is_far], pairs[1][is_far])


def wide_lookup(
    generation: Generation, rows: Rows
) -> Callable[[Sequence[Probe | None]], list[list[Match]]] | None:
    """Return a function that finds the matches of some probes by the wide rule.

    A probe has `MOST_WIDE_MATCHES` matches at most, the nearest ones; a place without a probe has
    none. Returns None if the index is too large, or its hashes too long, for the wide rule.
    """
    side = Side(rows, images(rows))
    rule = widened(MatchRule(), [(rows, side.rows)])
    if not rule.wide:
        return None
    indexed = _hashes_and_classes(side, rule)

    def look_up(probes: Sequence[Probe | None]) -> list[list[Match]]:
        readable = [each for each in probes if each is not None]
        if not readable:
            return [[] for _ in probes]
        found = nearest_across((indexed, _hashes_of_probes(readable)), rule, MOST_WIDE_MATCHES)
        spans = pairwise(found.offsets[: len(readable) + 1].tolist())
        near = iter([side.rows[found.others[a:b]] for a, b in spans])
        return [
            [] if probe is None else list(wide_matches(generation, [probe], next(near)))
            for probe in probes
        ]

    return look_up


def _hashes_of_probes(probes: Sequence[Probe]) -> tuple[Hashes, RowNumbers]:
    """Return the hashes of probes, and their classes."""
    nothing = np.zeros((1, 4), np.uint64)
    hashes = Hashes(
        np.concatenate([each.match for each in probes]),
        np.concatenate([each.hashes for each in probes]),
        np.concatenate([nothing if each.trimmed is None else each.trimmed for each in probes]),
    )
    return hashes, hash_classes(hashes, np.array([each.quality for each in probes], np.uint8))


def _hashes_and_classes(side: Side, rule: MatchRule) -> tuple[Hashes, RowNumbers]:
    """Return the hashes of the rows of a side that a rule compares, and their classes."""
    hashes = hashes_of(side.index, side.rows, rule)
    return hashes, hash_classes(hashes, side.column("quality"))


def with_wide_ones(
    matches: Sequence[list[Match]], wide: Sequence[list[Match]]
) -> list[list[Match]]:
    """Add to the matches of each probe those that only the wide rule finds, the nearest first."""
    added = []
    for found, more in zip(matches, wide, strict=True):
        known = {match.row for match in found}
        both = [*found, *(match for match in more if match.row not in known)]
        added.append(sorted(both, key=lambda match: (match.distance, match.row)))
    return added


def nearest_by_match(matches: Sequence[Match]) -> set[int]:
    """Return the rows of at most `MOST_COMPARED_MATCHES` of a probe: the nearest by match hash."""

    def distance(match: Match) -> tuple[int, int, int]:
        bits = match.distance if match.match_distance is None else match.match_distance
        return bits, match.distance, match.row

    return {match.row for match in sorted(matches, key=distance)[:MOST_COMPARED_MATCHES]}


def is_only_proposed(match: Match, verdict: Verdict) -> bool:
    """Return whether only the wide rule found a match, and the pictures do not confirm it."""
    return match.found_by == (WIDE,) and verdict.relation in (DIFFERENT, UNVERIFIED)
