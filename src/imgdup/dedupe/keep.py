"""Sort files by the rules that decide which to keep, best first; protect folders."""

import difflib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.decisions import NOTHING, Decided
from imgdup.errors import UsageError
from imgdup.images.facts import COLOURS, ImageFacts
from imgdup.images.formats import FORMATS, LOSSLESS_FORMATS
from imgdup.index.columns import RowNumbers, Rows, folder_of_index
from imgdup.system.paths import is_below, path_key

UNDER = "under:"
DECISION, PROTECTED = "decision", "protect"  # decide before all rules, in this order
LAST = "first"  # the rule that leaves no tie: path order
DEFAULT_RULES = (
    "colour",
    "not-upscaled",
    "metadata",
    "quality",
    "largest",
    "oldest",
    "shortest-path",
    LAST,
)

GOOD_QUALITY = 75  # from which on pixels often do not show whether they were compressed as JPEG
TRACE_ERROR = 3  # of the estimated quality of a JPEG file that was saved again without loss

# Measured on 600 photos and copies of them. Few soft photos show as little detail as enlarged ones,
# and which of the two a picture is cannot be known: such photos lose only to copies of about half
# their size or more.
SHARP = 0.77  # at least the detail of 98 % of photos, and of 1 % of those enlarged twice, ...
SHARP_OF_POOR = 0.85  # ... where compression or levels that were cut off add false detail
SOFT_WORTH = 0.2  # of a pixel that may be enlarged twice: less than a quarter
ENLARGED = 0.485  # pictures enlarged three times show less detail than this
ENLARGED_WORTH = 1 / 3  # of the pixels that show detail, since their number is an estimate


Key = npt.NDArray[Any]  # one entry per row; the least is the best
Facts = Sequence[ImageFacts | None]  # one per row; None of a file that cannot be read
FactsOf = Callable[[RowNumbers], Facts]


@dataclass(frozen=True)
class Keep:
    """Which file of a group is kept; made by `parse_keep`."""

    # The first rule in which two files differ decides; path order decides last.
    rules: tuple[str, ...] = DEFAULT_RULES
    # Folders, as in the index. Their files are never removed, and are sorted first.
    protect: tuple[bytes, ...] = ()
    decided: Decided = NOTHING  # what people decided about single files and pairs


def parse_keep(
    rows: Rows,
    rules: str = ",".join(DEFAULT_RULES),
    protect: Sequence[str | bytes | os.PathLike[str]] = (),
) -> Keep:
    """Read keep rules and protected folders as the user writes them, for an index.

    The rules are keys of ``RULES``, or ``under:FOLDER``, separated by commas. Raises UsageError for
    an unknown or repeated rule, for a folder without a file of the index, and for an ``under:``
    that contradicts the protected folders.
    """
    protected = tuple(folder_of_index(rows, folder, "protected folder") for folder in protect)
    names = tuple(_checked(rows, name.strip(), protected) for name in rules.split(","))
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the keep rule {name!r} is named twice; name it once")
    return Keep(names, protected)


def _checked(rows: Rows, name: str, protected: Sequence[bytes]) -> str:
    """Check one rule; write its folder as the index does."""
    if name.startswith(UNDER):
        folder = folder_of_index(rows, name.removeprefix(UNDER), f"keep rule {UNDER}")
        _check_agrees(folder, protected)
        return UNDER + os.fsdecode(folder)
    known_rules = (*RULES, *FACT_RULES)
    if name not in known_rules:
        near = difflib.get_close_matches(name, known_rules, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join((*known_rules, f"{UNDER}FOLDER"))
        raise UsageError(f"there is no keep rule {name!r}: {hint}the rules are {known}")
    return name


def _check_agrees(folder: bytes, protected: Sequence[bytes]) -> None:
    if protected and not any(is_below(folder, p) or is_below(p, folder) for p in protected):
        name = os.fsdecode(folder)
        others = ", ".join(os.fsdecode(p) for p in protected)
        raise UsageError(
            f"the keep rule {UNDER}{name} contradicts the protected folder {others}, whose files "
            f"always win: protect {name}, too, or leave one of the two out"
        )


def unknown_facts(selected: RowNumbers) -> Facts:
    """Describe rows without reading their files."""
    return [None] * len(selected)


def needs_facts(keep: Keep) -> bool:
    """Return whether files have to be described for the rules."""
    return not set(keep.rules).isdisjoint(FACT_RULES)


def keep_order(
    rows: Rows, selected: RowNumbers, keep: Keep, facts_of: FactsOf = unknown_facts
) -> RowNumbers:
    """Sort rows, best first; rows that are equal by all rules are sorted by path.

    The order does not depend on the numbering of the rows, which is not path order where a root was
    renamed since it was indexed. `facts_of` describes files for the rules that need this; files
    without facts are equal.
    """
    keys = [key for _, key in _keys(rows, selected, keep, facts_of)]
    order = np.lexsort(keys[::-1])
    tied = np.ones(max(len(selected) - 1, 0), bool)
    for key in keys:
        tied &= key[order[1:]] == key[order[:-1]]
    return _by_path_where_tied(rows, selected[order], tied)


def _keys(rows: Rows, selected: RowNumbers, keep: Keep, facts_of: FactsOf) -> list[tuple[str, Key]]:
    """Return the names of the rules before path order, and their keys."""
    keys: list[tuple[str, Key]] = [
        (DECISION, keep.decided.rank(rows, selected)),
        (PROTECTED, ~lie_in(rows, selected, keep.protect)),
    ]
    facts = facts_of(selected) if needs_facts(keep) else ()
    for rule in keep.rules:
        if rule == LAST:
            break
        if rule in FACT_RULES:
            keys.append((rule, FACT_RULES[rule](facts, _pixels(rows, selected))))
        else:
            keys.append((rule, _key(rows, selected, rule)))
    return keys


def deciding_rules(
    rows: Rows, keep: Keep, kept: RowNumbers, removed: RowNumbers, facts_of: FactsOf = unknown_facts
) -> list[str]:
    """Return for each pair of rows the first rule by which they differ, ``first`` if none does.

    Where ``not-upscaled`` decides between files of which neither was enlarged more than the other,
    the answer is ``largest``, since only their numbers of pixels differ.
    """
    both = np.concatenate([kept, removed])
    rules = np.full(len(kept), LAST, object)
    for name, key in reversed(_keys(rows, both, keep, facts_of)):
        rules[key[: len(kept)] != key[len(kept) :]] = name
    by_detail = np.flatnonzero(rules == "not-upscaled")
    if len(by_detail):
        worth = _worths(facts_of(both))
        alike = worth[by_detail] == worth[by_detail + len(kept)]
        rules[by_detail[alike]] = "largest"
    return [str(rule) for rule in rules.tolist()]


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


def _colour(facts: Facts, _: Key) -> Key:
    """Sort colour before palettes, gray and one bit."""
    return np.array([each is not None and -COLOURS.index(each.colour) for each in facts], np.int64)


def _not_upscaled(facts: Facts, pixels: Key) -> Key:
    """Sort by the number of pixels that show detail; those of enlarged pictures count less."""
    return np.asarray(-(pixels.astype(np.float64) * _worths(facts)))


def _worths(facts: Facts) -> npt.NDArray[np.float64]:
    return np.array([1.0 if each is None else _worth(each) for each in facts])


def _worth(facts: ImageFacts) -> float:
    """Return by how much each pixel counts, in few steps, so that copies of one size are equal."""
    detail = facts.detail
    is_clean = facts.quality >= GOOD_QUALITY and not facts.toned
    if detail >= (SHARP if is_clean else SHARP_OF_POOR):
        return 1.0
    if detail >= ENLARGED:
        return SOFT_WORTH
    return ENLARGED_WORTH * float(2.0 ** round(2 * math.log2(detail)))


def _metadata(facts: Facts, _: Key) -> Key:
    """Sort files first that name a camera or say when the photo was taken."""
    has_origin = [each is not None and (each.camera or each.taken_s is not None) for each in facts]
    return ~np.array(has_origin, bool)


def _quality(facts: Facts, _: Key) -> Key:
    """Sort by quality, as far as pixels can show it.

    A lossless file with the pixels of a lossy one was made from it: no encoder hits all pixels.
    """
    lossy: dict[str, int] = {}
    for each in facts:
        if each is not None and not each.lossless:
            lossy[each.pixels_digest] = max(each.quality, lossy.get(each.pixels_digest, 0))
    return np.array([each is not None and -_quality_of(each, lossy) for each in facts], np.int64)


def _quality_of(facts: ImageFacts, lossy: Mapping[str, int]) -> int:
    """Return the quality; that of a saved copy is below that of the file it was made from.

    `lossy` has the best qualities of lossy files, by the digests of their pixels.
    """
    made_from = lossy.get(facts.pixels_digest) if facts.lossless else None
    quality = facts.quality if made_from is None else made_from
    is_saved_again = made_from is not None or (facts.lossless and facts.trace_quality is not None)
    return min(quality, GOOD_QUALITY) - TRACE_ERROR * (is_saved_again or facts.toned)


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

FACT_RULES: Mapping[str, Callable[[Facts, Key], Key]] = {
    "colour": _colour,
    "not-upscaled": _not_upscaled,
    "metadata": _metadata,
    "quality": _quality,
}
"""Rules that need the facts of the files; they are given these and the numbers of pixels."""
