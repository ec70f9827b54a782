"""Make the HTML page of duplicates, or of leaks, with thumbnails of the pictures.

Thumbnails are decoded in worker processes, as all files are. The page gets
the permissions of the most private picture.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgdup.containers.reading import read_content
from imgdup.dedupe import Duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import Leak, Leaks
from imgdup.dedupe.plan import plan_lines
from imgdup.dedupe.relations import CROPPED, RECOLOURED, TURNED, WHOLE, Box, Verdict
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb
from imgdup.images.gray import FLIPPED_COLUMNS, FLIPPED_ROWS, ORIENTATIONS, TRANSPOSED
from imgdup.index.columns import Rows
from imgdup.output import shown
from imgdup.output.leaks import Evidence, abilities, details
from imgdup.output.page import Comparison, Entry, Group, Wording, save_page
from imgdup.output.results import match_rule_text
from imgdup.system.files import common_mode
from imgdup.system.limits import Limits, import_uncapped
from imgdup.system.paths import is_below, join
from imgdup.workers.pool import decode_each, decoding_pool

THUMBNAIL = 220  # pixels, the longer side
LARGE, N_LARGE = 800, 200  # pixels of the first pictures of a page, for enlarging; about 20 MB
JPEG_QUALITY = 72
LEAKS = Wording(
    title="Leaks",
    keeper="in A",
    removal="in B",
    counted="in B",
    order="nearest first",
    saves="",
    none="No image of B has a duplicate in A.",
    about="Each image of B is shown after its duplicate in A.",
)
RELATION_TEXTS = {
    "same-file": "One file has both names.",
    "same-bytes": "The files have equal bytes.",
    "same-pixels": "The bytes differ, but all pixels are equal.",
    "same-picture": "The pictures were compared, and no region differs.",
    "recoloured": "Only the colours differ.",
    "edited": "The marked region differs more than saving a picture again explains.",
    "cropped": "It shows only the marked part of the other picture.",
    "turned": "It is rotated or mirrored.",
    "unverified": "The pictures were not compared, or could not be.",
    "different": "The pictures show different things.",
}
SIDE = 1000  # of a picture, in the units of a box
MAX_PLAN_LINES = 100_000  # that a page has, about 70 MB
TOO_MANY = "There are too many to choose from on this page; imgdup serve can show them all."
MAX_THUMBNAILS = 10_000  # about 60 MB of page; the groups that save most are shown first

Thumbnail = bytes | ImageError


def save_duplicates(file: Path, duplicates: Duplicates) -> None:
    """Write the HTML page of `imgdup dedupe`: what its plan removes, and by which rules."""
    rule, keep = duplicates.options.rule, duplicates.options.keep
    wording = Wording(
        facts=(("images", f"{len(duplicates.images):,}"),),
        rule=_sentence(
            rule, keep.protect, f". Which file is kept is decided by: {', '.join(keep.rules)}"
        ),
    )
    rows, groups = duplicates.rows, duplicates.groups
    drawn = [*groups.keepers.tolist(), *groups.removed.tolist()]
    drawn += [row for each in groups.shown for row in (each.better, each.row)]
    mode = common_mode(map(rows.path, drawn))
    lines = list(plan_lines(duplicates.plan())) if groups.removed.size < MAX_PLAN_LINES else []
    if not lines:
        wording = wording._replace(about=f"{wording.about} {TOO_MANY}")
    save_page(file, page_groups(duplicates), wording, plan=lines, mode=mode)


def page_groups(duplicates: Duplicates) -> Iterator[Group]:
    """Yield the groups of the page, those that save most first; as many as fit have thumbnails.

    Duplicates that are only shown are in the group of the file that they were compared with. Files
    with other names (hard links) are left out, as a plan leaves them out.
    """
    rows, sizes = duplicates.rows, duplicates.rows.column("size")
    members = members_of(duplicates)
    order = sorted(members, key=lambda keeper: -sum(int(sizes[m.row]) for m in members[keeper][0]))
    wanted = _wanted([[keeper, *(m.row for m in chain(*members[keeper]))] for keeper in order])
    paths = [rows.path(row) for row in wanted]
    pictures = make_thumbnails(paths, Limits(), n_large=N_LARGE)
    for keeper in order:
        removals, shown_only = (
            [_member_entry(rows, member, pictures) for member in some] for some in members[keeper]
        )
        yield Group(entry(rows, keeper, 0, "", pictures), removals, shown_only)


class Member(NamedTuple):
    """A file of a group, as compared with the keeper."""

    row: int
    distance: int
    verdict: Verdict
    rule: str = ""
    line: int = 0
    """Of the plan that removes it; 0 if none does."""


def members_of(duplicates: Duplicates) -> dict[int, tuple[list[Member], list[Member]]]:
    """Return for each kept row the files that are removed for it, and those that are only shown."""
    groups, removable = duplicates.groups, duplicates.removable()
    found: dict[int, tuple[list[Member], list[Member]]] = {}
    keepers = groups.keeper_of_each()
    for line, i in enumerate(np.flatnonzero(removable).tolist(), start=1):
        facts = int(groups.removed[i]), int(groups.distances[i]), groups.verdicts[i]
        member = Member(*facts, groups.rules[i], line)
        found.setdefault(int(keepers[i]), ([], []))[0].append(member)
    for better, row, distance, verdict in groups.shown:
        found.setdefault(better, ([], []))[1].append(Member(row, distance, verdict))
    return found


def _member_entry(rows: Rows, member: Member, pictures: Mapping[bytes, Thumbnail]) -> Entry:
    plain = entry(rows, member.row, member.distance, member.verdict.relation, pictures)
    return plain._replace(comparison=comparison(member.verdict, member.rule), line=member.line)


def comparison(verdict: Verdict, rule: str = "") -> Comparison:
    """Return what the page says about a verdict, and which regions it marks."""
    box, keeper_box = verdict.box, verdict.box
    if verdict.relation == CROPPED and verdict.box == WHOLE:
        box = keeper_box = None  # the keeper is a part of the other picture; which, is not known
    elif verdict.relation == CROPPED:
        box = None  # all of it is there
    elif box is not None:
        box = _turned_back(box, ORIENTATIONS.index(verdict.orientation) + 1)
    return Comparison(
        verdict_text(verdict), verdict.peak, box, keeper_box, rule, verdict.orientation
    )


def _turned_back(box: Box, orientation: int) -> Box:
    """Return where a box of a turned picture was before `upright` turned it."""
    x, y, width, height = box
    if orientation in FLIPPED_COLUMNS:
        x = SIDE - x - width
    if orientation in FLIPPED_ROWS:
        y = SIDE - y - height
    return (y, x, height, width) if orientation in TRANSPOSED else (x, y, width, height)


def verdict_text(verdict: Verdict) -> str:
    """Write what the comparison of two pictures found, in a sentence.

    Examples
    --------
    >>> verdict_text(Verdict("edited", 142.3, (400, 700, 200, 50)))
    'The marked region differs more than saving a picture again explains.'
    """
    text = RELATION_TEXTS[verdict.relation]
    if verdict.relation == RECOLOURED and verdict.box not in (None, WHOLE):
        text = "The colours of the marked region differ."
    if verdict.relation == CROPPED and verdict.box == WHOLE:
        text = "The other picture shows only a part of this one."
    is_turned = verdict.relation != TURNED and verdict.orientation != ORIENTATIONS[0]
    return f"{text} {RELATION_TEXTS[TURNED]}" if is_turned else text


def _wanted(groups: Iterable[Sequence[int]]) -> list[int]:
    """Return the rows to draw: whole groups, until there are enough."""
    wanted: dict[int, None] = {}
    for members in groups:
        if len(wanted) + len(members) > MAX_THUMBNAILS:
            break
        wanted.update(dict.fromkeys(members))
    return list(wanted)


def save_leaks(file: Path, evidence: Evidence) -> None:
    """Write the HTML page of `imgdup compare`: each image of A with its duplicates in B."""
    leaks = evidence.gate.leaks
    by_keeper: dict[int, list[_Leaked]] = {}
    rows_b = leaks.b.images[leaks.places_b].tolist()
    members = map(_Leaked, rows_b, leaks.each(), leaks.verdicts, evidence.gate.accepted)
    for place, member in zip(leaks.places_a.tolist(), members, strict=True):
        by_keeper.setdefault(place, []).append(member)
    rows_a = [int(leaks.a.images[place]) for place in by_keeper]
    paths = [leaks.a.rows.path(row) for row in rows_a]
    paths += [member.leak.path for each in by_keeper.values() for member in each]
    wanted = list(dict.fromkeys(paths))[:MAX_THUMBNAILS]
    pictures = make_thumbnails(wanted, Limits(), n_large=N_LARGE)
    hidden = _above_folders(evidence)
    groups = [
        Group(
            _with_folder(_keeper_entry(leaks, row, place, pictures), hidden),
            [_with_folder(_leaked(leaks.b.rows, member, pictures), hidden) for member in each],
        )
        for row, (place, each) in zip(rows_a, by_keeper.items(), strict=True)
    ]
    named = [*paths, *(leak.conflict for leak in leaks.each() if leak.conflict)]
    save_page(file, groups, _leaks_wording(evidence), mode=common_mode(named))


def _leaks_wording(evidence: Evidence) -> Wording:
    """Return the words of a page of leaks, with how they were found."""
    leaks = evidence.gate.leaks
    facts = (
        ("images of A", f"{len(leaks.a.images):,}"),
        ("images of B", f"{len(leaks.b.images):,}"),
        ("label conflicts", f"{leaks.n_conflicts:,}"),
    )
    return LEAKS._replace(
        facts=facts,
        rule=_sentence(evidence.rule),
        verdict=evidence.gate.verdict,
        details=(*details(evidence), *abilities(evidence)),
    )


def _above_folders(evidence: Evidence) -> bytes:
    """Return the part of all paths that is above the folders of both sets; empty if unknown."""
    folders = [folder for each in evidence.gate.coverages for folder in each.folders]
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # there are none, or they are on several drives
        return b""
    return join(os.path.dirname(common) if common in folders else common, b"")


def _with_folder(shown_entry: Entry, hidden: bytes) -> Entry:
    """Begin the caption of a file with the name of its set, not with the path below it."""
    return shown_entry._replace(n_hidden=min(shown_entry.n_hidden, len(shown(hidden))))


class _Leaked(NamedTuple):
    """An image of B that has a duplicate in A, its row, and whether it was accepted before."""

    row: int
    leak: Leak
    verdict: Verdict
    accepted: bool


def _keeper_entry(leaks: Leaks, row: int, place: int, pictures: Mapping[bytes, Thumbnail]) -> Entry:
    plain = entry(leaks.a.rows, row, 0, "", pictures)
    return plain._replace(label=_label(leaks.a.labels[place]))


def _sentence(rule: MatchRule, protect: Sequence[bytes] | None = None, more: str = "") -> str:
    text = match_rule_text(rule, protect)
    return f"{text[0].upper()}{text[1:]}{more}."


def _leaked(rows: Rows, member: _Leaked, pictures: Mapping[bytes, Thumbnail]) -> Entry:
    row, leak, verdict, accepted = member
    conflict, found = "", comparison(verdict)
    if accepted:
        found = found._replace(sentence=f"{found.sentence} It was accepted by --accept.")
    if leak.conflict is not None:
        conflict = f"but {_label(leak.conflict_label)} in A: {shown(leak.conflict)}"
    plain = entry(rows, row, leak.distance, leak.relation, pictures)
    return plain._replace(label=_label(leak.label), conflict=conflict, comparison=found)


def _label(label: str | None) -> str:
    return "" if label is None else shown(os.fsencode(label))


def entry(
    rows: Rows, row: int, distance: int, relation: str, pictures: Mapping[bytes, Thumbnail]
) -> Entry:
    """Return what the page shows of one file."""
    width, height, size = (int(rows.column(name)[row]) for name in ("width", "height", "size"))
    path = rows.path(row)
    hidden = len(shown(_common_start(rows.roots, path)))
    picture = pictures.get(path)
    jpeg = picture if isinstance(picture, bytes) else None
    return Entry(shown(path), distance, relation, width, height, size, jpeg, hidden)


def _common_start(roots: Sequence[bytes], path: bytes) -> bytes:
    """Return how all paths of a root begin; if there are several roots, without its name."""
    root = max((root for root in roots if root and is_below(path, root)), key=len, default=b"")
    if len(roots) > 1:
        root = os.path.dirname(root)
    return join(root, b"") if root and path != root else b""


def make_thumbnails(
    paths: Sequence[bytes],
    limits: Limits,
    *,
    side: int = THUMBNAIL,
    quality: int = JPEG_QUALITY,
    n_large: int = 0,
) -> dict[bytes, Thumbnail]:
    """Make small new JPEG files of pictures; nothing else of the files is copied into them.

    The longest side has `side` pixels, 800 for the first `n_large` pictures; smaller pictures keep
    their size. Returns for each path a JPEG file, or why there is none.
    """
    small, large = (
        partial(thumbnail, limits=limits, side=each, quality=quality) for each in (side, LARGE)
    )
    with decoding_pool(limits) as pool:
        drawn = decode_each(large, paths[:n_large], pool), decode_each(small, paths[n_large:], pool)
        return dict(zip(paths, chain(*drawn), strict=True))


def thumbnail(
    path: bytes, limits: Limits, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> bytes:
    """Encode one file's picture in this process; see `make_thumbnails`.

    Raises ImageError if the file cannot be read or decoded.
    """
    import_uncapped("imgdup.images.opencv")
    from imgdup.images.opencv import encode_jpeg

    pixels = decode_rgb(read_content(path, limits).data, limits, side)
    return encode_jpeg(pixels, quality)
