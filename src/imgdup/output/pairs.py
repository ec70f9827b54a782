"""Pairs of images -> what ``imgdup pairs`` prints; streamed, since there may be millions."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imgdup.output.lines import null_line, shown, tsv_line
from imgdup.output.terminal import fold, hung
from imgdup.system.jsonl import json_line

HEADER = "dist  pdq  dup  pair\n"


class Pair(NamedTuple):
    """Two images within a distance; paths are absolute."""

    a: bytes
    b: bytes
    distance: int  # bits, of the search hashes
    pdq_distance: int  # bits
    duplicate: bool


def pair_rows(pairs: Iterable[Pair], encoding: str = "utf-8", width: int = 80) -> Iterator[str]:
    """Lay out pairs for a terminal, two paths a pair, each folded to its width.

    Examples
    --------
    >>> print("".join(pair_rows([Pair(b"a.jpg", b"b.jpg", 3, 12, True)])), end="")
    dist  pdq  dup  pair
       3   12  yes  a.jpg
                    b.jpg
    """
    for i, pair in enumerate(pairs):
        duplicate = "yes" if pair.duplicate else "no"
        start = f"{pair.distance:4}  {pair.pdq_distance:3}  {duplicate:3}  "
        paths = [shown(path, encoding) for path in (pair.a, pair.b)]
        lines = [line for path in paths for line in fold(path, width - len(start))]
        yield ("" if i else HEADER) + hung(start, lines)


def pair_lines(pairs: Iterable[Pair]) -> Iterator[bytes]:
    r"""Write pairs as tab-separated lines: ``distance pdq_distance duplicate path path``.

    Examples
    --------
    >>> list(pair_lines([Pair(b"/a.jpg", b"/b.jpg", 3, 12, True)]))
    [b'3\t12\tyes\t/a.jpg\t/b.jpg\n']
    """
    for pair in pairs:
        yield tsv_line([pair.distance, pair.pdq_distance, pair.duplicate, pair.a, pair.b])


def pair_nulls(pairs: Iterable[Pair]) -> Iterator[bytes]:
    r"""Write the two paths of each pair as raw bytes, each ended by NUL.

    Examples
    --------
    >>> list(pair_nulls([Pair(b"/a.jpg", b"/b.jpg", 3, 12, True)]))
    [b'/a.jpg\x00/b.jpg\x00']
    """
    for pair in pairs:
        yield null_line(pair.a) + null_line(pair.b)


def pair_json(pairs: Iterable[Pair]) -> Iterator[str]:
    """Write pairs as JSON lines with the keys ``a b distance pdq_distance duplicate``.

    Examples
    --------
    >>> next(pair_json([Pair(b"/a.jpg", b"/b.jpg", 3, 12, True)]))[:32]
    '{"a": "/a.jpg", "b": "/b.jpg", "'
    """
    for pair in pairs:
        yield json_line(pair._asdict())
