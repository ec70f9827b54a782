"""Decide which contents are kept and which removed, by candidates and a judge of their pictures.

Contents are visited best first. Each is compared with its candidates among those that are kept,
nearest first, until one shows the same picture: then it is removed in favour of that one. If the
nearest better content was itself removed, its keeper takes its place.

A content that has few candidates is compared with all of them. One that reaches the limit of
candidates has many look-alikes, such as barcodes or the frames of one camera; then only the nearest
few are compared, and all others count as different.

The judge gets many pairs at once, so that they can be compared in parallel: of each content that is
not decided the nearest pair, then all others. The result is that of visiting the contents one by
one.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from imgdup.dedupe.candidates import WIDE_MATCH, WIDE_SEARCH, MatchRule
from imgdup.dedupe.nearest import Better
from imgdup.dedupe.relations import DIFFERENT, RELATIONS, REMOVABLE, SAME_BYTES, Verdict

MAX_CANDIDATES = 64  # nearest better contents that are looked at for each content
MAX_COMPARED = 16  # of these, where that limit is reached

Pair = tuple[int, int]  # the better content and the other one
Judge = Callable[[Sequence[Pair]], Sequence[Verdict]]


@dataclass(frozen=True)
class Policy:
    """When a duplicate is removed, and how many candidates of a content are looked at."""

    removable: tuple[str, ...] = REMOVABLE
    max_candidates: int = MAX_CANDIDATES

    def __post_init__(self) -> None:
        """Check the number."""
        if self.max_candidates < 1:
            raise ValueError(f"max_candidates must be 1 or more, got {self.max_candidates}")


class Contents(NamedTuple):
    """What is known of each content, best first; hashes are integers."""

    # The hashes.
    match: list[int]
    # The match hashes in the orientations that are compared: upright first, or upright alone.
    turned: list[tuple[int, ...]]
    search: list[int]
    has_hash: list[bool]  # whether the hash has enough structure to be compared
    byte_class: list[int]  # equal for equal bytes
    protected: list[bool]  # whether the content is kept in any case
    # Whether two contents, by number, are candidates by a wide rule in another way than by these
    # hashes: without their borders, or as a crop.
    also_near: Callable[[int, int], bool] = lambda better, content: False

    def key(self, better: int, content: int) -> tuple[int, int, int]:
        """Return how near a content is to a better one, as a key to sort by, the nearest first."""
        if self.byte_class[better] == self.byte_class[content]:
            return 0, 0, better
        own = self.match[content]
        match = min((turned ^ own).bit_count() for turned in self.turned[better])
        return match, (self.search[better] ^ self.search[content]).bit_count(), better

    def are_candidates(self, better: int, content: int, rule: MatchRule) -> bool:
        """Return whether two contents may be duplicates by their bytes or their hashes."""
        if self.byte_class[better] == self.byte_class[content]:
            return True
        match, search, _ = self.key(better, content)
        is_near = match <= rule.max_distance
        if rule.search_distance is not None:
            is_near &= search <= rule.search_distance
        if rule.wide:
            is_near |= match <= WIDE_MATCH and search <= WIDE_SEARCH
        if not self.has_hash[better] or not self.has_hash[content]:
            return False
        return is_near or (rule.wide and self.also_near(better, content))


class Finding(NamedTuple):
    """What a comparison of a content with a better one found; `distance` is that of the hashes."""

    better: int
    distance: int
    verdict: Verdict


@dataclass
class Decisions:
    """The result of `decide`."""

    removed: dict[int, Finding] = field(default_factory=dict)  # content -> why it is removed
    # Content that is kept -> the closest duplicate that was found, which is not removable.
    shown: dict[int, Finding] = field(default_factory=dict)
    # Pairs of pictures that were compared, and kept contents that have candidates beyond.
    n_compared: int = 0
    n_beyond: int = 0


def decide(
    better: Better,
    contents: Contents,
    rule: MatchRule,
    judge: Judge,
    policy: Policy,
) -> Decisions:
    """Decide for each content whether it is kept; the judge gives one verdict per pair."""
    rounds = _Rounds(better, contents, rule, policy)
    ready = list(range(len(contents.match)))
    while pairs := rounds.visit(ready):
        rounds.note(pairs, judge(pairs))
        ready = list(dict.fromkeys(content for _, content in pairs))
    return rounds.decisions


class _Candidate(NamedTuple):
    """A candidate of a content; an open one is not decided yet, so it may be kept or removed."""

    key: tuple[int, int, int]
    is_open: bool


class _Rounds:
    """What is decided so far, and which contents wait for which."""

    def __init__(
        self,
        better: Better,
        contents: Contents,
        rule: MatchRule,
        policy: Policy,
    ) -> None:
        self.better, self.contents, self.rule, self.policy = better, contents, rule, policy
        self.decisions = Decisions()
        self._keeper: dict[int, int] = {}  # of each decided content; its own if it is kept
        self._verdicts: dict[Pair, Verdict] = {}
        self._waiting: dict[int, list[int]] = {}  # open content -> those that wait for it

    def note(self, pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> None:
        """Note the verdicts of pairs."""
        self.decisions.n_compared += len(pairs)
        self._verdicts.update(zip(pairs, verdicts, strict=True))

    def visit(self, ready: list[int]) -> list[Pair]:
        """Visit contents, best first; decide them, or return the pairs to compare."""
        heapq.heapify(ready)
        pairs = []
        while ready:
            content = heapq.heappop(ready)
            candidates, has_more = self._candidates(content)
            next_pairs, waits_for = self._next(content, candidates)
            if next_pairs:
                pairs += next_pairs
            elif waits_for is not None:
                self._waiting.setdefault(waits_for, []).append(content)
            else:
                if content not in self._keeper:
                    self._keep(content, candidates, has_more)
                for waiting in self._waiting.pop(content, ()):
                    heapq.heappush(ready, waiting)
        return pairs

    def _candidates(self, content: int) -> tuple[list[_Candidate], bool]:
        """Return the candidates to compare, nearest first, and whether there are more."""
        if self.contents.protected[content]:
            return [], False
        span = slice(*self.better.offsets[content : content + 2].tolist())
        near = self.better.others[span].tolist()
        found: dict[int, bool] = {}
        for other in near:
            keeper = self._keeper.get(other)
            if keeper is None:
                found[other] = True
            elif keeper not in found and (
                keeper == other or self.contents.are_candidates(keeper, content, self.rule)
            ):
                found[keeper] = False
        ordered = sorted(
            _Candidate(self.contents.key(other, content), is_open)
            for other, is_open in found.items()
        )
        is_full = len(near) >= self.policy.max_candidates
        most = min(MAX_COMPARED, self.policy.max_candidates) if is_full else len(ordered)
        return ordered[:most], is_full

    def _next(
        self, content: int, candidates: Sequence[_Candidate]
    ) -> tuple[list[Pair], int | None]:
        """Return the next pairs to compare, or the open content to wait for.

        If there is neither, the content is decided: removed, or to be kept.
        """
        waits_for, unknown, is_first = None, [], True
        for (distance, _, other), is_open in candidates:
            if is_open:
                waits_for = other if waits_for is None else waits_for
                continue
            verdict = self._verdict(other, content)
            if verdict is None:
                unknown.append((other, content))
                if is_first:
                    break
            elif verdict.relation in self.policy.removable:
                if waits_for is None and not unknown:
                    self._keeper[content] = other
                    self.decisions.removed[content] = Finding(other, distance, verdict)
                break
            is_first = False
        return unknown, waits_for

    def _verdict(self, other: int, content: int) -> Verdict | None:
        if self.contents.byte_class[other] == self.contents.byte_class[content]:
            return Verdict(SAME_BYTES, 0.0, None)
        return self._verdicts.get((other, content))

    def _keep(self, content: int, candidates: Sequence[_Candidate], has_more: bool) -> None:
        """Keep a content, and note its closest duplicate that is not removable."""
        self._keeper[content] = content
        self.decisions.n_beyond += has_more
        findings = [
            Finding(other, distance, verdict)
            for (distance, _, other), _ in candidates
            if (verdict := self._verdict(other, content)) and verdict.relation != DIFFERENT
        ]
        if findings:
            closest = min(findings, key=lambda each: RELATIONS.index(each.verdict.relation))
            self.decisions.shown[content] = closest
