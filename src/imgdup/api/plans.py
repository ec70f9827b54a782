"""Plans of removal as objects: review, save, carry out, undo."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, overload

from imgdup.apply import ApplyResult, apply_plan, drop_removed_rows
from imgdup.apply.options import (
    ApplyOptions,
    PlanIndex,
    journal_header,
    make_options,
    reasons_to_ask,
)
from imgdup.apply.recheck import SkippedFile
from imgdup.apply.registry import check_earlier_runs, journal_to_write
from imgdup.apply.undo import undo as undo_journal
from imgdup.dedupe.plan import Plan as PlanData, Removal as PlannedData, read_plan, write_plan
from imgdup.dedupe.verify import Verifier
from imgdup.errors import UsageError
from imgdup.index import folder
from imgdup.index.folder import find
from imgdup.index.generation import GenerationRows, open_generation
from imgdup.output import counted
from imgdup.output.progress import showing
from imgdup.system.limits import size_text
from imgdup.system.paths import as_path


class PlannedRemoval(NamedTuple):
    """A file that a plan removes, and why.

    Attributes
    ----------
    path, keeper : Path
        The file, and the file that is kept for it; absolute.
    relation : str
        As in `Removal`.
    distance : int
        Between their match hashes, in bits of 256.
    size : int
        Of the file that is removed, in bytes.
    """

    path: Path
    keeper: Path
    relation: str
    distance: int
    size: int


class Skipped(NamedTuple):
    """A file that was not changed, and why: a word, and one line for people."""

    path: Path
    reason: str
    detail: str


class Applied(NamedTuple):
    """The result of `Plan.apply`.

    Attributes
    ----------
    removed : list of Path
        The files that were removed, or would be in a dry run.
    size : int
        Their bytes, without those that an earlier, interrupted run removed.
    skipped : list of Skipped
        Files that were not changed.
    journal : Path or None
        For `undo`; None if nothing was changed.
    stopped : str
        Why the run ended early; empty if it did not.
    """

    removed: list[Path]
    size: int
    skipped: list[Skipped]
    journal: Path | None
    stopped: str


class Undone(NamedTuple):
    """The result of `undo`: how many files were put back, and how many were in place already."""

    n_restored: int
    n_in_place: int
    skipped: list[Skipped]


class Plan(Sequence[PlannedRemoval]):
    """Which files to remove, from `Groups.plan` or `load`; nothing is changed until `apply`.

    Attributes
    ----------
    data : imgdup.dedupe.plan.Plan
        The plan as it is written.
    index_folder : Path
        The index that it was made from.
    file : Path or None
        Where it is saved.
    """

    def __init__(self, data: PlanData, index_folder: Path, file: Path | None = None) -> None:
        self.data = data
        self.index_folder = index_folder
        self.file = file

    @classmethod
    def load(
        cls, file: str | os.PathLike[str], index_folder: str | os.PathLike[str] | None = None
    ) -> Self:
        """Read a plan that `save` or ``imgdup dedupe`` wrote; lines may have been deleted.

        Parameters
        ----------
        file : path
        index_folder : path, optional
            The index that the plan was made from. By default ``.imgdup`` in the current folder, or
            in the nearest folder above it.

        Raises
        ------
        UsageError
            If there is no such file.
        PlanError
            If it is not a plan, or was edited otherwise.
        ImgdupError
            If there is no index.
        """
        return cls(read_plan(Path(file)), _index_folder(index_folder), Path(file))

    def __len__(self) -> int:
        return len(self.data.removals)

    @overload
    def __getitem__(self, number: int) -> PlannedRemoval: ...

    @overload
    def __getitem__(self, number: slice) -> list[PlannedRemoval]: ...

    def __getitem__(self, number: int | slice) -> PlannedRemoval | list[PlannedRemoval]:
        found = self.data.removals[number]
        return list(map(_planned, found)) if isinstance(found, list) else _planned(found)

    def __repr__(self) -> str:
        n_bytes = sum(removal.remove.size for removal in self.data.removals)
        saved = "not saved" if self.file is None else f"saved in {self.file}"
        files = counted(len(self), "file")
        return f"<imgdup.Plan: removes {files}, {size_text(n_bytes)}; {saved}>"

    def save(self, file: str | os.PathLike[str]) -> Self:
        """Write the plan to a file, which ``imgdup apply`` reads, too; return the plan.

        Raises
        ------
        ImgdupError
            If it cannot be written.
        """
        write_plan(Path(file), self.data)
        self.file = Path(file)
        return self

    def apply(
        self,
        action: str = "move",
        to: str | os.PathLike[str] | None = None,
        *,
        dry_run: bool = False,
        yes: bool = False,
        progress: bool = True,
    ) -> Applied:
        """Carry out the plan, after every file was checked again.

        A file is removed only if the kept file exists, is readable and is unchanged. The plan must
        be saved: a journal, for `undo`, is written beside it. Removed files leave the index.

        Parameters
        ----------
        action : str
            ``"move"`` to a folder, ``"trash"``, ``"delete"``, or ``"hardlink"`` and ``"symlink"``,
            which replace files of equal bytes by links.
        to : path, optional
            The folder to move files to; they keep their paths below it.
        dry_run : bool
            Check everything, but change nothing.
        yes : bool
            Needed to delete files, to remove more than 20 % of the images, and to remove a file
            that is more than 64 bits from the kept one.
        progress : bool
            Whether to show a progress bar, on a terminal or in a notebook.

        Raises
        ------
        UsageError
            A ValueError: the plan is not saved, `yes` is needed, or `to` cannot be used.
        PlanError
            If the plan does not fit the index.
        ImgdupError
            If nothing can be written, or an earlier run must be undone first. Nothing was changed.
        """
        if self.file is None:
            raise UsageError("save the plan first, since its journal is written beside it")
        options = make_options(
            self.data, action, to, index_folder=self.index_folder, dry_run=dry_run
        )
        reasons = [] if dry_run or yes else reasons_to_ask(self.data, action)
        if reasons:
            raise UsageError(
                f"{', and '.join(reasons)}: if that is right, call apply with yes=True"
            )
        result = self._carry_out(self.file, options, progress)
        if not dry_run and not result.stopped and action in ("move", "trash", "delete"):
            drop_removed_rows(result, self.index_folder)
        removed = [as_path(path) for path in result.removed]
        skipped = _skipped(result.skipped)
        return Applied(removed, result.n_bytes, skipped, result.journal, result.stopped)

    def _carry_out(self, file: Path, options: ApplyOptions, progress: bool) -> ApplyResult:
        journal = journal_to_write(file, journal_header(self.data, options), self.index_folder)
        check_earlier_runs(file, self.index_folder, journal)
        rows = _rows(self.index_folder)
        with showing(progress) as bar, Verifier() as verifier:
            index = PlanIndex(self.index_folder, rows, verifier.judge(rows))
            return apply_plan(self.data, index, options, journal=journal, progress=bar.count)


def undo(
    journal: str | os.PathLike[str],
    index_folder: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
) -> Undone:
    """Put back what `Plan.apply` removed; no file is overwritten.

    Moved files and links can be put back, trashed and deleted ones cannot. Then update the index,
    for example by `ImageIndex.build`, to have the files in it again.

    Parameters
    ----------
    journal : path
        ``Applied.journal``.
    index_folder : path, optional
        The index that the plan was made from. By default ``.imgdup`` in the current folder, or in
        the nearest folder above it.
    progress : bool
        Whether to show a progress bar, on a terminal or in a notebook.

    Raises
    ------
    UsageError
        A ValueError: there is no such file.
    PlanError
        If it is not a journal of this index; nothing was changed.
    """
    place = _index_folder(index_folder)
    with showing(progress) as bar:
        result = undo_journal(Path(journal), place, progress=bar.count)
    return Undone(result.n_restored, result.n_in_place, _skipped(result.skipped))


def _index_folder(named: str | os.PathLike[str] | None) -> Path:
    """Return the index folder that is named, or the nearest one."""
    return find(Path(), None if named is None else Path(named))


def _rows(index_folder: Path) -> GenerationRows:
    """Open the index, and check what a decision rests on."""
    _, generation = folder.open_generation(index_folder, open_generation)
    generation.check_before_decision()
    return GenerationRows(generation)


def _planned(removal: PlannedData) -> PlannedRemoval:
    remove, keep = (as_path(each.path) for each in (removal.remove, removal.keep))
    return PlannedRemoval(remove, keep, removal.relation, removal.distance, removal.remove.size)


def _skipped(files: Iterable[SkippedFile]) -> list[Skipped]:
    return [Skipped(as_path(path), reason, detail) for path, reason, detail in files]
