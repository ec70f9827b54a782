"""Find duplicates, write their files, carry out a plan, and print what was found or done."""

import shlex
from collections.abc import Sequence
from contextlib import closing
from itertools import chain, count
from pathlib import Path

from imgdup.api.index import ImageIndex
from imgdup.apply import ApplyResult, apply_plan, drop_removed_rows
from imgdup.apply.actions import LINKS
from imgdup.apply.options import ApplyOptions, PlanIndex
from imgdup.apply.write_set import WriteOptions, WriteResult, check_folder, write_set
from imgdup.cli.option_groups import CleanedSet, DedupeFiles
from imgdup.cli.options import open_found, option_to_find
from imgdup.cli.printing import note, note_skipped, path_on_stdout, write_table, write_text
from imgdup.dedupe import DedupeOptions, Duplicates
from imgdup.dedupe.keep import FACT_RULES, Keep
from imgdup.dedupe.plan import Plan, write_plan
from imgdup.dedupe.split import chains
from imgdup.dedupe.verify import Verifier, verified_duplicates
from imgdup.errors import LockedError
from imgdup.index.columns import locator_of
from imgdup.output import NEWLINE, NUL, counted
from imgdup.output.cleaning import save_groups, save_lists, summary_json, summary_text
from imgdup.output.gallery import save_duplicates
from imgdup.output.progress import Bar
from imgdup.system.limits import size_text
from imgdup.system.paths import absolute, is_remote


def find_duplicates(index: ImageIndex, options: DedupeOptions, *, verify: bool) -> Duplicates:
    """Find the duplicates with a progress display; `verify` means that pictures are compared."""
    with closing(Bar(quiet=False)) as bar:
        return verified_duplicates(
            index.rows, index.folder, options, verify=verify, progress=bar.compared
        )


def write_files(files: DedupeFiles, duplicates: Duplicates) -> None:
    """Write the requested files; if a path cannot be written to a list, write none."""
    end = NUL if files.null else NEWLINE
    save_lists(duplicates, keep_list=files.keep_list, remove_list=files.remove_list, end=end)
    if files.plan:
        write_plan(files.plan, duplicates.plan())
    if files.report:
        save_duplicates(files.report, duplicates)
    if files.groups:
        save_groups(files.groups, duplicates)


def print_summary(duplicates: Duplicates, *, with_chains: bool, as_json: bool) -> None:
    """Print how many files can be removed, and why some cannot."""
    sizes = chains(duplicates) if with_chains else None
    if as_json:
        write_text([summary_json(duplicates, sizes)])
    else:
        write_table([summary_text(duplicates, sizes)])
    n_linked = int((~duplicates.removable()).sum())
    if n_linked:
        have = "has" if n_linked == 1 else "have"
        note(
            f"{counted(n_linked, 'more duplicate')} {have} other names (hard links): in the lists, "
            "but not in the plan"
        )


def note_rules_without_effect(keep: Keep) -> None:
    """Print which keep rules have no effect because no picture is read."""
    rules = [rule for rule in keep.rules if rule in FACT_RULES and rule != "not-upscaled"]
    if rules:
        note(
            f"--no-verify: no file is read, so these keep rules decide nothing: {', '.join(rules)}"
        )


def note_next_step(
    files: DedupeFiles, duplicates: Duplicates, place: Path, typed: Sequence[str]
) -> None:
    """Print how to carry out the plan or, where none was written, how to write one."""
    plan = files.plan
    is_empty = not duplicates.removable().any()
    if plan is None and not is_empty:
        again = shlex.join(["imgdup", *typed, "--plan", _new_name("plan", ".jsonl")])
        note(f"no plan was written; to remove files, first run: {again}")
    elif plan is not None and is_empty:
        note(f"nothing to remove: {plan} is empty; a larger --max-dist finds more")
    elif plan is not None:
        are_written = _are_only_written(duplicates)
        action = "--write-to" if are_written else "--move-to"
        then = "; to write the set without these, run" if are_written else ", then run"
        name = shlex.quote(str(plan))
        next_command = f"imgdup apply {name} {action} FOLDER{option_to_find(place)}"
        note(f"look at {files.report or plan}{then}: {next_command}")


def _are_only_written(duplicates: Duplicates) -> bool:
    """Return whether all removable files are in containers or on servers, which apply leaves."""
    rows = duplicates.rows
    removed = duplicates.groups.removed[duplicates.removable()].tolist()
    return all(locator_of(rows, row) is not None or is_remote(rows.path(row)) for row in removed)


def _new_name(stem: str, suffix: str) -> str:
    """Return the name of a file that does not exist in the current folder."""
    names = chain([f"{stem}{suffix}"], (f"{stem}-{i}{suffix}" for i in count(2)))
    return next(name for name in names if not Path(name).exists())


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
