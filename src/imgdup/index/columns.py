"""The table of an index, one row per path in path order: its columns and functions over them."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imgdup.containers import Locator
from imgdup.errors import IndexFormatError, UsageError
from imgdup.images.formats import OK
from imgdup.system.files import DIGEST_BYTES, FIRST_DIGEST_KIND
from imgdup.system.paths import absolute, inside, join

RowNumbers = npt.NDArray[np.int64]

MATCH_WORDS = 4
BLOCK_TEXTS = 1 << 16  # whose offsets are turned into Python numbers at a time

# The facts of a file: dtype on disk and shape of one row. The column ``hashes``, as wide as the
# search hash, is added to these.
FIELDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "size": ("<i8", ()),
    "mtime_ns": ("<i8", ()),
    "width": ("<u4", ()),
    "height": ("<u4", ()),
    "format": ("|u1", ()),
    "quality": ("|u1", ()),
    "status": ("|u1", ()),
    "digest": ("|u1", (DIGEST_BYTES,)),
    "match": ("<u8", (MATCH_WORDS,)),
}

PDQ = "pdq"  # the column of PDQ hashes, which an index has if it was requested

# The match hashes of what flat borders enclose. While an index is built, this is a column that is 0
# where there is none; a finished index has those that there are, and their rows. Indexes that were
# written before these were introduced do not have them.
TRIMMED = "trimmed"
TRIMMED_ROWS = "trimmed_rows"

# Device and inode of each file as it was scanned; zeros where they are unknown. Indexes
# that were written before this column was introduced do not have it.
IDENTITY = "identity"
IDENTITY_FORM: tuple[str, tuple[int, ...]] = ("<u8", (2,))

# Where each member of a container lies, as `imgdup.containers.Locator`; zeros for files.
# Only indexes of containers have this column.
LOCATOR = "locator"
LOCATOR_FORM: tuple[str, tuple[int, ...]] = ("<i8", (len(Locator._fields),))


def fields(
    words: int, *, with_pdq: bool = False, with_trimmed: bool = False, with_members: bool = False
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and row shape of each column of a table whose search hash has `words`."""
    pdq = {PDQ: FIELDS["match"]} if with_pdq else {}
    trimmed = {TRIMMED: FIELDS["match"]} if with_trimmed else {}
    members = {LOCATOR: LOCATOR_FORM} if with_members else {}
    return {**FIELDS, "hashes": ("<u8", (words,)), **pdq, **trimmed, **members}


def empty_columns(
    n: int, words: int, *, with_pdq: bool = False, with_trimmed: bool = False
) -> dict[str, npt.NDArray[Any]]:
    """Return a zeroed column of `n` rows for each field."""
    forms = fields(words, with_pdq=with_pdq, with_trimmed=with_trimmed)
    return {name: np.zeros((n, *shape), dtype) for name, (dtype, shape) in forms.items()}


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Byte strings as one blob: string i is ``blob[offsets[i]:offsets[i + 1]]``."""

    offsets: npt.NDArray[np.uint64]
    blob: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> bytes:
        """Return string `i`; a forged offset outside the blob gives an empty string."""
        return self.blob[int(self.offsets[i]) : int(self.offsets[i + 1])].tobytes()

    def between(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the strings from `start` up to `stop`, faster than one by one."""
        blob = self.blob.data
        for block in range(start, stop, BLOCK_TEXTS):
            offsets = self.offsets[block : min(block + BLOCK_TEXTS, stop) + 1].tolist()
            for begin, end in pairwise(offsets):
                yield bytes(blob[begin:end])


class TextBuilder:
    """A growing `TextColumn`, 8 bytes a string beside its text."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._offsets = array("Q", [0])

    def append(self, text: bytes) -> None:
        """Add one string at the end."""
        self._blob += text
        self._offsets.append(len(self._blob))

    def column(self) -> TextColumn:
        """Return what was added, without copying it."""
        return TextColumn(
            np.frombuffer(self._offsets, np.uint64), np.frombuffer(self._blob, np.uint8)
        )


def failure_arrays(details: Mapping[int, str]) -> dict[str, npt.NDArray[Any]]:
    """Return what went wrong, by row, as three arrays, rows ascending."""
    texts, rows = TextBuilder(), sorted(details)
    for row in rows:
        texts.append(details[row].encode("utf-8", "surrogateescape"))
    column = texts.column()
    return {
        "failed_rows": np.array(rows, np.int64),
        "detail_offsets": column.offsets,
        "detail_blob": column.blob,
    }


def failure_detail(arrays: Mapping[str, npt.NDArray[Any]], row: int) -> str:
    """Return what went wrong with the file of a row; empty where nothing is stored."""
    rows = arrays["failed_rows"]
    i = int(np.searchsorted(rows, row))
    if i == len(rows) or rows[i] != row:
        return ""
    texts = TextColumn(arrays["detail_offsets"], arrays["detail_blob"])
    return texts[i].decode("utf-8", "surrogateescape")


class Rows(Protocol):
    """One generation of an index, seen as rows in path order.

    The columns are those of `fields` and ``same_file``: the first row that
    names the same file, or -1 where it is the first itself.
    """

    @property
    def roots(self) -> Sequence[bytes]:
        """Absolute folders; ``b""`` is the root of files that were named one by one."""

    @property
    def digest(self) -> str:
        """The digest of this generation, in hex."""

    @property
    def digest_kind(self) -> str:
        """How the contents of the files were digested, a key of `DIGEST_KINDS`."""

    def __len__(self) -> int:
        """Count the rows, failed files included."""

    def path(self, row: int) -> bytes:
        """Return the absolute path of a row."""

    def rows_below(self, folder: bytes) -> RowNumbers:
        """Return the rows that are a folder or are in it, ascending, by bisection."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, one entry a row; ``TRIMMED_ROWS`` and ``TRIMMED`` have fewer."""


def images(rows: Rows, folders: Sequence[bytes] = ()) -> RowNumbers:
    """Return the rows that have a hash, ascending: of the whole index, or of folders or files."""
    good: RowNumbers = np.flatnonzero(rows.column("status") == OK)
    if not folders:
        return good
    inside = np.zeros(len(rows), bool)
    for folder in folders:
        inside[rows.rows_below(folder)] = True
    return good[inside[good]]


def check_apart(a: Rows, images_a: RowNumbers, b: Rows, images_b: RowNumbers) -> None:
    """Raise UsageError if two selections of images have some in common, or cannot be compared.

    They are of one index or of two.
    """
    check_digest_kinds(a, b)
    if a.digest == b.digest and len(np.intersect1d(images_a, images_b)):
        raise UsageError("the two sets have files in common: name folders that do not overlap")


def check_digest_kinds(a: Rows, b: Rows) -> None:
    """Raise UsageError if two indexes digest files differently: equal bytes would not be found."""
    if a.digest_kind != b.digest_kind:
        raise UsageError(
            f"one index has {a.digest_kind} digests of its files, the other {b.digest_kind}, so "
            "files of equal bytes cannot be found: run imgdup index --rehash on the index that "
            f"has {FIRST_DIGEST_KIND}"
        )


def byte_keys(rows: Rows, selected: RowNumbers) -> npt.NDArray[np.uint64]:
    """Return size and content digest as words, shape (n, 3)."""
    digest = np.ascontiguousarray(rows.column("digest")[selected]).view(np.uint64)
    size = rows.column("size")[selected].astype(np.int64).view(np.uint64)
    return np.column_stack([digest, size])


def same_file(rows: Rows) -> RowNumbers:
    """Return for each row the first row of its file, or -1 where it is the first itself.

    Raises IndexFormatError if the index, which may be forged, names rows that it does not have.
    """
    first: RowNumbers = rows.column("same_file")
    if len(first) and not -1 <= first.min() <= first.max() < len(rows):
        raise IndexFormatError("the index refers to missing rows; index again")
    return first


def file_numbers(rows: Rows) -> RowNumbers:
    """Return for each row the first row of the file that it names."""
    first = same_file(rows)
    numbers: RowNumbers = np.where(first < 0, np.arange(len(rows)), first)
    return numbers


def identities(rows: Rows) -> npt.NDArray[np.uint64]:
    """Return device and inode of the file of each row; zeros where they are not known."""
    try:
        found: npt.NDArray[np.uint64] = rows.column(IDENTITY)
    except KeyError:  # an older index
        return np.zeros((len(rows), 2), np.uint64)
    return found


def has_trimmed(rows: Rows) -> bool:
    """Return whether flat borders were looked for when the index was built."""
    try:
        rows.column(TRIMMED_ROWS)
    except KeyError:  # an older index
        return False
    return True


def trimmed_hashes(rows: Rows, selected: RowNumbers) -> npt.NDArray[np.uint64]:
    """Return the match hashes of what flat borders enclose, shape (n, 4); 0 where there is none."""
    if not has_trimmed(rows):
        return np.zeros((len(selected), MATCH_WORDS), np.uint64)
    return expanded(rows.column(TRIMMED_ROWS), rows.column(TRIMMED), selected)


def expanded(
    numbers: RowNumbers, values: npt.NDArray[np.uint64], selected: RowNumbers
) -> npt.NDArray[np.uint64]:
    """Return the values of selected rows, 0 of rows that are not among the ascending numbers."""
    found = np.zeros((len(selected), *values.shape[1:]), values.dtype)
    if len(numbers):
        places = np.minimum(np.searchsorted(numbers, selected), len(numbers) - 1)
        has_value = numbers[places] == selected
        found[has_value] = values[places[has_value]]
    return found


def one_file_test(a: Rows, b: Rows) -> Callable[[RowNumbers, RowNumbers], npt.NDArray[np.bool_]]:
    """Return a function from rows of `a` and rows of `b` to a mask of the pairs that are one file.

    In one index the column ``same_file`` decides. In two, one file has the same bytes and the same
    path, or the same bytes, device and inode; UsageError if their digests are of different kinds.
    """
    if a.digest == b.digest:
        numbers = file_numbers(a)
        return lambda left, right: np.asarray(numbers[left] == numbers[right])
    check_digest_kinds(a, b)
    ids_a, ids_b = identities(a), identities(b)

    def in_two_indexes(left: RowNumbers, right: RowNumbers) -> npt.NDArray[np.bool_]:
        same = (byte_keys(a, left) == byte_keys(b, right)).all(axis=1)
        for i in np.flatnonzero(same).tolist():
            row_a, row_b = int(left[i]), int(right[i])
            is_one = bool(ids_a[row_a].any()) and np.array_equal(ids_a[row_a], ids_b[row_b])
            same[i] = is_one or a.path(row_a) == b.path(row_b)
        return np.asarray(same)

    return in_two_indexes


def locator_of(rows: Rows, row: int) -> Locator | None:
    """Return where the picture of a row lies in its container; None for a file of its own."""
    try:
        found = rows.column(LOCATOR)[row].tolist()
    except KeyError:  # an index of files alone
        return None
    return Locator(*found) if any(found) else None


def has_other_names(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return for each row whether its file has other names (hard links) in the index."""
    first = same_file(rows)
    linked = np.array(first >= 0)
    linked[first[linked]] = True
    return linked


def listed_paths(rows: Rows, selected: RowNumbers) -> Iterator[bytes]:
    """Yield paths for a list: relative to the root where there is one, else absolute."""
    roots = rows.roots
    skip = len(join(roots[0], b"")) if len(roots) == 1 else 0
    for row in selected.tolist():
        yield rows.path(row)[skip:]


def folder_of_index(rows: Rows, folder: str | bytes | os.PathLike[str], option: str) -> bytes:
    """Return a folder that the user named as the index writes it: absolute, links resolved.

    Raises UsageError if it is no root and no row is in it: a mistyped one would have no effect,
    which the user would believe it had. The message names the option.
    """
    path = absolute(folder)
    if path in rows.roots or len(rows.rows_below(path)):
        return path
    if len(rows.rows_below(inside(path))):
        return inside(path)  # the members of a container
    known = ", ".join(os.fsdecode(root) for root in rows.roots if root) or "single files only"
    raise UsageError(
        f"{option} {os.fsdecode(folder)} has no indexed file; the indexed folders are: {known}"
    )
