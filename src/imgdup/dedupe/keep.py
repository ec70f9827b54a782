"""Keep rules and protected folders -> the order in which files would rather stay, best first."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import UsageError
from imgdup.images.formats import FORMATS, LOSSLESS_FORMATS
from imgdup.index.columns import RowNumbers, Rows, folder_of_index
from imgdup.system.paths import is_below, path_key

UNDER = "under:"
LAST = "first"  # the rule that leaves no tie
DEFAULT_RULES = ("largest", "lossless", "most-bytes", "oldest", LAST)

Key = npt.NDArray[Any]  # one entry a row; the least is the best


@dataclass(frozen=True)
class Keep:
    """Which file of a group stays; made by `parse_keep`.

    Attributes
    ----------
    rules : tuple of str
        The first rule in which two files differ decides; path order decides last.
    protect : tuple of bytes
        Folders as the index writes them. Files there are never removed, and come first.
    """

    rules: tuple[str, ...] = DEFAULT_RULES
    protect: tuple[bytes, ...] = field(default=())

    def protects(self, path: bytes) -> bool:
        """Tell whether the file of an absolute path must stay."""
        return any(is_below(path, folder) for folder in self.protect)


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
        Names from ``RULES``, or ``under:FOLDER``, separated by commas.
    protect : sequence of paths
        Folders.

    Raises
    ------
    UsageError
        For an unknown or repeated rule, for a folder that has nothing to do with the index, and
        for an ``under:`` that says the opposite of the protection.
    """
    protected = tuple(folder_of_index(rows, folder, "--protect") for folder in protect)
    names = tuple(_checked(rows, name.strip(), protected) for name in rules.split(","))
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--keep names {name!r} twice; name it once")
    return Keep(names, protected)


def _checked(rows: Rows, name: str, protected: Sequence[bytes]) -> str:
    """Check one rule and write its folder as the index does."""
    if name.startswith(UNDER):
        folder = folder_of_index(rows, name.removeprefix(UNDER), f"--keep {UNDER}")
        _check_agrees(folder, protected)
        return UNDER + os.fsdecode(folder)
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join((*RULES, f"{UNDER}FOLDER"))
        raise UsageError(f"--keep knows no rule {name!r}: {hint}the rules are {known}")
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
    """Sort rows, best first.

    The order is total and does not depend on how the rows are numbered: what the rules leave
    equal is sorted by path.

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
    keys = [_under(rows, selected, keep.protect)] if keep.protect else []
    for rule in keep.rules:
        if rule == LAST:
            break
        keys.append(_key(rows, selected, rule))
    order = np.lexsort(keys[::-1]) if keys else np.arange(len(selected))
    tied = np.ones(max(len(selected) - 1, 0), bool)
    for key in keys:
        tied &= key[order[1:]] == key[order[:-1]]
    return _by_path_where_tied(rows, selected[order], tied)


def _by_path_where_tied(rows: Rows, ordered: RowNumbers, tied: npt.NDArray[np.bool_]) -> RowNumbers:
    """Sort each run of rows by path; ``tied[i]`` says that row i + 1 is in the run of row i."""
    in_run = np.append(tied, False) | np.append(False, tied)[: len(ordered)]
    places = np.flatnonzero(in_run[: len(ordered)])
    run = np.cumsum(~np.append(False, tied))[places]
    keys = [path_key(rows.path(row)) for row in ordered[places].tolist()]
    by_path = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    by_run = by_path[np.argsort(run[by_path], kind="stable")]
    result = ordered.copy()
    result[places] = ordered[places][by_run]
    return result


def _key(rows: Rows, selected: RowNumbers, rule: str) -> Key:
    if rule.startswith(UNDER):
        return _under(rows, selected, (os.fsencode(rule.removeprefix(UNDER)),))
    return RULES[rule](rows, selected)


def _under(rows: Rows, selected: RowNumbers, folders: Sequence[bytes]) -> Key:
    """0 for the files in the folders, 1 for the others."""
    keep = Keep(protect=tuple(folders))
    return np.array([not keep.protects(rows.path(row)) for row in selected.tolist()], bool)


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
    """Nothing to add: path order is what decides last."""
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
