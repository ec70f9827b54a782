"""Make a self-contained HTML page of groups of duplicates, for people to review.

The page loads nothing. Its content security policy allows only its own script and style, by their
hashes, and embedded pictures. File names are in the page as JSON that cannot end its element, and
are shown only as text.
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
from imgdup.dedupe.relations import Box
from imgdup.system.files import PUBLIC, replacing
from imgdup.system.limits import size_text

MAX_EMBEDDED_BYTES = 100_000_000  # of thumbnails; a browser opens such a page in a few seconds
WORDS = ("keeper", "removal", "shown", "counted", "saves", "none")  # the page's script uses these
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
SHARED = ("components.css", "components.js", "comparer.js")  # with the page of the service
IMPORT = re.compile(r"^import .*\n|^export (?=\w)", re.MULTILINE)  # of modules that become one

# The histogram, in units of SVG: the figure, its margins, where it has room for labels.
FIGURE_WIDTH, FIGURE_HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 14, 36
MAX_LABELS = 8  # on the axis of distances
INK, BAR = "#7d8694", "#4f8ef7"  # read well on white and on black


class Comparison(NamedTuple):
    """What the comparison of a file with the keeper of its group found."""

    sentence: str
    peak: float
    """The largest difference, in levels from 0 to 255."""
    box: Box | None = None
    """The region of this picture to mark: where that difference is."""
    keeper_box: Box | None = None
    """The same region of the keeper."""
    rule: str = ""
    """The keep rule that decided; empty if none had to."""
    orientation: str = "none"
    """How this picture is turned to lie as the keeper, one of `images.gray.ORIENTATIONS`."""


class Entry(NamedTuple):
    """A file in a group."""

    path: str
    """As text, written by `imgdup.output.shown`."""
    distance: int
    """To the keeper, in bits; 0 for the keeper itself."""
    relation: str
    """To the keeper, such as ``same-picture``; empty for the keeper itself."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    size_bytes: int
    """Of the file."""
    thumbnail: bytes | None = None
    """A small JPEG; None where there is none."""
    n_hidden: int = 0
    """Number of characters of the path, those of the root, that captions leave out."""
    label: str = ""
    """Of the image, where sets are compared; empty if it has none."""
    conflict: str = ""
    """Where the labels of duplicates disagree: the other label, and the path that has it."""
    comparison: Comparison | None = None
    """With the keeper; None for the keeper itself."""
    line: int = 0
    """The line of the plan that removes it, counted from its header, which is line 0."""


class Group(NamedTuple):
    """A file that is kept, files removed in favour of it, and duplicates that are only shown."""

    keeper: Entry
    removals: Sequence[Entry]
    shown: Sequence[Entry] = ()


class Wording(NamedTuple):
    """The words on the page; by default they describe files to remove."""

    title: str = "Duplicates"
    keeper: str = "keep"
    removal: str = "remove"
    shown: str = "only shown"
    counted: str = "to remove"
    """Follows the number of removals, as in ``60 to remove``."""
    order: str = "largest saving first"
    """How the groups are sorted at first; as given, where nothing is saved."""
    saves: str = "saves"
    """Empty where nothing is saved."""
    none: str = "No duplicates were found."
    about: str = (
        "One file of each group is kept; every other file is a duplicate of that file. "
        "Files that are only shown are kept as well. Nothing was changed."
    )
    rule: str = ""
    """What counts as a duplicate and which file is kept, if the page should state it."""
    facts: tuple[tuple[str, str], ...] = ()
    """More figures for the top, as names and values."""
    verdict: str = ""
    """``PASS`` or ``FAIL`` where there is a limit, else empty."""
    details: tuple[tuple[str, str], ...] = ()
    """How the result was obtained, as names and values."""


DEFAULT_WORDING = Wording()


def save_page(
    path: Path,
    groups: Iterable[Group],
    wording: Wording = DEFAULT_WORDING,
    *,
    plan: Sequence[str] = (),
    mode: int = PUBLIC,
) -> None:
    """Write the page to a file, either completely or not at all.

    The groups are sorted by the bytes that they save, most first. `plan` has the lines of the
    removal plan, from which the page saves those that are wanted; without them nothing can be
    chosen on it. `mode` is that of the pictures whose thumbnails the page contains. Raises
    ImgdupError if the file cannot be written.
    """
    page = page_html(groups, wording, plan).encode("utf-8")
    with replacing(path, needed_bytes=len(page), sync=False, mode=mode) as file:
        file.write(page)


def page_html(
    groups: Iterable[Group], wording: Wording = DEFAULT_WORDING, plan: Sequence[str] = ()
) -> str:
    """Return the page, a whole HTML document; the same groups give the same text.

    Examples
    --------
    >>> keeper = Entry("a.jpg", 0, "", 640, 480, 90_000)
    >>> copy = Entry("b.jpg", 4, "same-picture", 320, 240, 20_000)
    >>> "saves" in page_html([Group(keeper, [copy])])
    True
    """
    ranked = sorted(groups, key=lambda group: -saving_bytes(group) if wording.saves else 0)
    others = [entry for group in ranked for entry in (*group.removals, *group.shown)]
    relations = Counter(entry.relation for entry in others)
    style, script = page_style(), page_script()
    parts = {
        "title": html.escape(wording.title),
        "style": style,
        "style_hash": source_hash(style),
        "script": script,
        "script_hash": source_hash(script),
        "summary": _summary(ranked, wording),
        "histogram": _histogram([entry.distance for entry in others]),
        "about": html.escape(wording.about),
        "rule": html.escape(wording.rule),
        "details": _details(wording.details),
        "order": html.escape(wording.order),
        "footer": html.escape(f"Made by imgdup {__version__}"),
        "data": _data(ranked, [name for name, _ in relations.most_common()], wording, plan),
    }
    return PLACEHOLDER.sub(lambda match: parts[match[1]], template("page.html"))


def saving_bytes(group: Group) -> int:
    """Sum the sizes of the files of a group that are removed."""
    return sum(entry.size_bytes for entry in group.removals)


def histogram_svg(distances: Sequence[int]) -> str:
    """Draw how many files there are at each distance, one at least, as an SVG document.

    It has one bar per distance that occurs, as high as its number of files, over an axis from 0 to
    the largest distance; the background is transparent.
    """
    counts, most = Counter(distances), max(Counter(distances).values())
    n_bits = max(distances) + 1
    step = (FIGURE_WIDTH - LEFT - RIGHT) / n_bits
    floor = FIGURE_HEIGHT - BOTTOM
    drawn = [
        f'<rect fill="{BAR}" x="{LEFT + bits * step + 0.075 * step:.2f}" width="{0.85 * step:.2f}" '
        f'y="{floor - height:.2f}" height="{height:.2f}"/>'
        for bits, count in sorted(counts.items())
        for height in [(floor - TOP) * count / most]
    ]
    ticks = range(0, n_bits, -(-n_bits // MAX_LABELS))
    drawn += [_svg_text(LEFT + (bits + 0.5) * step, floor + 13, f"{bits}") for bits in ticks]
    drawn += [
        _svg_text(LEFT - 6, TOP + 4, f"{most:,}", "end"),
        _svg_text(LEFT - 6, floor, "0", "end"),
    ]
    middle = (LEFT + FIGURE_WIDTH - RIGHT) / 2
    drawn += [_svg_text(middle, FIGURE_HEIGHT - 6, "distance in bits"), _svg_text(LEFT, 8, "files")]
    axes = f'<path fill="none" stroke="{INK}" d="M{LEFT} {TOP}V{floor}H{FIGURE_WIDTH - RIGHT}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {FIGURE_WIDTH} {FIGURE_HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">{"".join(drawn)}{axes}</svg>'
    )


def _svg_text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{text}</text>'


def template(name: str) -> str:
    """Return a part of a page: a file of the folder ``page_template``."""
    return (files("imgdup.output") / "page_template" / name).read_text("utf-8")


def page_style() -> str:
    """Return the style of a page, with the parts that it shares with the service."""
    return template("components.css") + template("page.css")


def page_script() -> str:
    """Return the script of a page as one module, with the parts that it shares."""
    modules = [template(name) for name in SHARED if name.endswith(".js")]
    return IMPORT.sub("", "".join(modules)) + template("page.js")


def source_hash(source: str) -> str:
    """Return the hash of an inline source for a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _summary(groups: Sequence[Group], wording: Wording) -> str:
    n_removals = sum(len(group.removals) for group in groups)
    n_shown = sum(len(group.shown) for group in groups)
    n_with_removals = sum(bool(group.removals) for group in groups)
    facts = {
        **dict(wording.facts),
        "groups": f"{n_with_removals:,}",
        wording.counted: f"{n_removals:,}",
    }
    if n_shown:
        facts[wording.shown] = f"{n_shown:,}"
    if n_with_removals < len(groups):
        facts[f"groups {wording.shown}"] = f"{len(groups) - n_with_removals:,}"
    if wording.saves:
        facts[wording.saves] = size_text(sum(map(saving_bytes, groups)))
    verdict = wording.verdict
    result = f'<div class="verdict {verdict}"><dt>result</dt><dd>{verdict}</dd></div>'
    return (result if verdict else "") + _described(facts.items())


def _described(facts: Iterable[tuple[str, str]]) -> str:
    """Write names and values as the content of a description list."""
    return "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in facts
    )


def _details(details: Sequence[tuple[str, str]]) -> str:
    """Write how the result was obtained, if the page says so."""
    return f'<dl class="details">{_described(details)}</dl>' if details else ""


def _histogram(distances: Sequence[int]) -> str:
    if not distances:
        return ""
    source = base64.b64encode(histogram_svg(distances).encode()).decode()
    return f'<img alt="Histogram of distances" src="data:image/svg+xml;base64,{source}">'


def _data(
    groups: Sequence[Group], relations: Sequence[str], wording: Wording, plan: Sequence[str]
) -> str:
    """Write the groups as JSON that no name in it can end."""
    numbers = {name: number for number, name in enumerate(relations)}
    room = MAX_EMBEDDED_BYTES
    rows: list[Any] = []
    for group in groups:
        entries = [group.keeper, *group.removals, *group.shown]
        room -= sum(len(entry.thumbnail or b"") for entry in entries)
        keeper, *others = [_row(entry, numbers, with_thumbnail=room >= 0) for entry in entries]
        rows.append([keeper, others, len(group.removals)])
    words = {key: getattr(wording, key) for key in WORDS}
    data = {"words": words, "relations": relations, "groups": rows, "plan": plan}
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(entry: Entry, numbers: Mapping[str, int], *, with_thumbnail: bool) -> list[Any]:
    """Write an entry as the page's script reads it."""
    thumbnail = entry.thumbnail if with_thumbnail else None
    picture = base64.b64encode(thumbnail).decode() if thumbnail else ""
    relation = numbers.get(entry.relation, 0)
    facts = entry.width, entry.height, entry.size_bytes
    more = entry.n_hidden, entry.label, entry.conflict, entry.comparison, entry.line
    return [entry.path, int(entry.distance), relation, *map(int, facts), picture, *more]
