"""Measure how two pictures of one size differ locally, beyond what copying explains.

Copies of a picture may have another tone curve, be blurred or sharpened, and carry noise or
compression artefacts. A tone curve and a filter are fitted to the whole picture; what remains is
compared, window by window, with what remains in windows of similar texture in the same picture.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.images.planes import (
    Plane,
    blurred,
    largest_near,
    luma,
    luma_and_chroma,
    mapped,
    resized,
    window_means,
)
from imgdup.native.difference import block_moments, filter_sums

BLOCK = 4  # pixels; windows are squares of blocks
NEAR = 5  # blocks; the texture of a window is the largest within this distance


class Limits(NamedTuple):
    """How large a remainder may be that still counts as explained, for one size of window.

    Attributes
    ----------
    squares, mean : float
        How often the mean of the squared remainders, and the square of their mean, may exceed
        what is usual in the picture.
    most_noise : float
        The most that is explained where there is no texture, in gray levels squared.
    most_share : float
        The most that is explained by texture, as a share of its variance.
    """

    squares: float
    mean: float
    most_noise: float
    most_share: float


# By the side of the window, in blocks.
LUMA_LIMITS = {
    1: Limits(110, 85, 1500, 2.5),
    2: Limits(48, 42, 1500, 1.8),
    4: Limits(29, 20, 800, 0.9),
    8: Limits(18, 11, 600, 0.65),
}
CHROMA_LIMITS = {
    1: Limits(200, 200, 1800, 3.0),
    2: Limits(80, 80, 1200, 2.2),
    4: Limits(48, 48, 300, 1.5),
    8: Limits(25, 22, 120, 0.9),
}

USUAL = 0.75  # quantile of the remainders that counts as usual
SAMPLES = 3000  # windows from which the usual remainders are taken
BARE = 1.0  # variance of windows that say nothing about noise
MANY_BARE = 0.05  # use them too if fewer windows than this share have texture
LEAST_NOISE = 3.0  # mean square that counts as usual at least, gray levels squared
LEAST_SHARE = 0.01  # of the variance that counts as usual at least
UNFILTERED = 0.05  # a weaker filter than this changes nothing
SHARPENED = -0.4  # a filter that sharpens at least so much clips edges, ...
# ... so that both count this often; without a filter, pixels may be nearly equal.
CLIPPED, FITTED, CLEAN = 2.0, 1.0, 0.2
STRUCTURED = 40.0  # variance of the luma in a window with something to see
TEXTURED = 25.0  # variance from which a window is not smooth
SMOOTH_SHARE = 0.06  # of textured windows, below which a picture is smooth
SMOOTH_CHANGE = 1.5  # levels, root mean square
CORRELATED = 0.4  # squared correlation of windows that agree
AGREEMENT_SIDE = 4  # blocks
UNLIKE_SHARE = 0.35  # of the variance; more than copying changes

CURVE_SIDE = 96  # pixels; the tone curve is fitted on a picture of this size
CURVE_SIGMA = 6.0  # gray levels
NEUTRAL = 6  # levels between the channels of a gray picture, at most
FEW_COLOURED = 0.004  # share of the area
TINTED = 0.7  # levels, root mean square
COLOUR_SIDE = 32  # pixels; colours are compared as a whole on pictures of this size
CHROMA_SHIFT = 3.0  # levels; copies shift the mean of Cb and Cr by up to 2.5
CHROMA_CHANGE = 10.0  # levels; root mean square, copies change up to 6.3
CHROMA_FACTORS = (0.5, 1.15)  # how much weaker or stronger copies make colours
CHROMA_POWER = 30.0  # mean square of Cb and Cr from which the factor is known
FILTER_SIGMAS = (1.0, 2.5)  # pixels
BLURRED_SHARE = 0.15  # less fine detail than this share of the other's: compare at half the size
SMALLEST = 64  # pixels; smaller pictures are not halved
IDENTITY_FACTOR = 2.5  # no curve is used unless it lowers the mean square so much
MOST_MISSED = 0.5  # share of the variance; curves that miss more explain nothing
MOVED = 2  # levels; a shirt of nearly the same colour differs by so little
# Of 32: a curve that moves fewer tones of gray, or of colour, may explain a changed object.
FEW_TONES = {2: 3.0, 3: 6.5}


class Evidence(NamedTuple):
    """What was measured about two pictures of one size, on a grid of blocks.

    Attributes
    ----------
    excess : Plane
        By how many gray levels (root mean square) luma or chroma differ beyond what copying
        explains; 0 where nothing is unexplained.
    luma_excess : Plane
        The same for luma alone.
    structure_excess : Plane
        The same for the part of the luma that no local change of brightness and contrast explains.
    agreement : float
        Share of the area with structure in which both pictures correlate.
    recoloured : bool
        Whether colours differ everywhere, or tones by a curve that could hide a changed object.
    """

    excess: Plane
    luma_excess: Plane
    structure_excess: Plane
    agreement: float
    recoloured: bool


class _Moments(NamedTuple):
    """Means of two planes over blocks or windows."""

    a: Plane
    b: Plane
    aa: Plane
    bb: Plane
    ab: Plane
    dd: Plane  # of the squared difference

    def windows(self, side: int) -> "_Moments":
        return self if side == 1 else _Moments(*(window_means(each, side) for each in self))


def measure(first: Pixels, second: Pixels) -> Evidence:
    """Measure the local differences of two pictures of one size, both RGB or gray."""
    a, b = _reduced(first, CURVE_SIDE), _reduced(second, CURVE_SIDE)
    is_gray, neutral_change = _is_gray_pair(a, b)
    if is_gray:
        first, second, a, b = (_gray(each) for each in (first, second, a, b))
    if _is_smooth(first) or _is_smooth(second):
        doubtful = False
    else:
        first, second, doubtful = _with_equal_tones(first, second, a, b)
    if first.ndim == 3:
        first, second = luma_and_chroma(first), luma_and_chroma(second)
        doubtful = doubtful or _colours_differ_everywhere(first, second)
    first, second, sharper = _at_common_sharpness(first, second)
    y, z = _plane(first, 0), _plane(second, 0)
    y, z, strength = _with_equal_filter(y, z, sharper)
    clean = _least_factor(strength)
    luma_moments = _moments(y, z, BLOCK)
    chroma = []
    if first.ndim == 3:
        size = (max(1, first.shape[0] // 2), max(1, first.shape[1] // 2))
        halves = (resized(first, *size), resized(second, *size))
        chroma = [_moments(_plane(halves[0], i), _plane(halves[1], i), BLOCK // 2) for i in (1, 2)]
        chroma = [_cut_to(each, luma_moments.a.shape) for each in chroma]
    luma_excess, structure = _luma_excess(luma_moments, clean)
    excess = luma_excess
    if chroma:
        excess = np.maximum(excess, _chroma_excess(luma_moments, chroma, clean))
    doubtful = doubtful or _differs_smoothly(luma_moments, chroma)
    agreement = _agreement(luma_moments.windows(AGREEMENT_SIDE))
    return Evidence(excess, luma_excess, structure, agreement, doubtful or neutral_change)


def _reduced(pixels: Pixels, side: int) -> Pixels:
    """Reduce a picture to at most this side."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _gray(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else luma(pixels)


def _is_gray_pair(first: Pixels, second: Pixels) -> tuple[bool, bool]:
    """Return whether only one of two reduced pictures has colour, and whether that leaves a doubt.

    There is a doubt if hardly any of the other picture has colour, or if its colour depends only
    on the luma: then it was added to a gray picture, as by a sepia filter.
    """
    shares = [_colour_share(each) for each in (first, second)]
    if first.ndim == second.ndim == 3 and (min(shares) > 0 or max(shares) == 0):
        return False, False
    coloured = first if shares[0] > shares[1] else second
    return True, max(shares) > 0 and (max(shares) < FEW_COLOURED or _is_tinted(coloured))


def _is_tinted(pixels: Pixels) -> bool:
    """Return whether the chroma of a reduced picture is a quadratic function of its luma."""
    height, width = (min(COLOUR_SIDE, side) for side in pixels.shape[:2])
    small = luma_and_chroma(resized(pixels, height, width)).reshape(-1, 3).astype(np.float64)
    design = np.vander(small[:, 0] / 255, 3)
    fitted = design @ np.linalg.lstsq(design, small[:, 1:], rcond=None)[0]
    return float(np.sqrt(np.mean((small[:, 1:] - fitted) ** 2))) < TINTED


def _colour_share(pixels: Pixels) -> float:
    """Return the share of a reduced picture that has colour; 0 for gray pictures."""
    if pixels.ndim == 2:
        return 0.0
    small = pixels.astype(np.int16)
    chroma = small.max(axis=2) - small.min(axis=2)
    return float(np.mean(chroma > NEUTRAL))


def _with_equal_tones(
    first: Pixels, second: Pixels, a: Pixels, b: Pixels
) -> tuple[Pixels, Pixels, bool]:
    """Apply to one picture the monotone curve that takes it nearest to the other.

    The curve is fitted to the reduced pictures a and b. Also return whether it leaves a doubt.
    """
    to_second, error = _curve(a, b)
    to_first, other_error = _curve(b, a)
    unchanged = float(np.mean((a.astype(np.float32) - b) ** 2))
    least = min(error * _spread(b), other_error * _spread(a))
    if unchanged <= IDENTITY_FACTOR * least + 1 or min(error, other_error) > MOST_MISSED:
        return first, second, False
    forward = error <= other_error
    curve, source = (to_second, a) if forward else (to_first, b)
    doubtful = _tones(source, np.abs(curve - np.arange(256)) > MOVED) < FEW_TONES[source.ndim]
    levels = np.rint(curve).astype(np.uint8)
    if forward:
        return mapped(first, levels), second, doubtful
    return first, mapped(second, levels), doubtful


def _is_smooth(pixels: Pixels) -> bool:
    """Return whether a picture has no texture, as gradients and areas of one colour."""
    plane = _plane(pixels, 1)
    mean, _, square, *_ = block_moments(plane, plane, AGREEMENT_SIDE * BLOCK)
    return float(np.mean(square - mean * mean > TEXTURED)) < SMOOTH_SHARE


def _curve(a: Pixels, b: Pixels) -> tuple[npt.NDArray[np.float64], float]:
    """Fit a smooth monotone curve of levels from a to b; and the share of b that it misses."""
    x, y = a.ravel(), b.ravel()
    counts = np.bincount(x, minlength=256).astype(np.float64)
    moves = np.bincount(x, weights=y, minlength=256) - counts * np.arange(256)
    kernel = np.exp(-0.5 * (np.arange(-16, 17) / CURVE_SIGMA) ** 2)
    weights = np.convolve(counts, kernel, "same") + 1e-9 * len(x)
    smooth = np.arange(256) + np.convolve(moves, kernel, "same") / weights
    curve = np.clip(_monotone(smooth, weights), 0, 255)
    missed = float(np.mean((curve[x] - y) ** 2))
    return curve, missed / _spread(b)


def _colours_differ_everywhere(first: Pixels, second: Pixels) -> bool:
    """Return whether chroma is shifted, weaker or stronger in the reduced pictures."""
    a, b = (
        _reduced(each, COLOUR_SIDE)[:, :, 1:].astype(np.float64) - 128 for each in (first, second)
    )
    shift = float(np.abs((b - a).mean(axis=(0, 1))).max())
    power = float(np.mean(a * a))
    factor = float(np.mean(a * b)) / max(1.0, power)
    off = float(np.sqrt(2 * np.mean((b - a) ** 2)))
    low, high = CHROMA_FACTORS
    return (
        shift > CHROMA_SHIFT
        or off > CHROMA_CHANGE
        or (power > CHROMA_POWER and not low <= factor <= high)
    )


def _spread(pixels: Pixels) -> float:
    """Return the variance of all levels, at least 1."""
    return max(1.0, float(pixels.var()))


def _monotone(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the nearest ascending values: pool adjacent violators (Barlow et al. 1972)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, its_weight, its_length = pools.pop()
            mean = (before * its_weight + mean * total) / (its_weight + total)
            total, length = total + its_weight, length + its_length
        pools.append((mean, total, length))
    return np.repeat([each[0] for each in pools], [each[2] for each in pools])


def _tones(pixels: Pixels, moved: npt.NDArray[np.bool_]) -> float:
    """Return among how many ranges of 8 levels the moved levels are spread evenly, or would be.

    This is the exponential of the entropy of their shares; 32 if too few pixels move to matter.
    """
    counts = np.where(moved, np.bincount(pixels.ravel(), minlength=256), 0)
    if counts.sum() < 0.002 * pixels.size:
        return 32.0
    shares = counts.reshape(32, 8).sum(axis=1) / counts.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _at_common_sharpness(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels, int]:
    """Halve both pictures while one lacks nearly all of the other's fine detail.

    Also return which picture is sharper, 0 or 1.
    """
    for _ in range(3):
        details = [_detail(_plane(each, 0)) for each in (first, second)]
        height, width = first.shape[:2]
        if min(details) >= BLURRED_SHARE * max(details) or min(height, width) < SMALLEST:
            break
        first = resized(first, height // 2, width // 2)
        second = resized(second, height // 2, width // 2)
    return first, second, int(details[0] < details[1])


def _detail(plane: Plane) -> float:
    """Return the root mean square of the finest detail."""
    return float(np.sqrt(np.mean((plane - blurred(plane, 0.8)) ** 2)))


def _least_factor(strength: float) -> float:
    """Return how much counts as usual at least, by the strength of the fitted filter."""
    if strength <= SHARPENED:
        return CLIPPED
    return FITTED if abs(strength) >= UNFILTERED else CLEAN


def _with_equal_filter(a: Plane, b: Plane, sharper: int) -> tuple[Plane, Plane, float]:
    """Filter one plane so that it comes nearest to the other; also return how strongly.

    The sharper plane is blurred, unless sharpening the other one comes nearer.
    """
    planes = [a, b]
    fitted, strength = _filtered(planes[sharper], planes[1 - sharper])
    if abs(strength) >= UNFILTERED:
        sharpened, other_strength = _filtered(planes[1 - sharper], planes[sharper])
        if _error(sharpened, planes[sharper]) < _error(fitted, planes[1 - sharper]):
            fitted, strength, sharper = sharpened, other_strength, 1 - sharper
    planes[sharper] = fitted
    return planes[0], planes[1], strength


def _error(a: Plane, b: Plane) -> float:
    """Return the mean squared difference."""
    difference = (a - b).ravel()
    return float(np.dot(difference, difference)) / difference.size


def _filtered(a: Plane, b: Plane) -> tuple[Plane, float]:
    """Add to a the multiples of what two blurs change that come nearest to b.

    Also return how strong the filter is; below 0 if it sharpens.
    """
    fine, coarse = (blurred(a, sigma) for sigma in FILTER_SIGMAS)
    sums = filter_sums(a, fine, coarse, b)
    products = np.array([[sums.xx, sums.xz], [sums.xz, sums.zz]])
    damping = 1e-3 * a.size * np.eye(2)  # prefers the unfiltered plane if nothing is to be gained
    found = np.linalg.solve(products + damping, np.array([sums.xy, sums.zy]))
    x, z = found.astype(np.float32)
    filtered = a * (1 - x - z) + fine * x + coarse * z
    return np.clip(filtered, 0, 255), float(np.copysign(abs(x) + abs(z), x + z))


def _moments(a: Plane, b: Plane, side: int) -> _Moments:
    return _Moments(*block_moments(a, b, side))


def _luma_excess(moments: _Moments, clean: float) -> tuple[Plane, Plane]:
    """Return the excess, and that of the structure, for each block."""
    shape = moments.a.shape
    excess, structure = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for side, limits in LUMA_LIMITS.items():
        windows = moments.windows(side)
        va, vb = _variances(windows)
        near = _texture(np.minimum(va, vb), clean)
        mean = windows.b - windows.a
        np.maximum(excess, _beyond(windows.dd, near, limits.squares, limits), out=excess)
        np.maximum(excess, _beyond(mean * mean, near, limits.mean, limits), out=excess)
        if side in (2, 4):
            larger = np.maximum(va, vb)
            unlike = larger * (1 - _shared(windows))
            np.maximum(structure, _unlike(unlike, larger, limits), out=structure)
    return excess, structure


def _chroma_excess(luma_moments: _Moments, chroma: list[_Moments], clean: float) -> Plane:
    excess = np.zeros(luma_moments.a.shape, np.float32)
    for side, limits in CHROMA_LIMITS.items():
        va, vb = _variances(luma_moments.windows(side))
        windows = [each.windows(side) for each in chroma]
        own = [sum(planes) for planes in zip(*(_variances(w) for w in windows), strict=True)]
        near = _texture(np.minimum(*own) + np.float32(0.1) * np.minimum(va, vb), clean)
        square = windows[0].dd + windows[1].dd
        mean = np.asarray(sum((w.b - w.a) ** 2 for w in windows), np.float32)
        np.maximum(excess, _beyond(square, near, limits.squares, limits), out=excess)
        np.maximum(excess, _beyond(mean, near, limits.mean, limits), out=excess)
    return excess


class _Texture(NamedTuple):
    """The texture near each window, and some windows with the least and with the most of it."""

    near: Plane
    flat: npt.NDArray[np.intp]
    rich: npt.NDArray[np.intp]
    clean: float  # the least factor of what counts as usual at least


def _texture(variances: Plane, clean: float) -> _Texture:
    """Find the largest variance near each window, and the thirds with least and most of it."""
    near = largest_near(variances, NEAR)
    places = np.arange(0, near.size, max(1, near.size // SAMPLES))
    values = near.ravel()[places]
    some = values > BARE
    if np.count_nonzero(some) > MANY_BARE * len(some):
        places, values = places[some], values[some]
    third = max(1, len(places) // 3)
    order = places[np.argpartition(values, (third - 1, len(places) - third))]
    return _Texture(near, order[:third], order[-third:], clean)


def _beyond(squares: Plane, texture: _Texture, factor: float, limits: Limits) -> Plane:
    """Return the root of squares that exceed so many times what is usual for their texture."""
    noise, share = _usual(squares, texture)
    allowed = np.float32(min(factor * noise, limits.most_noise)) + texture.near * np.float32(
        min(factor * share, limits.most_share)
    )
    return np.where(squares > allowed, np.sqrt(np.maximum(squares, 0)), np.float32(0))


def _usual(squares: Plane, texture: _Texture) -> tuple[float, float]:
    """Return the usual squares where there is little texture, and their usual share of texture."""
    values = squares.ravel()
    noise = _quantile(values[texture.flat])
    beyond = np.maximum(0, values[texture.rich] - max(noise, LEAST_NOISE))
    share = _quantile(beyond / (texture.near.ravel()[texture.rich] + 1))
    unclean = max(texture.clean, min(1.0, max(noise / LEAST_NOISE, share / LEAST_SHARE) * 5))
    return max(noise, unclean * LEAST_NOISE), max(share, unclean * LEAST_SHARE)


def _quantile(values: npt.NDArray[np.float32]) -> float:
    """Return the smallest value that is not below the usual share of all."""
    place = int(USUAL * (len(values) - 1))
    return float(np.partition(values, place)[place])


def _shared(windows: _Moments) -> Plane:
    """Return the squared correlation of both planes in each window."""
    va, vb = _variances(windows)
    covariance = windows.ab - windows.a * windows.b
    shared = covariance * covariance / (va * vb + np.float32(1e-3))
    return np.asarray(np.minimum(1, shared), np.float32)


def _agreement(windows: _Moments) -> float:
    """Return in which share of the windows with structure both planes correlate."""
    texture = np.maximum(*_variances(windows))
    structured = texture > max(STRUCTURED, 0.25 * float(texture.mean()))
    if not structured.any():
        return 0.0
    return float(np.mean(_shared(windows)[structured] > CORRELATED))


def _differs_smoothly(luma_moments: _Moments, chroma: list[_Moments]) -> bool:
    """Return whether nearly textureless pictures differ slightly: gradients, areas of one colour.

    No curve or noise explains that, because there is nothing else to tell such pictures apart.
    """
    windows = luma_moments.windows(AGREEMENT_SIDE)
    if np.mean(np.maximum(*_variances(windows)) > TEXTURED) >= SMOOTH_SHARE:
        return False
    changes = [(each.b - each.a) ** 2 for each in (windows, *chroma)]
    return float(np.mean(sum(changes))) > SMOOTH_CHANGE**2


def _unlike(unlike: Plane, texture: Plane, limits: Limits) -> Plane:
    """Return the root of the variance that the other picture does not share, where it is much."""
    flat = texture <= np.quantile(texture, 1 / 3)
    noise = max(LEAST_NOISE, float(np.quantile(unlike[flat], USUAL)))
    allowed = min(limits.squares * noise, limits.most_noise) + UNLIKE_SHARE * texture
    return np.where(unlike > allowed, np.sqrt(unlike), np.float32(0))


def _variances(moments: _Moments) -> tuple[Plane, Plane]:
    return (
        np.maximum(0, moments.aa - moments.a * moments.a),
        np.maximum(0, moments.bb - moments.b * moments.b),
    )


def _cut_to(moments: _Moments, shape: tuple[int, ...]) -> _Moments:
    """Repeat or leave out the last row or column, so that the grids are equal."""
    rows = np.minimum(np.arange(shape[0]), moments.a.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]), moments.a.shape[1] - 1)
    return _Moments(*(each[np.ix_(rows, columns)] for each in moments))


def _plane(pixels: Pixels, channel: int) -> Plane:
    """Return one channel as a plane."""
    return (pixels if pixels.ndim == 2 else pixels[:, :, channel]).astype(np.float32)
