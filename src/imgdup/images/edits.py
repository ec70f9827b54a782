"""Make edited copies of a picture: from RGB pixels to the bytes of image files.

`EDITS` lists what people and programs do to pictures. The same pixels always give the same copies.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from imgdup.images.gray import Pixels
from imgdup.images.opencv import encode_jpeg

QUALITY = 85  # of a copy that is edited in another way than by its compression
SEED = 1  # of the noise
WHITE = (255, 255, 255)

Reals = npt.NDArray[np.float64]
Change = Callable[[Pixels], Pixels]


def _levels(curve: Callable[[Reals], Reals]) -> Change:
    """Return a change that replaces each level from 0 to 255 by that of a curve."""
    levels = _clipped(curve(np.arange(256.0)))
    return lambda pixels: _uint8(cv2.LUT(pixels, levels))


def _scaled(factor: float) -> Change:
    """Return a change that resizes."""
    return lambda pixels: _resized(pixels, factor)


def _small(pixels: Pixels) -> Pixels:
    """Make a thumbnail: 128 pixels on the longer side."""
    return _resized(pixels, min(1.0, 128 / max(pixels.shape[:2])))


def _resized(pixels: Pixels, factor: float) -> Pixels:
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return _uint8(cv2.resize(pixels, (width, height), interpolation=method))


def _blurred(pixels: Pixels) -> Pixels:
    return _uint8(cv2.GaussianBlur(pixels, (0, 0), 2))


def _noisy(pixels: Pixels) -> Pixels:
    return _clipped(pixels + np.random.default_rng(SEED).normal(0, 10, pixels.shape))


def _sharpened(pixels: Pixels) -> Pixels:
    return _uint8(cv2.addWeighted(pixels, 1.8, cv2.GaussianBlur(pixels, (0, 0), 1.5), -0.8, 0))


def _gray(pixels: Pixels) -> Pixels:
    return _uint8(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def _with_logo(pixels: Pixels) -> Pixels:
    """Draw a disc in the lower right corner."""
    height, width = pixels.shape[:2]
    radius = max(2, min(height, width) // 12)
    centre = (width - 3 * radius // 2, height - 3 * radius // 2)
    drawn = cv2.circle(pixels.copy(), centre, radius, WHITE, -1)
    return _uint8(cv2.circle(drawn, centre, radius * 2 // 3, (200, 30, 30), -1))


def _with_text(pixels: Pixels) -> Pixels:
    """Write a line of text at the lower edge."""
    height, width = pixels.shape[:2]
    place, size = (width // 20, height - height // 20), max(0.3, width / 700)
    return _uint8(
        cv2.putText(pixels.copy(), "(c) sample", place, cv2.FONT_HERSHEY_SIMPLEX, size, WHITE, 2)
    )


def _cropped(share: float) -> Change:
    """Return a change that removes a share of each side, half of it at each end."""

    def crop(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        top, left = round(height * share / 2), round(width * share / 2)
        return pixels[top : height - top, left : width - left]

    return crop


def _framed(rows: float, columns: float, level: int) -> Change:
    """Return a change that adds edges of one colour; their widths are shares of the sides."""

    def frame(pixels: Pixels) -> Pixels:
        y, x = round(pixels.shape[0] * rows), round(pixels.shape[1] * columns)
        colour = (level, level, level)
        return _uint8(
            cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT, value=colour),
        )

    return frame


def _rotated(pixels: Pixels) -> Pixels:
    """Rotate by 1 degree; the corners become black."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 1, 1)
    return _uint8(cv2.warpAffine(pixels, matrix, (width, height)))


def _filtered(red: float, green: float, blue: float) -> Change:
    """Return a change that multiplies the colours."""
    return lambda pixels: _clipped(pixels * np.array([red, green, blue]))


def _clipped(values: Reals) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _uint8(pixels: object) -> Pixels:
    return np.asarray(pixels, dtype=np.uint8)


def _webp(pixels: Pixels) -> bytes:
    options = [cv2.IMWRITE_WEBP_QUALITY, 80]
    return cv2.imencode(".webp", pixels[..., ::-1], options)[1].tobytes()


_CHANGES: Mapping[str, Change] = {
    "resized to 200 %": _scaled(2),
    "resized to 50 %": _scaled(0.5),
    "resized to 25 %": _scaled(0.25),
    "128 pixels": _small,
    "brighter": _levels(lambda level: level + 30.0),
    "darker": _levels(lambda level: level * 0.7),
    "more contrast": _levels(lambda level: 1.3 * (level - 128.0) + 128),
    "less contrast": _levels(lambda level: 0.7 * (level - 128.0) + 128),
    "gamma 1.5": _levels(lambda level: 255 * (level / 255) ** 1.5),
    "blurred": _blurred,
    "noise": _noisy,
    "sharpened": _sharpened,
    "gray": _gray,
    "colour filter": _filtered(1.15, 1.0, 0.8),
    "logo": _with_logo,
    "text": _with_text,
    "cropped by 2 %": _cropped(0.02),
    "cropped by 5 %": _cropped(0.05),
    "border": _framed(0.03, 0.03, 255),
    "letterbox": _framed(0.15, 0, 0),
    "rotated by 1 degree": _rotated,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "rotated by 90 degrees": lambda pixels: np.rot90(pixels, 3),
    "rotated by 180 degrees": lambda pixels: pixels[::-1, ::-1],
}


def _compressed(quality: int) -> Callable[[Pixels], bytes]:
    return lambda pixels: encode_jpeg(pixels, quality)


def _saved(change: Change) -> Callable[[Pixels], bytes]:
    return lambda pixels: encode_jpeg(np.ascontiguousarray(change(pixels)), QUALITY)


EDITS: Mapping[str, Callable[[Pixels], bytes]] = {
    **{f"JPEG quality {quality}": _compressed(quality) for quality in (80, 50, 20, 10)},
    "WebP": _webp,
    **{name: _saved(change) for name, change in _CHANGES.items()},
}
"""What is done to a picture, by name: each takes RGB pixels and returns the bytes of a file."""
