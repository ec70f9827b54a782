"""Carry out a plan, or write the cleaned set of one, and print what was done."""

from contextlib import closing
from pathlib import Path

from imgdup.apply import ApplyResult, apply_plan, drop_removed_rows
from imgdup.apply.actions import LINKS
from imgdup.apply.options import ApplyOptions, PlanIndex
from imgdup.apply.write_set import WriteOptions, WriteResult, check_folder, write_set
from imgdup.cli.option_groups import CleanedSet
from imgdup.cli.options import open_found, option_to_find
from imgdup.cli.printing import note, note_skipped, path_on_stdout, write_text
from imgdup.dedupe.plan import Plan
from imgdup.dedupe.verify import Verifier
from imgdup.errors import LockedError
from imgdup.output import counted
from imgdup.output.progress import Bar
from imgdup.system.limits import size_text
from imgdup.system.paths import absolute


def _plan_index(place: Path, verifier: Verifier) -> PlanIndex:
    rows = open_found(place).check_before_decision().rows
    return PlanIndex(place, rows, verifier.judge(rows))


def carry_out(plan: Plan, options: ApplyOptions, place: Path, journal: Path) -> ApplyResult:
    """Carry out a plan with a progress display; the pictures are compared again meanwhile."""
    with closing(Bar(quiet=False)) as bar, Verifier() as verifier:
        index = _plan_index(place, verifier)
        return apply_plan(plan, index, options, journal=journal, progress=bar.count)


def write_cleaned(plan: Plan, chosen: CleanedSet, place: Path, *, dry_run: bool) -> int:
    """Write the cleaned set of a plan with a progress display, and return the exit code."""
    annotations = tuple(absolute(path) for path in chosen.annotations)
    target = absolute(chosen.folder)
    options = WriteOptions(target, chosen.whole_samples, annotations, dry_run, chosen.tag_column)
    check_folder(plan, options.target, place)
    with closing(Bar(quiet=False)) as bar, Verifier() as verifier:
        index = _plan_index(place, verifier)
        result = write_set(plan, index, options, progress=bar.count)
    _print_written(result, options)
    return result.exit_code


def _print_written(result: WriteResult, options: WriteOptions) -> None:
    note_skipped(result.skipped)
    if result.n_links:
        note(f"left out {counted(result.n_links, 'symbolic link')}")
    would = "would be " if options.dry_run else ""
    if result.n_companions:
        note(f"{counted(result.n_companions, 'file')} {would}left out with their pictures")
    if options.tag_column:
        note(f"{counted(result.n_tagged, 'row')} {would}tagged in the column {options.tag_column}")
    if options.annotations:
        entries = counted(result.n_entries, "entry", "entries")
        note(f"{entries} {would}left out of the annotations")
    already = f", {result.n_already:,} already written" if result.n_already else ""
    size = "" if options.dry_run else f", {size_text(result.n_bytes)}"
    removed = counted(result.n_removed, "picture")
    write_text(
        [
            f"{counted(result.n_files, 'file')} {would}written without {removed}"
            f"{size}{already}: {path_on_stdout(options.target)}\n"
        ]
    )


def print_result(result: ApplyResult, action: str, *, dry_run: bool) -> None:
    """Print what was done, what was skipped, and why the run stopped if it did."""
    note_skipped(result.skipped)
    if result.stopped:
        note(f"imgdup: {result.stopped}")
    would_be = "would be " if dry_run else ""
    if result.n_companions:
        also = "would also move" if dry_run else "also moved"
        note(f"{also} {counted(result.n_companions, 'file')} that belong to them")
    if result.n_links:
        note(f"pointed {counted(result.n_links, 'link')} to the kept files")
    verb = "replaced by links" if action in LINKS else "removed"
    n_files = counted(result.n_done, "file")
    already = f", {result.n_already:,} already done" if result.n_already else ""
    write_text([f"{n_files} {would_be}{verb}, {size_text(result.n_bytes)}{already}\n"])


def drop_rows(result: ApplyResult, action: str, index_folder: Path) -> None:
    """Remove the rows of the removed files from the index, unless links replaced them."""
    if action in LINKS:
        return
    try:
        drop_removed_rows(result, index_folder)
    except LockedError as error:
        again = f"imgdup index --allow-removals{option_to_find(index_folder)}"
        note(f"{error}; to remove the files from it, run: {again}")
