"""Find a colour that was changed on purpose: all the rest is equal, pixel for pixel.

Compression, resizing and filters change nearly every pixel near an edge, if only by one level. Two
pictures in which edges are exactly equal, while other pixels differ in one direction, are not
copies of this kind, however small the difference is: a shirt was drawn in another tint.
"""

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels

KEPT_SHARE = 0.2  # of all pixels; more are equal
EVERY = 8  # rows; the first look takes one of so many
LEAST_CHANGE = 2.0  # levels; the mean difference of the pixels that differ
ONE_WAY = 0.5  # share of the mean absolute difference that the mean difference reaches
LEAST_PIXELS = 64  # that differ
EDGE = 16  # levels between two neighbours
KEPT_EDGES = (
    200  # pairs of neighbours with an edge between them that are equal in both pictures ...
)
KEPT_EDGE_SHARE = 0.2  # ... and their share of all edges
FEW_CHANGES = 4  # different changes in a drawing of flat colours
COLOURED = 3  # levels; a change that differs by so much between the channels is one of colour


def colour_was_changed(first: Pixels, second: Pixels) -> bool:
    """Return whether two pictures are equal pixel for pixel but for a change of colour.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (height, width, 3) or (height, width)
        RGB or gray. Pictures of unequal shape are never equal pixel for pixel.
    """
    if first.shape != second.shape or first.ndim != 3:
        return False
    rows = np.any(first[::EVERY] != second[::EVERY], axis=2)
    if not 0 < np.count_nonzero(rows) <= (1 - KEPT_SHARE) * rows.size:
        return False
    differs = np.any(first != second, axis=2)
    n_differ = np.count_nonzero(differs)
    if not LEAST_PIXELS <= n_differ <= (1 - KEPT_SHARE) * differs.size:
        return False
    changes = second[differs].astype(np.int16) - first[differs]
    means, sizes = np.abs(changes.mean(axis=0)), np.abs(changes).mean(axis=0)
    channel = int(np.argmax(means))
    if means[channel] < LEAST_CHANGE or means[channel] < ONE_WAY * sizes[channel]:
        return False
    return _edges_are_kept(first, second, differs) or _is_flat_tint(changes)


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
