"""Paint noise, colours, smooth shapes and text on a canvas of numbers from 0 to 1."""

import colorsys

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]  # (height, width), or RGB in 0..1 (height, width, 3)
Size = tuple[int, int]  # width, height in pixels
Point = tuple[float, float]  # x, y in 0..1 of width and height

SUBPIXEL_BITS = 4  # cv2 draws at 1/16 of a pixel
FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)


def noise(
    rng: np.random.Generator,
    size: Size,
    *,
    coarsest: int = 3,
    roughness: float = 0.55,
    stretch: float = 1.0,
) -> Field:
    """Fractal noise of mean 0 and deviation 1, float32 (height, width): octaves of random grids."""
    width, height = size
    octaves = np.random.default_rng(rng.integers(2**63))
    field = np.zeros((height, width), np.float32)
    cells, weight = coarsest, 1.0
    while cells <= max(size):
        grid = octaves.standard_normal((max(2, round(cells * stretch)), cells), np.float32)
        field += cv2.resize(grid * np.float32(weight), size, interpolation=cv2.INTER_CUBIC)
        cells, weight = 2 * cells, weight * roughness
    field -= field.mean()
    field /= field.std()
    return field


def colour(hue: float, saturation: float, value: float) -> Field:
    """RGB, float32 (3,), from hue, saturation and value in 0..1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def between(start: Field, end: Field, weight: Field) -> Field:
    """Mix start and end, colours or shades, by weight: an array (height, width), from 0 to 1."""
    weight = np.clip(weight, 0, 1)[..., None]
    return start * (1 - weight) + end * weight


def down(size: Size) -> Field:
    """0 at the top row, 1 at the bottom row, float32 (height, width)."""
    return np.repeat(np.linspace(0, 1, size[1], dtype=np.float32)[:, None], size[0], axis=1)


def across(size: Size) -> Field:
    """0 at the left column, 1 at the right column, float32 (height, width)."""
    return np.repeat(np.linspace(0, 1, size[0], dtype=np.float32)[None], size[1], axis=0)


def blend(canvas: Field, mask: npt.NDArray[np.uint8], tone: npt.ArrayLike) -> None:
    """Lay a tone over the part of a canvas that an 8-bit mask shows."""
    canvas += (tone - canvas) * (mask[..., None] * np.float32(1 / 255))


def polygon(canvas: Field, points: npt.ArrayLike, tone: npt.ArrayLike) -> None:
    """Fill a polygon of points (x, y) in 0..1, with smooth edges."""
    height, width = canvas.shape[:2]
    scaled = np.asarray(points) * (width, height)
    left, top = np.clip(np.floor(scaled.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(scaled.max(axis=0)).astype(int) + 2, 0, (width, height))
    if left < right and top < bottom:
        mask = np.zeros((bottom - top, right - left), np.uint8)
        corners = np.round((scaled - (left, top)) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        blend(canvas[top:bottom, left:right], mask, tone)


def oval(
    canvas: Field, centre: Point, radii: Point, tone: npt.ArrayLike, turn: float = 0.0
) -> None:
    """Fill an ellipse: radii in parts of the height, turn in radians."""
    angle = np.linspace(0, 2 * np.pi, 49)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    upright = canvas.shape[0] / canvas.shape[1]
    turned_x = x * np.cos(turn) - y * np.sin(turn)
    turned_y = x * np.sin(turn) + y * np.cos(turn)
    polygon(canvas, np.c_[centre[0] + turned_x * upright, centre[1] + turned_y], tone)


def write(
    canvas: Field, text: str, corner: Point, height: float, tone: Field, font: int = FONTS[0]
) -> None:
    """Write text with its lower left corner at (x, y) in 0..1, letters of a height in 0..1."""
    scale = height * canvas.shape[0] / cv2.getTextSize("H", font, 1, 1)[0][1]
    origin = (round(corner[0] * canvas.shape[1]), round(corner[1] * canvas.shape[0]))
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.putText(mask, text, origin, font, scale, 255, max(1, round(scale * 1.6)), cv2.LINE_AA)
    blend(canvas, mask, tone)
