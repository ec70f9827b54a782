"""Paint a photo-like picture from a seed: noise, gradients, shapes and text in six kinds of scene.

The same seed gives the same scene at any size. Pictures of different seeds differ in what every
perceptual hash looks at, the light and dark of large areas, and have plenty of structure.
"""

import cv2
import numpy as np
import numpy.typing as npt
from paint import (
    FONTS,
    Field,
    Point,
    Size,
    across,
    between,
    colour,
    down,
    noise,
    oval,
    polygon,
    write,
)

SHADES = (0.06, 0.90)  # darkest and brightest: room for a brighter copy
WORDS = "harbour lantern orchard meadow granite willow copper saffron cobalt ember".split()


def sky(rng: np.random.Generator, size: Size, hue: float) -> tuple[Field, Field]:
    """A sky with a sun's glow and clouds, and the hue of its haze."""
    haze = colour(rng.uniform(-0.06, 0.14), rng.uniform(0.2, 0.6), 0.88)
    zenith = colour(hue, rng.uniform(0.45, 0.8), rng.uniform(0.3, 0.75))
    canvas = between(zenith, haze, down(size) * rng.uniform(1.0, 1.7))
    sun_x, sun_y = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.5)
    far = np.hypot((across(size) - sun_x) * size[0] / size[1], down(size) - sun_y)
    canvas = between(canvas, np.float32(0.92), 0.7 * np.exp(-9 * far))
    clouds = noise(rng, size, coarsest=4, roughness=0.5, stretch=1.6) * 0.45 + rng.uniform(
        -0.1, 0.2
    )
    lit = colour(0.08, 0.06, rng.uniform(0.75, 0.95))
    canvas = between(canvas, lit, clouds)
    disc = np.clip((rng.uniform(0.03, 0.08) - far) * size[1] / 2, 0, 1)
    return between(canvas, np.float32(0.97), disc), haze


def ridge(rng: np.random.Generator, base: float, height: float) -> Field:
    """A mountain's outline as points (x, y), closed at the bottom."""
    line = noise(rng, (256, 2), coarsest=3, roughness=0.5)[0]
    x = np.linspace(-0.01, 1.01, 256)
    return np.vstack([np.c_[x, base - height * line], [(1.01, 1.01), (-0.01, 1.01)]])


def mountains(rng: np.random.Generator, size: Size) -> Field:
    """Ridges one behind the other under a sky, paler with distance."""
    hue = rng.uniform(0.53, 0.66)
    canvas, haze = sky(rng, size, hue)
    near = colour(rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.7), rng.uniform(0.12, 0.28))
    rock = noise(rng, size, coarsest=6, roughness=0.7) * 0.045
    for depth in np.linspace(0.15, 1, int(rng.integers(3, 6))):
        mask = np.zeros((*canvas.shape[:2], 1), np.float32)
        outline = ridge(rng, 0.38 + 0.42 * depth, rng.uniform(0.05, 0.11) * (1.3 - depth))
        polygon(mask, outline, 1)
        tone = haze * (1 - depth) * 0.8 + near * depth
        canvas = between(canvas, tone + rock[..., None] * (0.4 + depth), mask[..., 0])
    return canvas


def sea(rng: np.random.Generator, size: Size) -> Field:
    """A sky over water that mirrors its light, with sails."""
    canvas, haze = sky(rng, size, rng.uniform(0.52, 0.68))
    horizon = rng.uniform(0.42, 0.62)
    deep = colour(rng.uniform(0.48, 0.62), 0.7, rng.uniform(0.2, 0.4))
    water = between(haze * 0.85, deep, (down(size) - horizon) * 3)
    waves = noise(rng, size, coarsest=4, roughness=0.75, stretch=4.0)
    swell = noise(rng, size, coarsest=3, roughness=0.4)
    water = water * (1 + 0.14 * waves + 0.22 * swell)[..., None]
    canvas = between(canvas, water, (down(size) - horizon) * size[1])
    for _ in range(int(rng.integers(1, 4))):
        x, y, tall = (
            rng.uniform(0.1, 0.9),
            horizon + rng.uniform(0.02, 0.2),
            rng.uniform(0.15, 0.35),
        )
        white, hull = colour(0.1, 0.1, 0.9), colour(rng.uniform(), 0.7, 0.35)
        polygon(canvas, [(x, y - tall), (x, y), (x + tall * 0.33, y)], white)
        polygon(
            canvas, [(x - 0.01, y - tall * 0.9), (x - 0.01, y), (x - tall * 0.2, y)], white * 0.82
        )
        foot = y + tall * 0.14
        deck = [(x - tall * 0.3, y + 0.01), (x + tall * 0.4, y + 0.01), (x + tall * 0.25, foot)]
        polygon(canvas, [*deck, (x - tall * 0.2, foot)], hull)
    return canvas


def tower(
    canvas: Field, rng: np.random.Generator, left: float, wide: float, top: float, tone: Field
) -> None:
    """A building with a grid of windows, some of them lit."""
    polygon(canvas, [(left, top), (left + wide, top), (left + wide, 1.01), (left, 1.01)], tone)
    columns, rows = int(rng.integers(3, 6)), int((1 - top) / 0.055)
    lit = rng.random((rows, columns)) < rng.uniform(0.25, 0.7)
    glow = colour(rng.uniform(0.08, 0.15), 0.5, 0.9)
    for row, column in np.argwhere(lit):
        x, y = left + wide * (column + 0.25) / columns, top + 0.025 + row * 0.055
        width, height = wide / columns * 0.5, 0.03
        polygon(canvas, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], glow)


def city(rng: np.random.Generator, size: Size) -> Field:
    """A skyline at dusk."""
    hue = rng.uniform(0.56, 0.8)
    canvas, haze = sky(rng, size, hue)
    for depth in (0.35, 0.8):
        left = -0.05
        while left < 1:
            wide = rng.uniform(0.08, 0.19)
            top = rng.uniform(0.18, 0.75) + 0.12 * depth
            tone = haze * (0.75 - 0.6 * depth) + colour(hue, 0.5, rng.uniform(0.05, 0.2)) * depth
            tower(canvas, rng, left, wide, top, tone)
            left += wide * rng.uniform(0.9, 1.7)
    return canvas


def flower(
    canvas: Field, rng: np.random.Generator, centre: Point, radius: float, tone: Field
) -> None:
    """A blossom: petals about a centre, with a stalk."""
    x, y = centre
    stalk = [(x - 0.004, y), (x + 0.004, y), (x + rng.normal(0, 0.03), 1.01)]
    polygon(canvas, stalk, colour(0.3, 0.6, 0.3))
    n_petals, start = int(rng.integers(5, 10)), rng.uniform(0, np.pi)
    upright = canvas.shape[0] / canvas.shape[1]
    for turn in start + np.arange(n_petals) * 2 * np.pi / n_petals:
        at = (x + 0.6 * radius * np.cos(turn) * upright, y + 0.6 * radius * np.sin(turn))
        oval(canvas, at, (0.55 * radius, 0.28 * radius), tone * rng.uniform(0.85, 1.0), turn)
    oval(canvas, centre, (0.28 * radius, 0.28 * radius), colour(0.12, 0.8, 0.85))


def meadow(rng: np.random.Generator, size: Size) -> Field:
    """Flowers before a blurred green and spots of light."""
    dark = colour(rng.uniform(0.2, 0.45), 0.6, 0.15)
    light = colour(rng.uniform(0.15, 0.35), 0.5, 0.75)
    canvas = between(dark, light, 0.5 + 0.33 * noise(rng, size, coarsest=4, roughness=0.35))
    for _ in range(int(rng.integers(4, 12))):
        spots = canvas.copy()
        radius = rng.uniform(0.04, 0.13)
        oval(spots, rng.random(2), (radius, radius), colour(rng.uniform(0.1, 0.4), 0.3, 0.85))
        canvas = canvas * 0.6 + spots * 0.4
    canvas = canvas * (1 + 0.06 * noise(rng, size, coarsest=8, roughness=0.9))[..., None]
    hue = rng.uniform()
    for _ in range(int(rng.integers(4, 10))):
        tone = colour(hue + rng.normal(0, 0.06), rng.uniform(0.45, 0.85), rng.uniform(0.6, 0.9))
        flower(canvas, rng, rng.uniform(0.08, 0.92, 2), rng.uniform(0.08, 0.22), tone)
    return canvas


def ball(canvas: Field, centre: Point, radius: float, tone: Field, side: float) -> Field:
    """A shaded ball with a gleam, lit from the left (side 1) or the right (-1)."""
    size = canvas.shape[1], canvas.shape[0]
    mask = np.zeros((size[1], size[0], 1), np.float32)
    oval(mask, centre, (radius, radius), 1)
    right = (across(size) - centre[0]) * (size[0] / size[1] / radius)
    lower = (down(size) - centre[1]) / radius
    shade = np.clip(0.75 - 0.55 * (side * right + 0.7 * lower), 0.12, 1.15)
    gleam = np.exp(-14 * ((right + side * 0.4) ** 2 + (lower + 0.45) ** 2))
    return between(canvas, tone * shade[..., None] + 0.5 * gleam[..., None], mask[..., 0])


def still_life(rng: np.random.Generator, size: Size) -> Field:
    """Shaded balls on a table in side light."""
    wall, wood = colour(rng.uniform(), 0.35, 0.6), colour(rng.uniform(0.03, 0.1), 0.6, 0.45)
    edge = rng.uniform(0.45, 0.65)
    plaster = wall * (1 + 0.22 * noise(rng, size, roughness=0.5))[..., None]
    grain = wood * (1 + 0.2 * noise(rng, size, coarsest=3, roughness=0.7, stretch=5))[..., None]
    canvas = between(plaster, grain, (down(size) - edge) * size[1])
    side = rng.choice([-1.0, 1.0])
    for x in rng.permutation(np.linspace(0.12, 0.88, int(rng.integers(3, 7)))):
        radius = rng.uniform(0.08, 0.24)
        x, y = x + rng.normal(0, 0.03), edge + rng.uniform(-0.1, 0.3)
        shadow = canvas.copy()
        oval(shadow, (x + side * radius * 0.6, y + radius), (1.3 * radius, 0.25 * radius), wood / 5)
        canvas = canvas * 0.35 + cv2.GaussianBlur(shadow, (0, 0), 0.012 * size[1]) * 0.65
        tone = colour(rng.uniform(), rng.uniform(0.5, 0.9), rng.uniform(0.45, 0.85))
        canvas = ball(canvas, (x, y), radius, tone, side)
    return canvas


def poster(rng: np.random.Generator, size: Size) -> Field:
    """Bold shapes and a title on rough paper."""
    hue = rng.uniform()
    paper = colour(hue, rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.85))
    canvas = paper * (1 + 0.25 * noise(rng, size, coarsest=3, roughness=0.45))[..., None]
    for _ in range(int(rng.integers(6, 12))):
        shade = rng.uniform((0.4, 0.1), (0.9, 0.9))
        tone = colour(hue + rng.choice([0, 0.08, 0.5, 0.58]), *shade)
        at, reach, turn = rng.random(2), rng.uniform(0.08, 0.32, 2), rng.uniform(0, np.pi)
        if rng.random() < 0.5:
            oval(canvas, at, (reach[0], reach[0]), tone)
        else:
            corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * reach * (0.75, 1)
            spin = [(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]
            polygon(canvas, at + corner @ np.array(spin), tone)
    ink = colour(hue, 0.1, 0.9) if canvas[-size[1] // 4 :].mean() < 0.5 else colour(hue, 0.6, 0.12)
    font = FONTS[int(rng.integers(len(FONTS)))]
    write(canvas, str(rng.choice(WORDS)).upper(), (0.06, rng.uniform(0.78, 0.92)), 0.1, ink, font)
    return canvas


SCENES = (mountains, sea, city, meadow, still_life, poster)


def photo(seed: int, width: int = 320, height: int = 240) -> npt.NDArray[np.uint8]:
    """Paint one photo-like picture.

    Parameters
    ----------
    seed : int
        Which picture; the same seed gives the same scene at any size.
    width, height : int
        Size in pixels, from 32 up.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    rng = np.random.default_rng(seed)
    size = (width, height)
    canvas = SCENES[seed % len(SCENES)](rng, size)
    dapple = 0.2 * noise(rng, size, coarsest=5, roughness=0.15)
    grain = 0.012 * noise(rng, size, coarsest=32, roughness=1.0)
    canvas = canvas * (1 + dapple)[..., None] + grain[..., None]
    return np.round(255 * np.clip(canvas, *SHADES)).astype(np.uint8)
