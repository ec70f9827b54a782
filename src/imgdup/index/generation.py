"""One generation, the complete and immutable index file, opened.

It holds paths, the facts of each file, the rows of each distinct search hash and the VP-tree over
these hashes. It holds no clock, so equal input gives equal bytes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.hashing import HASHERS, PARAMETERS_VERSION
from imgdup.images.formats import OK, reason_of
from imgdup.index import store
from imgdup.index.columns import (
    FIELDS,
    IDENTITY,
    IDENTITY_FORM,
    LOCATOR,
    LOCATOR_FORM,
    PDQ,
    TRIMMED,
    TRIMMED_ROWS,
    TextColumn,
    failure_detail,
    fields,
)
from imgdup.index.parts import ScanOptions, scan_options_of
from imgdup.index.paths import Paths, resolved_root
from imgdup.search import RepeatedScan
from imgdup.search.vptree import VPTree
from imgdup.system.files import DIGEST_KINDS, FIRST_DIGEST_KIND
from imgdup.system.paths import absolute, is_remote

TREE_PREFIX = "tree_"
INDEX, PACK = "index", "pack"  # the kinds of files: of an index folder, and to share
INSIDE = b"!"  # after the path of a pack: the root of its rows
PACK_NAMES = ("relative", "absolute", "none")  # of the rows of a pack

# The columns beside those of `imgdup.index.columns.fields` and of the tree.
# Lengths that must agree with others are checked in `_check_lengths`.
STRUCTURE: Mapping[str, str] = {
    "run_rows": "<i8",
    "run_roots": "<i8",
    "path_offsets": "<u8",
    "path_blob": "|u1",
    "same_file": "<i8",
    "failed_rows": "<i8",
    "detail_offsets": "<u8",
    "detail_blob": "|u1",
    "class_offsets": "<i8",
    "class_rows": "<i8",
}


@dataclass(frozen=True)
class Generation:
    """One opened index file; its arrays are read-only views of the map."""

    file: Path
    head: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    digest: str
    version: int
    spans: Mapping[str, tuple[npt.NDArray[np.uint8], int]]

    @property
    def parameters(self) -> dict[str, Any]:
        """The hash parameters: name, bits and version of the definition; the kind of digests."""
        named = {key: self.head[key] for key in ("hash", "bits", "parameters")}
        return {**named, "digest_kind": self.digest_kind}

    @property
    def digest_kind(self) -> str:
        """How the contents of the files were digested, a key of `DIGEST_KINDS`."""
        return str(self.head.get("digest_kind", FIRST_DIGEST_KIND))

    @property
    def probe_parameters(self) -> dict[str, Any]:
        """The same, to hash other pictures by; an `ImgdupError` if this program cannot."""
        if self.head["parameters"] != PARAMETERS_VERSION:
            raise ImgdupError(
                f"{self.file} holds hashes of version {self.head['parameters']}, this imgdup makes "
                f"version {PARAMETERS_VERSION}: index again with another --index FOLDER, or use "
                "the imgdup that wrote it"
            )
        extra = {"with_pdq": int(self.has_pdq), "with_trimmed": int(self.has_trimmed)}
        return {**self.parameters, **extra}

    @property
    def is_pack(self) -> bool:
        """Whether this is a hash pack, which has no pictures."""
        return bool(self.head.get("kind") == PACK)

    @property
    def has_match(self) -> bool:
        """Whether there are match hashes; indexes of format version 1 have PDQ hashes instead."""
        return "match" in self.arrays

    @property
    def has_pdq(self) -> bool:
        """Whether there are PDQ hashes."""
        return PDQ in self.arrays

    @property
    def has_trimmed(self) -> bool:
        """Whether flat borders were looked for: those of older indexes were not."""
        return TRIMMED_ROWS in self.arrays

    def require_match(self) -> None:
        """Raise ImgdupError if there are no match hashes."""
        if not self.has_match:
            raise ImgdupError(
                f"{self.file} is of format version {self.version}, which has no match hashes: "
                "run imgdup index to bring it up to date"
            )

    def require_pdq(self) -> None:
        """Raise ImgdupError if there are no PDQ hashes."""
        if not self.has_pdq:
            raise ImgdupError(
                f"{self.file} has no PDQ hashes: run imgdup index --with pdq to add them"
            )

    def check_arrays(self) -> None:
        """Compare every array with its checksum, once; an IndexFormatError names a damaged one."""
        _ = self._are_checked

    @cached_property
    def _are_checked(self) -> bool:
        store.check_arrays(self.file, self.spans)
        return True

    def check_before_decision(self) -> None:
        """Call `require_match` and `check_arrays`: a decision rests on both."""
        self.require_match()
        self.check_arrays()

    @cached_property
    def roots(self) -> dict[bytes, ScanOptions]:
        """The roots, absolute, and what counts in each; in path order when they were stored."""
        options = [scan_options_of(root) for root in self.head["roots"]]
        if self.is_pack and self.head["names"] != "absolute":
            return {absolute(self.file) + INSIDE: options[0]}
        folder = absolute(self.file.parent)
        roots = [resolved_root(stored, folder) for stored in self.stored_roots]
        return dict(zip(roots, options, strict=True))

    @cached_property
    def stored_roots(self) -> list[bytes]:
        """The roots as they are stored: relative to the index folder where it is in them."""
        return [root["path"].encode("utf-8", "surrogateescape") for root in self.head["roots"]]

    def missing_roots(self) -> list[bytes]:
        """Return the roots that are not there now: renamed, deleted or not mounted."""
        if self.is_pack:
            return []
        return [
            root for root in self.roots if root and not is_remote(root) and not os.path.isdir(root)
        ]

    @cached_property
    def paths(self) -> Paths:
        """The absolute path of each row."""
        relative = TextColumn(self.arrays["path_offsets"], self.arrays["path_blob"])
        return Paths(list(self.roots), self.arrays["run_rows"], self.arrays["run_roots"], relative)

    @cached_property
    def scans(self) -> Mapping[str, RepeatedScan]:
        """The hashes that have no tree, for look-ups that compare each: ``"match"``, ``"pdq"``."""
        return {n: RepeatedScan(self.arrays[n]) for n in ("match", PDQ) if n in self.arrays}

    @cached_property
    def tree(self) -> VPTree:
        """The VP-tree over the distinct search hashes; index i is class i of `classes`."""
        names = [name for name in self.arrays if name.startswith(TREE_PREFIX)]
        return VPTree.from_arrays({n.removeprefix(TREE_PREFIX): self.arrays[n] for n in names})

    @property
    def band_skew(self) -> float:
        """How many times more comparisons bands need on its search hashes than on uniform ones."""
        return int(self.head["band_skew_thousandths"]) / 1000

    @property
    def class_offsets(self) -> npt.NDArray[np.int64]:
        """Where the rows of each distinct search hash begin in `class_rows`."""
        return self.arrays["class_offsets"]

    @property
    def class_rows(self) -> npt.NDArray[np.int64]:
        """The rows of each distinct search hash, ascending in each class."""
        return self.arrays["class_rows"]

    def checked_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return row numbers that the file holds; raise IndexFormatError if one is forged."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexFormatError(f"{self.file}: forged row numbers; index again")
        return rows

    def detail(self, row: int) -> str:
        """Return what went wrong with the file of `row`."""
        return failure_detail(self.arrays, row)

    @property
    def bits(self) -> int:
        """Length of the search hash."""
        return int(self.head["bits"])

    def __len__(self) -> int:
        """Count the rows, those of failed files included."""
        return len(self.arrays["status"])


class GenerationRows:
    """A generation as a table: `imgdup.index.columns.Rows`."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    @property
    def roots(self) -> list[bytes]:
        """The indexed folders, absolute; ``b""`` is the root of files named one by one."""
        return list(self.generation.roots)

    @property
    def digest(self) -> str:
        """The digest of the generation, in hex."""
        return self.generation.digest

    @property
    def digest_kind(self) -> str:
        """How the contents of the files were digested, a key of `DIGEST_KINDS`."""
        return self.generation.digest_kind

    def __len__(self) -> int:
        """Count the rows, failed files included."""
        return len(self.generation)

    def path(self, row: int) -> bytes:
        """Return the absolute path of a row, with ``/`` between parts."""
        return self.generation.paths[row]

    def rows_below(self, folder: bytes) -> npt.NDArray[np.int64]:
        """Return the rows that are an absolute folder or are in it, ascending, by bisection."""
        return self.generation.paths.rows_below(folder)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of `imgdup.index.columns`, read-only; see `Rows.column`."""
        return self.generation.arrays[name]


def open_generation(file: Path, kind: str = INDEX) -> Generation:
    """Open an index file, or a hash pack, by memory map; its size does not matter.

    Raises IndexFormatError if the file is not valid, or of another kind.
    """
    stored = store.load(file)
    if stored.head.get("kind") != kind:
        expected = "an index file" if kind == INDEX else "a hash pack; name the index by its folder"
        raise IndexFormatError(f"{file}: not {expected}")
    generation = Generation(file, *stored)
    try:
        _check(generation)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        remedy = "index again" if kind == INDEX else "export it again"
        raise IndexFormatError(f"{file}: damaged or forged ({error!r}); {remedy}") from error
    return generation


def describe(generation: Generation) -> dict[str, Any]:
    """Return counts and parameters, by the keys of ``imgdup info --json``."""
    status = generation.arrays["status"]
    reasons, counts = np.unique(status[status != OK], return_counts=True)
    failed = {reason_of(r): n for r, n in zip(reasons.tolist(), counts.tolist(), strict=True)}
    return {
        "images": int((status == OK).sum()),
        "distinct_hashes": len(generation.tree),
        **generation.parameters,
        "format": generation.version,
        "with_pdq": generation.has_pdq,
        "with_trimmed": generation.has_trimmed,
        "roots": [os.fsdecode(root) for root in generation.roots if root],
        **_parts(generation),
        **({"pack": generation.head["names"]} if generation.is_pack else {}),
        "failed": failed,
    }


def _parts(generation: Generation) -> dict[str, list[str]]:
    """Return which part of each root is indexed; nothing if all are indexed as a whole."""
    parts = [options.part for root, options in generation.roots.items() if root]
    return {} if all(part.is_whole for part in parts) else {"parts": list(map(str, parts))}


def _check(generation: Generation) -> None:
    """Check that head and columns fit together, in O(1)."""
    head, arrays = generation.head, generation.arrays
    if type(head["bits"]) is not int or head["bits"] not in HASHERS[head["hash"]].widths:
        raise ValueError(f"no hash {head['hash']} of {head['bits']} bits")
    if type(head["parameters"]) is not int or not generation.band_skew > 0:
        raise ValueError("impossible numbers")
    if head.get("digest_kind", FIRST_DIGEST_KIND) not in DIGEST_KINDS:
        raise ValueError(f"digests of the unknown kind {head['digest_kind']!r}")
    is_named = head.get("names") in PACK_NAMES and type(head.get("digests")) is int
    if generation.is_pack and not (is_named and len(head["roots"]) == len(generation.roots)):
        raise ValueError("a pack without names or roots")
    n = len(arrays["status"])
    forms = fields(head["bits"] // 64, with_pdq=generation.has_pdq)
    if generation.version == 1:
        del forms["match"]
    for name, (dtype, shape) in forms.items():
        _check_form(arrays[name], name, dtype, (n, *shape))
    for name, (dtype, shape) in ((IDENTITY, IDENTITY_FORM), (LOCATOR, LOCATOR_FORM)):
        if name in arrays:
            _check_form(arrays[name], name, dtype, (n, *shape))
    if generation.has_trimmed:
        n_trimmed, (dtype, shape) = len(arrays[TRIMMED_ROWS]), FIELDS["match"]
        _check_form(arrays[TRIMMED_ROWS], TRIMMED_ROWS, "<i8", (n_trimmed,))
        _check_form(arrays[TRIMMED], TRIMMED, dtype, (n_trimmed, *shape))
    for name, dtype in STRUCTURE.items():
        _check_form(arrays[name], name, dtype, (len(arrays[name]),))
    _check_lengths(generation, n)


def _check_form(array: npt.NDArray[Any], name: str, dtype: str, shape: tuple[int, ...]) -> None:
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise ValueError(f"column {name} is {array.dtype} {array.shape}")


def _check_lengths(generation: Generation, n: int) -> None:
    arrays, tree = generation.arrays, generation.tree
    if len(arrays["path_offsets"]) != n + 1 or len(arrays["same_file"]) != n:
        raise ValueError("columns of unequal length")
    n_failed = len(arrays["failed_rows"])
    if len(arrays["detail_offsets"]) != n_failed + 1:
        raise ValueError("failures that do not match their details")
    rows, roots = arrays["run_rows"], arrays["run_roots"]
    if len(rows) != len(roots) or (len(rows) > 0) != (n > 0):
        raise ValueError("runs of roots that do not fit the rows")
    if n and (rows[0] != 0 or rows[-1] >= n or np.any(rows[1:] <= rows[:-1])):
        raise ValueError("runs of roots that do not ascend from row 0")
    if n and not 0 <= roots.min() <= roots.max() < len(generation.roots):
        raise ValueError("an unlisted root")
    if len(generation.class_offsets) != len(tree) + 1:
        raise ValueError("a dictionary that does not fit the tree")
    if tree.hashes.shape[1] * 64 != generation.bits:
        raise ValueError("a tree of other hashes")
    # A vantage point is visited as such, and once more in its leaf: somewhat over 1 can be.
    if not np.all((tree.visited_fractions >= 0) & (tree.visited_fractions <= 2)):
        raise ValueError("a tree with impossible visited fractions")
