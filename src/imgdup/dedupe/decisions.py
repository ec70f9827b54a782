"""Decisions of people about duplicates: kept in a file, and applied to the rows of an index.

A file of decisions is lines of JSON that are only ever added; a later decision about the same
content, or about the same pair, replaces an earlier one. Since it names contents by their digests,
it still holds when files are renamed or moved, and can be given to others.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.relations import DIFFERENT as DIFFERENT_RELATION, Verdict
from imgdup.errors import LockedError, PlanError, UsageError
from imgdup.index.columns import RowNumbers, Rows
from imgdup.system import records
from imgdup.system.files import NEW_DIGEST_KIND, PUBLIC, sync_folder, write_error
from imgdup.system.lock import locked
from imgdup.system.records import Record, json_line

KIND = "imgdup"  # value of the key "decisions" in the first line
VERSION = 1
HEADER = json_line({"decisions": KIND, "version": VERSION}).encode()
LOCK_WAIT_S, LOCK_PAUSE_S = 2.0, 0.01
TAIL_BYTES = records.MAX_LINE_BYTES + 1

DIFFERENT = "different"  # of two contents
PREFER, KEEP = "prefer", "keep"  # of one content
DUPLICATE, UNDECIDED = "duplicate", "undecided"  # of either; the latter undoes a decision
OF_PAIRS = (DIFFERENT, DUPLICATE, UNDECIDED)
OF_CONTENTS = (PREFER, KEEP, DUPLICATE, UNDECIDED)
NAMES = tuple(dict.fromkeys(OF_CONTENTS + OF_PAIRS))

Key = tuple[bytes, bytes]  # the digests of two contents, in order
Pair = tuple[int, int]  # rows
Judge = Callable[[Sequence[Pair]], Sequence[Verdict]]
Flags = npt.NDArray[np.bool_]


class Decision(NamedTuple):
    """What somebody decided about a content, or about two."""

    # Of two contents: ``different``, none is removed for the other; ``duplicate``, somebody looked
    # and agrees. Of one: ``prefer``, it is kept rather than its duplicates; ``keep``, all files of
    # it are kept; ``duplicate``, somebody agrees that one of its files is enough. ``undecided``
    # undoes an earlier decision.
    decision: str
    # The digests of the contents; `other` is empty if there is only one.
    digest: bytes
    other: bytes = b""
    # Which of several files of the content to prefer; empty if it does not matter.
    path: bytes = b""
    digest_kind: str = NEW_DIGEST_KIND  # how the contents were digested, a key of `DIGEST_KINDS`

    @property
    def key(self) -> Key:
        """What the decision is about: a later one of the same key replaces it."""
        return _key(self.digest, self.other)


def decision_record(decision: Decision) -> dict[str, object]:
    """Return a decision as a record, ready for `json_line`."""
    record: dict[str, object] = {
        "decision": decision.decision,
        "digest": decision.digest.hex(),
        "digest_kind": decision.digest_kind,
    }
    if decision.other:
        record["other"] = decision.other.hex()
    if decision.path:
        record["path"] = decision.path
    return record


def read_decision(record: Record) -> Decision:
    """Read what `decision_record` wrote; raise ValueError if it is anything else."""
    other = records.digest(record, "other") if "other" in record else b""
    name = records.text(record, "decision")
    known = OF_PAIRS if other else OF_CONTENTS
    if name not in known:
        raise ValueError(f"'decision' must be one of {', '.join(known)}")
    digest = records.digest(record, "digest")
    if digest == other:
        raise ValueError("'digest' and 'other' are the same content")
    path = records.path_from_json(record) if "path" in record else b""
    return Decision(name, digest, other, path, records.digest_kind(record))


class DecisionFile:
    """A file of decisions, to read and to add to; several threads and processes may do so.

    It is created by the first decision.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread_lock = threading.Lock()
        self._state: tuple[int, ...] = ()
        self._latest: dict[Key, Decision] = {}

    def latest(self) -> dict[Key, Decision]:
        """Return the decision that counts for each key, in the order in which they were made.

        Raises PlanError if it is not a file of decisions, or a line of it is damaged.
        """
        with self._thread_lock:
            return self._now()

    def _now(self) -> dict[Key, Decision]:
        state = _state(self.path)
        if state != self._state:
            self._latest = latest(_read(self.path)) if state else {}
            self._state = state
        return self._latest

    def append(
        self, decisions: Sequence[Decision], replaced: Sequence[str | None] | None = None
    ) -> list[Decision]:
        """Add decisions, and return those that were added; when this returns they are on the disk.

        `replaced` has for each decision the one that it replaces, ``undecided`` for none. If
        another one counts by now, since somebody else decided meanwhile, the new one is left out.
        None replaces whatever there is.

        Raises LockedError if another process holds the lock of the file for seconds. Raises
        ImgdupError if they cannot be written; then none of them counts.
        """
        with self._thread_lock, _locked(self.path):
            added = self._still_fitting(decisions, replaced) if replaced else list(decisions)
            if decisions and not added:
                return []
            lines = b"".join(json_line(decision_record(each)).encode() for each in added)
            try:
                with open(self.path, "r+b", opener=_open_or_create) as file:
                    _append(self.path, file, lines)
            except OSError as error:
                raise write_error(self.path, error, len(lines)) from error
        return added

    def _still_fitting(
        self, decisions: Sequence[Decision], replaced: Sequence[str | None]
    ) -> list[Decision]:
        """Return the decisions that replace what they are meant to replace."""
        now = self._now()
        counting = (now[each.key].decision if each.key in now else UNDECIDED for each in decisions)
        return [
            decision
            for decision, old, current in zip(decisions, replaced, counting, strict=True)
            if old in (None, current)
        ]


def latest(decisions: Iterable[Decision]) -> dict[Key, Decision]:
    """Return the last decision for each key, without those that were undone."""
    found: dict[Key, Decision] = {}
    for each in decisions:
        found.pop(each.key, None)
        if each.decision != UNDECIDED:
            found[each.key] = each
    return found


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes with the content of a file; empty if there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file of decisions; wait for it a little."""
    deadline = time.monotonic() + LOCK_WAIT_S
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path.with_name(f"{path.name}.lock"), str(path)))
                break
            except LockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOCK_PAUSE_S)
        yield


def _open_or_create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, PUBLIC)


def _append(path: Path, file: BinaryIO, lines: bytes) -> None:
    """Write lines after the last complete one; if that fails, keep what was complete.

    A file without a complete line, such as a new one, gets the first line, too.
    """
    _check_first_line(path, file)
    end, rest = _last_line(file)
    if rest and _is_decision(rest):  # somebody edited the file
        end, lines = end + len(rest), b"\n" + lines
    try:
        file.truncate(end)  # what a crash left of a line was never confirmed
        file.seek(end)
        file.write(lines if end else HEADER + lines)
        file.flush()
        os.fsync(file.fileno())
        if not end:
            sync_folder(path.parent)  # the file may be new
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(end)
        raise


def _check_first_line(path: Path, file: BinaryIO) -> None:
    """Raise PlanError unless a file is one of decisions, or the start of one."""
    first = file.readline(TAIL_BYTES)
    if first.endswith(b"\n"):
        _checked_line(path, 1, first)
    elif not HEADER.startswith(first):
        raise PlanError(f"{path} is not a file of decisions; it was not changed")


def _last_line(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the last complete line ends, and what follows without a newline."""
    start = file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    whole = tail.rfind(b"\n") + 1
    return start + whole, tail[whole:]


def _is_decision(line: bytes) -> bool:
    try:
        read_decision(records.parse_line(line))
    except ValueError:
        return False
    return True


def read_decisions(path: Path) -> list[Decision]:
    """Read a file of decisions, in the order in which they were made.

    Raises UsageError if there is no such file, PlanError if it is not a file of decisions or if
    a line is damaged.
    """
    try:
        return list(_read(path))
    except FileNotFoundError as error:
        raise UsageError(f"no decisions at {path}; imgdup serve writes them") from error


def _read(path: Path) -> Iterator[Decision]:
    """Yield the decisions of a file; a part of a line at its end was never confirmed."""
    with contextlib.closing(records.read_lines(path)) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n") and not _is_decision(line):
                return
            decision = _checked_line(path, number, line)
            if decision is not None:
                yield decision


def _checked_line(path: Path, number: int, line: bytes) -> Decision | None:
    """Read a line; return None for a first line, also of a file that was joined to another."""
    try:
        record = records.parse_line(line)
        if number > 1 and "decisions" not in record:
            return read_decision(record)
        if record.get("decisions") != KIND:
            raise ValueError('not a file of decisions: the first line has no "decisions": "imgdup"')
        records.check_version(record, "file of decisions", VERSION)
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line {number}: {error}") from error
    return None


def is_confirmed(decisions: Mapping[Key, Decision], one: bytes, other: bytes) -> bool:
    """Return whether somebody agreed that one of two contents may be removed."""
    decision = decisions.get(_key(one, b"" if one == other else other))
    return decision is not None and decision.decision == DUPLICATE


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
        return 2 if path is None else int(path not in (b"", rows.path(row)))

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
            known = [_key(_digest(rows, a), _digest(rows, b)) in self.different for a, b in pairs]
            others = [pair for pair, is_known in zip(pairs, known, strict=True) if not is_known]
            verdicts = iter(judge(others) if others else ())
            return [DECIDED if is_known else next(verdicts) for is_known in known]

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
