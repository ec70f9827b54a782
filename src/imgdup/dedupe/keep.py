"""Sort files by the rules that decide which to keep, best first; protect folders."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.images.formats import FORMATS, LOSSLESS_FORMATS
from imgdup.index.columns import RowNumbers, Rows, folder_of_index
from imgdup.system.paths import is_below, path_key

UNDER = "under:"
LAST = "first"  # the rule that leaves no tie: path order
DEFAULT_RULES = ("largest", "lossless", "most-bytes", "oldest", LAST)

Key = npt.NDArray[Any]  # one entry per row; the least is the best


@dataclass(frozen=True)
class Keep:
    """Which file of a group is kept; made by `parse_keep`.

    Attributes
    ----------
    rules : tuple of str
        The first rule in which two files differ decides; path order decides last.
    protect : tuple of bytes
        Folders, as in the index. Their files are never removed, and are sorted first.
    """

    rules: tuple[str, ...] = DEFAULT_RULES
    protect: tuple[bytes, ...] = ()


def parse_keep(
    rows: Rows,
    rules: str = ",".join(DEFAULT_RULES),
    protect: Sequence[str | bytes | os.PathLike[str]] = (),
) -> Keep:
    """Read keep rules and protected folders as the user writes them.

    Parameters
    ----------
    rows : Rows
        The index that they are for.
    rules : str
        Keys of ``RULES``, or ``under:FOLDER``, separated by commas.
    protect : sequence of paths
        Folders.

    Raises
    ------
    UsageError
        For an unknown or repeated rule, for a folder without a file of the index, and for an
        ``under:`` that contradicts the protected folders.
    """
    protected = tuple(folder_of_index(rows, folder, "--protect") for folder in protect)
    names = tuple(_checked(rows, name.strip(), protected) for name in rules.split(","))
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--keep names {name!r} twice; name it once")
    return Keep(names, protected)


def _checked(rows: Rows, name: str, protected: Sequence[bytes]) -> str:
    """Check one rule; write its folder as the index does."""
    if name.startswith(UNDER):
        folder = folder_of_index(rows, name.removeprefix(UNDER), f"--keep {UNDER}")
        _check_agrees(folder, protected)
        return UNDER + os.fsdecode(folder)
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join((*RULES, f"{UNDER}FOLDER"))
        raise UsageError(f"--keep has no rule {name!r}: {hint}the rules are {known}")
    return name


def _check_agrees(folder: bytes, protected: Sequence[bytes]) -> None:
    if protected and not any(is_below(folder, p) or is_below(p, folder) for p in protected):
        name = os.fsdecode(folder)
        others = ", ".join(os.fsdecode(p) for p in protected)
        raise UsageError(
            f"--keep {UNDER}{name} contradicts --protect {others}, whose files always win: "
            f"add --protect {name}, or leave one of the two out"
        )


def keep_order(rows: Rows, selected: RowNumbers, keep: Keep) -> RowNumbers:
    """Sort rows, best first; rows that are equal by all rules are sorted by path.

    The order does not depend on the numbering of the rows, which is not path order where a root
    was renamed since it was indexed.

    Parameters
    ----------
    rows : Rows
    selected : ndarray of int64
        The rows to sort.
    keep : Keep

    Returns
    -------
    ndarray of int64, shape of `selected`
        The same rows, sorted.
    """
    keys: list[Key] = [~lie_in(rows, selected, keep.protect)]
    for rule in keep.rules:
        if rule == LAST:
            break
        keys.append(_key(rows, selected, rule))
    order = np.lexsort(keys[::-1])
    tied = np.ones(max(len(selected) - 1, 0), bool)
    for key in keys:
        tied &= key[order[1:]] == key[order[:-1]]
    return _by_path_where_tied(rows, selected[order], tied)


def _by_path_where_tied(rows: Rows, ordered: RowNumbers, tied: npt.NDArray[np.bool_]) -> RowNumbers:
    """Sort runs of tied rows by path; ``tied[i]`` means that row i + 1 ties with row i."""
    in_run = np.append(tied, False) | np.append(False, tied)[: len(ordered)]
    places = np.flatnonzero(in_run[: len(ordered)])
    run = np.cumsum(~np.append(False, tied))[places]
    keys = [path_key(rows.path(row)) for row in ordered[places].tolist()]
    by_path = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    by_run = by_path[np.argsort(run[by_path], kind="stable")]
    result = ordered.copy()
    result[places] = ordered[places][by_run]
    return result


def lie_in(rows: Rows, selected: RowNumbers, folders: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Return a mask of the selected rows that are in one of some folders, without a path read."""
    inside = np.zeros(len(rows), bool)
    for folder in folders:
        inside[rows.rows_below(folder)] = True
    return np.asarray(inside[selected])


def _key(rows: Rows, selected: RowNumbers, rule: str) -> Key:
    if rule.startswith(UNDER):
        return ~lie_in(rows, selected, (os.fsencode(rule.removeprefix(UNDER)),))
    return RULES[rule](rows, selected)


def _pixels(rows: Rows, selected: RowNumbers) -> Key:
    width, height = (rows.column(name)[selected] for name in ("width", "height"))
    return width.astype(np.uint64) * height.astype(np.uint64)


def _largest(rows: Rows, selected: RowNumbers) -> Key:
    return ~_pixels(rows, selected)


def _most_bytes(rows: Rows, selected: RowNumbers) -> Key:
    return ~rows.column("size")[selected]


def _oldest(rows: Rows, selected: RowNumbers) -> Key:
    return rows.column("mtime_ns")[selected]


def _newest(rows: Rows, selected: RowNumbers) -> Key:
    return ~rows.column("mtime_ns")[selected]


def _lossless(rows: Rows, selected: RowNumbers) -> Key:
    lossy = np.array([name not in LOSSLESS_FORMATS for name in FORMATS])
    return np.asarray(lossy[np.minimum(rows.column("format")[selected], len(FORMATS) - 1)])


def _shortest_path(rows: Rows, selected: RowNumbers) -> Key:
    return np.array([len(rows.path(row)) for row in selected.tolist()], np.int64)


def _first(rows: Rows, selected: RowNumbers) -> Key:
    """Return equal keys: path order decides last anyway."""
    return np.zeros(len(selected), bool)


RULES: Mapping[str, Callable[[Rows, RowNumbers], Key]] = {
    "largest": _largest,
    "smallest": _pixels,
    "most-bytes": _most_bytes,
    "oldest": _oldest,
    "newest": _newest,
    "lossless": _lossless,
    "shortest-path": _shortest_path,
    LAST: _first,
}
