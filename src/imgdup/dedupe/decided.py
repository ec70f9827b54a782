"""What the decisions of people mean for the rows of an index: which are kept or preferred."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.decisions import DIFFERENT, KEEP, PREFER, Decision, Key, latest, read_decisions
from imgdup.dedupe.difference import Verdict
from imgdup.dedupe.relations import DIFFERENT as DIFFERENT_RELATION
from imgdup.errors import UsageError
from imgdup.index.columns import RowNumbers, Rows

Pair = tuple[int, int]


Judge = Callable[[Sequence[Pair]], Sequence[Verdict]]


Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decided:
    """The decisions that change which files of an index are kept; made by `decided`.

    Of the contents of a pair in `different` none is removed for the other; contents in `keep` are
    kept with all their files. `prefer` maps the digest of a content that is kept rather than its
    duplicates to the path of its file to keep, or to an empty one.
    """

    different: frozenset[Key] = frozenset()
    keep: frozenset[bytes] = frozenset()
    prefer: dict[bytes, bytes] = field(default_factory=dict)

    def rank(self, rows: Rows, selected: RowNumbers) -> npt.NDArray[np.int64]:
        """Return the first key to sort rows by, best first: preferred file, its copies, others."""
        if not self.prefer:
            return np.zeros(len(selected), np.int64)
        return np.array([self._rank(rows, row) for row in selected.tolist()], np.int64)

    def _rank(self, rows: Rows, row: int) -> int:
        path = self.prefer.get(_digest(rows, row))
        if path is None:
            return 2
        return 0 if path in (b"", rows.path(row)) else 1

    def keeps(self, rows: Rows, selected: RowNumbers) -> Flags:
        """Return which rows have a content that is kept with all its files."""
        return _have(rows, selected, self.keep)

    def prefers(self, rows: Rows, selected: RowNumbers) -> Flags:
        """Return which rows have a content that is preferred."""
        return _have(rows, selected, self.prefer.keys())

    def judge(self, judge: Judge, rows: Rows) -> Judge:
        """Return a judge that calls pairs different, uncompared, if somebody decided so."""
        if not self.different:
            return judge

        def judge_rows(pairs: Sequence[Pair]) -> list[Verdict]:
            keys = [_key(_digest(rows, a), _digest(rows, b)) for a, b in pairs]
            others = [
                pair for pair, key in zip(pairs, keys, strict=True) if key not in self.different
            ]
            verdicts = iter(judge(others) if others else ())
            return [DECIDED if key in self.different else next(verdicts) for key in keys]

        return judge_rows


DECIDED = Verdict(DIFFERENT_RELATION, 0.0, None)


NOTHING = Decided()


def decided(decisions: Iterable[Decision], digest_kind: str) -> Decided:
    """Return what decisions mean for an index whose contents are digested in a way.

    Decisions by digests of another kind say nothing about it.
    """
    valid = [each for each in latest(decisions).values() if each.digest_kind == digest_kind]
    return Decided(
        frozenset(each.key for each in valid if each.decision == DIFFERENT),
        frozenset(each.digest for each in valid if each.decision == KEEP),
        {each.digest: each.path for each in valid if each.decision == PREFER},
    )


def decided_in(path: Path | None, rows: Rows) -> Decided:
    """Return what a file of decisions means for an index; nothing if no file is named.

    Raises UsageError or PlanError as `read_decisions`, and UsageError if no decision is about the
    index's kind of digests.
    """
    if path is None:
        return NOTHING
    decisions = read_decisions(path)
    kinds = {each.digest_kind for each in decisions}
    if kinds and rows.digest_kind not in kinds:
        raise UsageError(
            f"{path} names contents by {', '.join(sorted(kinds))} digests, the index has "
            f"{rows.digest_kind}: none of the decisions is about it"
        )
    return decided(decisions, rows.digest_kind)


def _have(rows: Rows, selected: RowNumbers, digests: Iterable[bytes]) -> Flags:
    known = set(digests)
    if not known:
        return np.zeros(len(selected), bool)
    return np.array([_digest(rows, row) in known for row in selected.tolist()], bool)


def _digest(rows: Rows, row: int) -> bytes:
    return bytes(rows.column("digest")[row])


def _key(a: bytes, b: bytes) -> Key:
    return (a, b) if a < b else (b, a)
