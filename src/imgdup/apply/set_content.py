"""Decide what is removed from each file of a set.

A picture in a shard is removed with its sample. A sample, as in WebDataset, is the set of members
whose names are equal up to the first dot after the last slash, such as ``a/1.jpg``, ``a/1.txt`` and
``a/1.json``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from imgdup.apply.attached import Companions
from imgdup.apply.recheck import SkippedFile
from imgdup.apply.set_files import Content, SetFiles
from imgdup.containers import TABLE_ROW, key_of
from imgdup.containers.reading import open_file
from imgdup.containers.without import Stored, stored_members
from imgdup.dedupe.plan import Removal
from imgdup.errors import ImageError, ImgdupError
from imgdup.images.formats import OK
from imgdup.index.columns import LOCATOR, Rows, locator_of
from imgdup.system.files import error_words
from imgdup.system.paths import SEPARATOR, TABLES, inside, kind_of, outer_file

OTHER_PICTURES = "its sample also contains other pictures; --whole-samples removes these as well"
KEEPER = "its sample contains a picture that is kept in place of another one"
LINKED = "a hard link in the tar file points to its sample"


class ShardPictures(NamedTuple):
    """The pictures of a shard, by their positions.

    `removed` has those that the plan removes, with the position of the kept one if it is in this
    shard; `kept` all others; `keepers` those of them that are kept in place of a removed picture.
    """

    removed: Mapping[int, int | None]
    kept: frozenset[int]
    keepers: frozenset[int]


@dataclass
class SampleDecision:
    """What is removed from a shard.

    `removed` maps the position of each removed member to that of the picture that it belongs to:
    its own, for a picture that the plan removes. `kept` maps the positions of pictures that the
    plan removes but that are kept to the reasons.
    """

    removed: dict[int, int] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)


def decide(members: Sequence[Stored], pictures: ShardPictures, *, whole: bool) -> SampleDecision:
    """Return which members of a shard are removed.

    `whole` means that a sample is removed even if it contains other pictures, such as masks.
    """
    samples: dict[tuple[bytes, int], list[Stored]] = {}
    for key, member in zip(sample_keys(members), members, strict=True):
        samples.setdefault(key, []).append(member)
    decision = SampleDecision()
    for sample in samples.values():
        places = [member.place for member in sample]
        if not pictures.removed.keys().isdisjoint(places):
            _decide_sample(decision, places, pictures, whole)
    _keep_what_links_lead_to(decision, samples.values())
    return decision


def _decide_sample(
    decision: SampleDecision, places: list[int], pictures: ShardPictures, whole: bool
) -> None:
    removed = [place for place in places if place in pictures.removed]
    has_keeper = not pictures.keepers.isdisjoint(places)
    if pictures.kept.isdisjoint(places) or (whole and not has_keeper):
        for place in places:
            decision.removed[place] = place if place in pictures.removed else removed[0]
        return
    for place in removed:
        if pictures.removed[place] in places:
            decision.removed[place] = place
        else:
            decision.kept[place] = KEEPER if has_keeper else OTHER_PICTURES


def _keep_what_links_lead_to(decision: SampleDecision, samples: Iterable[list[Stored]]) -> None:
    """Keep each sample whose content is the target of a link from a kept member."""
    listed = list(samples)
    found = {member.name: sample for sample in listed for member in sample if not member.link}
    waiting = [sample for sample in listed if any(member.link for member in sample)]
    while True:
        needed = [
            found[member.link]
            for sample in waiting
            for member in sample
            if member.link in found and member.place not in decision.removed
        ]
        dropped = [sample for sample in needed if any(m.place in decision.removed for m in sample)]
        if not dropped:
            return
        for member in (member for sample in dropped for member in sample):
            if decision.removed.pop(member.place, None) == member.place:
                decision.kept[member.place] = LINKED


def sample_keys(members: Sequence[Stored]) -> list[tuple[bytes, int]]:
    """Return the sample of each member: its key, and a number if several samples have one key.

    Where names are repeated, a sample ends where another key, or a name again, follows.

    Examples
    --------
    >>> sample_keys([Stored(name, 0) for name in (b"a.jpg", b"b.jpg", b"a.txt", b"README")])
    [(b'a', 0), (b'b', 0), (b'a', 0), (b'README', 0)]
    """
    keys = [key_of(member.name) for member in members]
    seen, repeated = set[bytes](), set[bytes]()
    for key, member in zip(keys, members, strict=True):
        if member.name in seen:
            repeated.add(key)
        seen.add(member.name)
    found, last, names = [], b"", set[bytes]()
    numbers: dict[bytes, int] = {}
    for key, member in zip(keys, members, strict=True):
        if key in repeated and (key != last or member.name in names):
            numbers[key] = numbers.get(key, -1) + 1
            names = set()
        names.add(member.name)
        found.append((key, numbers.get(key, 0)))
        last = key
    return found


@dataclass
class SetRemovals:
    """What is removed from a set.

    `contents` has the files of the cleaned set by their paths there, sorted by path. `removals` are
    those that are carried out, `tagged` those of rows that get a tag, in the order of the plan.
    `companions` maps each file that is removed with a picture to the picture. `kept` has the
    pictures that are kept because of others in their sample. `annotations` maps the paths of
    annotations in the cleaned set to the numbers of entries that were removed from them.
    """

    contents: dict[bytes, Content] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    tagged: list[Removal] = field(default_factory=list)
    companions: dict[bytes, bytes] = field(default_factory=dict)
    kept: list[SkippedFile] = field(default_factory=list)
    annotations: dict[bytes, int] = field(default_factory=dict)


def removals_of_set(
    files: SetFiles, rows: Rows, removals: Sequence[Removal], *, whole: bool, tag_column: str = ""
) -> SetRemovals:
    """Decide what each file of the cleaned set contains.

    `removals` are those that may be carried out; for `whole` see `decide`. With a `tag_column`,
    tables with pictures keep all rows and get this column, with the kept picture in the rows of the
    others. Raises ImgdupError if a file cannot be looked at.
    """
    found = SetRemovals()
    if tag_column:
        found.tagged = [each for each in removals if _is_in_table(each.remove.path)]
        removals = [each for each in removals if not _is_in_table(each.remove.path)]
    loose = [removal for removal in removals if locator_of(rows, removal.remove.row) is None]
    removed = _loose_companions(found, loose, Companions(files.names_in, files.exists))
    removed.update(removal.remove.path for removal in loose)
    left_out = _left_out_of_shards(found, rows, removals, whole=whole)
    tags = _tags_of_tables(files, rows, found.tagged)
    kept = {skip.path for skip in found.kept}
    found.removals = [each for each in removals if each.remove.path not in kept]
    for source, place in files.places.items():
        if source not in removed:
            try:
                content = Content.of(source, left_out.get(source, ()), files.stamps.get(source))
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


def _left_out_of_shards(
    found: SetRemovals, rows: Rows, removals: Sequence[Removal], *, whole: bool
) -> dict[bytes, list[int]]:
    """Return the positions of the removed members, by container."""
    by_shard: dict[bytes, list[Removal]] = {}
    for removal in removals:
        if locator_of(rows, removal.remove.row) is not None:
            by_shard.setdefault(outer_file(removal.remove.path), []).append(removal)
    keepers = {removal.keep.row for removal in removals}
    left_out = {}
    for shard, some in by_shard.items():
        decision, members = _decision(shard, rows, some, keepers, whole=whole)
        paths = {_place(rows, removal.remove.row): removal.remove.path for removal in some}
        for place, reason in decision.kept.items():
            found.kept.append(SkippedFile(paths[place], "in-sample", reason))
        for place, owner in decision.removed.items():
            if place != owner:
                found.companions[inside(shard, members[place])] = paths[owner]
        left_out[shard] = list(decision.removed)
    return left_out


def _decision(
    shard: bytes, rows: Rows, removals: Sequence[Removal], keepers: set[int], *, whole: bool
) -> tuple[SampleDecision, dict[int, bytes]]:
    """Return which members of a shard are removed, and the names of all members by position."""
    removed = {_place(rows, removal.remove.row): removal for removal in removals}
    if kind_of(shard) in TABLES:
        return SampleDecision(removed={place: place for place in removed}), {}
    try:
        members = _members(shard)
    except ImageError as error:
        return SampleDecision(kept=dict.fromkeys(removed, error.detail)), {}
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
