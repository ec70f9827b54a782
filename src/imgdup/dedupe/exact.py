"""Find what was changed on purpose: all the rest is equal, pixel for pixel.

Compression, resizing and filters change nearly every pixel near an edge, if only by one level. Two
pictures in which edges are exactly equal, while other pixels differ, are not copies of this kind,
however small the difference is: a shirt was drawn in another tint, or a pill has other letters.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.native.changes import added_changes, count_changed

KEPT_SHARE = 0.2  # of all pixels; more are equal
EVERY = 8  # the first look takes every eighth row
LEAST_CHANGE = 2.0  # levels; the mean difference of the pixels that differ
ONE_WAY = 0.5  # share of the mean absolute difference that the mean difference reaches
LEAST_PIXELS = 64  # that differ
EDGE = 16  # levels between two neighbours
KEPT_EDGES = 200  # pairs of neighbours with an edge between them, equal in both pictures, ...
KEPT_EDGE_SHARE = 0.2  # ... and their share of all such pairs
FEW_CHANGES = 4  # different changes in a drawing of flat colours
LARGE_CHANGE = 12  # levels; compression of equal pictures again changes some pixels by less
NEARLY_ALL = 0.95  # of all pixels are equal if the others show an edit, ...
COMPACT = 0.1  # ... and these lie in a box of at most this share of the area
TEXTURE = 2  # levels between two neighbours, and ...
TEXTURE_SHARE = 0.05  # ... the share of the pixels that have such a neighbour and are equal
COLOURED = 3  # levels; a change of colour differs by at least this much between the channels


def colour_was_changed(first: Pixels, second: Pixels) -> bool:
    """Return whether two pictures are equal pixel for pixel but for a change of colour.

    Pictures of unequal shape are never equal pixel for pixel.
    """
    if first.shape != second.shape or first.ndim != 3:
        return False
    height, width = first.shape[:2]
    n_looked_at = -(-height // EVERY) * width
    if not 0 < added_changes(first, second, EVERY).n_pixels <= (1 - KEPT_SHARE) * n_looked_at:
        return False
    found = added_changes(first, second)
    if not LEAST_PIXELS <= found.n_pixels <= (1 - KEPT_SHARE) * (height * width):
        return False
    means, sizes = (np.array(each) / found.n_pixels for each in (found.sums, found.sizes))
    channel = int(np.argmax(np.abs(means)))
    mean = abs(means[channel])
    if mean < LEAST_CHANGE or mean < ONE_WAY * sizes[channel]:
        return False
    differs = _differ(first, second)
    changes = second[differs].astype(np.int16) - first[differs]
    return _edges_are_kept(first, second, differs) or _is_flat_tint(changes)


def _differ(first: Pixels, second: Pixels) -> npt.NDArray[np.bool_]:
    """Mark the pixels that differ in any channel of two RGB pictures."""
    red, green, blue = np.moveaxis(first != second, 2, 0)
    return np.asarray(red | green | blue)


class Detail(NamedTuple):
    """A detail that differs: by how many levels at most, and its box (left, top, right, bottom).

    The sides of the box are shares of the width and the height.
    """

    peak: float
    box: tuple[float, float, float, float]


def changed_detail(first: Pixels, second: Pixels) -> Detail | None:
    """Find the detail that differs in pictures that are equal around it, texture included.

    Pictures of unequal shape have none.
    """
    if first.shape != second.shape:
        return None
    n_levels = -(-len(first) // EVERY) * first[0].size
    if count_changed(first, second, 1, EVERY) > (1 - NEARLY_ALL) * n_levels:
        return None
    if count_changed(first, second, LARGE_CHANGE) < LEAST_PIXELS:
        return None  # nor are there so many pixels
    changes = np.maximum(first, second) - np.minimum(first, second)
    changes = changes.max(axis=2) if changes.ndim == 3 else changes
    if np.count_nonzero(changes >= LARGE_CHANGE) < LEAST_PIXELS:
        return None
    box = _box(changes > 0)
    shade = first[:, :, 1] if first.ndim == 3 else first
    steps = np.abs(np.diff(shade.astype(np.int16), axis=1)) >= TEXTURE
    n_textured = np.count_nonzero(steps & (changes[:, 1:] == 0) & (changes[:, :-1] == 0))
    is_compact = (box[2] - box[0]) * (box[3] - box[1]) <= COMPACT
    is_detail = is_compact and n_textured >= TEXTURE_SHARE * steps.size
    return Detail(float(changes.max()), box) if is_detail else None


def _box(marks: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Return the smallest box that holds all marks, in shares of the width and the height."""
    (height, width) = marks.shape
    rows, columns = (np.flatnonzero(marks.any(axis=axis)) for axis in (1, 0))
    left, right = int(columns[0]) / width, (int(columns[-1]) + 1) / width
    return left, int(rows[0]) / height, right, (int(rows[-1]) + 1) / height


def _edges_are_kept(first: Pixels, second: Pixels, differs: npt.NDArray[np.bool_]) -> bool:
    """Return whether many edges lie between pixels that are equal in both pictures."""
    n_edges = n_kept = 0
    for picture in (first, second):
        green = picture[:, :, 1].astype(np.int16)
        for axis in (0, 1):
            edges = np.abs(np.diff(green, axis=axis)) > EDGE
            moved = np.diff(differs.astype(np.int8), axis=axis) != 0
            inner = differs[:-1] if axis == 0 else differs[:, :-1]
            n_edges += int(np.count_nonzero(edges))
            n_kept += int(np.count_nonzero(edges & ~moved & ~inner))
    return n_kept >= KEPT_EDGES and n_kept >= KEPT_EDGE_SHARE * n_edges


def _is_flat_tint(changes: npt.NDArray[np.int16]) -> bool:
    """Return whether there are few different changes, each one of colour.

    A drawing that was made brighter or darker changes all channels alike.
    """
    if np.any(np.ptp(changes, axis=1) < COLOURED):
        return False
    return len(np.unique(changes[:: max(1, len(changes) // 10_000)], axis=0)) <= FEW_CHANGES


def same_pixels(first: Pixels, second: Pixels) -> bool:
    """Return whether two fully decoded pictures have the same size and pixels; gray equals RGB."""
    if first.shape[:2] != second.shape[:2]:
        return False
    if first.ndim == second.ndim:
        middle = len(first) // 2  # one row tells most pictures apart
        return np.array_equal(first[middle], second[middle]) and np.array_equal(first, second)
    gray, colour = (first, second) if first.ndim == 2 else (second, first)
    return all(np.array_equal(gray, colour[:, :, i]) for i in range(3))
