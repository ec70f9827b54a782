"""The files that dedupe writes, and the text that it prints."""

import shlex
from pathlib import Path
from typing import NamedTuple

from imgdup.cli.options import GROUP_FILES, check_new
from imgdup.cli.printing import note, write_text
from imgdup.dedupe import Duplicates
from imgdup.dedupe.keep import FACT_RULES, Keep
from imgdup.dedupe.plan import write_plan
from imgdup.dedupe.split import chains
from imgdup.errors import UsageError
from imgdup.output.cleaning import save_groups, save_lists, summary_json, summary_text
from imgdup.output.codecs import NEWLINE, NUL
from imgdup.output.gallery import save_duplicates


class DedupeFiles(NamedTuple):
    """The requested files; `null` ends the paths of the lists with NUL."""

    plan: Path | None
    report: Path | None
    keep_list: Path | None
    remove_list: Path | None
    groups: Path | None
    null: bool

    def check(self, *, force: bool) -> None:
        """Raise UsageError for a file that is named twice, of an unknown kind, or not new.

        Plans and lists are overwritten only with `force`; reports and groups always.
        """
        if self.groups and self.groups.suffix not in GROUP_FILES:
            raise UsageError(
                f"--groups {self.groups}: expected a name that ends in {', '.join(GROUP_FILES)}"
            )
        named: dict[Path, str] = {}
        for name, file in self._asdict().items():
            if isinstance(file, Path):
                option = f"--{name.replace('_', '-')}"
                first = named.setdefault(file.resolve(), option)
                if first != option:
                    raise UsageError(f"{first} and {option} name one file: {file}")
        check_new((self.plan, self.keep_list, self.remove_list), force=force)

    def write(self, duplicates: Duplicates) -> None:
        """Write the files; if a path cannot be written to a list, write none."""
        end = NUL if self.null else NEWLINE
        save_lists(duplicates, keep_list=self.keep_list, remove_list=self.remove_list, end=end)
        if self.plan:
            write_plan(self.plan, duplicates.plan())
        if self.report:
            save_duplicates(self.report, duplicates)
        if self.groups:
            save_groups(self.groups, duplicates)


def print_summary(
    duplicates: Duplicates, plan: Path | None, *, with_chains: bool, as_json: bool
) -> None:
    """Print how many files can be removed, why some cannot, and what to do with a plan."""
    sizes = chains(duplicates) if with_chains else None
    write_text([(summary_json if as_json else summary_text)(duplicates, sizes)])
    n_linked = int((~duplicates.removable()).sum())
    if n_linked:
        note(
            f"{n_linked:,} more duplicates have other names (hard links): they are in the lists, "
            "but not in the plan"
        )
    if plan is not None and not as_json:
        _note_next_step(plan, duplicates)


def note_rules_without_effect(keep: Keep) -> None:
    """Print which keep rules decide nothing because no picture is looked at."""
    rules = [rule for rule in keep.rules if rule in FACT_RULES and rule != "not-upscaled"]
    if rules:
        note(
            f"--no-verify: no file is read, so these keep rules decide nothing: {', '.join(rules)}"
        )


def _note_next_step(plan: Path, duplicates: Duplicates) -> None:
    """Print how to carry out the plan."""
    if duplicates.removable().any():
        note(f"review {plan}, then run: imgdup apply {shlex.quote(str(plan))} --move-to FOLDER")
    else:
        note(f"nothing to remove: {plan} is empty; a larger --max-dist finds more")
