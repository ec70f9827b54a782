"""The options of dedupe and apply in groups, each with the name of its option.

This module imports little, because it is imported before the arguments are parsed.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from imgdup.cli.options import GROUP_FILES, check_new
from imgdup.errors import UsageError


@dataclass(frozen=True)
class RemovalOptions:
    """Which pictures are duplicates, and which files are kept."""

    max_dist: int | None
    by: str
    orientations: bool
    keep: str
    protect: tuple[str, ...]
    decisions: Path | None
    remove: str
    verify: bool
    max_candidates: int

    def check(self) -> None:
        """Raise UsageError for options that need another."""
        if not self.verify and self.max_dist is None:
            raise UsageError(
                "--no-verify needs --max-dist: only the distance of the hashes decides"
            )


@dataclass(frozen=True)
class DedupeFiles:
    """The files that dedupe writes; `null` ends the paths of the lists with NUL."""

    plan: Path | None
    report: Path | None
    keep_list: Path | None
    remove_list: Path | None
    groups: Path | None
    null: bool
    force: bool

    def check(self) -> None:
        """Raise UsageError for a file that is named twice, of an unknown kind, or not new.

        Plans and lists are overwritten only with `force`; reports and groups always.
        """
        if self.groups and self.groups.suffix not in GROUP_FILES:
            raise UsageError(
                f"--groups {self.groups}: expected a name that ends in {', '.join(GROUP_FILES)}"
            )
        named: dict[Path, str] = {}
        for name, file in asdict(self).items():
            if isinstance(file, Path):
                option = f"--{name.replace('_', '-')}"
                first = named.setdefault(file.resolve(), option)
                if first != option:
                    raise UsageError(f"{first} and {option} name one file: {file}")
        check_new((self.plan, self.keep_list, self.remove_list), force=self.force)


@dataclass(frozen=True)
class CleanedSet:
    """Where apply writes the cleaned set, if it is to write one, and how."""

    write_to: Path | None
    whole_samples: bool
    annotations: tuple[Path, ...]
    tag_column: str

    def check(self) -> None:
        """Raise UsageError for options that need another."""
        for option, is_given in (
            ("--whole-samples", self.whole_samples),
            ("--annotations", bool(self.annotations)),
            ("--tag-column", bool(self.tag_column)),
        ):
            if self.write_to is None and is_given:
                raise UsageError(f"{option} works only with --write-to")

    @property
    def folder(self) -> Path:
        """The folder that was named."""
        return Path() if self.write_to is None else self.write_to
