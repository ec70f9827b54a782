"""Keep a list of the journals of an index: only these are undone, and what they left is found.

undo moves files to the places that a journal names, so a forged journal must be refused. Therefore
each run of apply records the first line of its journal in the index folder; that line names the
folders in which the run may change files. A journal without such a record, as of an older imgdup,
must fit the plan beside it, and the plan must fit an index that the user named.

undo removes the temporary files of a killed run if the journal exists. If the journal is lost, only
the user knows where such a file belongs, so imgdup only reports it.
"""

import contextlib
import hashlib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from pathlib import Path

from imgdup.apply.journal import PastRun, append_line, locked_journal, read_journal
from imgdup.apply.steps import Header, Step, continues
from imgdup.dedupe.check_plan import faults
from imgdup.dedupe.plan import Plan, Removal, read_plan
from imgdup.errors import ImgdupError, PlanError
from imgdup.index.columns import Rows
from imgdup.index.folder import JOURNALS, option_naming
from imgdup.system import records
from imgdup.system.files import write_error
from imgdup.system.paths import is_below
from imgdup.system.records import json_line

LINE_DIGEST_BYTES = 32
NOTE_BYTES = 400  # of a journal in the index folder, about
JOURNAL_NAME = re.compile(r"(.+)\.journal-[0-9]+\.jsonl")
NUMBER_IN_NAME = re.compile(rb"~[0-9]+(?=\.[^./]*\Z|\Z)")  # see `imgdup.apply.options.free_name`


def register_journal(index_folder: Path, journal: Path, first_line: bytes) -> None:
    """Record in an index folder that a run on this index writes a journal with this first line.

    Raises ImgdupError if it cannot be written.
    """
    path = index_folder / JOURNALS
    note = {"journal": os.fsencode(journal.absolute()), "first_line": _digest(first_line)}
    try:
        append_line(path, json_line(note).encode("ascii"))
    except OSError as error:
        raise write_error(path, error, NOTE_BYTES) from error


def registered_journals(index_folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the digest of the first line and the path of each journal that an index knows."""
    with contextlib.suppress(FileNotFoundError):
        for line in records.read_lines(index_folder / JOURNALS):
            with contextlib.suppress(ValueError):  # a line that was being written at a kill
                record = records.parse_line(line)
                path = os.fsdecode(records.absolute_path(record, "journal"))
                yield records.text(record, "first_line"), Path(path)


def _digest(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=LINE_DIGEST_BYTES).hexdigest()


def check_journal(
    journal: Path, run: PastRun, index_folder: Path, open_rows: Callable[[], Rows] | None
) -> None:
    """Raise PlanError unless a run on an index wrote a journal and changed only its own files.

    `open_rows` opens the index, if the user named it. Nothing is changed.
    """
    if run.header is None or not run.steps:
        return
    known = {digest for digest, _ in registered_journals(index_folder)}
    if run.header.roots is not None and _digest(run.first_line) in known:
        _check_places(journal, run.header, run.header.roots, run.steps)
    elif open_rows is None:
        raise PlanError(
            f"the index {index_folder} does not know the journal {journal}; nothing was changed: "
            "name the index that its plan was applied to: "
            f"imgdup undo {shlex.quote(str(journal))} --index FOLDER"
        )
    else:
        _check_plan(journal, run, open_rows())


def _check_places(
    journal: Path, header: Header, roots: tuple[bytes, ...], steps: list[Step]
) -> None:
    """Raise unless every path is in a root, or in the target if a file was moved there."""
    places = dict.fromkeys(roots)  # in order, folders first; single files are found at once
    for step in steps:
        links = (link.path for link in step.changed_links)
        inside = [(path, _is_in(path, places)) for path in (step.remove.path, step.keep, *links)]
        if step.to is not None:
            inside.append((step.to, header.target is not None and is_below(step.to, header.target)))
        for path in (path for path, is_inside in inside if not is_inside):
            raise PlanError(
                f"{journal} names {os.fsdecode(path)!r}, which is neither in an indexed folder "
                "nor in the folder that the files were moved to; nothing was changed"
            )


def _is_in(path: bytes, roots: Collection[bytes]) -> bool:
    """Return whether a path is one of these files and folders, or below one of them."""
    return path in roots or any(root and is_below(path, root) for root in roots)


def _check_plan(journal: Path, run: PastRun, rows: Rows) -> None:
    """Raise unless every step carries out a removal of the plan beside a journal."""
    plan = _plan_beside(journal, run)
    roots = tuple(rows.roots)
    if plan is None or plan.header.roots != roots:
        raise PlanError(
            f"the index does not know the journal {journal}, and no plan beside it fits both; "
            "nothing was changed: put the plan that was applied beside the journal"
        )
    if plan.header.generation == rows.digest:
        for fault in faults(plan, rows):
            raise PlanError(f"{journal}: {fault}; nothing was changed")
    removals = {
        removal.remove.path: removal
        for removal in plan.removals
        if _is_in(removal.remove.path, roots) and _is_in(removal.keep.path, roots)
    }
    for step in run.steps:
        removal = removals.get(step.remove.path)
        if removal is None or not _carries_out(step, removal, roots):
            raise PlanError(
                f"{journal}: step {step.number} is not a removal of the plan beside it; "
                "nothing was changed"
            )


def _plan_beside(journal: Path, run: PastRun) -> Plan | None:
    """Read the plan of a journal's name and generation; None if there is none."""
    match = JOURNAL_NAME.fullmatch(journal.name)
    if match is None or run.header is None:
        return None
    for path in sorted(journal.parent.iterdir()):
        if path.stem == match[1] or path.name == match[1]:
            with contextlib.suppress(ImgdupError):
                plan = read_plan(path)
                if plan.header.generation == run.header.generation:
                    return plan
    return None


def _carries_out(step: Step, removal: Removal, roots: tuple[bytes, ...]) -> bool:
    """Return whether a step is a removal of a plan, and keeps the path below the root."""
    remove = removal.remove
    if step.remove[1:] != remove[1:] or step.keep != removal.keep.path:
        return False
    root = max((root for root in roots if is_below(remove.path, root)), key=len)
    ending = b"/" + remove.path[len(root) :].lstrip(b"/")
    to = step.to or ending
    return to.endswith(ending) or NUMBER_IN_NAME.sub(b"", to).endswith(ending)


def describe_leftovers(files: Iterable[tuple[bytes, bytes]], index_folder: Path) -> Iterator[str]:
    """Yield one line for each file that a killed run left, with what to do about it.

    The files are pairs of a path and a token, from `imgdup.query.check_index.temporary_files`.
    """
    journals = _journals_by_token(index_folder)
    for path, token in files:
        yield f"{os.fsdecode(path)}: {_advice(path, journals.get(token), index_folder)}"


def _journals_by_token(index_folder: Path) -> Mapping[bytes, Path]:
    """Map the tokens of runs to the existing journals that an index knows."""
    found = {}
    for _, path in registered_journals(index_folder):
        try:
            header = read_journal(path).header
        except ImgdupError:  # lost
            continue
        if header:
            found[header.token.encode()] = path
    return found


def _advice(path: bytes, journal: Path | None, index_folder: Path) -> str:
    if journal is not None:
        command = undo_command(journal, index_folder)
        return f"left by an apply or undo that was killed; to clean up: {command}"
    if path.endswith(b".aside"):
        return (
            "a picture that a killed apply set aside, and its journal is lost: rename the picture, "
            "or delete it if you have a copy"
        )
    return "left by an apply whose journal is lost: you may delete it"


def undo_command(journal: Path, index_folder: Path) -> str:
    """Return the command that undoes a run on an index; it runs in the current folder."""
    return f"imgdup undo {shlex.quote(str(journal))}{option_naming(index_folder)}"


def check_earlier_runs(plan: Path, index_folder: Path, continued: Path | None = None) -> None:
    """Raise if an earlier run of a plan, or an undo of it, was killed in the middle of a step.

    The run of the journal `continued` may have been killed, but no undo of it. ImgdupError names
    the files that the run left and the command that undoes it. Raises LockedError if the earlier
    run continues, or is being undone.
    """
    for path in earlier_journals(plan):
        with contextlib.suppress(PlanError), locked_journal(path) as run:
            ended = run.undone if path != continued else run.undone | run.unfinished
            for name in filter(os.path.lexists, _names_left(run, ended)):
                raise ImgdupError(
                    f"an earlier run was killed and left {os.fsdecode(name)}: undo it first: "
                    f"{undo_command(path, index_folder)}"
                )


def _names_left(run: PastRun, ended: Container[int]) -> Iterator[bytes]:
    """Yield the temporary names of all steps but those that ended."""
    for step in run.steps:
        if step.number not in ended:
            yield from step.temporary_names
            for link in step.changed_links:
                yield from (link.spare, link.waiting)


def journal_to_write(plan: Path, header: Header, index_folder: Path) -> Path:
    """Choose the journal of a run: that of the run that it continues, or a new one beside the plan.

    Only a journal that the index folder knows is continued, and only if it was not undone as a
    whole.
    """
    for path in reversed(earlier_journals(plan)):
        with contextlib.suppress(PlanError):
            run = read_journal(path)
            if run.header and continues(header, run.header):
                if any(step.number not in run.undone for step in run.steps):
                    check_journal(path, run, index_folder, None)
                    return path
    return free_journal_path(plan)


def free_journal_path(plan: Path) -> Path:
    """Return an unused name beside a plan: ``NAME.journal-1.jsonl`` and so on."""
    return _journal_path(plan, 1 + len(earlier_journals(plan)))


def earlier_journals(plan: Path) -> list[Path]:
    """Return the journals beside a plan, the oldest first."""
    numbered = (_journal_path(plan, number) for number in itertools.count(1))
    return list(itertools.takewhile(os.path.lexists, numbered))


def _journal_path(plan: Path, number: int) -> Path:
    return plan.with_name(f"{plan.stem}.journal-{number}.jsonl")
