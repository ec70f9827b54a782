"""Find duplicates, write their files, and print what was found."""

import shlex
from collections.abc import Sequence
from contextlib import closing
from itertools import chain, count
from pathlib import Path

from imgdup.api.index import ImageIndex
from imgdup.cli.option_groups import DedupeFiles
from imgdup.cli.options import option_to_find
from imgdup.cli.printing import note, write_table, write_text
from imgdup.dedupe import DedupeOptions, Duplicates
from imgdup.dedupe.keep import FACT_RULES, Keep
from imgdup.dedupe.plan import write_plan
from imgdup.dedupe.split import chains
from imgdup.dedupe.verify import Verifier, verified_duplicates
from imgdup.index.columns import locator_of
from imgdup.output import NEWLINE, NUL, counted
from imgdup.output.cleaning import save_groups, save_lists, summary_json, summary_text
from imgdup.output.progress import Bar
from imgdup.system.paths import is_remote
from imgdup.workers.pool import Pool


def find_duplicates(index: ImageIndex, options: DedupeOptions, pool: Pool | None) -> Duplicates:
    """Find the duplicates with a progress display; a pool, if there is one, compares pictures."""
    verifier = Verifier(index.folder, pool=pool) if pool else None
    with closing(Bar(quiet=False)) as bar:
        return verified_duplicates(index.rows, options, verifier, progress=bar.compared)


def write_files(files: DedupeFiles, duplicates: Duplicates) -> None:
    """Write the requested files; if a path cannot be written to a list, write none."""
    end = NUL if files.null else NEWLINE
    save_lists(duplicates, keep_list=files.keep_list, remove_list=files.remove_list, end=end)
    if files.plan:
        write_plan(files.plan, duplicates.plan())
    if files.report:
        from imgdup.output.gallery import save_duplicates  # 10 ms

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
