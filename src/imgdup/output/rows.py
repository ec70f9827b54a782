"""Results -> what commands print: a table for a terminal, lines for a pipe, JSON lines.

Pure functions from data to text; who prints chooses by the stream: `match_table` for a terminal,
`match_lines` for a pipe, `match_nulls` for ``--null``, `match_json` for ``--json``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from imgdup.output.lines import Cell, null_line, shown, tsv_line
from imgdup.output.terminal import fold, rows_as_table
from imgdup.system.jsonl import json_line

MATCH_HEADER = ("dist", "pdq", "dup", "size", "path")


class MatchRow(NamedTuple):
    """An indexed image near a probe; paths are absolute."""

    probe: bytes
    path: bytes
    distance: int  # bits, of the search hash
    pdq_distance: int | None  # bits; None where there is no PDQ hash to compare
    duplicate: bool
    width: int  # pixels
    height: int  # pixels
    is_probe: bool  # the probe's own row
    orientation: str | None = None  # how the probe was turned; None where it was not to be


def match_table(matches: Iterable[MatchRow], *, width: int = 80, encoding: str = "utf-8") -> str:
    """Lay out the matches of probes for a terminal.

    Parameters
    ----------
    matches : iterable of MatchRow
        Probe by probe, each probe's nearest first.
    width, encoding : int, str
        As in `rows_as_table`.

    Returns
    -------
    str
        One table a probe, under the probe's name where there are several; an own row says so.

    Examples
    --------
    >>> match = MatchRow(b"/a.jpg", b"/b.jpg", 3, 12, True, 640, 480, False)
    >>> print(match_table([match]), end="")
    dist  pdq  dup  size     path
       3   12  yes  640x480  /b.jpg
    """
    groups = [list(group) for _, group in groupby(matches, key=lambda match: match.probe)]
    tables = [
        rows_as_table(
            _header(group), [_match_cells(match) for match in group], width=width, encoding=encoding
        )
        for group in groups
    ]
    if len(groups) < 2:
        return "".join(tables)
    titles = ["\n".join(fold(shown(group[0].probe, encoding), width)) for group in groups]
    return "\n".join(f"{title}\n{table}" for title, table in zip(titles, tables, strict=True))


def match_lines(matches: Iterable[MatchRow]) -> Iterator[bytes]:
    r"""Write matches as tab-separated lines for a pipe.

    Parameters
    ----------
    matches : iterable of MatchRow
        In the order of the lines.

    Yields
    ------
    bytes
        ``distance, pdq_distance, duplicate, size, path, probe``, and the orientation before the
        path where the probe was turned; escaped as `imgdup.output.lines` says.

    Examples
    --------
    >>> match = MatchRow(b"/a.jpg", b"/b\n.jpg", 3, 12, True, 640, 480, False)
    >>> list(match_lines([match]))
    [b'3\t12\tyes\t640x480\t/b\\n.jpg\t/a.jpg\n']
    """
    for match in matches:
        yield tsv_line([*_match_cells(match)[:-1], match.path, match.probe])


def match_nulls(matches: Iterable[MatchRow]) -> Iterator[bytes]:
    r"""Write the paths of matches for ``xargs -0``: raw bytes, each ended by NUL.

    Parameters
    ----------
    matches : iterable of MatchRow
        In the order of the paths.

    Yields
    ------
    bytes
        A path and NUL.

    Examples
    --------
    >>> list(match_nulls([MatchRow(b"/a.jpg", b"/b\n.jpg", 3, 12, True, 640, 480, False)]))
    [b'/b\n.jpg\x00']
    """
    for match in matches:
        yield null_line(match.path)


def match_json(matches: Iterable[MatchRow]) -> Iterator[str]:
    r"""Write matches as JSON lines.

    Parameters
    ----------
    matches : iterable of MatchRow
        In the order of the lines.

    Yields
    ------
    str
        An object with ``probe path distance pdq_distance duplicate width height is_probe``;
        ``probe_b64`` or ``path_b64`` where that path is not valid Unicode; ``orientation`` where
        the probe was looked up in all of them.

    Examples
    --------
    >>> next(match_json([MatchRow(b"/a", b"/b", 3, 12, True, 8, 9, False)]))[:43]
    '{"probe": "/a", "path": "/b", "distance": 3'
    """
    for match in matches:
        yield json_line({k: v for k, v in match._asdict().items() if k != "orientation" or v})


def failure_json(path: bytes, reason: str, detail: str) -> str:
    r"""Write a file that gave no hash as a JSON line.

    Parameters
    ----------
    path : bytes
        The file.
    reason : str
        One of ``imgdup.images.formats.REASONS``.
    detail : str
        What was found, for people.

    Returns
    -------
    str
        An object with ``path reason detail``, and ``path_b64`` where that is needed.

    Examples
    --------
    >>> failure_json(b"/a.jpg", "truncated", "ends early")
    '{"path": "/a.jpg", "reason": "truncated", "detail": "ends early"}\n'
    """
    return json_line({"path": path, "reason": reason, "detail": detail})


def summary_line(summary: Mapping[str, float]) -> str:
    """Write the counts of an indexing run as one line for people.

    Parameters
    ----------
    summary : mapping
        ``seen hashed unchanged failed removed ignored seconds images_per_second``.

    Returns
    -------
    str
        The line, without a newline.

    Examples
    --------
    >>> summary_line(dict(seen=9146, hashed=9144, unchanged=0, failed=2, removed=0, ignored=3,
    ...                   seconds=2.14, images_per_second=4273.8))
    '9,146 seen: 9,144 hashed, 0 unchanged, 2 failed; 0 removed, 3 ignored; 2.1 s, 4,274 images/s'
    """
    seen = _counts(summary, "seen")
    parts = _counts(summary, "hashed", "unchanged", "failed")
    others = _counts(summary, "removed", "ignored")
    rate = f"{summary['seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s"
    return f"{seen}: {parts}; {others}; {rate}"


def _counts(summary: Mapping[str, float], *names: str) -> str:
    """Write counts with their names."""
    return ", ".join(f"{summary[name]:,} {name}" for name in names)


def _header(group: Sequence[MatchRow]) -> Sequence[str]:
    """Return the titles of the columns."""
    turned = ["turned"] if group[0].orientation else []
    return [*MATCH_HEADER[:-1], *turned, MATCH_HEADER[-1]]


def _match_cells(match: MatchRow) -> list[Cell]:
    """Return the fields of a match as people read them."""
    duplicate: Cell = "self" if match.is_probe else match.duplicate
    size = f"{match.width}x{match.height}"
    turned: list[Cell] = [match.orientation] if match.orientation else []
    return [match.distance, match.pdq_distance, duplicate, size, *turned, match.path]
