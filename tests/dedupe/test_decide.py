"""decide: which contents are removed, whatever the comparison of the pictures says.

Oracle: `one_by_one` visits the contents in turn, best first, with plain loops, and shares no code
with the rounds. Verdicts are drawn freely, so that a picture may equal a farther candidate and not
a nearer one, and the keeper of a candidate may be different from what the candidate showed. Hashes
have few bits: many ties, and chains of candidates that are removed themselves.
"""

from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.dedupe import decide as deciding
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.decide import Contents, Finding, Policy, decide
from imgdup.dedupe.nearest import Better
from imgdup.dedupe.relations import Verdict

STRENGTH = (
    "same-bytes",
    "same-pixels",
    "same-picture",
    "recoloured",
    "edited",
    "cropped",
    "turned",
    "unverified",
)  # the strongest first; of two that are as strong, the nearer one is shown
REMOVED = ("same-bytes", "same-pixels", "same-picture")
RULE = MatchRule(2, search_distance=1)


def contents_of(match, search=None, *, byte_class=None, protected=(), without_hash=()):
    n = len(match)
    return Contents(
        list(match),
        [(value,) for value in match],
        list(search or [0] * n),
        [i not in without_hash for i in range(n)],
        list(byte_class or range(n)),
        [i in protected for i in range(n)],
    )


def nearness(contents, a, b):
    """How near two contents are; None if neither their bytes nor their hashes propose them."""
    if contents.byte_class[a] == contents.byte_class[b]:
        return 0, 0
    match = (contents.match[a] ^ contents.match[b]).bit_count()
    search = (contents.search[a] ^ contents.search[b]).bit_count()
    both = contents.has_hash[a] and contents.has_hash[b]
    return (match, search) if both and match <= 2 and search <= 1 else None


def candidates_of(contents, content, n):
    """The better contents that are proposed for a content, the nearest n of them."""
    near = [(nearness(contents, other, content), other) for other in range(content)]
    return [other for _, other in sorted(each for each in near if each[0] is not None)][:n]


def better_of(contents, n):
    lists = [candidates_of(contents, content, n) for content in range(len(contents.match))]
    offsets = np.cumsum([0, *map(len, lists)])
    others = np.array([other for each in lists for other in each], np.int64)
    return Better(offsets, others, np.zeros_like(others))


def one_by_one(contents, says, n_candidates, n_compared):
    """Which contents are removed in favour of which, what is shown, and how many have more."""
    keepers, removed, shown, n_beyond = {}, {}, {}, 0
    for content in range(len(contents.match)):
        proposed = candidates_of(contents, content, n_candidates)
        if contents.protected[content]:
            proposed = []
        is_full = len(proposed) == n_candidates
        kept = {keepers[other] for other in proposed}
        near = [(nearness(contents, other, content), other) for other in kept]
        ordered = sorted(each for each in near if each[0] is not None)
        found = [(other, says(other, content)) for _, other in ordered]
        if is_full:
            found = found[: min(n_compared, n_candidates)]
        same = [other for other, relation in found if relation in REMOVED]
        others = [(STRENGTH.index(r), i) for i, (_, r) in enumerate(found) if r in STRENGTH]
        keepers[content] = content
        if same:
            keepers[content] = removed[content] = same[0]
        else:
            n_beyond += is_full
            if others:
                shown[content] = found[min(others)[1]][0]
    return removed, shown, n_beyond


@pytest.mark.parametrize("same_bytes", [True, False])
@pytest.mark.parametrize("without_hash", [(), (0,), (1,)])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("search_distance", [None, 1])
def test_two_contents_are_candidates_by_bytes_by_the_rule_or_if_it_is_wide_in_other_ways(
    same_bytes, without_hash, wide, search_distance
):
    rule = MatchRule(2, search_distance=search_distance, wide=wide)
    for match, search, also_near in product((2, 3, 64, 65), (1, 2, 3, 4), (True, False)):
        contents = contents_of(
            [0, (1 << match) - 1],
            [0, (1 << search) - 1],
            byte_class=[5, 5] if same_bytes else None,
            without_hash=without_hash,
        )._replace(also_near=lambda better, content, near=also_near: near)

        by_rule = match <= 2 and (search_distance is None or search <= search_distance)
        in_other_ways = wide and (also_near or (match <= 64 and search <= 3))
        expected = same_bytes or (not without_hash and (by_rule or in_other_ways))
        assert contents.are_candidates(0, 1, rule) == expected, (match, search, also_near)


@st.composite
def collections(draw):
    n = draw(st.integers(0, 9))
    some = st.sets(st.integers(0, 8), max_size=2)
    each = {"min_size": n, "max_size": n}
    contents = contents_of(
        draw(st.lists(st.integers(0, 15), **each)),
        draw(st.lists(st.integers(0, 3), **each)),
        byte_class=draw(st.lists(st.integers(0, 11), **each)),
        protected=draw(some),
        without_hash=draw(some),
    )
    relations = st.sampled_from([*STRENGTH[1:], "same-picture", "different"])
    pairs = list(product(range(n), repeat=2))
    table = dict(zip(pairs, draw(st.lists(relations, min_size=n * n, max_size=n * n)), strict=True))
    return contents, table


class Judge:
    """Answers from a table, and notes each pair that it is asked about."""

    def __init__(self, table):
        self.table, self.asked = table, []

    def __call__(self, pairs):
        self.asked += pairs
        return [Verdict(self.table[pair], 0.0, None) for pair in pairs]


@given(
    collection=collections(), n_candidates=st.sampled_from([1, 3, 64]), n_compared=st.integers(1, 3)
)
def test_the_decisions_are_those_of_visiting_contents_one_by_one(
    collection, n_candidates, n_compared
):
    contents, table = collection
    judge = Judge(table)

    with patch.object(deciding, "MAX_COMPARED", n_compared):
        policy = Policy(max_candidates=n_candidates)
        found = decide(better_of(contents, n_candidates), contents, RULE, judge, policy)

    def says(a, b):
        return "same-bytes" if contents.byte_class[a] == contents.byte_class[b] else table[a, b]

    removed = {content: finding.better for content, finding in found.removed.items()}
    shown = {content: finding.better for content, finding in found.shown.items()}
    expected = one_by_one(contents, says, n_candidates, n_compared)
    assert (removed, shown, found.n_beyond) == expected
    assert len(judge.asked) == len(set(judge.asked)) == found.n_compared
    assert all(contents.byte_class[a] != contents.byte_class[b] for a, b in judge.asked)


def decided(contents, table, **options):
    judge = Judge(table)
    found = decide(better_of(contents, 64), contents, RULE, judge, Policy(**options))
    return found, judge.asked


def test_a_content_is_removed_for_a_farther_one_if_that_shows_its_picture():
    contents = contents_of([0b0011, 0b0001, 0b0000])
    table = {(0, 1): "different", (0, 2): "same-picture", (1, 2): "edited"}

    found, _ = decided(contents, table)

    assert found.removed == {2: Finding(0, 2, Verdict("same-picture", 0.0, None))}
    assert found.shown == {}


def test_no_content_is_removed_because_of_what_a_removed_one_shows():
    contents = contents_of([0b00, 0b01, 0b11])
    table = {(0, 1): "same-picture", (1, 2): "same-picture", (0, 2): "different"}

    found, asked = decided(contents, table)

    assert list(found.removed) == [1]
    assert (0, 2) in asked  # 1 may not take 2 with it; its keeper is asked instead


def test_a_protected_copy_is_kept_and_compared_with_nothing_better():
    contents = contents_of([0, 0, 0], protected={1})
    table = dict.fromkeys([(0, 2), (1, 2)], "same-picture")

    found, asked = decided(contents, table)

    assert list(found.removed) == [2]
    assert asked == [(0, 2)]


@pytest.mark.parametrize("removable", [("recoloured",), ("same-bytes", "edited")])
def test_only_relations_that_the_policy_names_remove(removable):
    contents = contents_of([0, 0, 0], byte_class=[0, 1, 1])
    table = {(0, 1): "edited", (0, 2): "recoloured"}

    found, _ = decided(contents, table, removable=removable)

    relations = {finding.verdict.relation for finding in found.removed.values()}
    assert relations
    assert relations <= set(removable)


def test_without_contents_the_judge_is_not_asked():
    found, asked = decided(contents_of([]), {})

    assert (found.removed, found.shown, found.n_beyond, asked) == ({}, {}, 0, [])


def test_a_policy_without_candidates_is_refused():
    with pytest.raises(ValueError, match="max_candidates must be 1 or more, got 0"):
        Policy(max_candidates=0)
