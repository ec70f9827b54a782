"""Make the HTML page of duplicates, or of leaks, with thumbnails of the pictures.

Thumbnails are decoded in worker processes, as all files are. The page gets
the permissions of the most private picture.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from imgdup.dedupe import Duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import Leak, Leaks
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb
from imgdup.index.columns import Rows
from imgdup.output.codecs import shown
from imgdup.output.page import Entry, Group, Wording, save_page
from imgdup.output.results import match_rule_text
from imgdup.system.atomic import common_mode
from imgdup.system.files import read_file
from imgdup.system.limits import Limits, import_uncapped
from imgdup.system.paths import is_below, join
from imgdup.workers.pool import decode_each, decoding_pool

THUMBNAIL = 220  # pixels, the longer side
JPEG_QUALITY = 72
LEAKS = Wording(
    title="Leaks",
    keeper="in A",
    removal="in B",
    counted="in B",
    order="nearest first",
    saves="",
    none="No image of B has a duplicate in A.",
    about="Each image of B is shown after the image of A that it duplicates.",
)
MAX_THUMBNAILS = 10_000  # about 60 MB of page; the groups that save most are shown first

Thumbnail = bytes | ImageError


def save_duplicates(file: Path, duplicates: Duplicates, limits: Limits | None = None) -> None:
    """Write the HTML page of `imgdup dedupe`: what its plan removes, and by which rules."""
    rule, keep = duplicates.options.rule, duplicates.options.keep
    wording = Wording(
        facts=(("images", f"{len(duplicates.images):,}"),),
        rule=_sentence(rule, keep.protect, f", kept first: {', '.join(keep.rules)}"),
    )
    rows, groups = duplicates.rows, duplicates.groups
    drawn = [*groups.keepers.tolist(), *groups.removed.tolist()]
    mode = common_mode(map(rows.path, drawn))
    save_page(file, page_groups(duplicates, limits), wording, mode=mode)


def page_groups(duplicates: Duplicates, limits: Limits | None = None) -> Iterator[Group]:
    """Yield the groups of the page, those that save most with thumbnails.

    Files with other names (hard links) are left out, as a plan leaves them out.

    Parameters
    ----------
    duplicates : Duplicates
        From `imgdup.dedupe.find_duplicates`.
    limits : Limits, optional
        What one picture may cost; one that cannot be read has no thumbnail.
    """
    rows, groups = duplicates.rows, duplicates.groups
    sizes, removable = rows.column("size"), duplicates.removable()
    spans = zip(groups.offsets[:-1].tolist(), groups.offsets[1:].tolist(), strict=True)
    members = [[i for i in range(a, b) if removable[i]] for a, b in spans]
    savings = [int(sizes[groups.removed[which]].sum()) for which in members]
    order = sorted(filter(members.__getitem__, range(len(members))), key=lambda i: -savings[i])
    keepers, relations = groups.keepers.tolist(), duplicates.relations
    wanted = _wanted([[keepers[i], *groups.removed[members[i]].tolist()] for i in order])
    pictures = make_thumbnails([rows.path(row) for row in wanted], limits or Limits())
    for i in order:
        yield Group(
            entry(rows, keepers[i], 0, "", pictures),
            [
                entry(
                    rows,
                    int(groups.removed[j]),
                    int(groups.distances[j]),
                    relations[j],
                    pictures,
                )
                for j in members[i]
            ],
        )


def _wanted(groups: Iterable[Sequence[int]]) -> list[int]:
    """Return the rows to draw: whole groups, until there are enough."""
    wanted: dict[int, None] = {}
    for members in groups:
        if len(wanted) + len(members) > MAX_THUMBNAILS:
            break
        wanted.update(dict.fromkeys(members))
    return list(wanted)


def save_leaks(file: Path, leaks: Leaks, rule: MatchRule, limits: Limits | None = None) -> None:
    """Write the HTML page of `imgdup compare`: each image of A with its duplicates in B."""
    a, b = leaks.a, leaks.b
    by_keeper: dict[int, list[tuple[int, Leak]]] = {}
    places = zip(leaks.places_a.tolist(), leaks.places_b.tolist(), leaks.each(), strict=True)
    for place_a, place_b, leak in places:
        by_keeper.setdefault(place_a, []).append((int(b.images[place_b]), leak))
    rows_a = [int(a.images[place]) for place in by_keeper]
    paths = [a.rows.path(row) for row in rows_a]
    paths += [leak.path for each in by_keeper.values() for _, leak in each]
    wanted = list(dict.fromkeys(paths))[:MAX_THUMBNAILS]
    pictures = make_thumbnails(wanted, limits or Limits())
    groups = [
        Group(
            entry(a.rows, row, 0, "", pictures)._replace(label=_label(a.labels[place])),
            [_leaked(b.rows, row_b, leak, pictures) for row_b, leak in each],
        )
        for row, (place, each) in zip(rows_a, by_keeper.items(), strict=True)
    ]
    facts = (
        ("images of A", f"{len(a.images):,}"),
        ("images of B", f"{len(b.images):,}"),
        ("label conflicts", f"{leaks.n_conflicts:,}"),
    )
    wording = LEAKS._replace(facts=facts, rule=_sentence(rule))
    named = [*paths, *(leak.conflict for leak in leaks.each() if leak.conflict)]
    save_page(file, groups, wording, mode=common_mode(named))


def _sentence(rule: MatchRule, protect: Sequence[bytes] | None = None, more: str = "") -> str:
    text = match_rule_text(rule.max_distance, rule.search_distance, protect)
    return f"{text[0].upper()}{text[1:]}{more}."


def _leaked(rows: Rows, row: int, leak: Leak, pictures: Mapping[bytes, Thumbnail]) -> Entry:
    conflict = ""
    if leak.conflict is not None:
        conflict = f"but {_label(leak.conflict_label)} in A: {shown(leak.conflict)}"
    plain = entry(rows, row, leak.distance, leak.relation, pictures)
    return plain._replace(label=_label(leak.label), conflict=conflict)


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
    """Return how all paths of a root begin; of several roots the name is not part of it."""
    root = max((root for root in roots if root and is_below(path, root)), key=len, default=b"")
    if len(roots) > 1:
        root = os.path.dirname(root)
    return join(root, b"") if root and path != root else b""


def make_thumbnails(
    paths: Sequence[bytes], limits: Limits, *, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> dict[bytes, Thumbnail]:
    """Make small new JPEG files of pictures; nothing else of the files is copied into them.

    Parameters
    ----------
    paths : sequence of bytes
        The files.
    limits : Limits
        The limits for each file.
    side : int
        Longest side, in pixels; smaller pictures keep their size.
    quality : int
        JPEG quality, 0 to 100.

    Returns
    -------
    dict of bytes to bytes or ImageError
        For each path a JPEG file, or why there is none.
    """
    draw = partial(thumbnail, limits=limits, side=side, quality=quality)
    with decoding_pool(limits) as pool:
        return dict(zip(paths, decode_each(draw, paths, pool), strict=True))


def thumbnail(
    path: bytes, limits: Limits, side: int = THUMBNAIL, quality: int = JPEG_QUALITY
) -> bytes:
    """Encode one file's picture in this process; see `make_thumbnails`.

    Raises
    ------
    ImageError
        If the file cannot be read or decoded.
    """
    import_uncapped("imgdup.images.opencv")
    from imgdup.images.opencv import encode_jpeg

    pixels = decode_rgb(read_file(path, limits).data, limits, side)
    return encode_jpeg(pixels, quality)
