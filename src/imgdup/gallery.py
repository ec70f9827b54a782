"""Groups of duplicates -> what the HTML page shows of them, with thumbnails.

Thumbnails are decoded in worker processes, like everything that comes from a file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from imgdup.decoding import decode_batches
from imgdup.dedupe import Duplicates
from imgdup.executors import Died
from imgdup.html_report import Entry, Group
from imgdup.limits import Limits
from imgdup.lines import shown
from imgdup.relations import RELATIONS
from imgdup.rows import Rows

BATCH_FILES = 64
MAX_THUMBNAILS = 10_000  # about 60 MB of page; the groups that save most come first


def page_groups(duplicates: Duplicates, limits: Limits | None = None) -> Iterator[Group]:
    """Yield the groups for `imgdup.html_report`, those that save most with thumbnails.

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
    thumbnails = make_thumbnails([rows.path(row) for row in wanted], limits or Limits())
    pictures = dict(zip(wanted, thumbnails, strict=True))
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
    rows: Rows, row: int, distance: int, relation: str, pictures: Mapping[int, bytes | None]
) -> Entry:
    """Tell the page what it shows of one file."""
    width, height, size = (int(rows.column(name)[row]) for name in ("width", "height", "size"))
    path = shown(rows.path(row))
    return Entry(path, distance, relation, width, height, size, pictures.get(row))


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
    from imgdup.thumbnails import thumbnail

    drawn = []
    for position, path in enumerate(paths):
        before_item(position)
        drawn.append(thumbnail(path, limits))
    return drawn


def batched(items: Sequence[bytes], n: int) -> Iterator[Sequence[bytes]]:
    """Cut a list into pieces of at most `n`."""
    for start in range(0, len(items), n):
        yield items[start : start + n]
