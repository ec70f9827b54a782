"""Give two pictures the same tones and the same sharpness, as far as copying explains both.

Copies of a picture may be gray, have another tone curve, or be blurred or sharpened. Each function
takes two pictures of one size and returns them with less of such a difference, and what was found.
"""

import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.images.opencv import Plane, blurred, luma, luma_and_chroma, mapped, resized
from imgdup.native.difference import block_moments, filter_sums, level_sums

UNFILTERED = 0.05  # a weaker filter than this changes nothing
SHARPENED = -0.4  # a filter that sharpens at least so much clips edges, ...
# ... so that both count this often; without a filter, pixels may be nearly equal.
CLIPPED, FITTED, CLEAN = 2.0, 1.0, 0.2
CURVE_SIDE = 96  # pixels; the tone curve is fitted on a picture of this size
CURVE_SIGMA = 6.0  # gray levels
NEUTRAL = 6  # levels between the channels of a gray picture, at most
FEW_COLOURED = 0.004  # share of the area
NOISE_COLOUR = 20  # levels between the channels, at most, where only noise has colour
TINT_TERMS = 5  # of the polynomial that takes luma to chroma in a tinted picture
TINTED = 0.7  # levels, root mean square; a tint misses less than this, or ...
TINTED_SHARE = 0.17  # ... than this share of the chroma; 1.4 % of coloured photos do so too
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
SMOOTH_SIDE = 16  # pixels; a window with much variance has texture
TEXTURED = 25.0  # variance from which a window is not smooth
SMOOTH_SHARE = 0.06  # of textured windows, below which a picture is smooth
MOVED = 2  # levels; a shirt of nearly the same colour differs by so little
# Of 32: a curve that moves fewer tones of gray, or of colour, may explain a changed object.
FEW_TONES = {2: 3.0, 3: 6.5}


def equal_colours(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels, bool]:
    """Return both gray if only one has colour, and with equal tones; and whether a doubt is left.

    Pictures with colour come back as luma, Cr and Cb.
    """
    a, b = _reduced(first, CURVE_SIDE), _reduced(second, CURVE_SIDE)
    is_gray, doubtful = _is_gray_pair(a, b)
    if is_gray:
        first, second, a, b = (_gray(each) for each in (first, second, a, b))
    if not (_is_smooth(first) or _is_smooth(second)):
        first, second, tones_doubtful = _with_equal_tones(first, second, a, b)
        doubtful = doubtful or tones_doubtful
    if first.ndim == 3:
        first, second = luma_and_chroma(first), luma_and_chroma(second)
        doubtful = doubtful or _colours_differ_everywhere(first, second)
    return first, second, doubtful


def _reduced(pixels: Pixels, side: int) -> Pixels:
    """Reduce a picture to at most this side."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _gray(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 2 else luma(pixels)


def _is_gray_pair(first: Pixels, second: Pixels) -> tuple[bool, bool]:
    """Return whether only one of two reduced pictures has colour, and whether that leaves a doubt.

    There is a doubt if hardly any of the other picture has colour and that is more than noise, or
    if its colour depends only on the luma: then it was added to a gray picture, as by a sepia
    filter.
    """
    chroma = [_colourfulness(each) for each in (first, second)]
    shares = [float(np.mean(each > NEUTRAL)) for each in chroma]
    if first.ndim == second.ndim == 3 and (min(shares) > 0 or max(shares) == 0):
        return False, False
    coloured = int(shares[0] < shares[1])
    if shares[coloured] == 0:
        return True, False
    if shares[coloured] < FEW_COLOURED:
        return True, bool(chroma[coloured].max() > NOISE_COLOUR)
    return True, _is_tinted((first, second)[coloured])


def _is_tinted(pixels: Pixels) -> bool:
    """Return whether the chroma of a reduced picture is nearly a polynomial of its luma."""
    height, width = (min(COLOUR_SIDE, side) for side in pixels.shape[:2])
    small = luma_and_chroma(resized(pixels, height, width)).reshape(-1, 3).astype(np.float64)
    design, chroma = np.vander(small[:, 0] / 255, TINT_TERMS), small[:, 1:] - 128
    fitted = design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    missed, explained = (float(np.sqrt(np.mean(each**2))) for each in (chroma - fitted, fitted))
    return missed < max(TINTED, TINTED_SHARE * explained)


def _colourfulness(pixels: Pixels) -> npt.NDArray[np.int16]:
    """Return the largest less the smallest channel of each pixel; 0 for gray pictures."""
    if pixels.ndim == 2:
        return np.zeros(pixels.shape, np.int16)
    red, green, blue = (pixels[:, :, i].astype(np.int16) for i in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    return high - np.minimum(np.minimum(red, green), blue)


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
    plane = plane_of(pixels[::2, ::2], 1)  # every second pixel tells enough
    mean, _, square, *_ = block_moments(plane, plane, SMOOTH_SIDE // 2)
    return float(np.mean(square - mean * mean > TEXTURED)) < SMOOTH_SHARE


def _curve(a: Pixels, b: Pixels) -> tuple[npt.NDArray[np.float64], float]:
    """Fit a smooth monotone curve of levels from a to b; and the share of b that it misses."""
    counts, sums, squares = level_sums(a, b).astype(np.float64)
    moves = sums - counts * np.arange(256)
    kernel = np.exp(-0.5 * (np.arange(-16, 17) / CURVE_SIGMA) ** 2)
    weights = np.convolve(counts, kernel, "same") + 1e-9 * a.size
    smooth = np.arange(256) + np.convolve(moves, kernel, "same") / weights
    curve = np.clip(_monotone(smooth, weights), 0, 255)
    missed = float(np.sum(counts * curve**2 - 2 * curve * sums + squares)) / a.size
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


def equal_sharpness(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels, int]:
    """Halve both pictures while one lacks nearly all of the other's fine detail.

    Also return which picture is sharper, 0 or 1.
    """
    for _ in range(3):
        details = [_detail(plane_of(each, 0)) for each in (first, second)]
        height, width = first.shape[:2]
        if min(details) >= BLURRED_SHARE * max(details) or min(height, width) < SMALLEST:
            break
        first = resized(first, height // 2, width // 2)
        second = resized(second, height // 2, width // 2)
    return first, second, int(details[0] < details[1])


def _detail(plane: Plane) -> float:
    """Return the root mean square of the finest detail."""
    return float(np.sqrt(np.mean((plane - blurred(plane, 0.8)) ** 2)))


def equal_filter(a: Plane, b: Plane, sharper: int) -> tuple[Plane, Plane, float]:
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


def least_factor(strength: float) -> float:
    """Return how much counts as usual at least, by the strength of the fitted filter."""
    if strength <= SHARPENED:
        return CLIPPED
    return FITTED if abs(strength) >= UNFILTERED else CLEAN


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


def plane_of(pixels: Pixels, channel: int) -> Plane:
    """Return one channel as a plane."""
    return (pixels if pixels.ndim == 2 else pixels[:, :, channel]).astype(np.float32)
