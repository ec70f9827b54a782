"""Show an index, groups of duplicates or leaks in a notebook: small tables with a few thumbnails.

The pieces of HTML hold everything that they show, and no script. A name of a file is only text.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from imgdup.dedupe import Duplicates
from imgdup.dedupe.compare import Leaks
from imgdup.hashing import MATCH_MIN_QUALITY
from imgdup.index.columns import RowNumbers, Rows
from imgdup.output import counted
from imgdup.output.gallery import entry, make_thumbnails
from imgdup.output.page import Entry
from imgdup.search.equal import group_equal
from imgdup.system.limits import Limits, size_text

MAX_GROUPS = 5
MAX_ALIKE = 3  # groups that are shown of an index
MAX_PICTURES = 6  # of a group
THUMBNAIL = 96  # pixels, the longer side
JPEG_QUALITY = 70
MAX_COMPARED = 100_000  # images whose hashes are compared to show an index
MAX_NAME = 40  # characters of a path that are shown; the whole path is in the title of the picture

CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"
FIGURE = "display:inline-block;vertical-align:top;margin:4px;width:110px;font-size:11px"
CAPTION = "overflow-wrap:anywhere;line-height:1.3"


class Picture(NamedTuple):
    """A row to draw, and the words under it; `is_first` of the kept file, or that of A."""

    rows: Rows
    row: int
    words: str
    is_first: bool = False


def index_html(info: Mapping[str, Any], rows: Rows, images: RowNumbers) -> str:
    """Describe an index, with the first pictures whose match hashes are equal.

    `info` is what `ImageIndex.info` returns, and ``index``, the path of the index folder; `images`
    are the rows that have a hash.
    """
    facts = {
        "index": info["index"],
        "images": f"{info['images']:,}",
        "failed files": f"{sum(info['failed'].values()):,}",
        "folders": ", ".join(info["roots"]) or "single files",
        "search hash": f"{info['hash']}, {info['bits']} bits",
        "built": info["built"],
    }
    alike = _alike(rows, images[:MAX_COMPARED])
    title = "pictures with equal match hashes, not compared yet" if alike else ""
    groups = [
        [Picture(rows, row, "", is_first=i == 0) for i, row in enumerate(members)]
        for members in alike
    ]
    return f"<div>{_table(facts.items())}{_gallery(title, groups, 0)}</div>"


def _alike(rows: Rows, images: RowNumbers) -> list[list[int]]:
    """Return the rows of the first few classes of equal match hashes."""
    try:
        hashes = rows.column("match")
    except KeyError:  # an index of format version 1
        return []
    good = images[rows.column("quality")[images] >= MATCH_MIN_QUALITY]
    classes = group_equal(np.ascontiguousarray(hashes[good], np.uint64))
    several = np.flatnonzero(np.diff(classes.offsets) > 1)
    members = (
        good[classes.members[classes.offsets[i] : classes.offsets[i + 1]]].tolist()
        for i in several.tolist()
    )
    return sorted(map(sorted, members))[:MAX_ALIKE]


def duplicates_html(duplicates: Duplicates) -> str:
    """Describe groups of duplicates, with thumbnails of the first."""
    rows, groups = duplicates.rows, duplicates.groups
    n_groups, n_removed = len(groups.keepers), len(groups.removed)
    size = int(rows.column("size")[groups.removed].sum())
    title = (
        f"{counted(n_groups, 'group')}, {counted(n_removed, 'duplicate')} of "
        f"{counted(len(duplicates.images), 'image')}, {size_text(size)}"
    )
    shown = []
    for place in range(min(n_groups, MAX_GROUPS)):
        span = range(int(groups.offsets[place]), int(groups.offsets[place + 1]))
        words = (
            f"{groups.verdicts[i].relation}, {counted(int(groups.distances[i]), 'bit')}"
            for i in span
        )
        members = [Picture(rows, int(groups.keepers[place]), "kept", is_first=True)]
        members += [
            Picture(rows, int(groups.removed[i]), text) for i, text in zip(span, words, strict=True)
        ]
        shown.append(members)
    return f"<div>{_gallery(title, shown, n_groups - len(shown))}</div>"


def leaks_html(leaks: Leaks, n_unread: int) -> str:
    """Describe the images of one set that are in another, with thumbnails of the first.

    Files that could not be read, and so were not compared, are counted in the title.
    """
    n_leaks, n_images = len(leaks.places_b), len(leaks.b.images)
    unread = f", {counted(n_unread, 'file')} not read" if n_unread else ""
    title = f"{n_leaks:,} of {counted(n_images, 'image')} have a duplicate in the other set{unread}"
    shown = [
        [
            Picture(leaks.a.rows, int(leaks.a.images[in_a]), "in the first set", is_first=True),
            Picture(
                leaks.b.rows,
                int(leaks.b.images[in_b]),
                f"{verdict.relation}, {counted(int(bits), 'bit')}",
            ),
        ]
        for in_a, in_b, verdict, bits in islice(
            zip(leaks.places_a, leaks.places_b, leaks.verdicts, leaks.distances, strict=True),
            MAX_GROUPS,
        )
    ]
    return f"<div>{_gallery(title, shown, n_leaks - len(shown))}</div>"


def _table(facts: Iterable[tuple[str, str]]) -> str:
    lines = "".join(
        f'<tr><th style="{CELL}">{html.escape(name)}</th>'
        f'<td style="{CELL}">{html.escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<table>{lines}</table>"


def _gallery(title: str, groups: Sequence[Sequence[Picture]], n_more: int) -> str:
    """Write a title and some groups of pictures, and how many more there are."""
    drawn = [each for group in groups for each in group[:MAX_PICTURES]]
    paths = list(dict.fromkeys(each.rows.path(each.row) for each in drawn))
    thumbnails = (
        make_thumbnails(paths, Limits(), side=THUMBNAIL, quality=JPEG_QUALITY) if paths else {}
    )
    text = f"<div><b>{html.escape(title)}</b></div>"
    for group in groups:
        figures = [
            _figure(entry(each.rows, each.row, 0, "", thumbnails), each)
            for each in group[:MAX_PICTURES]
        ]
        rest = len(group) - len(figures)
        more = f"<div>and {rest:,} more in this group</div>" if rest else ""
        text += f"<div>{''.join(figures)}{more}</div>"
    return text + (f"<div>and {n_more:,} more</div>" if n_more else "")


def _figure(shown: Entry, picture: Picture) -> str:
    """Draw one picture with its name, its size and what it is."""
    name, whole = shown.path[shown.n_hidden :], html.escape(shown.path)
    if len(name) > MAX_NAME:
        name = f"…{name[1 - MAX_NAME :]}"
    border = f"border:{2 if picture.is_first else 1}px solid currentColor"
    image = f'<div style="{border};padding:8px">no picture</div>'
    if shown.thumbnail is not None:
        data = base64.b64encode(shown.thumbnail).decode()
        source = f"data:image/jpeg;base64,{data}"
        image = f'<img src="{source}" alt="{whole}" title="{whole}" style="{border}">'
    size = f"{shown.width}x{shown.height}, {size_text(shown.size_bytes)}"
    words = "<br>".join(html.escape(text) for text in (name, size, picture.words) if text)
    return f'<div style="{FIGURE}">{image}<div style="{CAPTION}">{words}</div></div>'
