"""Decide what is removed from each file of a set, and write each file without it."""

import os
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np

from imgdup.apply.attached import Companions
from imgdup.apply.recheck import SkippedFile
from imgdup.apply.samples import SampleDecision, ShardPictures, decide
from imgdup.apply.set_files import SetFiles
from imgdup.containers import TABLE_ROW, Stamp
from imgdup.containers.reading import open_file
from imgdup.containers.without import Stored, open_shard, open_table, stored_members
from imgdup.dedupe.plan import Removal
from imgdup.errors import ImageError, ImgdupError, UsageError
from imgdup.images.formats import OK
from imgdup.index.columns import LOCATOR, Rows, locator_of
from imgdup.system.atomic import PRIVATE
from imgdup.system.files import error_words
from imgdup.system.paths import SEPARATOR, TABLES, inside, kind_of, outer_file


@dataclass(frozen=True)
class Content:
    """A file of the cleaned set: a copy of an input file, or a container without some members.

    Attributes
    ----------
    source : bytes
    n_bytes, mtime_ns, mode : int
        Of the input, when it was listed.
    gone : frozenset of int
        Positions of the members that are left out.
    edit : callable, optional
        Returns its new content, for annotations.
    tag_column : str
        Of a table that keeps all rows: the column to add.
    tags : mapping of int to str
        Its values by row number; null elsewhere.
    """

    source: bytes
    n_bytes: int
    mtime_ns: int
    mode: int
    gone: frozenset[int] = frozenset()
    edit: Callable[[bytes], bytes] | None = None
    tag_column: str = ""
    tags: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: bytes, gone: Iterable[int] = (), stamp: Stamp | None = None) -> "Content":
        """Describe a file of the input; of an object on a server the stamp is known."""
        if stamp is not None:
            return cls(source, stamp.size, stamp.mtime_ns, PRIVATE, frozenset(gone))
        status = os.stat(source)
        facts = status.st_size, status.st_mtime_ns, status.st_mode
        return cls(source, *facts, frozenset(gone))

    def fingerprint(self) -> bytes:
        """Return bytes that differ if anything differs that decides what is written."""
        numbers = (self.n_bytes, self.mtime_ns, len(self.gone), *sorted(self.gone))
        tags = repr((self.tag_column, sorted(self.tags.items()))) if self.tag_column else ""
        return self.source + struct.pack(f"<{len(numbers)}q", *numbers) + tags.encode()

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Return whether an earlier run has written it."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        return status.st_mtime_ns == self.mtime_ns and (
            not self.is_copy or status.st_size == self.n_bytes
        )

    @property
    def is_copy(self) -> bool:
        """Whether it is the same as in the input."""
        return not self.gone and self.edit is None and not self.tag_column

    def write(self, out: BinaryIO) -> None:
        """Write it.

        Raises
        ------
        ImgdupError
            If the file of the input changed since it was listed, is damaged or cannot be read.
        """
        name = os.fsdecode(self.source)
        try:
            file = open_file(self.source)
        except OSError as error:
            raise ImgdupError(f"{name} cannot be read: {error_words(error)}") from error
        try:
            if self.tag_column:
                table = open_table(file, str(kind_of(self.source)))
                table.write_tagged(self.tag_column, self.tags, out)
            elif self.gone:
                open_shard(file, str(kind_of(self.source))).write_without(self.gone, out)
            elif self.edit is not None:
                out.write(self.edit(file.raw.readall()))
            else:
                shutil.copyfileobj(file.raw, out, 1 << 20)
            is_same = file.stamp[2:] == (self.n_bytes, self.mtime_ns) and not file.has_changed()
            if not is_same:
                raise ImgdupError(
                    f"{name} changed while it was read: start again with a new folder"
                )
        except ImageError as error:
            raise ImgdupError(f"{name} cannot be read: {error.detail}") from error
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        except OSError as error:
            if error.filename != name:  # it is the new file that could not be written
                raise
            raise ImgdupError(f"{name} cannot be read: {error_words(error)}") from error
        finally:
            file.close()


@dataclass
class SetRemovals:
    """What is removed from a set.

    Attributes
    ----------
    contents : dict of bytes to Content
        The files of the cleaned set by their paths there, sorted by path.
    removals, tagged : list of Removal
        Those that are carried out, and those of rows that get a tag, in the order of the plan.
    companions : dict of bytes to bytes
        The files removed with a picture, and that picture.
    stayed : list of SkippedFile
        Pictures that are kept because of others in their sample.
    annotations : dict of bytes to int
        Annotations by their paths in the cleaned set, and how many entries were removed from each.
    """

    contents: dict[bytes, Content] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    tagged: list[Removal] = field(default_factory=list)
    companions: dict[bytes, bytes] = field(default_factory=dict)
    stayed: list[SkippedFile] = field(default_factory=list)
    annotations: dict[bytes, int] = field(default_factory=dict)


def removals_of_set(
    files: SetFiles,
    rows: Rows,
    removals: Sequence[Removal],
    *,
    whole: bool,
    tag_column: str = "",
) -> SetRemovals:
    """Decide what each file of the cleaned set contains.

    Parameters
    ----------
    files : SetFiles
    rows : Rows
    removals : sequence of Removal
        Those that may be carried out.
    whole : bool
        See `imgdup.apply.samples.decide`.
    tag_column : str
        If not empty, tables with pictures keep all rows and get this column, with the kept picture
        in the rows of the others.

    Raises
    ------
    ImgdupError
        If a file cannot be looked at.
    """
    found = SetRemovals()
    if tag_column:
        found.tagged = [each for each in removals if _is_in_table(each.remove.path)]
        removals = [each for each in removals if not _is_in_table(each.remove.path)]
    loose = [removal for removal in removals if locator_of(rows, removal.remove.row) is None]
    removed = _loose_companions(found, loose, Companions(files.names_in, files.exists))
    removed.update(removal.remove.path for removal in loose)
    gone = _gone_of_shards(found, rows, removals, whole=whole)
    tags = _tags_of_tables(files, rows, found.tagged)
    stayed = {skip.path for skip in found.stayed}
    found.removals = [each for each in removals if each.remove.path not in stayed]
    for source, place in files.places.items():
        if source not in removed:
            try:
                content = Content.of(source, gone.get(source, ()), files.stamps.get(source))
            except OSError as error:
                name = os.fsdecode(source)
                raise ImgdupError(f"{name} cannot be read: {error.strerror}") from error
            if tag_column and kind_of(source) in TABLES and len(rows.rows_below(inside(source))):
                content = replace(content, tag_column=tag_column, tags=tags.get(source, {}))
            found.contents[place] = content
    return found


def _is_in_table(path: bytes) -> bool:
    return kind_of(outer_file(path)) in TABLES


def _tags_of_tables(
    files: SetFiles, rows: Rows, tagged: Sequence[Removal]
) -> dict[bytes, dict[int, str]]:
    """Return the names of the kept pictures by table and row."""
    tags: dict[bytes, dict[int, str]] = {}
    for each in tagged:
        name = files.place(each.keep.path).decode("utf-8", "backslashreplace")
        tags.setdefault(outer_file(each.remove.path), {})[_place(rows, each.remove.row)] = name
    return tags


def _loose_companions(
    found: SetRemovals, loose: Sequence[Removal], companions: Companions
) -> set[bytes]:
    """Return the files that belong to removed pictures, and are removed with them."""
    removed = {removal.remove.path for removal in loose}
    for removal in loose:
        for path in companions.of(removal.remove.path, removed):
            found.companions.setdefault(path, removal.remove.path)
    return set(found.companions)


def _gone_of_shards(
    found: SetRemovals, rows: Rows, removals: Sequence[Removal], *, whole: bool
) -> dict[bytes, list[int]]:
    """Return the positions of the removed members, by container."""
    by_shard: dict[bytes, list[Removal]] = {}
    for removal in removals:
        if locator_of(rows, removal.remove.row) is not None:
            by_shard.setdefault(outer_file(removal.remove.path), []).append(removal)
    keepers = {removal.keep.row for removal in removals}
    gone = {}
    for shard, some in by_shard.items():
        decision, members = _decision(shard, rows, some, keepers, whole=whole)
        paths = {_place(rows, removal.remove.row): removal.remove.path for removal in some}
        for place, reason in decision.stayed.items():
            found.stayed.append(SkippedFile(paths[place], "in-sample", reason))
        for place, owner in decision.gone.items():
            if place != owner:
                found.companions[inside(shard, members[place])] = paths[owner]
        gone[shard] = list(decision.gone)
    return gone


def _decision(
    shard: bytes, rows: Rows, removals: Sequence[Removal], keepers: set[int], *, whole: bool
) -> tuple[SampleDecision, dict[int, bytes]]:
    """Return which members of a shard are removed, and the names of all members by position."""
    removed = {_place(rows, removal.remove.row): removal for removal in removals}
    if kind_of(shard) in TABLES:
        return SampleDecision(gone={place: place for place in removed}), {}
    try:
        members = _members(shard)
    except ImageError as error:
        return SampleDecision(stayed=dict.fromkeys(removed, error.detail)), {}
    except OSError as error:
        raise ImgdupError(f"{os.fsdecode(shard)} cannot be read: {error_words(error)}") from error
    below = rows.rows_below(inside(shard))
    good = below[np.asarray(rows.column("status")[below] == OK)].tolist()
    kept_here = {row: _place(rows, row) for row in good if row in keepers}
    pictures = ShardPictures(
        {place: kept_here.get(removal.keep.row) for place, removal in removed.items()},
        frozenset(_place(rows, row) for row in good) - removed.keys(),
        frozenset(kept_here.values()),
    )
    names = {member.place: member.name for member in members}
    return decide(members, pictures, whole=whole), names


def _members(shard: bytes) -> list[Stored]:
    file = open_file(shard)
    try:
        return stored_members(file, str(kind_of(shard)))
    finally:
        file.close()


def _place(rows: Rows, row: int) -> int:
    """Return the number of a member in its container; see `imgdup.containers.without`."""
    kind, offset = rows.column(LOCATOR)[row, :2].tolist()
    if kind != TABLE_ROW:
        return int(offset)
    path = rows.path(row)  # ``x.parquet!/1234/image``
    return int(path[len(outer_file(path)) + len(SEPARATOR) :].partition(b"/")[0])
