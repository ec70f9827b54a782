"""Look up the paths of a data set in an index."""

import functools
import os
from collections.abc import Iterable
from typing import Literal, get_args

from imgdup.errors import UsageError
from imgdup.index.generation import GenerationRows
from imgdup.system.paths import absolute, join

Unknown = Literal["raise", "keep", "drop"]
"""What to do with a path that an index does not have."""

BISECTIONS = 20  # paths of an index that a search by bisection reads, about


def rows_of_paths(
    rows: GenerationRows,
    paths: Iterable[str | bytes | os.PathLike[str]],
    *,
    unknown: Unknown = "raise",
) -> list[int | None]:
    """Return the row of each path, None for a path that the index does not have.

    Parameters
    ----------
    rows : GenerationRows
    paths : iterable of paths
        Absolute, or relative to the current folder.
    unknown : str
        With ``"raise"``, an unknown path is an error.

    Raises
    ------
    UsageError
        For an unknown path, or if `unknown` is none of these words.
    TypeError
        If `paths` is a single path.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"paths must be a list of paths, got one: {paths!r}")
    if unknown not in get_args(Unknown):
        raise UsageError(f"unknown must be one of {', '.join(get_args(Unknown))}, got {unknown!r}")
    named = [os.fsdecode(path) for path in paths]
    folder = functools.cache(absolute)
    parts = map(os.path.split, named)
    full = [join(folder(parent or os.curdir), os.fsencode(name)) for parent, name in parts]
    known = rows.generation.paths
    if len(full) * BISECTIONS < len(rows):
        found = [known.find(path) for path in full]
    else:
        numbers = {path: row for row, path in enumerate(known)}
        found = [numbers.get(path) for path in full]
    if unknown == "raise" and None in found:
        first = found.index(None)
        raise UsageError(
            f"the index does not have {found.count(None):,} of {len(found):,} paths, such as "
            f"{named[first]!r}, which is {os.fsdecode(full[first])!r}; the indexed folders are: "
            f"{', '.join(os.fsdecode(root) for root in rows.roots if root) or 'single files only'}"
        )
    return found
