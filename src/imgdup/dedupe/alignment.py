"""Find where one picture lies within another: cropped, framed, shifted, slightly rotated or turned.

A search over scales on reduced pictures gives a first place; least squares refine it to a fraction
of a pixel (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004). Of turned pictures, by
quarter turns or mirrored, the likely orientations are found.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.evidence import visible_agreement
from imgdup.images.gray import ORIENTATIONS, Pixels, upright
from imgdup.images.opencv import luma_of, resized
from imgdup.native.places import SEARCH_SIDE, Mover, inside, search, taken_out

Matrix = npt.NDArray[np.float64]

SCALES = tuple((0.96 ** np.arange(24)).tolist())  # of the largest size that fits; down to 0.39
LEAST_CORRELATION = 0.6
NEARLY_AS_LIKELY = 0.15  # correlation below the best
ROUGH_SIDE, FINE_SIDE = 96, 256  # pixels, of the pictures on which a place is refined
# Share of the structured area that agrees on these pictures, at least. Of 2,600 places that made a
# difference to what was found, one agreed in 51 % on the rough ones, the others in 59 % or more.
LEAST_ALIKE = {ROUGH_SIDE: 0.4, FINE_SIDE: 0.55}
# The same on the fine ones before least squares. These gain little there: of 877 places that agreed
# in 55 % or more after them, none agreed in less than 48 % before.
LEAST_BEFORE = 0.45
ROUNDS = 5  # of least squares
# On the fine ones, all rounds are repeated while they gain so much; at most so often in all.
GAIN, MOST_REPEATS = 0.03, 4
EDGE = 16  # pixels; a block of chroma in most JPEG files
LEAST_OVERLAP = 0.5  # of the part
LEAST_SIDE = 8  # pixels; smaller pictures are neither searched nor moved over each other
SLACK = 0.25  # pixels beyond the edge of a picture that count as within it

LIKELY_TURN = 0.7  # correlation of the reduced pictures
CLEARLY_LIKELIER = 0.1  # correlation above that of the upright pictures
AS_LIKELY_A_TURN = 0.01  # correlation below the best
MOST_TURNS = 2  # orientations to compare
TURN_SIDE = 32  # pixels
TURNED_PLACES = np.stack(  # of the pixels of such a square, by orientation
    [
        upright(np.arange(TURN_SIDE**2).reshape(TURN_SIDE, TURN_SIDE), number).ravel()
        for number in range(1, len(ORIENTATIONS) + 1)
    ]
)

Shares = tuple[float, float, float, float]  # left, top, right, bottom; shares of a picture


class Place(NamedTuple):
    """How one picture, the part, lies in another, the whole.

    The matrix maps (x, y, 1) of the part to (x, y) of the whole; both from 0 to 1.
    """

    part_is_second: bool
    matrix: Matrix


def find_places(first: Pixels, second: Pixels) -> Iterator[Place]:
    """Find roughly how one of two pictures lies in the other: at most one place each way.

    A place where the reduced pictures clearly show different things is left out.
    """
    gray = _Reduced(first), _Reduced(second)
    found = [(*_search(gray[0], gray[1]), True), (*_search(gray[1], gray[0]), False)]
    found.sort(key=lambda each: -each[0])
    least = max(LEAST_CORRELATION, found[0][0] - NEARLY_AS_LIKELY)
    places = [Place(is_second, matrix) for value, matrix, is_second in found if value >= least]
    return filter(None, (_refined_roughly(*gray, place) for place in places))


def refine(first: Pixels, second: Pixels, place: Place) -> Place | None:
    """Refine a place; None if the pictures clearly show different things there."""
    whole, part = _reduced(_Reduced(first), _Reduced(second), place, FINE_SIDE)
    mover, n_rounds = Mover(whole, part, place.matrix), _rounds(part)
    agreement = visible_agreement(mover.taken, part)
    if agreement < LEAST_BEFORE:
        return None
    for _ in range(MOST_REPEATS):
        before = agreement
        mover.move(n_rounds)
        agreement = visible_agreement(mover.taken, part)
        if agreement < before + GAIN:
            break
    return place._replace(matrix=mover.matrix) if agreement >= LEAST_ALIKE[FINE_SIDE] else None


def is_reverse(rough: Place, other: Place, shape: tuple[int, ...]) -> bool:
    """Return whether a rough place agrees with another one, of the other way round.

    They may differ by a pixel of the pictures on which a rough place is refined; `shape` is that of
    the second picture.
    """
    if rough.part_is_second == other.part_is_second:
        return False
    (a, b, x), (c, d, y) = rough.matrix.tolist()
    (e, f, u), (g, h, v) = other.matrix.tolist()
    there_and_back = np.array(
        [
            [a * e + b * g, a * f + b * h, a * u + b * v + x],
            [c * e + d * g, c * f + d * h, c * u + d * v + y],
        ]
    )
    scale = min(1.0, ROUGH_SIDE / max(shape[:2]))
    return is_unmoved(there_and_back, tuple(scale * side for side in shape[:2]))


def box_in_whole(matrix: Matrix) -> Shares:
    """Return the box that a part covers in the whole."""
    return _taken_from(matrix, (0.0, 0.0, 1.0, 1.0))


def _taken_from(matrix: Matrix, box: Shares) -> Shares:
    """Return the box in the whole around what a box of the part covers."""
    (low_x, high_x), (low_y, high_y) = (_covered(row, box) for row in matrix.tolist())
    return low_x, low_y, high_x, high_y


def _covered(row: list[float], box: Shares) -> tuple[float, float]:
    """Return the range along one axis of the whole, whose row of the matrix this is."""
    (along_x, along_y, shift), (left, top, right, bottom) = row, box
    corners = [along_x * x + along_y * y + shift for y in (top, bottom) for x in (left, right)]
    return min(max(min(corners), 0.0), 1.0), min(max(max(corners), 0.0), 1.0)


def within(frame: Shares, box: Shares) -> Shares:
    """Return in shares of a picture what is a box in shares of a frame in it."""
    left, top, right, bottom = frame
    width, height = right - left, bottom - top
    return (
        left + width * box[0],
        top + height * box[1],
        left + width * box[2],
        top + height * box[3],
    )


def is_unmoved(matrix: Matrix, shape: tuple[float, ...]) -> bool:
    """Return whether all corners stay within a pixel of their place."""
    (a, b, x), (c, d, y) = matrix.tolist()
    return all(
        abs(a * right + b * bottom + x - right) * shape[1] <= 1
        and abs(c * right + d * bottom + y - bottom) * shape[0] <= 1
        for right in (0, 1)
        for bottom in (0, 1)
    )


class Shared(NamedTuple):
    """What both pictures show, at one size, and where that is in the first one."""

    first: Pixels
    second: Pixels
    frame: Shares


def cut_out(first: Pixels, second: Pixels, place: Place) -> Shared | None:
    """Return what both pictures show.

    Pixels of the part that lie outside the whole are equal in both, and the outermost pixels are
    left out. None if the overlap is small.
    """
    whole, part = (first, second) if place.part_is_second else (second, first)
    left, top, right, bottom = box_in_whole(place.matrix)
    width = min(part.shape[1], max(1, round((right - left) * whole.shape[1])))
    height = min(part.shape[0], max(1, round((bottom - top) * whole.shape[0])))
    part = resized(part, height, width)
    factors = (height / max(1e-6, bottom - top), width / max(1e-6, right - left))
    size = [min(w, max(1, round(f))) for w, f in zip(whole.shape[:2], factors, strict=True)]
    whole = resized(whole, size[0], size[1])
    found = inside(part.shape, place.matrix, SLACK / max(height, width))
    if found.n_pixels < LEAST_OVERLAP * height * width:
        return None
    rows, columns = _without_edges(found.rows), _without_edges(found.columns)
    taken = taken_out(whole, part, place.matrix, found, rows, columns)
    part = np.ascontiguousarray(part[rows, columns])
    box = columns.start / width, rows.start / height, columns.stop / width, rows.stop / height
    if place.part_is_second:
        return Shared(taken, part, _taken_from(place.matrix, box))
    return Shared(part, taken, box)


def _without_edges(span: slice) -> slice:
    """Cut off the edges, where compression mixes in what lies beyond."""
    edge = min(EDGE, (span.stop - span.start) // 16)
    return slice(span.start + edge, span.stop - edge)


class _Reduced:
    """A gray picture that is reduced to each size once."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = np.ascontiguousarray(luma_of(pixels))
        self.shape: tuple[int, int] = self.pixels.shape
        self._of_size: dict[tuple[int, int], Pixels] = {}

    def to(self, height: int, width: int) -> Pixels:
        """Return it at a size."""
        if (height, width) not in self._of_size:
            self._of_size[height, width] = resized(self.pixels, height, width)
        return self._of_size[height, width]


def _search(whole: _Reduced, part: _Reduced) -> tuple[float, Matrix]:
    """Search the part in the reduced whole, at several scales."""
    scale = min(1.0, SEARCH_SIDE / max(whole.shape))
    height, width = (max(1, round(side * scale)) for side in whole.shape)
    sizes = _sizes((height, width), part.shape)
    if not sizes:
        return -1.0, np.eye(2, 3)
    (largest, widest), (part_height, part_width) = sizes[0], part.shape
    pixels = part.to(max(largest, part_height), max(widest, part_width))
    found = search(whole.to(height, width), pixels, sizes)
    rows, columns = sizes[found.number]
    matrix = [[columns / width, 0, found.x / width], [0, rows / height, found.y / height]]
    return found.correlation, np.array(matrix, np.float64)


def _sizes(whole: tuple[int, int], part: tuple[int, int]) -> list[tuple[int, int]]:
    """Return which sizes a part may have in the reduced whole, the largest first."""
    (height, width), (rows, columns), sizes = whole, part, []
    fit, most = min(height / rows, width / columns), 4 * max(part)
    for scale in SCALES:
        high, wide = round(scale * rows * fit), round(scale * columns * fit)
        if high < LEAST_SIDE or wide < LEAST_SIDE or high > most or wide > most:
            break
        sizes.append((high if high < height else height, wide if wide < width else width))
    return sizes


def _reduced(first: _Reduced, second: _Reduced, place: Place, side: int) -> tuple[Pixels, Pixels]:
    """Reduce the whole and the part to one scale, the part to at most this side."""
    whole, part = (first, second) if place.part_is_second else (second, first)
    scale = min(1.0, side / max(part.shape))
    size = [max(2, round(each * scale)) for each in part.shape]
    left, top, right, bottom = box_in_whole(place.matrix)
    extent = (max(1e-3, bottom - top), max(1e-3, right - left))
    full = [max(2, min(w, round(s / e))) for w, s, e in zip(whole.shape, size, extent, strict=True)]
    return whole.to(full[0], full[1]), part.to(size[0], size[1])


def _refined_roughly(first: _Reduced, second: _Reduced, place: Place) -> Place | None:
    """Refine a place on small pictures; None if these clearly show different things there."""
    whole, part = _reduced(first, second, place, ROUGH_SIDE)
    mover = Mover(whole, part, place.matrix)
    mover.move(_rounds(part))
    agreement = visible_agreement(mover.taken, part)
    return place._replace(matrix=mover.matrix) if agreement >= LEAST_ALIKE[ROUGH_SIDE] else None


def _rounds(part: Pixels) -> int:
    """Return how many rounds of least squares move a picture over this one; none if it is tiny."""
    return ROUNDS if min(part.shape) >= LEAST_SIDE else 0


def likely_turns(first: Pixels, second: Pixels) -> tuple[list[str], bool]:
    """Return in which orientations one gray picture may show another, the likeliest first.

    Also return whether these are clearly likelier than the upright one.
    """
    one, other = (
        resized(each, TURN_SIDE, TURN_SIDE).astype(np.float64).ravel() for each in (first, second)
    )
    spread = max(1e-6, _spread(one)) * max(1e-6, _spread(other))
    products = other.take(TURNED_PLACES) @ one  # of whole numbers, and so exact
    means = float(one.sum()) * float(other.sum()) / TURN_SIDE**4
    likeness = [(each / TURN_SIDE**2 - means) / spread for each in products.tolist()]
    best = max(likeness[1:])
    if best < LIKELY_TURN:
        return [], False
    places = sorted(range(1, len(likeness)), key=lambda place: -likeness[place])
    likely = [place for place in places if likeness[place] >= best - AS_LIKELY_A_TURN]
    turns = [ORIENTATIONS[place] for place in likely[:MOST_TURNS]]
    return turns, best > likeness[0] + CLEARLY_LIKELIER


def _spread(levels: Matrix) -> float:
    """Return the standard deviation of the levels of a small square."""
    n = levels.size
    return math.sqrt(n * float(levels @ levels) - float(levels.sum()) ** 2) / n
