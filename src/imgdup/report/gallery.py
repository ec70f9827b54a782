"""Groups of duplicates -> what the HTML page shows of them, with thumbnails.

Thumbnails are decoded in worker processes, like everything that comes from a file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from imgdup.compare import Leaks
from imgdup.decoding import decode_batches
from imgdup.dedupe import Duplicates
from imgdup.dedupe.relations import RELATIONS
from imgdup.executors import Died
from imgdup.limits import Limits
from imgdup.lines import shown
from imgdup.report.html import Entry, Group, Wording, save_report
from imgdup.rows import Rows

BATCH_FILES = 64
LEAKS = Wording(
    title="Leaks",
    keeper="in A",
    removal="in B",
    saves="",
    none="No image of B has a duplicate in A.",
    about="Each image of B is a duplicate of the image of A that stands before it.",
)
MAX_THUMBNAILS = 10_000  # about 60 MB of page; the groups that save most come first


def page_groups(duplicates: Duplicates, limits: Limits | None = None) -> Iterator[Group]:
    """Yield the groups for `imgdup.report.html`, those that save most with thumbnails.

    Parameters
    ----------
    duplicates : Duplicates
        From `imgdup.dedupe.find_duplicates`.
    limits : Limits, optional
        What one picture may cost; one that cannot be read has no thumbnail.
    """
    rows, groups = duplicates.rows, duplicates.groups
    sizes = rows.column("size")
    spans = list(zip(groups.offsets[:-1].tolist(), groups.offsets[1:].tolist(), strict=True))
    savings = [int(sizes[groups.removed[a:b]].sum()) for a, b in spans]
    order = sorted(range(len(spans)), key=lambda i: (-savings[i], i))
    wanted = _wanted(duplicates, [spans[i] for i in order], order)
    paths = [rows.path(row) for row in wanted]
    pictures = dict(zip(paths, make_thumbnails(paths, limits or Limits()), strict=True))
    for i in order:
        a, b = spans[i]
        members = groups.removed[a:b].tolist()
        told = zip(members, groups.distances[a:b].tolist(), strict=True)
        related = duplicates.relations[a:b].tolist()
        keeper = int(groups.keepers[i])
        yield Group(
            entry(rows, keeper, 0, "", pictures),
            [
                entry(rows, row, distance, RELATIONS[relation], pictures)
                for (row, distance), relation in zip(told, related, strict=True)
            ],
        )


def save_leaks(file: Path, leaks: Leaks, limits: Limits | None = None) -> None:
    """Write the HTML page of `imgdup compare`: each image of A with those of B that equal it."""
    a, b = leaks.a, leaks.b
    by_keeper: dict[int, list[int]] = {}
    for i, place in enumerate(leaks.places_a.tolist()):
        by_keeper.setdefault(place, []).append(i)
    rows_a = [int(a.images[place]) for place in by_keeper]
    rows_b = b.images[leaks.places_b].tolist()
    paths = [a.rows.path(row) for row in rows_a] + [b.rows.path(row) for row in rows_b]
    wanted = list(dict.fromkeys(paths))[:MAX_THUMBNAILS]
    pictures = dict(zip(wanted, make_thumbnails(wanted, limits or Limits()), strict=True))
    groups = [
        Group(
            entry(a.rows, row, 0, "", pictures),
            [
                entry(
                    b.rows,
                    rows_b[i],
                    int(leaks.distances[i]),
                    RELATIONS[leaks.relations[i]],
                    pictures,
                )
                for i in members
            ],
        )
        for row, members in zip(rows_a, by_keeper.values(), strict=True)
    ]
    save_report(file, groups, LEAKS)


def _wanted(
    duplicates: Duplicates, spans: Sequence[tuple[int, int]], order: Sequence[int]
) -> list[int]:
    """Return the rows to draw, whole groups, until there are enough."""
    wanted: dict[int, None] = {}
    for i, (a, b) in zip(order, spans, strict=True):
        members = [int(duplicates.groups.keepers[i]), *duplicates.groups.removed[a:b].tolist()]
        if len(wanted) + len(members) > MAX_THUMBNAILS:
            break
        wanted.update(dict.fromkeys(members))
    return list(wanted)


def entry(
    rows: Rows, row: int, distance: int, relation: str, pictures: Mapping[bytes, bytes | None]
) -> Entry:
    """Tell the page what it shows of one file."""
    width, height, size = (int(rows.column(name)[row]) for name in ("width", "height", "size"))
    path = rows.path(row)
    return Entry(shown(path), distance, relation, width, height, size, pictures.get(path))


def make_thumbnails(paths: Sequence[bytes], limits: Limits) -> list[bytes | None]:
    """Draw files small, in parallel; None for one that cannot be read."""
    found: dict[bytes, bytes | None] = {}
    with closing(
        decode_batches(partial(_draw, limits), batched(paths, BATCH_FILES), limits)
    ) as answered:
        for batch, answer in answered:
            if not isinstance(answer, Died):
                found.update(zip(batch, answer, strict=True))
    return [found.get(path) for path in paths]


def _draw(
    limits: Limits, paths: Sequence[bytes], before_item: Callable[[int], None]
) -> list[bytes | None]:
    from imgdup.report.thumbnails import thumbnail

    drawn = []
    for position, path in enumerate(paths):
        before_item(position)
        drawn.append(thumbnail(path, limits))
    return drawn


def batched(items: Sequence[bytes], n: int) -> Iterator[Sequence[bytes]]:
    """Cut a list into pieces of at most `n`."""
    for start in range(0, len(items), n):
        yield items[start : start + n]
