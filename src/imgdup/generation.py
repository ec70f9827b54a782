"""One generation, the complete and immutable index file, opened.

It holds the paths, the facts of each file, the hash dictionary (distinct search hash -> rows)
and the VP-tree over the distinct hashes. It holds no clock, so equal input gives equal bytes.
`imgdup.indexing.assembly` writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup import store
from imgdup.errors import IndexFormatError
from imgdup.sources import ScanOptions
from imgdup.table import Paths, TextColumn, detail_of, fields
from imgdup.vptree import VPTree

TREE_PREFIX = "tree_"


@dataclass(frozen=True)
class Generation:
    """One opened index file; its arrays are read-only views of the map."""

    file: Path
    head: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    digest: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The hash parameters: name, bits and version of the definition."""
        return {key: self.head[key] for key in ("hash", "bits", "parameters")}

    @cached_property
    def roots(self) -> dict[bytes, ScanOptions]:
        """The roots, in path order, and what counts in each."""
        return {
            root["path"].encode("utf-8", "surrogateescape"): ScanOptions(
                tuple(root["exclude"]), bool(root["follow_symlinks"]), bool(root["hidden"])
            )
            for root in self.head["roots"]
        }

    @cached_property
    def paths(self) -> Paths:
        """The absolute path of each row."""
        relative = TextColumn(self.arrays["path_offsets"], self.arrays["path_blob"])
        return Paths(list(self.roots), self.arrays["run_rows"], self.arrays["run_roots"], relative)

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

    def detail(self, row: int) -> str:
        """Return what went wrong with the file of `row`."""
        return detail_of(self.arrays, row)

    @property
    def bits(self) -> int:
        """Length of the search hash."""
        return int(self.head["bits"])

    def __len__(self) -> int:
        """Count the rows, those of failed files included."""
        return len(self.arrays["status"])


def open_generation(file: Path) -> Generation:
    """Open an index file by memory map, in a time that does not depend on its size.

    Raises
    ------
    IndexFormatError
        If the file is not a sound index.
    """
    stored = store.load(file)
    if stored.head.get("kind") != "index":
        raise IndexFormatError(f"{file}: not an index file")
    generation = Generation(file, stored.head, stored.arrays, stored.digest)
    try:
        _check(generation)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise IndexFormatError(f"{file}: damaged or forged ({error!r}); index again") from error
    return generation


def _check(generation: Generation) -> None:
    """Check that the columns fit together, in O(1)."""
    arrays, n = generation.arrays, len(generation.arrays["status"])
    expected = fields(int(generation.head["bits"]) // 64)
    for name, (dtype, shape) in expected.items():
        if arrays[name].shape != (n, *shape) or arrays[name].dtype != np.dtype(dtype):
            raise ValueError(f"column {name} is {arrays[name].dtype} {arrays[name].shape}")
    if len(arrays["path_offsets"]) != n + 1 or len(arrays["same_file"]) != n:
        raise ValueError("columns of unequal length")
    rows, roots = arrays["run_rows"], arrays["run_roots"]
    if len(rows) != len(roots) or (n and (rows[0] != 0 or np.any(rows[1:] <= rows[:-1]))):
        raise ValueError("runs of roots that do not rise from row 0")
    if n and not 0 <= roots.min() <= roots.max() < len(generation.roots):
        raise ValueError("a root that is not listed")
    if not generation.band_skew > 0:
        raise ValueError("a skew of bands that cannot be")
    if len(generation.class_offsets) != len(generation.tree) + 1:
        raise ValueError("a dictionary that does not fit the tree")
