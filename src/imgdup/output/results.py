"""Format results as tables for a terminal, lines for a pipe, NUL-separated paths, or JSON lines.

Names of functions end in their output: ``..._table``, ``..._lines``, ``..._nulls``, ``..._json``.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from imgdup.output import Cell, counted, null_line, shown, tsv_line
from imgdup.system.records import json_line

if TYPE_CHECKING:
    from imgdup.dedupe.candidates import MatchRule
    from imgdup.dedupe.compare import Leak, Leaks
    from imgdup.dedupe.plan import PlanHeader
    from imgdup.dedupe.relations import Verdict
    from imgdup.output.tables import Field

MATCH_HEADER = ("dist", "match", "dup", "size", "path")
PAIR_HEADER = ("dist", "match", "dup", "pair")
LEAK_HEADER = ("dist", "relation", "image, and its duplicate")
VERDICT = ("relation", "peak", "box")  # fields that are known only where pictures were compared
Box = tuple[int, int, int, int]  # x, y, width and height, in thousandths of a picture


class MatchRow(NamedTuple):
    """An indexed image near a probe; paths are absolute."""

    probe: bytes
    path: bytes
    distance: int  # bits, of the search hash
    match_distance: int | None  # bits; None where there is no match hash to compare
    duplicate: bool
    width: int  # pixels
    height: int  # pixels
    is_probe: bool  # the row of the probe itself
    orientation: str | None = None  # how the probe was rotated; None if this was not requested
    pdq_distance: int | None = None  # bits; None where there is no PDQ hash to compare
    found_by: tuple[str, ...] = ("search",)  # the hashes that are within their distance
    relation: str | None = None  # None if the pictures were not to be compared
    peak: float | None = None  # the largest difference of the pictures, 0 to 255
    box: Box | None = None  # where it is, in thousandths of the indexed picture


class PairRow(NamedTuple):
    """Two images within a distance; paths are absolute."""

    a: bytes
    b: bytes
    distance: int  # bits, of the search hashes
    match_distance: int  # bits
    duplicate: bool
    pdq_distance: int | None = None  # bits; None where there is no PDQ hash to compare
    relation: str | None = None  # None if the pictures were not to be compared
    peak: float | None = None  # the largest difference of the pictures, 0 to 255
    box: Box | None = None  # where it is, in thousandths of picture a
    orientation: str | None = None  # how b is turned to match; None if this was not requested


Row = TypeVar("Row", MatchRow, PairRow)


def with_verdict(row: Row, verdict: "Verdict") -> Row:
    """Return a match or a pair with what the comparison of its pictures found."""
    return row._replace(relation=verdict.relation, peak=verdict.peak, box=verdict.box)


def match_table(
    matches: Iterable[MatchRow],
    *,
    extra: Sequence[str] = (),
    width: int = 80,
    encoding: str = "utf-8",
) -> str:
    """Lay out the matches of probes: one table per probe, under its name if there are several.

    `extra` names more columns: ``"by"``, the hash that found it, ``"pdq"``, the PDQ distance.

    Examples
    --------
    >>> match = MatchRow(b"/a.jpg", b"/b.jpg", 3, 12, True, 640, 480, False)
    >>> print(match_table([match]), end="")
    dist  match  dup  size     path
       3     12  yes  640x480  /b.jpg
    """
    groups = [list(group) for _, group in groupby(matches, key=lambda match: match.probe)]
    tables = []
    for group in groups:
        more = [name for name in ("orientation", "relation") if getattr(group[0], name)]
        header = [*MATCH_HEADER[:2], *extra, *MATCH_HEADER[2:-1], *more, MATCH_HEADER[-1]]
        rows = [_with_extra(match, extra) for match in group]
        title = group[0].probe if len(groups) > 1 else None
        tables.append("".join(_table(header, rows, width, encoding, title)))
    return "\n".join(tables)


def match_lines(matches: Iterable[MatchRow]) -> Iterator[bytes]:
    r"""Write ``distance, match_distance, duplicate, size, path, probe, by, pdq_distance``.

    They are separated by tabs. ``by`` is the hash by which the match was found: search, match, pdq
    or both. Where the probe was rotated, the orientation is in front of the path. Where the
    pictures were compared, their relation comes last.

    Examples
    --------
    >>> match = MatchRow(b"/a.jpg", b"/b\n.jpg", 3, 12, True, 640, 480, False)
    >>> list(match_lines([match]))
    [b'3\t12\tyes\t640x480\t/b\\n.jpg\t/a.jpg\tsearch\t\n']
    """
    for match in matches:
        compared: list[Cell] = [match.relation] if match.relation else []
        plain = _match_cells(match._replace(relation=None))
        yield tsv_line([*plain, match.probe, _by(match), match.pdq_distance, *compared])


def match_nulls(matches: Iterable[MatchRow]) -> Iterator[bytes]:
    """Write the paths of matches as raw bytes, each ended by NUL."""
    return (null_line(match.path) for match in matches)


def match_json(matches: Iterable[MatchRow]) -> Iterator[str]:
    """Write ``probe path distance match_distance duplicate width height is_probe`` as JSON lines.

    They are followed by ``pdq_distance``, null where there is none, and ``found_by``, a list.
    ``orientation`` is included if the probe was looked up in all orientations, ``relation peak
    box`` if the pictures were compared.

    Examples
    --------
    >>> next(match_json([MatchRow(b"/a", b"/b", 3, 12, True, 8, 9, False)]))[:43]
    '{"probe": "/a", "path": "/b", "distance": 3'
    """
    return (json_line(_record(match)) for match in matches)


def _record(row: MatchRow | PairRow) -> dict[str, Any]:
    """Return the fields of a match or a pair, without those that were not requested."""
    missing = (*(() if row.orientation else ("orientation",)), *(() if row.relation else VERDICT))
    return {name: value for name, value in row._asdict().items() if name not in missing}


def _match_cells(match: MatchRow) -> list[Cell]:
    duplicate: Cell = "self" if match.is_probe else match.duplicate
    size = f"{match.width}x{match.height}"
    extra: list[Cell] = [each for each in (match.orientation, match.relation) if each]
    return [match.distance, match.match_distance, duplicate, size, *extra, match.path]


def _with_extra(match: MatchRow, extra: Sequence[str]) -> list[Cell]:
    """Return the fields of a match, with some that are only shown where they differ."""
    cells: dict[str, Cell] = {"by": _by(match), "pdq": match.pdq_distance}
    distance, match_distance, *others = _match_cells(match)
    return [distance, match_distance, *(cells[name] for name in extra), *others]


def _by(match: MatchRow) -> str:
    return match.found_by[0] if len(match.found_by) == 1 else "both"


def pair_table(
    pairs: Iterable[PairRow], *, width: int = 80, encoding: str = "utf-8"
) -> Iterator[str]:
    """Lay out pairs in blocks, the two paths under one another.

    Examples
    --------
    >>> print("".join(pair_table([PairRow(b"a.jpg", b"b.jpg", 3, 12, True)])), end="")
    dist  match  dup  pair
       3     12  yes  a.jpg
                      b.jpg
    """
    rest = iter(pairs)
    first = next(rest, None)
    if first is None:
        return iter(())
    more = [name for name in ("relation", "orientation") if getattr(first, name)]
    rows = (
        (
            *(pair.distance, pair.match_distance, pair.duplicate),
            *(getattr(pair, name) for name in more),
            (pair.a, pair.b),
        )
        for pair in chain([first], rest)
    )
    return _table([*PAIR_HEADER[:-1], *more, PAIR_HEADER[-1]], rows, width, encoding)


def _table(
    header: Sequence[str],
    rows: "Iterable[Sequence[Field]]",
    width: int,
    encoding: str,
    title: bytes | None = None,
) -> Iterator[str]:
    """Lay out a table, as `imgdup.output.tables.table` does, under a path as its title."""
    from imgdup.output.tables import table  # rich takes 0.1 s, and a pipe needs no table

    if title is not None:
        yield f"{shown(title, encoding)}\n"
    yield from table(header, rows, width=width, encoding=encoding)


def pair_lines(pairs: Iterable[PairRow]) -> Iterator[bytes]:
    r"""Write ``distance match_distance duplicate path path`` separated by tabs.

    Where the pictures were compared, their relation comes after the paths; where they were compared
    in all orientations, that of the pair comes last.

    Examples
    --------
    >>> list(pair_lines([PairRow(b"/a.jpg", b"/b.jpg", 3, 12, True)]))
    [b'3\t12\tyes\t/a.jpg\t/b.jpg\n']
    """
    for pair in pairs:
        more: list[Cell] = [each for each in (pair.relation, pair.orientation) if each]
        facts = (pair.distance, pair.match_distance, pair.duplicate)
        yield tsv_line([*facts, pair.a, pair.b, *more])


def pair_nulls(pairs: Iterable[PairRow]) -> Iterator[bytes]:
    """Write the two paths of each pair as raw bytes, each ended by NUL."""
    return (null_line(pair.a) + null_line(pair.b) for pair in pairs)


def pair_json(pairs: Iterable[PairRow]) -> Iterator[str]:
    """Write ``a b distance match_distance duplicate pdq_distance`` as JSON lines.

    They are followed by ``relation peak box`` if the pictures were compared, and by ``orientation``
    if they were compared in all orientations.

    Examples
    --------
    >>> next(pair_json([PairRow(b"/a.jpg", b"/b.jpg", 3, 12, True)]))[:32]
    '{"a": "/a.jpg", "b": "/b.jpg", "'
    """
    return (json_line(_record(pair)) for pair in pairs)


def pairs_summary(
    n_pairs: int, n_duplicates: int, max_distance: int, relations: Mapping[str, int], n_wide: int
) -> str:
    """Write how many pairs were found, how many of them are duplicates, and how many of each kind.

    `n_wide` is how many more the wide rule found, of copies that were edited, framed or cropped.

    Examples
    --------
    >>> pairs_summary(567, 567, 31, {}, 0)
    '567 pairs within 31 bits, all duplicates'
    >>> pairs_summary(21, 4, 10, {}, 0)
    '21 pairs within 10 bits, 4 duplicates'
    >>> pairs_summary(0, 0, 31, {}, 0)
    'no pairs within 31 bits'
    >>> pairs_summary(3, 3, 31, {"same-picture": 2, "edited": 1}, 0)
    '3 pairs within 31 bits, all duplicates: same-picture 2, edited 1'
    >>> pairs_summary(1, 1, 31, {"edited": 1, "cropped": 4}, 4)
    '1 pair within 31 bits, a duplicate, and 4 farther apart: cropped 4, edited 1'
    """
    found = _pairs_found(n_pairs, n_duplicates, max_distance)
    farther = f", and {n_wide:,} farther apart" if n_wide else ""
    return f"{found}{farther}" + (f": {relation_counts(relations)}" if relations else "")


def relation_counts(relations: Mapping[str, int]) -> str:
    """List how often each relation was found, the most frequent first."""
    ranked = sorted(relations.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {number:,}" for name, number in ranked)


def _pairs_found(n_pairs: int, n_duplicates: int, max_distance: int) -> str:
    within = f"{counted(n_pairs, 'pair') if n_pairs else 'no pairs'} within "
    within += counted(max_distance, "bit")
    if not n_pairs:
        return within
    if n_pairs == n_duplicates:
        return f"{within}, {'all duplicates' if n_pairs > 1 else 'a duplicate'}"
    return f"{within}, {counted(n_duplicates, 'duplicate') if n_duplicates else 'no duplicates'}"


def leak_table(
    leaks: "Iterable[Leak]", *, width: int = 80, encoding: str = "utf-8"
) -> Iterator[str]:
    """Lay out leaks in blocks: two paths, and a label that disagrees."""
    rows = ((leak.distance, leak.relation, _leak_texts(leak)) for leak in leaks)
    return _table(LEAK_HEADER, rows, width, encoding)


def _leak_texts(leak: "Leak") -> list[Cell]:
    texts: list[Cell] = [leak.path, leak.duplicate_of]
    if leak.conflict is not None:
        own, other = (os.fsencode(label or "") for label in (leak.label, leak.conflict_label))
        texts.append(b"label " + own + b", but " + other + b": " + leak.conflict)
    return texts


def leak_lines(leaks: "Iterable[Leak]") -> Iterator[bytes]:
    """Write leaks separated by tabs, in the order of the JSON keys; an empty field is null.

    The digests are left out.
    """
    return (tsv_line(list(_leak_values(leak).values())[:-2]) for leak in leaks)


def leak_json(leaks: "Iterable[Leak]", accepted: Sequence[bool] | None = None) -> Iterator[str]:
    """Write leaks as JSON lines.

    Keys: ``path duplicate_of distance relation label label_of conflict conflict_label orientation
    digest duplicate_digest``; a path or a label that is not Unicode has its bytes beside it under
    ``..._b64``. ``accepted`` follows if it is known which leaks were accepted before.
    """
    for i, leak in enumerate(leaks):
        more = {} if accepted is None else {"accepted": accepted[i]}
        yield json_line(_leak_values(leak) | more)


def _leak_values(leak: "Leak") -> dict[str, Any]:
    """Return the fields of a leak; labels as bytes, since they may be names of folders."""
    return {k: os.fsencode(v) if isinstance(v, str) else v for k, v in leak._asdict().items()}


def leaks_summary(leaks: "Leaks") -> str:
    """Write how many images of the second set have a duplicate in the first."""
    n_leaks, n_images = len(leaks.places_b), len(leaks.b.images)
    labelled = all(any(label is not None for label in part.labels) for part in (leaks.a, leaks.b))
    conflicts = counted(leaks.n_conflicts, "label conflict") if labelled else "no labels to compare"
    leak = "leaks" if n_leaks == 1 else "leak"
    return f"{n_leaks:,} of {counted(n_images, 'image')} {leak}, {conflicts}"


def failure_json(path: bytes, reason: str, detail: str) -> str:
    r"""Write a file that has no hash as a JSON line: ``path reason detail``.

    Examples
    --------
    >>> failure_json(b"/a.jpg", "damaged", "ends early")
    '{"path": "/a.jpg", "reason": "damaged", "detail": "ends early"}\n'
    """
    return json_line({"path": path, "reason": reason, "detail": detail})


def match_rule_text(rule: "MatchRule | PlanHeader", protect: Sequence[bytes] | None = None) -> str:
    """Write what counts as a duplicate and, where files are to be removed, what is protected.

    Examples
    --------
    >>> from imgdup.dedupe.candidates import MatchRule
    >>> match_rule_text(MatchRule(31), [b"/photos/best"])
    'duplicates within 31 bits, protected: /photos/best'
    """
    text = f"duplicates within {counted(rule.max_distance, 'bit')}"
    if rule.orientations:
        text += ", also rotated and mirrored"
    if rule.wide:
        text += (
            ", or within 64 bits if the search hashes are within 3, or perhaps framed or cropped"
        )
    search_distance = rule.search_distance
    if search_distance is not None:
        text += f", and within {counted(search_distance, 'bit')} of the search hash"
    if protect is None:
        return text
    return f"{text}, protected: {', '.join(map(os.fsdecode, protect)) or 'nothing'}"
