"""A journal that an earlier run wrote -> its steps, to be taken back; anyone may have edited it."""

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from imgdup.apply.journal import (
    ACTIONS,
    DONE,
    FIRST_BYTES,
    KIND,
    TOKEN_BYTES,
    VERSION,
    Rights,
    Step,
    earlier_journals,
    named,
)
from imgdup.dedupe.plan import FileFacts
from imgdup.errors import ImgdupError, PlanError, UsageError
from imgdup.system import lock, records
from imgdup.system.atomic import open_regular
from imgdup.system.jsonl import json_line
from imgdup.system.records import Record

MAX_ID = (1 << 32) - 1  # of owners and groups


class PastRun(NamedTuple):
    """A journal that was read.

    Attributes
    ----------
    action : str
    steps : list of Step
    unfinished : list of Step
        Those of them whose end was not noted.
    damaged_lines : list of int
        Numbers of the lines that could not be read.
    refused : frozenset of int
        Numbers of the steps that ended with a reason why they were not done.
    undone : frozenset of int
        Numbers of the steps that were taken back.
    """

    action: str
    steps: list[Step]
    unfinished: list[Step]
    damaged_lines: list[int]
    refused: frozenset[int] = frozenset()
    undone: frozenset[int] = frozenset()


@contextlib.contextmanager
def held_journal(path: Path) -> Iterator[PastRun]:
    """Read a journal, and hold it: no other process writes it meanwhile, or takes it back.

    Raises
    ------
    LockedError
        If another process holds it.
    UsageError, PlanError
        As `read_journal` does.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(FileNotFoundError):  # told by what reads it
            file = held.enter_context(open_regular(path))
            lock.take(file.fileno(), named(path))
        yield read_journal(path)


def read_journal(path: Path) -> PastRun:
    """Read a journal.

    A last line that cannot be read was being written when the run ended, and is ignored.

    Raises
    ------
    UsageError
        If there is no such file.
    PlanError
        If it is no journal, or of a newer version.
    """
    try:
        lines = list(records.lines_of(path))
    except FileNotFoundError as error:
        raise UsageError(f"no journal at {path}; imgdup apply prints where it wrote it") from error
    if len(lines) <= 1 and FIRST_BYTES.startswith(b"".join(lines)[: len(FIRST_BYTES)]):
        if not b"".join(lines).endswith(b"\n"):
            return PastRun("", [], [], [])  # killed before the first step was announced
    try:
        action, token = _header(records.parsed(lines[0] if lines else b""))
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line 1: {error}") from error
    steps: list[Step] = []
    numbers: dict[str, set[int]] = {"end": set(), "undone": set()}
    done: set[int] = set()
    damaged: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = records.parsed(line)
            kind = next((kind for kind in numbers if kind in record), None)
            if kind is None:
                steps.append(_step(token, action, record))
            else:
                numbers[kind].add(records.number(record, kind))
                if record.get("result") == DONE:
                    done.add(records.number(record, kind))
        except ValueError:
            damaged.append(number)
    if damaged[-1:] == [len(lines)]:
        damaged.pop()
    unfinished = [step for step in steps if step.number not in numbers["end"]]
    refused, undone = frozenset(numbers["end"] - done), frozenset(numbers["undone"])
    return PastRun(action, steps, unfinished, damaged, refused, undone)


def note_undone(path: Path, numbers: Iterable[int]) -> None:
    """Note in a journal which steps were taken back, so that nothing of them is touched again.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    lines = [json_line({"undone": number}).encode("ascii") for number in numbers]
    with path.open("r+b") as file:
        whole = file.read().rpartition(b"\n")
        file.seek(len(whole[0] + whole[1]))  # over a line that was being written at a kill
        file.truncate()
        file.writelines(lines)


def _header(record: Record) -> tuple[str, str]:
    if record.get("journal") != KIND:
        raise ValueError('not a journal: the first line has no "journal": "imgdup"')
    records.check_version(record, "journal", VERSION)
    action, token = records.text(record, "action"), records.text(record, "token")
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r}; there are {', '.join(ACTIONS)}")
    if len(bytes.fromhex(token)) != TOKEN_BYTES or not token.isalnum():
        raise ValueError("'token' is damaged")
    return action, token


def _step(token: str, action: str, record: Record) -> Step:
    facts = FileFacts(
        0,
        records.absolute_path(record, "remove"),
        records.number(record, "size"),
        records.number(record, "mtime_ns", least=-records.MAX_INT),
        records.digest(record, "digest"),
    )
    to = records.absolute_path(record, "to") if action == "move" else None
    keep = records.absolute_path(record, "keep")
    return Step(token, records.number(record, "step"), facts, keep, to, _rights(record))


def _rights(record: Record) -> Rights | None:
    if "mode" not in record:
        return None
    return Rights(*(records.number(record, name, MAX_ID) for name in Rights._fields))


def check_earlier(plan: Path) -> None:
    """Raise if an earlier run of a plan was killed in the middle of a step.

    Raises
    ------
    ImgdupError
        Names what lies about, and the command that brings it back.
    LockedError
        If the earlier run goes on, or is being taken back.
    """
    for path in earlier_journals(plan):
        with contextlib.suppress(PlanError), held_journal(path) as run:
            left = (name for step in run.unfinished for name in step.names)
            for name in filter(os.path.lexists, left):
                raise ImgdupError(
                    f"an earlier run was killed and left {os.fsdecode(name)}: take it back first: "
                    f"imgdup undo {shlex.quote(str(path))}"
                )
