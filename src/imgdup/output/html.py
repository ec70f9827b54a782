"""Groups of duplicates -> one self-contained HTML page for people to look through.

The page loads nothing from anywhere and says so to the browser: a content security policy admits
only its own script and style, by their hashes, and embedded pictures. File names reach it as JSON
that cannot end its element, and are only ever shown as text.
"""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from imgdup import __version__
from imgdup.output.histogram import distance_histogram
from imgdup.system.atomic import replacing

UNITS = ("bytes", "kB", "MB", "GB", "TB")
MAX_EMBEDDED_BYTES = 100_000_000  # of thumbnails; a browser opens such a page in a few seconds
WORDS = ("keeper", "removal", "counted", "saves", "none")  # that the page's script uses
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class Entry(NamedTuple):
    """A file in a group."""

    path: str
    """As text, written by `imgdup.output.lines.shown`."""
    distance: int
    """To the keeper, in bits; of the keeper itself 0."""
    relation: str
    """To the keeper, such as ``resized``; of the keeper itself empty."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    size_bytes: int
    """Of the file."""
    thumbnail: bytes | None = None
    """A small JPEG; None where there is none."""
    n_hidden: int = 0
    """So many characters of the path, the root's, are not repeated in each caption."""
    label: str = ""
    """Of the image, where sets are compared; empty if it has none."""
    conflict: str = ""
    """Where the labels of duplicates disagree, the other one and whose it is."""


class Group(NamedTuple):
    """A file that stays and those that go in its favour."""

    keeper: Entry
    removals: Sequence[Entry]


class Wording(NamedTuple):
    """What the page calls things: removals by default, leaks of one set into another else."""

    title: str = "Duplicates"
    keeper: str = "keep"
    removal: str = "remove"
    counted: str = "to remove"
    """What follows the number of those, as in ``60 to remove``."""
    order: str = "largest saving first"
    """How the groups are sorted at first; as given, where nothing is to be saved."""
    saves: str = "saves"
    """Empty where nothing is to be saved."""
    none: str = "No duplicates were found."
    about: str = (
        "One file of each group stays; each of the others is a duplicate of that file itself, not "
        "of one another in a chain. Nothing was changed by making this page."
    )
    rule: str = ""
    """What counts as a duplicate and which file stays, if the page is to say it."""
    facts: tuple[tuple[str, str], ...] = ()
    """More figures for the top, as names and values."""


DEFAULT_WORDING = Wording()


def save_report(path: Path, groups: Iterable[Group], wording: Wording = DEFAULT_WORDING) -> None:
    """Write the page into a file, which appears whole or not at all.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    groups : iterable of Group
        Those that save the most come first in the page; where nothing is saved, as given.
    wording : Wording
        What the page calls things.

    Raises
    ------
    ImgdupError
        If the file cannot be written.
    """
    page = report_page(groups, wording).encode("utf-8")
    with replacing(path, needed_bytes=len(page), sync=False) as file:
        file.write(page)


def report_page(groups: Iterable[Group], wording: Wording = DEFAULT_WORDING) -> str:
    """Write the page.

    Parameters
    ----------
    groups : iterable of Group
        Those that save the most come first in the page; where nothing is saved, as given.
    wording : Wording
        What the page calls things.

    Returns
    -------
    str
        A whole HTML document; the same groups give the same text.

    Examples
    --------
    >>> keeper = Entry("a.jpg", 0, "", 640, 480, 90_000)
    >>> copy = Entry("b.jpg", 4, "resized", 320, 240, 20_000)
    >>> "saves" in report_page([Group(keeper, [copy])])
    True
    """
    ranked = sorted(groups, key=lambda group: -saving_bytes(group) if wording.saves else 0)
    relations = Counter(entry.relation for group in ranked for entry in group.removals)
    style, script = _page_file("report.css"), _page_file("report.js")
    parts = {
        "title": html.escape(wording.title),
        "style": style,
        "style_hash": _source_hash(style),
        "script": script,
        "script_hash": _source_hash(script),
        "summary": _summary(ranked, wording),
        "histogram": _histogram([entry.distance for group in ranked for entry in group.removals]),
        "about": html.escape(wording.about),
        "rule": html.escape(wording.rule),
        "order": html.escape(wording.order),
        "footer": html.escape(f"Made by imgdup {__version__}"),
        "data": _data(ranked, [name for name, _ in relations.most_common()], wording),
    }
    return PLACEHOLDER.sub(lambda match: parts[match[1]], _page_file("report.html"))


def saving_bytes(group: Group) -> int:
    """Sum the sizes of the files of a group that go.

    Parameters
    ----------
    group : Group
        The group.

    Returns
    -------
    int
        In bytes.
    """
    return sum(entry.size_bytes for entry in group.removals)


def size_text(n_bytes: float) -> str:
    """Write a size for people, in decimal units.

    Parameters
    ----------
    n_bytes : float
        In bytes.

    Returns
    -------
    str
        Two or three digits and the unit.

    Examples
    --------
    >>> size_text(980), size_text(12_345), size_text(2_500_000)
    ('980 bytes', '12 kB', '2.5 MB')
    """
    value, unit = float(n_bytes), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f} {UNITS[unit]}"


def _page_file(name: str) -> str:
    """Read one of the page's sources."""
    return (files("imgdup.output") / "page_files" / name).read_text("utf-8")


def _source_hash(source: str) -> str:
    """Name an inline source in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _summary(groups: Sequence[Group], wording: Wording) -> str:
    """Write the figures at the top."""
    n_removals = sum(len(group.removals) for group in groups)
    facts = {
        **dict(wording.facts),
        "groups": f"{len(groups):,}",
        wording.counted: f"{n_removals:,}",
    }
    if wording.saves:
        facts[wording.saves] = size_text(sum(map(saving_bytes, groups)))
    return "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in facts.items()
    )


def _histogram(distances: Sequence[int]) -> str:
    """Embed the histogram of distances, or say how to get one."""
    if not distances:
        return ""
    svg = distance_histogram(distances)
    if svg is None:
        return "<figcaption>For a histogram of distances: pip install matplotlib</figcaption>"
    source = base64.b64encode(svg).decode()
    return f'<img alt="Histogram of distances" src="data:image/svg+xml;base64,{source}">'


def _data(groups: Sequence[Group], relations: Sequence[str], wording: Wording) -> str:
    """Write the groups as JSON that no name in it can end."""
    numbers = {name: number for number, name in enumerate(relations)}
    room = MAX_EMBEDDED_BYTES
    rows: list[Any] = []
    for group in groups:
        entries = [group.keeper, *group.removals]
        room -= sum(len(entry.thumbnail or b"") for entry in entries)
        keeper, *others = [_row(entry, numbers, with_thumbnail=room >= 0) for entry in entries]
        rows.append([keeper, others])
    words = {key: getattr(wording, key) for key in WORDS}
    data = {"words": words, "relations": relations, "groups": rows}
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(entry: Entry, numbers: Mapping[str, int], *, with_thumbnail: bool) -> list[Any]:
    """Write an entry as the page's script reads it."""
    thumbnail = entry.thumbnail if with_thumbnail else None
    picture = base64.b64encode(thumbnail).decode() if thumbnail else ""
    relation = numbers.get(entry.relation, 0)
    facts = entry.width, entry.height, entry.size_bytes
    told = entry.n_hidden, entry.label, entry.conflict
    return [entry.path, int(entry.distance), relation, *map(int, facts), picture, *told]
