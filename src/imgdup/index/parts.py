"""Which files of a root an index holds: by options, and by parts that are indexed on their own.

With parts, several machines can share a root. What is divided are the entries of the root: its
folders, with all that is in them, and its files. Which part an entry belongs to depends on its name
alone. So no part has to list what is in the others, an entry that is added changes one part only,
and no order of folders plays a role.
"""

import fnmatch
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from imgdup.system.paths import SEPARATOR

DIGEST_BYTES = 8  # of a name, taken modulo the number of parts
MAX_PARTS = 10_000
NUMBER = "[1-9][0-9]{0,4}"
TEXT = re.compile(f"({NUMBER}(?:-{NUMBER})?(?:,{NUMBER}(?:-{NUMBER})?)*)/({NUMBER})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One of several parts, or some of them together.

    Examples
    --------
    >>> str(Part.parse("3/7") | Part.parse("1/7") | Part.parse("2/7"))
    '1-3/7'
    >>> [Part((number,), 2).holds(b"cats") for number in (1, 2)]
    [False, True]
    """

    numbers: tuple[int, ...] = (1,)  # from 1, ascending
    of: int = 1  # how many parts there are

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes.

        Raises ValueError if it is not of this form, or names parts that are not there.
        """
        match = TEXT.fullmatch(text)
        if match is None or int(match[2]) > MAX_PARTS:
            raise ValueError(f"{text!r} is no part; expected I/N, as in 3/7, N up to {MAX_PARTS:,}")
        n_parts = int(match[2])
        numbers: list[int] = []
        for span in match[1].split(","):
            first, _, last = span.partition("-")
            start, stop = int(first), int(last or first)
            if not (numbers[-1] if numbers else 0) < start <= stop <= n_parts:
                raise ValueError(f"{text!r}: expected ascending numbers from 1 to {n_parts}")
            numbers += range(start, stop + 1)
        found = cls(tuple(numbers), n_parts)
        return cls() if found.is_whole else found

    def __str__(self) -> str:
        """Write the numbers as spans, and how many parts there are."""
        starts = [n for n in self.numbers if n - 1 not in self._known]
        stops = [n for n in self.numbers if n + 1 not in self._known]
        spans = (f"{a}-{b}" if a < b else str(a) for a, b in zip(starts, stops, strict=True))
        return f"{','.join(spans)}/{self.of}"

    def __or__(self, other: Self) -> Self:
        """Return two parts of the same division together; all of them are the whole."""
        if self.of != other.of:
            raise ValueError(f"{self} and {other} are not of one division")
        numbers = tuple(sorted(self._known | other._known))
        return type(self)() if len(numbers) == self.of else type(self)(numbers, self.of)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return len(self.numbers) == self.of

    def holds(self, name: bytes) -> bool:
        """Return whether an entry of a root, or a file that was named itself, is in this part."""
        return self.is_whole or number_of(name, self.of) in self._known

    def holds_path(self, relative: bytes) -> bool:
        """Return whether a path is in this part, given relative to its root; the root itself is."""
        return self.is_whole or not relative or self.holds(relative.partition(b"/")[0])

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(self.numbers)


WHOLE = Part()


def number_of(name: bytes, n_parts: int) -> int:
    """Return the part, from 1, of an entry of a root; of a member, it is that of its container."""
    name = name.removesuffix(SEPARATOR[:1])
    digest = hashlib.blake2b(name, digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest, "little") % n_parts + 1


@dataclass(frozen=True)
class ScanOptions:
    """Which files of a root count."""

    # Glob patterns. One without ``/`` is matched with every name, one with it with the path
    # relative to the root; ``*`` matches ``/`` too. A ``/`` at the end has no effect.
    exclude: tuple[str, ...] = ()
    # Whether links to files and folders are followed; else they are ignored.
    follow_symlinks: bool = False
    hidden: bool = False  # whether names that begin with a dot count
    part: Part = WHOLE  # which entries of the root count
    containers: bool = False  # whether the pictures in zip, tar and Parquet files in folders count
    # Which column of Parquet files holds the pictures; empty if it is found by its type.
    column: str = ""

    def excludes(self) -> Callable[[bytes], bool]:
        """Return a function that tests whether a relative path is excluded."""
        if not self.exclude:
            return lambda _: False
        globs = [glob.rstrip("/") for glob in self.exclude]
        whole = [re.compile(fnmatch.translate(glob)) for glob in globs if "/" in glob]
        names = [re.compile(fnmatch.translate(glob)) for glob in globs if "/" not in glob]

        def excluded(relative: bytes) -> bool:
            text = os.fsdecode(relative)
            name = text.rpartition("/")[2]
            return any(p.match(text) for p in whole) or any(p.match(name) for p in names)

        return excluded


def scan_options_of(root: Mapping[str, Any]) -> ScanOptions:
    """Read the options that an index stores with a root; raise ValueError if it is damaged."""
    containers, column = root.get("containers", 0), root.get("column", "")
    exclude, flags = root["exclude"], (root["follow_symlinks"], root["hidden"], containers)
    texts = type(exclude) is list and all(type(glob) is str for glob in exclude)
    if "\0" in root["path"] or not texts or not all(flag in (0, 1) for flag in flags):
        raise ValueError("an impossible root")
    if type(column) is not str:
        raise ValueError("an impossible column")
    part = Part.parse(root.get("part", str(WHOLE)))
    follow_symlinks, hidden, containers = map(bool, flags)
    return ScanOptions(tuple(exclude), follow_symlinks, hidden, part, containers, column)
